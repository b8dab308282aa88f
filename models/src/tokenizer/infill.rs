//! Prompts with a gap: the model writes what belongs between a prefix and a suffix.
//!
//! Called by the doors for completions with a suffix. Code models have three control tokens for it,
//! which are found by their spelling. Errors: none; a vocabulary without them has no such prompt.
//! Source: the FIM paper (Bavarian et al. 2022) and published vocabularies.
//! Absent on purpose: names of files and repositories.

use super::{EncodeOptions, Tokenizer};

/// What stands before the prefix, before the suffix, and before the middle, by family.
const SPELLINGS: [[&str; 3]; 4] = [
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
    [
        "<\u{ff5c}fim\u{2581}begin\u{ff5c}>",
        "<\u{ff5c}fim\u{2581}hole\u{ff5c}>",
        "<\u{ff5c}fim\u{2581}end\u{ff5c}>",
    ],
];

impl Tokenizer {
    /// The tokens of a prompt that asks for the text between `prefix` and `suffix`; `None` when the
    /// vocabulary has no tokens for that.
    pub fn encode_infill(&self, prefix: &str, suffix: &str) -> Option<Vec<u32>> {
        let found = SPELLINGS.iter().find_map(|spellings| {
            let ids = spellings.map(|spelling| self.single_special(spelling));
            Some([ids[0]?, ids[1]?, ids[2]?])
        });
        let [before_prefix, before_suffix, before_middle] = found?;
        let plain = |text| self.encode(text, EncodeOptions::default());
        let begin = self.encode("", EncodeOptions { add_special: true, parse_special: false });
        let begin = begin.into_iter().filter(|id| Some(*id) == self.bos());
        let mut ids: Vec<u32> = begin.collect();
        ids.push(before_prefix);
        ids.extend(plain(prefix));
        ids.push(before_suffix);
        ids.extend(plain(suffix));
        ids.push(before_middle);
        Some(ids)
    }

    /// The token that `spelling` is as a whole, when it is one.
    fn single_special(&self, spelling: &str) -> Option<u32> {
        let options = EncodeOptions { add_special: false, parse_special: true };
        match self.encode(spelling, options)[..] {
            [id] => Some(id),
            _ => None,
        }
    }
}
