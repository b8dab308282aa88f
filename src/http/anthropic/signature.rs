//! Signatures of thinking: whether a thinking block that comes back is one this node wrote.
//!
//! Used by `encoder.rs` and `whole.rs` to sign, by `content.rs` to check. Keyed BLAKE3 over the
//! model's name and the text, under a key of this node alone; 64 hexadecimal digits, which clients
//! send back as they are. A block of another node, another model or an editor is not trusted.
//! Errors: none; a signature that is none is not ours.

use blake3::Hash;

/// Signs and checks.
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

    /// The signature of a block.
    pub(super) fn sign(&self, model: &str, thinking: &str) -> String {
        self.hash(model, thinking).to_hex().to_string()
    }

    /// Whether the block is ours and unchanged; takes the same time for every wrong signature.
    pub(super) fn is_ours(&self, model: &str, thinking: &str, signature: &str) -> bool {
        Hash::from_hex(signature).is_ok_and(|given| given == self.hash(model, thinking))
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
    use super::*;

    #[test]
    fn only_the_same_text_of_the_same_model_and_node_is_ours() {
        let signer = Signer::new([1; 32]);
        let signature = signer.sign("demo", "two and two");
        assert!(signer.is_ours("demo", "two and two", &signature));
        assert!(!signer.is_ours("demo", "two and three", &signature));
        assert!(!signer.is_ours("other", "two and two", &signature));
        assert!(!signer.is_ours("demot", "wo and two", &signer.sign("demo", "two and two")));
        assert!(!Signer::new([2; 32]).is_ours("demo", "two and two", &signature));
        for odd in ["", "abc", "EqQBCgIYAhIM", &"z".repeat(64), "\u{e9}"] {
            assert!(!signer.is_ours("demo", "two and two", odd), "{odd:?}");
        }
    }
}
