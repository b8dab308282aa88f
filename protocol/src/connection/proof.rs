//! Who a side of a handshake is: its peer id and a signature over its session key.
//!
//! Called by `handshake.rs` and `rekey.rs`, in the payload of Noise messages 2 and 3.
//! Layout: peer id (32), signature (64). The signature is over a domain string and the sender's
//! Noise static key, so it proves that the identity's owner made this session.
//! Errors: [`ConnectionError`].

use super::ConnectionError;
use crate::{
    identity::{self, Identity, SIGNATURE_BYTES},
    ids::PeerId,
    noise::{Handshake, KEY_BYTES},
};

/// What the identity signs.
pub(super) const STATIC_KEY_DOMAIN: &str = "swarmllm/1 noise static key";

/// Bytes of a proof.
pub(super) const PROOF_BYTES: usize = KEY_BYTES + SIGNATURE_BYTES;

/// Our proof for the session key of this handshake.
pub(super) fn write(identity: &Identity, noise: &Handshake) -> [u8; PROOF_BYTES] {
    let session_key = noise.local_static().expect("given when the handshake began");
    let mut proof = [0; PROOF_BYTES];
    let (peer, signature) = proof.split_at_mut(KEY_BYTES);
    peer.copy_from_slice(identity.peer_id().as_bytes());
    signature.copy_from_slice(&identity.sign(STATIC_KEY_DOMAIN, &[&session_key]));
    proof
}

/// Who the other side is, if it can prove it and is whom we want.
pub(super) fn check(
    payload: &[u8],
    noise: &Handshake,
    us: &Identity,
    expected: Option<PeerId>,
) -> Result<PeerId, ConnectionError> {
    let (proof, padding) =
        payload.split_first_chunk::<PROOF_BYTES>().ok_or(ConnectionError::Padding)?;
    let (peer, signature) = proof.split_at(KEY_BYTES);
    let got = PeerId(peer.try_into().expect("split at the length of a key"));
    let signature = signature.try_into().expect("split at the length of a signature");
    if padding.iter().any(|byte| *byte != 0) {
        return Err(ConnectionError::Padding);
    }
    let session_key = noise.remote_static().expect("read with the message of the proof");
    identity::verify(&got, STATIC_KEY_DOMAIN, &[&session_key], signature)?;
    if got == us.peer_id() {
        return Err(ConnectionError::SelfConnection);
    }
    match expected {
        Some(expected) if expected != got => Err(ConnectionError::WrongPeer { expected, got }),
        _ => Ok(got),
    }
}
