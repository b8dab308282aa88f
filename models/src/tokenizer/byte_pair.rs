//! Byte pair encoding by ranked merges: a pre-tokenised piece of text becomes token ids.
//!
//! Called by `Tokenizer::encode` for `gpt2` and `gemma4` vocabularies. Byte-level vocabularies
//! start from single bytes; character-level ones from characters (spaces are U+2581 there) with
//! `<0xNN>` tokens for what no token spells.
//! Errors: [`TokenizerError`] at construction only. Source: GPT-2 (Radford et al. 2019).
//! Absent on purpose: merge dropout, caches.

use std::collections::HashMap;

use super::{
    TokenizerError, byte_alphabet,
    merge::{Merge, Merger},
    vocabulary::{TokenType, Vocabulary, VocabularyKind, VocabularyParts},
};

/// Pair of tokens to (rank, merged token).
type Merges = HashMap<(u32, u32), Merge>;

/// The merges of one vocabulary.
#[derive(Debug)]
pub(crate) struct BytePair {
    merges: Merges,
    /// Token of each single byte; a missing one is the unknown token.
    bytes: Vec<Option<u32>>,
    /// Token of each character (character-level only).
    characters: HashMap<char, u32>,
    /// Whole pieces that are tokens win over merging (empty where the family does not do that).
    whole: HashMap<Box<[u8]>, u32>,
}

impl BytePair {
    /// Reads the merges; `by_text` maps the file's token texts to ids.
    pub(crate) fn new(
        parts: &VocabularyParts<'_>,
        vocabulary: &Vocabulary,
        by_text: &HashMap<&str, u32>,
        whole_words: bool,
    ) -> Result<BytePair, TokenizerError> {
        let merges = read_merges(parts, vocabulary, by_text)?;
        let plain = |id: &u32| vocabulary.is_plain(*id);
        let byte_level = vocabulary.kind == VocabularyKind::ByteLevel;
        let spell = |byte: u8| match byte_level {
            true => byte_alphabet::spelling_of(byte).to_string(),
            false => format!("<0x{byte:02X}>"),
        };
        let bytes: Vec<Option<u32>> =
            (0..=u8::MAX).map(|byte| by_text.get(spell(byte).as_str()).copied()).collect();
        check_bytes(&bytes, vocabulary)?;
        let characters = match byte_level {
            true => HashMap::new(),
            false => single_characters(by_text, plain),
        };
        let mut whole = HashMap::new();
        if whole_words {
            for id in 0..vocabulary.len() as u32 {
                if vocabulary.token_type(id) == Some(TokenType::Normal) {
                    whole.entry(vocabulary.token_bytes(id).into()).or_insert(id);
                }
            }
        }
        Ok(BytePair { merges, bytes, characters, whole })
    }

    /// Appends the tokens of one piece.
    pub(crate) fn encode(
        &self,
        vocabulary: &Vocabulary,
        piece: &str,
        merger: &mut Merger,
        ids: &mut Vec<u32>,
    ) {
        if let Some(id) = self.whole.get(piece.as_bytes()) {
            ids.push(*id);
            return;
        }
        merger.clear();
        if vocabulary.kind == VocabularyKind::ByteLevel {
            for (at, byte) in piece.bytes().enumerate() {
                merger.push(at..at + 1, self.bytes[usize::from(byte)]);
            }
        } else {
            for (at, character) in piece.char_indices() {
                let token = self.characters.get(&character).copied();
                merger.push(at..at + character.len_utf8(), token);
            }
        }
        merger.run(
            |left, right| self.merges.get(&(left.token?, right.token?)).copied(),
            |symbol| match symbol.token {
                Some(id) => ids.push(id),
                None => self.spell_bytes(vocabulary, &piece.as_bytes()[symbol.range()], ids),
            },
        );
    }

    fn spell_bytes(&self, vocabulary: &Vocabulary, text: &[u8], ids: &mut Vec<u32>) {
        let tokens = text.iter().map(|byte| self.bytes[usize::from(*byte)].or(vocabulary.unknown));
        ids.extend(tokens.flatten());
    }
}

fn read_merges(
    parts: &VocabularyParts<'_>,
    vocabulary: &Vocabulary,
    by_text: &HashMap<&str, u32>,
) -> Result<Merges, TokenizerError> {
    if parts.merges.is_empty() {
        return Err(TokenizerError::Missing { key: "tokenizer.ggml.merges" });
    }
    let mut merges = HashMap::with_capacity(parts.merges.len());
    let mut joined = String::new();
    for (rank, merge) in parts.merges.iter().enumerate() {
        let bad = || TokenizerError::BadMerge { rank, merge: merge.chars().take(64).collect() };
        // A text may itself begin with a space, so the first character never separates.
        let skip = merge.chars().next().map_or(0, char::len_utf8);
        let space = merge[skip..].find(' ').ok_or_else(bad)? + skip;
        let (left, right) = (&merge[..space], &merge[space + 1..]);
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let token = |text: &str| by_text.get(text).copied().ok_or_else(bad);
        let (left, right, merged) = (token(left)?, token(right)?, token(&joined)?);
        if vocabulary.is_plain(merged) {
            merges.entry((left, right)).or_insert((rank as u32, merged));
        }
    }
    Ok(merges)
}

/// Bytes that ordinary text is made of need a token, or an unknown token must stand in. Published
/// vocabularies lack some control characters and lead bytes of rare planes: where no token spells
/// those, encoding leaves them out, as the reference does.
fn check_bytes(bytes: &[Option<u32>], vocabulary: &Vocabulary) -> Result<(), TokenizerError> {
    if vocabulary.unknown.is_some() {
        return Ok(());
    }
    let in_text = |byte: &u8| matches!(byte, b'\n' | 0x20..=0x7e | 0x80..=0xbf | 0xc2..=0xf0);
    match (0..=u8::MAX).filter(in_text).find(|byte| bytes[usize::from(*byte)].is_none()) {
        Some(byte) => Err(TokenizerError::MissingByte { byte }),
        None => Ok(()),
    }
}

fn single_characters(
    by_text: &HashMap<&str, u32>,
    plain: impl Fn(&u32) -> bool,
) -> HashMap<char, u32> {
    let mut characters = HashMap::new();
    for (text, id) in by_text {
        let mut rest = text.chars();
        if let (Some(character), None, true) = (rest.next(), rest.next(), plain(id)) {
            characters.insert(character, *id);
        }
    }
    characters
}
