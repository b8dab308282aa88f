//! The first message of a connection, and the cookie that may be the answer to it.
//!
//! Called by `handshake.rs` on both sides, and by `gate.rs`, which judges strangers by it.
//! Layout of message 1, [`HANDSHAKE_MESSAGE_BYTES`] in all: magic (8) | version `u16` LE | name of
//! the pre-shared key (16, zeros for none) | cookie (16, zeros for none) | Noise message |
//! tag (16).
//! The tag is BLAKE3 over all before it, keyed by whom the message is for: the dialled peer's id,
//! or zeros where it is not known. It proves nothing, but blind scans and bytes altered on the way
//! cost no arithmetic on curves. Magic, version and key name are bound to the handshake by its
//! prologue; cookie and tag are for the door only.
//! Layout of a cookie reply, the same length: magic (8) | cookie (16) | zeros.
//! Errors: [`ConnectionError`]. Absent on purpose: hiding whom a message is for from someone who
//! has a list of ids to compare with; addresses tell that as well.

use bytes::BytesMut;

use super::{ConnectionError, pre_shared::PreSharedKeyId};
use crate::{
    address::take,
    cookie::COOKIE_BYTES,
    ids::PeerId,
    limits::{HANDSHAKE_MESSAGE_BYTES, PROTOCOL_VERSION},
};

/// First bytes of message 1: tells a stray client from a node.
const MAGIC: [u8; 8] = *b"SWARMLLM";

/// First bytes of a cookie reply. Message 2 begins with a random key instead.
const COOKIE_MAGIC: [u8; 8] = *b"SWARMCKY";

const TAG_BYTES: usize = 16;
const COOKIE_AT: usize = 8 + 2 + 16;
const TAG_AT: usize = HANDSHAKE_MESSAGE_BYTES - TAG_BYTES;

/// Bytes of the Noise message inside message 1.
pub(super) const NOISE_BYTES: usize = TAG_AT - COOKIE_AT - COOKIE_BYTES;

const TAG_KEY_DOMAIN: &str = "swarmllm/1 opening tag";

/// What the first message says.
pub(super) struct Opening<'a> {
    /// Name of the pre-shared key; zeros for none.
    pub(super) secret: PreSharedKeyId,
    /// A cookie given before; zeros for none.
    pub(super) cookie: [u8; COOKIE_BYTES],
    /// Noise message 1.
    pub(super) noise: &'a [u8],
}

/// Message 1 around a Noise message of [`NOISE_BYTES`].
pub(super) fn write(secret: &PreSharedKeyId, noise: &[u8], to: Option<PeerId>) -> BytesMut {
    let mut message = BytesMut::with_capacity(HANDSHAKE_MESSAGE_BYTES);
    message.extend_from_slice(&MAGIC);
    message.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    message.extend_from_slice(secret);
    message.extend_from_slice(&[0; COOKIE_BYTES]);
    message.extend_from_slice(noise);
    message.extend_from_slice(&tag(&message, to));
    message
}

/// The same message once more, with the cookie that was asked for.
pub(super) fn with_cookie(
    mut message: BytesMut,
    cookie: &[u8; COOKIE_BYTES],
    to: Option<PeerId>,
) -> BytesMut {
    message[COOKIE_AT..COOKIE_AT + COOKIE_BYTES].copy_from_slice(cookie);
    let tag = tag(&message[..TAG_AT], to);
    message[TAG_AT..].copy_from_slice(&tag);
    message
}

/// Reads message 1 as `us`; nothing of it is computed with before all of this has been checked.
pub(super) fn read<'a>(message: &'a [u8], us: &PeerId) -> Result<Opening<'a>, ConnectionError> {
    let length = message.len();
    let wrong_length = || ConnectionError::HandshakeLength { length };
    if length != HANDSHAKE_MESSAGE_BYTES {
        return Err(wrong_length());
    }
    let (mut body, sent_tag) = message.split_at(TAG_AT);
    if take(&mut body) != Some(MAGIC) {
        return Err(ConnectionError::NotSwarmLlm);
    }
    let theirs = u16::from_le_bytes(take(&mut body).ok_or_else(wrong_length)?);
    if theirs != PROTOCOL_VERSION {
        return Err(ConnectionError::Version { theirs });
    }
    let secret = take(&mut body).ok_or_else(wrong_length)?;
    let cookie = take(&mut body).ok_or_else(wrong_length)?;
    let fits = |to| tag(&message[..TAG_AT], to).as_slice() == sent_tag;
    if !fits(Some(*us)) && !fits(None) {
        return Err(ConnectionError::NotForUs);
    }
    Ok(Opening { secret, cookie, noise: body })
}

/// A cookie reply.
pub(super) fn write_cookie(cookie: &[u8; COOKIE_BYTES]) -> BytesMut {
    let mut reply = BytesMut::with_capacity(HANDSHAKE_MESSAGE_BYTES);
    reply.extend_from_slice(&COOKIE_MAGIC);
    reply.extend_from_slice(cookie);
    reply.resize(HANDSHAKE_MESSAGE_BYTES, 0);
    reply
}

/// The cookie of a reply, if that is what it is.
pub(super) fn read_cookie(mut reply: &[u8]) -> Option<[u8; COOKIE_BYTES]> {
    let is_cookie = take(&mut reply)? == COOKIE_MAGIC;
    let cookie = take(&mut reply)?;
    (is_cookie && reply.iter().all(|byte| *byte == 0)).then_some(cookie)
}

fn tag(bytes: &[u8], to: Option<PeerId>) -> [u8; TAG_BYTES] {
    let to = to.map_or([0; 32], |peer| peer.0);
    let key = blake3::derive_key(TAG_KEY_DOMAIN, &to);
    let hash = blake3::keyed_hash(&key, bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}
