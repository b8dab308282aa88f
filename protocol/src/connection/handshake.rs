//! The handshake of a connection: Noise XX, with each side's long-term identity inside.
//!
//! Called by `connection/mod.rs`. Three messages of exactly [`HANDSHAKE_MESSAGE_BYTES`], zero
//! padded behind their payload:
//! 1. in the clear: magic (8 bytes), version (`u16` LE);
//! 2. sealed: the responder's peer id (32) and signature (64);
//! 3. sealed: the initiator's, likewise.
//!
//! The signature is over a domain string and the sender's session key, so it proves that the
//! identity's owner made this session. The prologue binds version and network: other values fail.
//! Errors: [`ConnectionError`]; the caller closes at the first one.
//! Absent on purpose: extensions. A message with unknown content is refused, and the version says
//! what content is known.

use std::sync::Arc;

use bytes::BytesMut;
use zeroize::{Zeroize, Zeroizing};

use super::{ConnectionConfig, ConnectionError};
use crate::{
    identity::{self, Identity, SIGNATURE_BYTES},
    ids::{NetworkId, PeerId},
    limits::{HANDSHAKE_MESSAGE_BYTES, PROTOCOL_VERSION, TAG_BYTES},
    noise::{Handshake, HandshakeKeys, KEY_BYTES, Role, Transport, XX},
};

/// First bytes of message 1: tells a stray client from a node.
const MAGIC: &[u8; 8] = b"SWARMLLM";

/// What the identity signs.
pub(super) const STATIC_KEY_DOMAIN: &str = "swarmllm/1 noise static key";

/// Begins the prologue, which both sides must share.
const PROLOGUE_DOMAIN: &[u8] = b"swarmllm/1 connection";

/// Bytes of a sealed static key.
const SEALED_KEY_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// Payload bytes of messages 1, 2 and 3.
const OPENING_BYTES: usize = HANDSHAKE_MESSAGE_BYTES - KEY_BYTES;
const RESPONSE_BYTES: usize = HANDSHAKE_MESSAGE_BYTES - KEY_BYTES - SEALED_KEY_BYTES - TAG_BYTES;
const CLOSING_BYTES: usize = HANDSHAKE_MESSAGE_BYTES - SEALED_KEY_BYTES - TAG_BYTES;

/// Bytes of a proof: peer id and signature.
const PROOF_BYTES: usize = KEY_BYTES + SIGNATURE_BYTES;

const _: () = assert!(PROOF_BYTES <= RESPONSE_BYTES && PROOF_BYTES <= CLOSING_BYTES);

/// What one message of the other side leads to.
pub(super) struct Step {
    /// Our answer, to be sent.
    pub(super) reply: Option<BytesMut>,
    /// Who the other side is, once it has proved that: the handshake is then through.
    pub(super) proved: Option<PeerId>,
}

/// A handshake under way.
pub(super) struct IdentityHandshake {
    noise: Handshake,
    role: Role,
    has_received: bool,
    identity: Arc<Identity>,
    expected_peer: Option<PeerId>,
}

impl IdentityHandshake {
    pub(super) fn new(config: ConnectionConfig, role: Role, mut entropy: [u8; 64]) -> Self {
        let ConnectionConfig { identity, network, expected_peer } = config;
        let half = |offset: usize| {
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            key.copy_from_slice(&entropy[offset..offset + KEY_BYTES]);
            Some(key)
        };
        let keys = HandshakeKeys {
            static_private: half(0),
            ephemeral_private: half(KEY_BYTES),
            ..HandshakeKeys::default()
        };
        entropy.zeroize();
        let noise = Handshake::new(XX, role, &prologue(&network), keys)
            .expect("pattern XX needs no key known beforehand");
        Self { noise, role, has_received: false, identity, expected_peer }
    }

    /// Message 1, which the initiator sends unasked.
    pub(super) fn opening_message(&mut self) -> BytesMut {
        let mut payload = [0; OPENING_BYTES];
        payload[..MAGIC.len()].copy_from_slice(MAGIC);
        payload[MAGIC.len()..][..2].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        let mut message = BytesMut::with_capacity(HANDSHAKE_MESSAGE_BYTES);
        self.noise
            .write_message(&payload, &mut message)
            .expect("message 1 of an initiator needs only its ephemeral key, which is given");
        message
    }

    /// Takes the other side's next message.
    pub(super) fn receive(&mut self, message: &[u8]) -> Result<Step, ConnectionError> {
        let length = message.len();
        if length != HANDSHAKE_MESSAGE_BYTES {
            return Err(ConnectionError::HandshakeLength { length });
        }
        let is_opening = self.role == Role::Responder && !self.has_received;
        self.has_received = true;
        if is_opening {
            // In the clear, so it can be told apart before any arithmetic is spent on it.
            check_opening(&message[KEY_BYTES..])?;
            self.noise.read_message(message).map_err(ConnectionError::Handshake)?;
            let reply = Some(self.proof_message(RESPONSE_BYTES)?);
            return Ok(Step { reply, proved: None });
        }
        let payload = self.noise.read_message(message).map_err(ConnectionError::Handshake)?;
        let proved = Some(self.check_proof(&payload)?);
        let reply = match self.role {
            Role::Initiator => Some(self.proof_message(CLOSING_BYTES)?),
            Role::Responder => None,
        };
        Ok(Step { reply, proved })
    }

    /// The record keys and the hash that names this connection.
    pub(super) fn finish(self) -> Result<(Transport, [u8; KEY_BYTES]), ConnectionError> {
        let binding = self.noise.hash();
        let transport = self.noise.into_transport().map_err(ConnectionError::Handshake)?;
        Ok((transport, binding))
    }

    /// Our next message, with the proof of who we are.
    fn proof_message(&mut self, payload_bytes: usize) -> Result<BytesMut, ConnectionError> {
        let session_key = self.noise.local_static().expect("given when the handshake began");
        let mut payload = vec![0; payload_bytes];
        let (peer, signature) = payload[..PROOF_BYTES].split_at_mut(KEY_BYTES);
        peer.copy_from_slice(self.identity.peer_id().as_bytes());
        signature.copy_from_slice(&self.identity.sign(STATIC_KEY_DOMAIN, &[&session_key]));
        let mut message = BytesMut::with_capacity(HANDSHAKE_MESSAGE_BYTES);
        self.noise.write_message(&payload, &mut message).map_err(ConnectionError::Handshake)?;
        Ok(message)
    }

    /// Who the other side is, if it can prove it and is whom we want.
    fn check_proof(&self, payload: &[u8]) -> Result<PeerId, ConnectionError> {
        let (proof, padding) = payload.split_at(PROOF_BYTES);
        let (peer, signature) = proof.split_at(KEY_BYTES);
        let got = PeerId(peer.try_into().expect("split at the length of a key"));
        let signature = signature.try_into().expect("split at the length of a signature");
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ConnectionError::Padding);
        }
        let session_key = self.noise.remote_static().expect("read with the message of the proof");
        identity::verify(&got, STATIC_KEY_DOMAIN, &[&session_key], signature)?;
        if got == self.identity.peer_id() {
            return Err(ConnectionError::SelfConnection);
        }
        match self.expected_peer {
            Some(expected) if expected != got => Err(ConnectionError::WrongPeer { expected, got }),
            _ => Ok(got),
        }
    }
}

/// What both sides must agree on beforehand.
pub(super) fn prologue(network: &NetworkId) -> Vec<u8> {
    let name = network.as_str().as_bytes();
    let mut prologue = PROLOGUE_DOMAIN.to_vec();
    prologue.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    // At most 32 bytes long by its own rules.
    prologue.push(name.len() as u8);
    prologue.extend_from_slice(name);
    prologue
}

fn check_opening(payload: &[u8]) -> Result<(), ConnectionError> {
    let Some(rest) = payload.strip_prefix(MAGIC) else {
        return Err(ConnectionError::NotSwarmLlm);
    };
    let (version, padding) = rest.split_at(2);
    let theirs = u16::from_le_bytes([version[0], version[1]]);
    if theirs != PROTOCOL_VERSION {
        return Err(ConnectionError::Version { theirs });
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(ConnectionError::Padding);
    }
    Ok(())
}
