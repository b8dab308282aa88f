//! SentencePiece encoding by scores: text becomes token ids, characters merging best score first.
//!
//! Called by `Tokenizer::encode` for `llama` vocabularies. Spaces are U+2581 in the vocabulary;
//! what no token spells becomes `<0xNN>` byte tokens, or the unknown token.
//! Errors: [`TokenizerError`] at construction only. Source: Kudo and Richardson 2018 (the BPE
//! model of SentencePiece). Absent on purpose: the unigram model, text normalisation.

use std::collections::HashMap;

use super::{
    TokenizerError,
    merge::Merger,
    vocabulary::{TokenType, Vocabulary, VocabularyParts, check_length},
};

/// Texts and scores of one vocabulary.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    /// Text (as printed: with spaces) to (order, token); lower order merges first.
    texts: HashMap<Box<str>, (u32, u32)>,
    /// Token of each raw byte.
    bytes: Vec<Option<u32>>,
    /// No candidate longer than this is looked up.
    longest: usize,
}

impl SentencePiece {
    /// Reads texts and scores.
    pub(crate) fn new(
        parts: &VocabularyParts<'_>,
        vocabulary: &Vocabulary,
    ) -> Result<SentencePiece, TokenizerError> {
        check_length("tokenizer.ggml.scores", parts.scores.len(), parts.tokens.len())?;
        if let Some(token) = parts.scores.iter().position(|score| score.is_nan()) {
            return Err(TokenizerError::BadScore { token });
        }
        let mut texts = HashMap::with_capacity(parts.tokens.len());
        let mut bytes = vec![None; 256];
        let mut longest = 0;
        for (id, score) in (0u32..).zip(parts.scores.iter()) {
            let printed = vocabulary.token_bytes(id);
            match (vocabulary.token_type(id), std::str::from_utf8(printed)) {
                (Some(TokenType::Byte), _) => bytes[usize::from(printed[0])] = Some(id),
                (Some(TokenType::Normal | TokenType::UserDefined), Ok(text)) => {
                    longest = longest.max(text.len());
                    texts.entry(text.into()).or_insert((order_of(*score), id));
                }
                _ => {}
            }
        }
        if vocabulary.unknown.is_none()
            && let Some(byte) = (0..=u8::MAX).find(|byte| bytes[usize::from(*byte)].is_none())
        {
            return Err(TokenizerError::MissingByte { byte });
        }
        Ok(SentencePiece { texts, bytes, longest })
    }

    /// Appends the tokens of `text`, which already carries its space prefix.
    pub(crate) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        merger: &mut Merger,
        ids: &mut Vec<u32>,
    ) {
        merger.clear();
        for (at, character) in text.char_indices() {
            let range = at..at + character.len_utf8();
            let token = self.texts.get(&text[range.clone()]).map(|(_, id)| *id);
            merger.push(range, token);
        }
        merger.run(
            |left, right| {
                let range = left.range().start..right.range().end;
                if range.len() > self.longest {
                    return None;
                }
                self.texts.get(&text[range]).copied()
            },
            |symbol| match symbol.token {
                Some(id) => ids.push(id),
                None => self.spell_bytes(vocabulary, &text.as_bytes()[symbol.range()], ids),
            },
        );
    }

    fn spell_bytes(&self, vocabulary: &Vocabulary, text: &[u8], ids: &mut Vec<u32>) {
        let spelled: Option<Vec<u32>> =
            text.iter().map(|byte| self.bytes[usize::from(*byte)]).collect();
        match spelled {
            Some(spelled) => ids.extend(spelled),
            None => ids.extend(vocabulary.unknown),
        }
    }
}

/// Maps a score to an integer whose ascending order is the scores' descending order.
fn order_of(score: f32) -> u32 {
    // Adding zero turns -0.0 into 0.0: equal scores must get equal orders.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_descends_with_the_score() {
        let scores = [f32::INFINITY, 3.5, 1.0, 0.0, -1.0, -2.5, -1e9, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| order_of(pair[0]) < order_of(pair[1])));
        assert_eq!(order_of(0.0), order_of(-0.0));
    }
}
