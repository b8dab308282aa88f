//! Noise handshakes: two nodes with fresh keys become two pairs of record keys.
//!
//! Used by `connection.rs` with pattern XX, or XXpsk3 where a pool's secret is shared, and by
//! `dht_datagram.rs` with NK; the suite is `25519_ChaChaPoly_BLAKE2s` and is not negotiated.
//! Reading order: [`pattern`] (who sends which key when), [`symmetric`] (what every message is
//! mixed into), [`handshake`] (the state machine), [`transport`] (records under the final keys).
//! Source: The Noise Protocol Framework, revision 34; checked against the public cacophony vectors
//! and differentially against another implementation in `tests/`.
//! Errors: [`NoiseError`]. After an error a handshake or direction is over: no retry with old keys.
//! Absent on purpose: rekeying in place and negotiation of suites; a long-lived pair of nodes makes
//! a new handshake, which heals more than a rekey would.

pub mod handshake;
pub mod pattern;
pub mod symmetric;
pub mod transport;

pub use handshake::{Handshake, HandshakeKeys, Role};
pub use pattern::{NK, Pattern, Token, XX, XXPSK3};
pub use symmetric::{Blake2s, NoiseHash};
pub use transport::{CipherState, Transport};

/// Bytes of an X25519 key, of a hash, and of a pre-shared key.
pub const KEY_BYTES: usize = 32;

/// Why a handshake or a record fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The message ends before its keys do.
    #[error("a handshake message of {length} bytes is too short")]
    Truncated {
        /// Its length.
        length: usize,
    },
    /// Decryption failed: altered, out of order, under another key, or another prologue (program,
    /// version, network).
    #[error("a message was not sealed with the key of this connection")]
    Decrypt,
    /// The other side's key is of small order, so that the result would be known to anyone.
    #[error("the other side sent an X25519 key of small order")]
    LowOrderKey,
    /// It is the other side's turn, or the handshake is over.
    #[error("no handshake message may be {0} now")]
    OutOfTurn(&'static str),
    /// The pattern asks for a key that was not given.
    #[error("the handshake needs {0} and has none")]
    MissingKey(&'static str),
    /// As many records were sealed under this key as ever will be.
    #[error("this connection's key is used up; connect again")]
    NonceExhausted,
    /// Longer than any record.
    #[error("a message of {length} bytes is longer than any record")]
    TooLong {
        /// Its length.
        length: usize,
    },
}
