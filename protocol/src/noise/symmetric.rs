//! What every handshake message is mixed into: the chaining key, the hash, the handshake key.
//!
//! Called by `handshake.rs` only.
//! Layout: hash and chaining key are 32 bytes; HKDF is HMAC over the suite's hash, whose block is
//! 64 bytes in both suites that share this code.
//! Errors: [`NoiseError`], from the AEAD.
//! Source: Noise specification revision 34, sections 4.3 and 5.2; RFC 2104 for HMAC.
//! Absent on purpose: hashes with another block or output length.

use blake2::{Blake2s256, Digest};
use bytes::BytesMut;
use zeroize::Zeroizing;

use super::{CipherState, KEY_BYTES, NoiseError};

/// Bytes that HMAC pads its key to.
const BLOCK_BYTES: usize = 64;

type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// The hash of a suite: 32 bytes of output, blocks of 64.
///
/// A trait so that the public vectors of the SHA256 suites test the same state machine.
pub trait NoiseHash {
    /// Its name within the protocol name.
    const NAME: &'static str;

    /// Hashes the parts one after the other.
    fn hash(parts: &[&[u8]]) -> [u8; KEY_BYTES];
}

/// BLAKE2s with 32 bytes of output, as Noise names it.
#[derive(Debug, Clone, Copy)]
pub struct Blake2s;

impl NoiseHash for Blake2s {
    const NAME: &'static str = "BLAKE2s";

    fn hash(parts: &[&[u8]]) -> [u8; KEY_BYTES] {
        let mut hasher = Blake2s256::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// HMAC of the parts under a 32-byte key.
fn hmac<H: NoiseHash>(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Secret {
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner_key = padded(0x36);
    let mut inner_parts = vec![inner_key.as_slice()];
    inner_parts.extend_from_slice(parts);
    let inner = Zeroizing::new(H::hash(&inner_parts));
    Zeroizing::new(H::hash(&[padded(0x5c).as_slice(), inner.as_slice()]))
}

/// The first `N` outputs of HKDF, at most three.
fn hkdf<H: NoiseHash, const N: usize>(chaining_key: &[u8; KEY_BYTES], input: &[u8]) -> [Secret; N] {
    let extracted = hmac::<H>(chaining_key, &[input]);
    let mut counter = 0_u8;
    let mut previous: Option<Secret> = None;
    std::array::from_fn(|_| {
        counter += 1;
        let last = previous.as_ref().map_or(&[] as &[u8], |bytes| bytes.as_slice());
        let output = hmac::<H>(&extracted, &[last, &[counter]]);
        previous = Some(output.clone());
        output
    })
}

/// The symmetric half of a handshake.
pub struct SymmetricState<H> {
    chaining_key: Secret,
    hash: [u8; KEY_BYTES],
    cipher: Option<CipherState>,
    marker: std::marker::PhantomData<H>,
}

impl<H: NoiseHash> SymmetricState<H> {
    /// Begins with the protocol's name.
    pub fn new(protocol_name: &str) -> Self {
        let name = protocol_name.as_bytes();
        let mut hash = [0; KEY_BYTES];
        match hash.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name),
            None => hash = H::hash(&[name]),
        }
        let marker = std::marker::PhantomData;
        Self { chaining_key: Zeroizing::new(hash), hash, cipher: None, marker }
    }

    /// Mixes public data into the hash.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.hash = H::hash(&[&self.hash, data]);
    }

    /// Mixes a secret into the keys.
    pub fn mix_key(&mut self, input: &[u8]) {
        let [chaining_key, key] = hkdf::<H, 2>(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.cipher = Some(CipherState::new(*key));
    }

    /// Mixes a pre-shared secret into hash and keys.
    pub fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [chaining_key, hashed, key] = hkdf::<H, 3>(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.mix_hash(hashed.as_slice());
        self.cipher = Some(CipherState::new(*key));
    }

    /// Appends `plaintext` to `out`, sealed as soon as there is a key.
    pub fn encrypt_and_hash(
        &mut self,
        plaintext: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), NoiseError> {
        let start = out.len();
        out.extend_from_slice(plaintext);
        if let Some(cipher) = &mut self.cipher {
            cipher.seal_tail(&self.hash, out, start)?;
        }
        self.mix_hash(&out[start..]);
        Ok(())
    }

    /// Opens what [`Self::encrypt_and_hash`] of the other side wrote.
    pub fn decrypt_and_hash(&mut self, sealed: &[u8]) -> Result<BytesMut, NoiseError> {
        let mut plaintext = BytesMut::from(sealed);
        if let Some(cipher) = &mut self.cipher {
            cipher.open(&self.hash, &mut plaintext)?;
        }
        self.mix_hash(sealed);
        Ok(plaintext)
    }

    /// Whether keys are sealed by now, that is, carry a tag.
    pub fn has_key(&self) -> bool {
        self.cipher.is_some()
    }

    /// The hash over everything so far.
    pub fn hash(&self) -> &[u8; KEY_BYTES] {
        &self.hash
    }

    /// The two final keys: the initiator's for sending, the responder's for sending.
    pub fn split(&self) -> (CipherState, CipherState) {
        let [initiator, responder] = hkdf::<H, 2>(&self.chaining_key, &[]);
        (CipherState::new(*initiator), CipherState::new(*responder))
    }

    /// A third output beside the two keys, for whatever follows: it tells nothing about them.
    pub fn chain_secret(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        let [_, _, secret] = hkdf::<H, 3>(&self.chaining_key, &[]);
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_padded_and_a_long_one_hashed() {
        let short = SymmetricState::<Blake2s>::new("Noise_NN_25519_X");
        assert_eq!(&short.hash()[..16], b"Noise_NN_25519_X");
        assert_eq!(short.hash()[16..], [0; 16]);
        let name = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
        assert_eq!(name.len(), 33);
        let long = SymmetricState::<Blake2s>::new(name);
        assert_eq!(*long.hash(), Blake2s::hash(&[name.as_bytes()]));
    }

    #[test]
    fn hkdf_outputs_are_a_prefix_of_longer_ones() {
        let [first, second] = hkdf::<Blake2s, 2>(&[1; 32], b"input");
        let [same_first, same_second, third] = hkdf::<Blake2s, 3>(&[1; 32], b"input");
        assert_eq!((&first, &second), (&same_first, &same_second));
        assert!(third != first && third != second);
    }
}
