//! Signatures of thinking: whether a thinking block that comes back is one this node wrote.
//!
//! Used by `encoder.rs` and `whole.rs` to sign, by `content.rs` to check. Clients send a signature
//! back as it is. That of thinking which is shown is keyed BLAKE3 over the model's name and the
//! text; thinking that is not shown is sealed inside its signature (ChaCha20-Poly1305, the model's
//! name authenticated), so that the model finds it again after a tool has run. Both are under a key
//! of this node alone: a block of another node, another model or an editor is not
//! trusted. A session is no part of it, for clients fork and resume sessions under new names.
//! Errors: none; a signature that is none is not ours.

use std::borrow::Cow;

use blake3::Hash;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use data_encoding::BASE64;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;
/// What the key of sealed thinking is derived for.
const SEAL_PURPOSE: &str = "swarmllm 2026-11 sealed thinking";

/// Signs, seals and checks.
#[derive(Clone)]
pub(super) struct Signer {
    key: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) fn new(key: [u8; 32]) -> Signer {
        Signer { key }
    }

    /// The signature of a block that shows its thinking.
    pub(super) fn sign(&self, model: &str, thinking: &str) -> String {
        self.hash(model, thinking).to_hex().to_string()
    }

    /// The signature of a block that does not; the thinking is inside.
    pub(super) fn seal(&self, model: &str, thinking: &str) -> String {
        // Taken from what is sealed: the same nonce never stands for two texts.
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.hash(model, thinking).as_bytes()[..NONCE_BYTES]);
        let payload = Payload { msg: thinking.as_bytes(), aad: model.as_bytes() };
        // It fails beyond 256 GiB only; such a block is not ours when it comes back.
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        BASE64.encode(&[&nonce[..], &sealed].concat())
    }

    /// What was thought in a block that comes back, if it is ours and unchanged; takes the same
    /// time for every wrong signature.
    pub(super) fn thought<'t>(
        &self,
        model: &str,
        thinking: &'t str,
        signature: &str,
    ) -> Option<Cow<'t, str>> {
        if thinking.is_empty() {
            return self.opened(model, signature).map(Cow::Owned);
        }
        let given = Hash::from_hex(signature).ok()?;
        (given == self.hash(model, thinking)).then_some(Cow::Borrowed(thinking))
    }

    fn opened(&self, model: &str, signature: &str) -> Option<String> {
        let bytes = BASE64.decode(signature.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: model.as_bytes() };
        let opened = self.cipher().decrypt(&Nonce::from(*nonce), payload).ok()?;
        String::from_utf8(opened).ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&blake3::derive_key(SEAL_PURPOSE, &self.key).into())
    }

    fn hash(&self, model: &str, thinking: &str) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(model.len() as u64).to_le_bytes());
        hasher.update(model.as_bytes());
        hasher.update(thinking.as_bytes());
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_same_text_of_the_same_model_and_node_is_ours() {
        let signer = Signer::new([1; 32]);
        let signature = signer.sign("demo", "two and two");
        let ours = |model, text, signature: &str| signer.thought(model, text, signature);
        assert_eq!(ours("demo", "two and two", &signature).as_deref(), Some("two and two"));
        assert_eq!(ours("demo", "two and three", &signature), None);
        assert_eq!(ours("other", "two and two", &signature), None);
        assert_eq!(ours("demot", "wo and two", &signer.sign("demo", "two and two")), None);
        assert_eq!(Signer::new([2; 32]).thought("demo", "two and two", &signature), None);
        for odd in ["", "abc", "EqQBCgIYAhIM", &"z".repeat(64), "\u{e9}"] {
            assert_eq!(ours("demo", "two and two", odd), None, "{odd:?}");
            assert_eq!(ours("demo", "", odd), None, "{odd:?}");
        }
    }

    #[test]
    fn thinking_that_is_not_shown_comes_back_in_its_signature() {
        let signer = Signer::new([1; 32]);
        let sealed = signer.seal("demo", "two \u{e9} two");
        assert_eq!(signer.thought("demo", "", &sealed).as_deref(), Some("two \u{e9} two"));
        assert!(!sealed.contains("two"), "{sealed}");
        assert_eq!(signer.thought("other", "", &sealed), None);
        assert_eq!(Signer::new([2; 32]).thought("demo", "", &sealed), None);
        // With a text beside it, it is a signature of nothing.
        assert_eq!(signer.thought("demo", "two \u{e9} two", &sealed), None);
        let first = if sealed.starts_with('A') { "B" } else { "A" };
        let changed = format!("{first}{}", &sealed[1..]);
        assert_eq!(signer.thought("demo", "", &changed), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_signature_or_none(
            text in any::<String>(), letters in "[0-9a-zA-Z]{0,99}"
        ) {
            let signer = Signer::new([1; 32]);
            for signature in [text, letters] {
                prop_assert_eq!(signer.thought("demo", "", &signature), None);
                prop_assert_eq!(signer.thought("demo", "x", &signature), None);
            }
        }
    }
}
