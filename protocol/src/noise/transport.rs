//! One key and its counter, sealing records in place; and the two of them that a connection has.
//!
//! Called by `symmetric.rs` during the handshake and by `connection.rs` after it.
//! Layout of a nonce: 4 zero bytes, then the counter as `u64` little endian. A sealed record is the
//! ciphertext followed by its 16-byte tag, in the buffer where the plaintext was.
//! Errors: [`NoiseError::Decrypt`], [`NoiseError::NonceExhausted`]. The counter moves only when a
//! record was sealed or opened, and never back.
//! Source: Noise specification revision 34, section 5.1 and 12.3; RFC 8439.
//! Absent on purpose: out-of-order records. The stream below delivers in order, so a gap is an
//! attack.

use bytes::{BufMut, BytesMut};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::Zeroize;

use super::{KEY_BYTES, NoiseError};
use crate::limits::{RECORD_MAX_BYTES, RECORDS_PER_KEY_MAX, TAG_BYTES};

/// A key and the number of records it has sealed or opened. The key is cleared when dropped.
pub struct CipherState {
    cipher: ChaCha20Poly1305,
    counter: u64,
    bytes: u64,
}

impl CipherState {
    /// A fresh key.
    #[must_use]
    pub fn new(mut key: [u8; KEY_BYTES]) -> Self {
        let cipher = ChaCha20Poly1305::new((&key).into());
        key.zeroize();
        Self { cipher, counter: 0, bytes: 0 }
    }

    /// Records sealed or opened so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.counter
    }

    /// Sealed bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn nonce(&self) -> Result<Nonce, NoiseError> {
        if self.counter >= RECORDS_PER_KEY_MAX {
            return Err(NoiseError::NonceExhausted);
        }
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
        Ok(nonce.into())
    }

    /// Seals `out[start..]` where it lies and appends the tag.
    pub fn seal_tail(
        &mut self,
        associated: &[u8],
        out: &mut BytesMut,
        start: usize,
    ) -> Result<(), NoiseError> {
        let length = out.len().saturating_sub(start) + TAG_BYTES;
        if length > RECORD_MAX_BYTES {
            return Err(NoiseError::TooLong { length });
        }
        let nonce = self.nonce()?;
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, associated, (&mut out[start..]).into())
            .map_err(|_| NoiseError::TooLong { length })?;
        out.put_slice(&tag);
        self.counter += 1;
        self.bytes += length as u64;
        Ok(())
    }

    /// Opens a whole sealed record where it lies and takes its tag off.
    pub fn open(&mut self, associated: &[u8], record: &mut BytesMut) -> Result<(), NoiseError> {
        let length = record.len();
        let text = length.checked_sub(TAG_BYTES).ok_or(NoiseError::Truncated { length })?;
        let nonce = self.nonce()?;
        let (sealed, tag) = record.split_at_mut(text);
        let tag = Tag::try_from(&*tag).expect("split at the tag's length");
        self.cipher
            .decrypt_inout_detached(&nonce, associated, sealed.into(), &tag)
            .map_err(|_| NoiseError::Decrypt)?;
        record.truncate(text);
        self.counter += 1;
        self.bytes += length as u64;
        Ok(())
    }

    /// Moves the counter, so that a test can reach its end.
    #[cfg(test)]
    pub(crate) fn set_counter(&mut self, counter: u64) {
        self.counter = counter;
    }
}

/// The keys of a connection after its handshake.
pub struct Transport {
    /// Seals what this side sends.
    pub sending: CipherState,
    /// Opens what the other side sent.
    pub receiving: CipherState,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(cipher: &mut CipherState, text: &[u8]) -> BytesMut {
        let mut out = BytesMut::from(text);
        cipher.seal_tail(&[], &mut out, 0).expect("seals");
        out
    }

    #[test]
    fn records_open_in_order_and_only_so() {
        let (mut sending, mut receiving) = (CipherState::new([3; 32]), CipherState::new([3; 32]));
        let mut first = sealed(&mut sending, b"one");
        let mut second = sealed(&mut sending, b"two");
        assert_eq!(receiving.open(&[], &mut second.clone()), Err(NoiseError::Decrypt));
        receiving.open(&[], &mut first).expect("opens");
        assert_eq!(&first[..], b"one");
        receiving.open(&[], &mut second).expect("opens");
        let mut short = BytesMut::from(&[0_u8; 15][..]);
        let truncated = Err(NoiseError::Truncated { length: 15 });
        assert_eq!(receiving.open(&[], &mut short), truncated);
    }

    #[test]
    fn a_used_up_key_seals_and_opens_nothing() {
        let mut cipher = CipherState::new([4; 32]);
        cipher.set_counter(RECORDS_PER_KEY_MAX - 1);
        let mut last = sealed(&mut cipher, b"last");
        let mut out = BytesMut::from(&b"more"[..]);
        assert_eq!(cipher.seal_tail(&[], &mut out, 0), Err(NoiseError::NonceExhausted));
        assert_eq!(&out[..], b"more");
        assert_eq!(cipher.open(&[], &mut last), Err(NoiseError::NonceExhausted));
    }

    #[test]
    fn nothing_longer_than_a_record_is_sealed() {
        let mut out = BytesMut::zeroed(RECORD_MAX_BYTES - TAG_BYTES + 1);
        let result = CipherState::new([5; 32]).seal_tail(&[], &mut out, 0);
        assert_eq!(result, Err(NoiseError::TooLong { length: RECORD_MAX_BYTES + 1 }));
    }
}
