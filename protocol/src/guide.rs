//! What guides the choice of tokens beside sampling parameters: biases, grammar, answer so far.
//!
//! Written by the requester behind [`crate::wire::Body::OpenStage`] for the last stage of a route,
//! and read there. Layout, all little endian: `u16` count of biases, each `u32` token and `f32`;
//! `u8` kind of grammar, and unless it is 0 a `u32` length and its text in UTF-8; the rest is the
//! answer so far, a `u32` for each token. Nothing at all where there is nothing to say.
//! Bounds: [`GUIDE_MAX_BYTES`] in all, [`BIASES_MAX`] biases, [`GRAMMAR_MAX_BYTES`] of grammar.
//! Errors: [`GuideError`]. Absent on purpose: what a grammar means; a stage that can't compile it
//! refuses the request in words.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::{BIASES_MAX, GRAMMAR_MAX_BYTES, GUIDE_MAX_BYTES};

/// Beside sampling parameters, what a choice of token depends on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Guide {
    /// Added to the logits of these tokens; finite numbers.
    pub logit_bias: Vec<(u32, f32)>,
    /// What the answer must follow, if anything.
    pub grammar: Option<GuideGrammar>,
    /// Tokens of the answer so far, oldest first: on them penalties and the grammar look back.
    pub answered: Vec<u32>,
}

/// A grammar as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuideGrammar {
    /// How to read it.
    pub kind: GrammarKind,
    /// It.
    pub text: String,
}

/// Kinds of grammars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrammarKind {
    /// A JSON schema.
    JsonSchema = 1,
    /// A regular expression.
    Regex = 2,
    /// A Lark grammar with the rule `start`.
    Lark = 3,
}

/// Why bytes are no guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuideError {
    /// They end too early.
    #[error("the guide ends inside of its {part}")]
    Truncated {
        /// Where.
        part: &'static str,
    },
    /// Too much of something.
    #[error("the guide's {part} has {found}, the limit is {limit}")]
    TooMuch {
        /// Of what.
        part: &'static str,
        /// How much.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Something that does not exist.
    #[error("the guide's {part} is not valid")]
    Invalid {
        /// What.
        part: &'static str,
    },
}

impl Guide {
    /// Its bytes; none when it says nothing.
    ///
    /// # Errors
    /// When a part exceeds its bound.
    pub fn encode(&self) -> Result<Bytes, GuideError> {
        if *self == Guide::default() {
            return Ok(Bytes::new());
        }
        bound("biases", self.logit_bias.len(), BIASES_MAX)?;
        let mut bytes = BytesMut::new();
        bytes.put_u16_le(u16::try_from(self.logit_bias.len()).unwrap_or(u16::MAX));
        for (token, bias) in &self.logit_bias {
            bytes.put_u32_le(*token);
            bytes.put_f32_le(*bias);
        }
        match &self.grammar {
            None => bytes.put_u8(0),
            Some(GuideGrammar { kind, text }) => {
                bound("grammar", text.len(), GRAMMAR_MAX_BYTES)?;
                bytes.put_u8(*kind as u8);
                bytes.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
                bytes.put_slice(text.as_bytes());
            }
        }
        self.answered.iter().for_each(|token| bytes.put_u32_le(*token));
        bound("length", bytes.len(), GUIDE_MAX_BYTES)?;
        Ok(bytes.freeze())
    }

    /// Reads one from all of `bytes`.
    ///
    /// # Errors
    /// When they are no guide.
    pub fn decode(mut bytes: &[u8]) -> Result<Guide, GuideError> {
        if bytes.is_empty() {
            return Ok(Guide::default());
        }
        bound("length", bytes.len(), GUIDE_MAX_BYTES)?;
        need(bytes, 2, "biases")?;
        let n_biases = usize::from(bytes.get_u16_le());
        bound("biases", n_biases, BIASES_MAX)?;
        need(bytes, 8 * n_biases + 1, "biases")?;
        let logit_bias: Vec<(u32, f32)> =
            (0..n_biases).map(|_| (bytes.get_u32_le(), bytes.get_f32_le())).collect();
        if logit_bias.iter().any(|(_, bias)| !bias.is_finite()) {
            return Err(GuideError::Invalid { part: "bias" });
        }
        let kind = match bytes.get_u8() {
            0 => None,
            1 => Some(GrammarKind::JsonSchema),
            2 => Some(GrammarKind::Regex),
            3 => Some(GrammarKind::Lark),
            _ => return Err(GuideError::Invalid { part: "kind of grammar" }),
        };
        let grammar = kind.map(|kind| grammar(&mut bytes, kind)).transpose()?;
        if !bytes.len().is_multiple_of(4) {
            return Err(GuideError::Truncated { part: "answer" });
        }
        let answered = bytes.chunks_exact(4).map(|mut token| token.get_u32_le()).collect();
        Ok(Guide { logit_bias, grammar, answered })
    }
}

fn grammar(bytes: &mut &[u8], kind: GrammarKind) -> Result<GuideGrammar, GuideError> {
    need(bytes, 4, "grammar")?;
    let length = bytes.get_u32_le() as usize;
    bound("grammar", length, GRAMMAR_MAX_BYTES)?;
    need(bytes, length, "grammar")?;
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    let text = str::from_utf8(text).map_err(|_| GuideError::Invalid { part: "grammar" })?;
    Ok(GuideGrammar { kind, text: text.to_owned() })
}

fn need(bytes: &[u8], length: usize, part: &'static str) -> Result<(), GuideError> {
    if bytes.len() < length { Err(GuideError::Truncated { part }) } else { Ok(()) }
}

fn bound(part: &'static str, found: usize, limit: usize) -> Result<(), GuideError> {
    if found > limit { Err(GuideError::TooMuch { part, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guides() -> impl Strategy<Value = Guide> {
        let kinds = prop_oneof![
            Just(GrammarKind::JsonSchema),
            Just(GrammarKind::Regex),
            Just(GrammarKind::Lark)
        ];
        let grammar = prop::option::of(
            (kinds, ".{0,40}").prop_map(|(kind, text)| GuideGrammar { kind, text }),
        );
        let biases = prop::collection::vec((any::<u32>(), -100.0_f32..100.0), 0..5);
        (biases, grammar, prop::collection::vec(any::<u32>(), 0..9))
            .prop_map(|(logit_bias, grammar, answered)| Guide { logit_bias, grammar, answered })
    }

    #[test]
    fn saying_nothing_costs_nothing() {
        assert!(Guide::default().encode().expect("small").is_empty());
        assert_eq!(Guide::decode(&[]), Ok(Guide::default()));
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_allocated() {
        let many = Guide { logit_bias: vec![(1, 1.0); BIASES_MAX + 1], ..Guide::default() };
        assert!(matches!(many.encode(), Err(GuideError::TooMuch { part: "biases", .. })));
        let declared = [0, 0, 3, 255, 255, 255, 255];
        assert!(matches!(Guide::decode(&declared), Err(GuideError::TooMuch { .. })));
        let not_a_number = [1, 0, 7, 0, 0, 0, 0, 0, 0xc0, 0x7f, 0];
        assert_eq!(Guide::decode(&not_a_number), Err(GuideError::Invalid { part: "bias" }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(guide in guides()) {
            let bytes = guide.encode().expect("small");
            prop_assert_eq!(Guide::decode(&bytes), Ok(guide));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(guide) = Guide::decode(&bytes) {
                prop_assert_eq!(guide.encode().expect("within bounds").len(), bytes.len());
            }
        }
    }
}
