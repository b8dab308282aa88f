//! Cuts text at special tokens: what is structure and what is words.
//!
//! Called by `Tokenizer::encode` before anything else. User-defined tokens are always cut out;
//! control and unknown tokens only when the caller says that the text may carry structure, so that
//! a user who types `<|im_end|>` has typed ten characters and nothing more.
//! Overlaps go to the leftmost, then the longest. Linear in the text (Aho-Corasick).
//! Errors: [`TokenizerError::SpecialTokens`] when the automaton cannot be built.
//! Absent on purpose: stripping of spaces beside a special token; no family we serve needs it.

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    TokenizerError,
    vocabulary::{TokenType, Vocabulary},
};

/// A stretch of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    /// Words, still to be encoded.
    Words(&'t str),
    /// A special token.
    Token(u32),
}

/// The special tokens of one vocabulary.
#[derive(Debug)]
pub(crate) struct SpecialTokens {
    always: Matcher,
    parsed: Matcher,
}

#[derive(Debug)]
struct Matcher {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl Matcher {
    fn new(
        vocabulary: &Vocabulary,
        wanted: impl Fn(TokenType) -> bool,
    ) -> Result<Matcher, TokenizerError> {
        let is_wanted = |id: &u32| {
            vocabulary.token_type(*id).is_some_and(&wanted)
                && std::str::from_utf8(vocabulary.token_bytes(*id)).is_ok_and(|t| !t.is_empty())
        };
        let ids: Vec<u32> = (0..vocabulary.len() as u32).filter(is_wanted).collect();
        if ids.is_empty() {
            return Ok(Matcher { automaton: None, ids });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(ids.iter().map(|id| vocabulary.token_bytes(*id)))
            .map_err(|error| TokenizerError::SpecialTokens { reason: error.to_string() })?;
        Ok(Matcher { automaton: Some(automaton), ids })
    }
}

impl SpecialTokens {
    /// Prepares the special tokens of `vocabulary`.
    pub(crate) fn new(vocabulary: &Vocabulary) -> Result<SpecialTokens, TokenizerError> {
        let always = |t| t == TokenType::UserDefined;
        let parsed =
            |t| matches!(t, TokenType::UserDefined | TokenType::Control | TokenType::Unknown);
        Ok(SpecialTokens {
            always: Matcher::new(vocabulary, always)?,
            parsed: Matcher::new(vocabulary, parsed)?,
        })
    }

    /// Visits the fragments of `text` in order; empty words are left out.
    pub(crate) fn split<'t>(
        &self,
        text: &'t str,
        parse_special: bool,
        mut visit: impl FnMut(Fragment<'t>),
    ) {
        let matcher = if parse_special { &self.parsed } else { &self.always };
        let mut done = 0;
        if let Some(automaton) = &matcher.automaton {
            for found in automaton.find_iter(text) {
                if found.start() > done {
                    visit(Fragment::Words(&text[done..found.start()]));
                }
                visit(Fragment::Token(matcher.ids[found.pattern().as_usize()]));
                done = found.end();
            }
        }
        if done < text.len() {
            visit(Fragment::Words(&text[done..]));
        }
    }
}
