//! The handshake of a connection: Noise XX, with each side's long-term identity inside, and XXpsk3
//! where both share a secret beforehand.
//!
//! Called by `connection/mod.rs`. Three messages of exactly [`HANDSHAKE_MESSAGE_BYTES`], zero
//! padded behind their payload:
//! 1. `opening.rs`: magic, version and the name of the secret in the clear;
//! 2. sealed: the responder's proof (`proof.rs`);
//! 3. sealed: the initiator's, likewise, and with the secret's key where one was named.
//!
//! The prologue binds version, network and the secret's name: other values fail. A name that the
//! responder does not know fails at message 3 exactly as a wrong key would, so a stranger cannot
//! try names out; only this side's error tells the two apart.
//! Errors: [`ConnectionError`]; the caller closes at the first one.
//! Absent on purpose: extensions. A message with unknown content is refused, and the version says
//! what content is known.

use std::sync::Arc;

use bytes::BytesMut;
use zeroize::{Zeroize, Zeroizing};

use super::{
    ConnectionConfig, ConnectionError, opening,
    pre_shared::{PRE_SHARED_KEY_ID_BYTES, PreSharedKeyId},
    proof::{self, PROOF_BYTES},
};
use crate::{
    identity::Identity,
    ids::{NetworkId, PeerId},
    limits::{HANDSHAKE_MESSAGE_BYTES, PROTOCOL_VERSION, TAG_BYTES},
    noise::{Handshake, HandshakeKeys, KEY_BYTES, NoiseError, Role, XX, XXPSK3},
};

/// Begins the prologue, which both sides must share.
const PROLOGUE_DOMAIN: &[u8] = b"swarmllm/1 connection";

/// What stands in for the key of an unknown name.
const NO_KEY_DOMAIN: &str = "swarmllm/1 no pre-shared key of that name";

/// Stands for "no pre-shared key".
const NO_SECRET: PreSharedKeyId = [0; PRE_SHARED_KEY_ID_BYTES];

/// Bytes of a sealed static key.
const SEALED_KEY_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// Payload bytes of messages 2 and 3.
const RESPONSE_BYTES: usize = HANDSHAKE_MESSAGE_BYTES - KEY_BYTES - SEALED_KEY_BYTES - TAG_BYTES;
const CLOSING_BYTES: usize = HANDSHAKE_MESSAGE_BYTES - SEALED_KEY_BYTES - TAG_BYTES;

const _: () = assert!(PROOF_BYTES <= RESPONSE_BYTES && PROOF_BYTES <= CLOSING_BYTES);

type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// What one message of the other side leads to.
pub(super) struct Step {
    /// Our answer, to be sent.
    pub(super) reply: Option<BytesMut>,
    /// Who the other side is, once it has proved that: the handshake is then through.
    pub(super) proved: Option<PeerId>,
}

impl Step {
    fn answer(message: BytesMut) -> Self {
        Self { reply: Some(message), proved: None }
    }
}

/// A handshake that is through.
pub(super) struct Finished {
    /// Its keys, and its hash, which names the connection.
    pub(super) noise: Handshake,
    /// Who we are.
    pub(super) identity: Arc<Identity>,
    /// Which side we are.
    pub(super) role: Role,
    /// The secret it was made with.
    pub(super) secret: Option<PreSharedKeyId>,
}

/// How far it is.
enum Stage {
    /// The initiator waits for message 2, and may be asked to send message 1 with a cookie.
    Opened { noise: Handshake, opening: BytesMut, has_cookie: bool },
    /// The responder waits for message 1.
    Waiting { keys: HandshakeKeys, unknown_key: Secret },
    /// The responder waits for message 3.
    Answered { noise: Handshake },
    /// Every message is through, or one was refused.
    Over(Option<Handshake>),
}

/// A handshake under way.
pub(super) struct IdentityHandshake {
    config: ConnectionConfig,
    role: Role,
    stage: Stage,
    secret: PreSharedKeyId,
    is_secret_known: bool,
}

impl IdentityHandshake {
    /// The side that dials, and its message 1.
    pub(super) fn initiator(config: ConnectionConfig, entropy: [u8; 64]) -> (Self, BytesMut) {
        let secret = config.pre_shared.as_ref().map_or(NO_SECRET, |secret| secret.id);
        let key = config.pre_shared.as_ref().map(|secret| secret.key.clone());
        let mut noise = noise(Role::Initiator, &config.network, &secret, fresh_keys(entropy), key);
        let tag = if secret == NO_SECRET { 0 } else { TAG_BYTES };
        let payload = [0; opening::NOISE_BYTES - KEY_BYTES];
        let mut message = BytesMut::with_capacity(opening::NOISE_BYTES);
        noise
            .write_message(&payload[tag..], &mut message)
            .expect("message 1 of an initiator needs only its ephemeral key, which is given");
        let opening = opening::write(&secret, &message, config.expected_peer);
        let stage = Stage::Opened { noise, opening: opening.clone(), has_cookie: false };
        (Self { config, role: Role::Initiator, stage, secret, is_secret_known: true }, opening)
    }

    /// The side that was dialled.
    pub(super) fn responder(config: ConnectionConfig, entropy: [u8; 64]) -> Self {
        let unknown_key = Zeroizing::new(blake3::derive_key(NO_KEY_DOMAIN, &entropy));
        let stage = Stage::Waiting { keys: fresh_keys(entropy), unknown_key };
        Self { config, role: Role::Responder, stage, secret: NO_SECRET, is_secret_known: true }
    }

    /// Takes the other side's next message.
    pub(super) fn receive(&mut self, message: &[u8]) -> Result<Step, ConnectionError> {
        let length = message.len();
        if length != HANDSHAKE_MESSAGE_BYTES {
            return Err(ConnectionError::HandshakeLength { length });
        }
        match std::mem::replace(&mut self.stage, Stage::Over(None)) {
            Stage::Waiting { keys, unknown_key } => self.answer(message, keys, unknown_key),
            Stage::Opened { noise, opening, has_cookie } => {
                match opening::read_cookie(message) {
                    // Asked twice, it would be asked forever.
                    Some(_) if has_cookie => Err(ConnectionError::Busy),
                    Some(cookie) => {
                        let opening =
                            opening::with_cookie(opening, &cookie, self.config.expected_peer);
                        let again = opening.clone();
                        self.stage = Stage::Opened { noise, opening, has_cookie: true };
                        Ok(Step::answer(again))
                    }
                    None => self.close(message, noise),
                }
            }
            Stage::Answered { mut noise } => {
                let payload = noise.read_message(message).map_err(|error| self.refusal(error))?;
                let proved = Some(self.check(&payload, &noise)?);
                self.stage = Stage::Over(Some(noise));
                Ok(Step { reply: None, proved })
            }
            Stage::Over(_) => Err(ConnectionError::Closed),
        }
    }

    /// The responder's message 2.
    fn answer(
        &mut self,
        message: &[u8],
        keys: HandshakeKeys,
        unknown_key: Secret,
    ) -> Result<Step, ConnectionError> {
        let opening = opening::read(message, &self.config.identity.peer_id())?;
        self.secret = opening.secret;
        let found = self.config.accepted_keys.get(&opening.secret);
        self.is_secret_known = opening.secret == NO_SECRET || found.is_some();
        let key = (opening.secret != NO_SECRET).then(|| found.unwrap_or(unknown_key));
        let mut noise = noise(Role::Responder, &self.config.network, &opening.secret, keys, key);
        let payload = noise.read_message(opening.noise).map_err(ConnectionError::Handshake)?;
        if payload.iter().any(|byte| *byte != 0) {
            return Err(ConnectionError::Padding);
        }
        let reply = self.proof_message(&mut noise, RESPONSE_BYTES)?;
        self.stage = Stage::Answered { noise };
        Ok(Step::answer(reply))
    }

    /// The initiator's message 3.
    fn close(&mut self, message: &[u8], mut noise: Handshake) -> Result<Step, ConnectionError> {
        let payload = noise.read_message(message).map_err(ConnectionError::Handshake)?;
        let proved = Some(self.check(&payload, &noise)?);
        let reply = Some(self.proof_message(&mut noise, CLOSING_BYTES)?);
        self.stage = Stage::Over(Some(noise));
        Ok(Step { reply, proved })
    }

    /// Why message 3 does not open, as far as this side can tell.
    fn refusal(&self, error: NoiseError) -> ConnectionError {
        match error {
            NoiseError::Decrypt if !self.is_secret_known => ConnectionError::UnknownPreSharedKey,
            error => ConnectionError::Handshake(error),
        }
    }

    fn check(&self, payload: &[u8], noise: &Handshake) -> Result<PeerId, ConnectionError> {
        proof::check(payload, noise, &self.config.identity, self.config.expected_peer)
    }

    /// Our next message, with the proof of who we are.
    fn proof_message(
        &self,
        noise: &mut Handshake,
        payload_bytes: usize,
    ) -> Result<BytesMut, ConnectionError> {
        let mut payload = vec![0; payload_bytes];
        payload[..PROOF_BYTES].copy_from_slice(&proof::write(&self.config.identity, noise));
        let mut message = BytesMut::with_capacity(HANDSHAKE_MESSAGE_BYTES);
        noise.write_message(&payload, &mut message).map_err(ConnectionError::Handshake)?;
        Ok(message)
    }

    /// What is left of a handshake that is through.
    pub(super) fn finish(self) -> Result<Finished, ConnectionError> {
        let Stage::Over(Some(noise)) = self.stage else { return Err(ConnectionError::Closed) };
        let secret = (self.secret != NO_SECRET).then_some(self.secret);
        Ok(Finished { noise, identity: self.config.identity, role: self.role, secret })
    }
}

/// The Noise handshake of these parties; with a key, it is XXpsk3.
fn noise(
    role: Role,
    network: &NetworkId,
    secret: &PreSharedKeyId,
    keys: HandshakeKeys,
    key: Option<Secret>,
) -> Handshake {
    let pattern = if key.is_some() { XXPSK3 } else { XX };
    let keys = HandshakeKeys { pre_shared: key.into_iter().collect(), ..keys };
    Handshake::new(pattern, role, &prologue(network, secret), keys)
        .expect("neither pattern needs a key of the other side beforehand")
}

/// Static and ephemeral key out of fresh entropy.
pub(super) fn fresh_keys(mut entropy: [u8; 64]) -> HandshakeKeys {
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
    keys
}

/// What both sides must agree on beforehand.
pub(super) fn prologue(network: &NetworkId, secret: &PreSharedKeyId) -> Vec<u8> {
    let name = network.as_str().as_bytes();
    let mut prologue = PROLOGUE_DOMAIN.to_vec();
    prologue.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    // At most 32 bytes long by its own rules.
    prologue.push(name.len() as u8);
    prologue.extend_from_slice(name);
    prologue.extend_from_slice(secret);
    prologue
}
