//! Names for the beginnings of texts: a keyed hash chain over pages of tokens.
//!
//! Made by the requester, who knows the tokens, and sent to the stages, who keep the pages: equal
//! keys mean equal tokens up to and including that page, of the same model in the same profile, so
//! a stage can reuse a page without ever seeing a token. The key of the hash is the requester's
//! secret: a stage can't try out which text a key stands for, nor compare two requesters' texts.
//! Layout: `key(n) = keyed_hash(secret', key(n - 1) || tokens of page n as u32 little endian)`,
//! of which 16 bytes travel; `secret'` is derived from secret, model, profile and cache type.
//! Errors: none.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    ids::ModelId,
    limits::PAGE_TOKENS,
    wire::{CacheType, Profile},
};

/// Bytes of a key on the wire.
pub const PREFIX_KEY_BYTES: usize = 16;

/// Name of a full page and all before it.
pub type PrefixKey = [u8; PREFIX_KEY_BYTES];

/// Grows token by token, and names every full page.
#[derive(Clone)]
pub struct PrefixChain {
    secret: [u8; 32],
    last: [u8; 32],
    page: Vec<u8>,
    keys: Vec<PrefixKey>,
}

impl std::fmt::Debug for PrefixChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrefixChain").field("pages", &self.keys.len()).finish_non_exhaustive()
    }
}

impl PrefixChain {
    /// The chain of no tokens.
    #[must_use]
    pub fn new(secret: &[u8; 32], model: ModelId, profile: Profile, cache: CacheType) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(b"swarmllm prefix 1").update(&model.0);
        hasher.update(&[profile as u8, cache as u8]);
        let page = Vec::with_capacity(PAGE_TOKENS as usize * 4);
        Self { secret: hasher.finalize().into(), last: [0; 32], page, keys: Vec::new() }
    }

    /// Adds tokens.
    pub fn extend(&mut self, tokens: &[u32]) {
        for token in tokens {
            self.page.extend(token.to_le_bytes());
            if self.page.len() == PAGE_TOKENS as usize * 4 {
                let mut hasher = blake3::Hasher::new_keyed(&self.secret);
                hasher.update(&self.last).update(&self.page);
                self.last = hasher.finalize().into();
                self.page.clear();
                let mut key = [0; PREFIX_KEY_BYTES];
                key.copy_from_slice(&self.last[..PREFIX_KEY_BYTES]);
                self.keys.push(key);
            }
        }
    }

    /// Tokens so far.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.keys.len() * PAGE_TOKENS as usize + self.page.len() / 4
    }

    /// A key for every full page.
    #[must_use]
    pub fn keys(&self) -> &[PrefixKey] {
        &self.keys
    }
}

/// Keys as a payload.
#[must_use]
pub fn payload_of(keys: &[PrefixKey]) -> Bytes {
    let mut payload = BytesMut::with_capacity(keys.len() * PREFIX_KEY_BYTES);
    keys.iter().for_each(|key| payload.put_slice(key));
    payload.freeze()
}

/// The keys of a payload; bytes beyond whole keys are left out (the wire refuses them).
#[must_use]
pub fn keys_of(payload: &[u8]) -> Vec<PrefixKey> {
    payload.as_chunks().0.to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(tokens: &[u32], secret: u8, model: u8) -> Vec<PrefixKey> {
        let (profile, cache) = (Profile::F16, CacheType::F16);
        let mut chain = PrefixChain::new(&[secret; 32], ModelId([model; 32]), profile, cache);
        chain.extend(tokens);
        assert_eq!(chain.n_tokens(), tokens.len());
        chain.keys().to_vec()
    }

    #[test]
    fn everything_that_changes_a_page_changes_its_key() {
        let tokens: Vec<u32> = (0..96).collect();
        let one = keys(&tokens, 1, 1);
        assert_eq!(one.len(), 3);
        assert!(keys(&tokens, 2, 1).iter().zip(&one).all(|(a, b)| a != b));
        assert!(keys(&tokens, 1, 2).iter().zip(&one).all(|(a, b)| a != b));
        let chain = |profile, cache| {
            let mut chain = PrefixChain::new(&[1; 32], ModelId([1; 32]), profile, cache);
            chain.extend(&tokens);
            chain.keys()[0]
        };
        assert_ne!(chain(Profile::F32, CacheType::F16), one[0]);
        assert_ne!(chain(Profile::F16, CacheType::Q8), one[0]);
        assert_eq!(keys_of(&payload_of(&one)), one);
    }

    proptest! {
        /// Keys agree exactly as far as the tokens do, however they were added.
        #[test]
        fn keys_agree_as_far_as_tokens(
            tokens in prop::collection::vec(0u32..9, 1..200),
            at in 0usize..200,
            cut in 0usize..200,
        ) {
            let (at, cut) = (at % tokens.len(), cut % tokens.len());
            let mut other = tokens.clone();
            other[at] += 1;
            let (a, b) = (keys(&tokens, 1, 1), keys(&other, 1, 1));
            let same = at / PAGE_TOKENS as usize;
            prop_assert!(a.iter().zip(&b).enumerate().all(|(n, (a, b))| (a == b) == (n < same)));
            let (profile, cache) = (Profile::F16, CacheType::F16);
            let mut pieces = PrefixChain::new(&[1; 32], ModelId([1; 32]), profile, cache);
            pieces.extend(&tokens[..cut]);
            pieces.extend(&tokens[cut..]);
            prop_assert_eq!(pieces.keys(), &a[..]);
        }
    }
}
