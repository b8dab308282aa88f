//! A model's vocabulary in the form that grammars are matched with: a trie of all tokens' bytes.
//!
//! Built once per model (seconds of work are spared every answer) and shared by all constraints.
//! Control tokens, and all that end answers, are marked with a byte that no text holds, so that no
//! text can be spelled with them; a Lark grammar may ask for one by its name in angle brackets.
//! Tokens that stand for no text (unknown, unused, oversized ones) cannot be chosen at all.
//! Errors: [`ConstraintError::Vocabulary`]. Source: `toktrie`, whose limits are checked here
//! because it asserts them. Absent on purpose: canonical tokenisation of forced text.

use std::sync::Arc;

use llguidance::{
    ParserFactory,
    earley::SlicedBiasComputer,
    toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokRxInfo, TokTrie},
};

use super::ConstraintError;
use crate::tokenizer::{TokenType, Tokenizer};

/// Longest token in the trie; published vocabularies have runs of up to 1024 spaces, which no
/// constrained answer needs.
const MAX_TOKEN_BYTES: usize = 512;
/// Most bytes of all tokens: the trie counts its nodes in 22 bits.
const MAX_TRIE_BYTES: usize = (1 << 22) - 1;
/// About 7 ms for a mask and 20 ms for compiling at the worst, on one core.
const MASK_LEXER_FUEL: u64 = 100_000;
const MASK_ITEMS: usize = 50_000;
const COMPILE_LEXER_FUEL: u64 = 1_000_000;
/// One to two KiB each.
const MAX_LEXER_STATES: usize = 20_000;
const MAX_GRAMMAR_SYMBOLS: usize = 200_000;

/// A vocabulary prepared for grammars; share it.
pub struct ConstraintVocabulary {
    pub(super) factory: ParserFactory,
    size: u32,
}

impl std::fmt::Debug for ConstraintVocabulary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConstraintVocabulary").field("size", &self.size).finish()
    }
}

impl ConstraintVocabulary {
    /// Prepares the vocabulary of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> Result<Arc<ConstraintVocabulary>, ConstraintError> {
        let size = tokenizer.vocab_size();
        let words: Vec<Vec<u8>> = (0..size).map(|id| word(tokenizer, id)).collect();
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > MAX_TRIE_BYTES {
            let reason = format!("its tokens have {bytes} bytes, the limit is {MAX_TRIE_BYTES}");
            return Err(ConstraintError::Vocabulary { reason });
        }
        let ends = tokenizer.end_tokens();
        let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
        let trie = TokTrie::from(&TokRxInfo::new(size, end), &words);
        let trie = if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) };
        let slices = SlicedBiasComputer::general_slices();
        let environment: Arc<ApproximateTokEnv> = Arc::new(ApproximateTokEnv::new(trie));
        let factory = ParserFactory::new(
            &(environment as llguidance::toktrie::TokEnv),
            InferenceCapabilities::default(),
            &slices,
        );
        let mut factory = factory.map_err(|error| ConstraintError::Vocabulary {
            reason: super::short(&error.to_string()),
        })?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.step_lexer_fuel = MASK_LEXER_FUEL;
        limits.step_max_items = MASK_ITEMS;
        limits.initial_lexer_fuel = COMPILE_LEXER_FUEL;
        limits.max_lexer_states = MAX_LEXER_STATES;
        limits.max_grammar_size = MAX_GRAMMAR_SYMBOLS;
        limits.verbose_errors = false;
        Ok(Arc::new(ConstraintVocabulary { factory, size }))
    }

    /// Number of tokens.
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// What the trie holds for a token: its bytes, marked bytes, or nothing.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    let is_control = tokenizer.token_type(id) == Some(TokenType::Control);
    let is_text = matches!(
        tokenizer.token_type(id),
        Some(TokenType::Normal | TokenType::UserDefined | TokenType::Byte)
    );
    match bytes {
        _ if bytes.len() > MAX_TOKEN_BYTES => Vec::new(),
        _ if is_control || tokenizer.is_end_of_generation(id) => {
            [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
        }
        // No UTF-8 text holds the marker's byte, so nothing is lost.
        [TokTrie::SPECIAL_TOKEN_MARKER, ..] => Vec::new(),
        _ if is_text => bytes.to_vec(),
        _ => Vec::new(),
    }
}
