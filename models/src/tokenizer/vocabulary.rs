//! A vocabulary as its metadata states it, checked: token texts, types, special ids.
//!
//! Built from GGUF metadata by `metadata.rs` (or by hand in tests) and consumed
//! by `Tokenizer::new`. Token ids are positions in `tokens`; a token's bytes are what it prints.
//! Errors: [`TokenizerError`]; metadata is untrusted, every length is checked before use.
//! Source: the `tokenizer.ggml.*` keys of the GGUF specification.
//! Absent on purpose: WordPiece, Unigram and RWKV vocabularies; they are refused by name.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{TokenizerError, byte_alphabet};

/// More tokens than any published vocabulary has; bounds ids well below `u32::MAX`.
pub(crate) const MAX_TOKENS: usize = 1 << 22;

/// What `tokenizer.ggml.token_type` says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// Text.
    Normal,
    /// Stands for what the vocabulary cannot spell.
    Unknown,
    /// Structure (begin, end, roles): never made from plain text, prints nothing.
    Control,
    /// Matched literally before everything else, special parsing or not.
    UserDefined,
    /// A hole in the vocabulary.
    Unused,
    /// One raw byte, spelled `<0xNN>`.
    Byte,
}

impl TokenType {
    /// The type behind the file's number.
    pub fn from_code(code: i64) -> Option<TokenType> {
        Some(match code {
            1 => TokenType::Normal,
            2 => TokenType::Unknown,
            3 => TokenType::Control,
            4 => TokenType::UserDefined,
            5 => TokenType::Unused,
            6 => TokenType::Byte,
            _ => return None,
        })
    }
}

/// How text becomes symbols and symbols bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VocabularyKind {
    /// `gpt2`: merges over bytes in the printable alphabet.
    ByteLevel,
    /// `llama`: scores over characters, byte tokens as a last resort.
    SentencePiece,
    /// `gemma4`: merges over characters, byte tokens as a last resort.
    CharacterLevel,
}

/// A vocabulary before it is checked.
#[derive(Debug, Clone, Default)]
pub struct VocabularyParts<'a> {
    /// `tokenizer.ggml.model`.
    pub model: String,
    /// `tokenizer.ggml.pre`.
    pub pre: Option<String>,
    /// Token texts in the file's spelling.
    pub tokens: Cow<'a, [String]>,
    /// Token types by the file's numbers; empty means all normal.
    pub types: Vec<i64>,
    /// SentencePiece scores.
    pub scores: Cow<'a, [f32]>,
    /// Merges, best first, each two token texts with a space between.
    pub merges: Cow<'a, [String]>,
    /// Beginning of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// End of turn.
    pub eot: Option<u32>,
    /// End of message.
    pub eom: Option<u32>,
    /// Unknown token.
    pub unknown: Option<u32>,
    /// Whether encoding with specials starts with `bos`; the kind's own habit when absent.
    pub add_bos: Option<bool>,
    /// Whether encoding with specials ends with `eos`.
    pub add_eos: Option<bool>,
    /// Whether SentencePiece puts a space before text.
    pub add_space_prefix: Option<bool>,
}

/// Texts that end an answer in published models whose metadata names only one of their ends.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>",
    "<turn|>",
    "<EOT>",
    "</s>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];

/// A checked vocabulary.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) kind: VocabularyKind,
    types: Vec<TokenType>,
    /// Printed bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// `offsets[id]..offsets[id + 1]` is the token's place in `bytes`.
    offsets: Vec<u32>,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) unknown: Option<u32>,
    pub(crate) add_bos: bool,
    pub(crate) add_eos: bool,
    pub(crate) add_space_prefix: bool,
    ends: HashSet<u32>,
}

impl Vocabulary {
    /// Checks `parts`; also answers the file's texts by token for whoever still needs them.
    pub(crate) fn new<'p>(
        parts: &'p VocabularyParts<'_>,
    ) -> Result<(Vocabulary, HashMap<&'p str, u32>), TokenizerError> {
        let kind = kind_of(&parts.model)?;
        let count = parts.tokens.len();
        if count == 0 {
            return Err(TokenizerError::Missing { key: "tokenizer.ggml.tokens" });
        }
        if count > MAX_TOKENS {
            return Err(TokenizerError::TooManyTokens { count, limit: MAX_TOKENS });
        }
        let types = types_of(parts)?;
        let by_text = index_texts(&parts.tokens)?;
        let (bytes, offsets) = printed_bytes(kind, parts, &types)?;
        check_special_ids(parts)?;
        let ends = end_tokens(parts, &types, &by_text);
        let habit = kind != VocabularyKind::ByteLevel
            || super::pre_tokenizer::starts_with_bos(parts.pre.as_deref());
        let vocabulary = Vocabulary {
            kind,
            types,
            bytes,
            offsets,
            bos: parts.bos,
            eos: parts.eos,
            unknown: parts.unknown,
            add_bos: parts.add_bos.unwrap_or(habit) && parts.bos.is_some(),
            add_eos: parts.add_eos.unwrap_or(false) && parts.eos.is_some(),
            add_space_prefix: kind == VocabularyKind::SentencePiece
                && parts.add_space_prefix.unwrap_or(true),
            ends,
        };
        Ok((vocabulary, by_text))
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.types.len()
    }

    /// Printed bytes of a token, whatever its type; empty for an id outside the vocabulary.
    pub(crate) fn token_bytes(&self, id: u32) -> &[u8] {
        let at = id as usize;
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Type of a token; `None` outside the vocabulary.
    pub(crate) fn token_type(&self, id: u32) -> Option<TokenType> {
        self.types.get(id as usize).copied()
    }

    /// Whether plain text may become this token.
    pub(crate) fn is_plain(&self, id: u32) -> bool {
        matches!(self.token_type(id), Some(TokenType::Normal | TokenType::UserDefined))
    }

    /// Whether a sampled `id` ends the answer.
    pub(crate) fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Every token that ends an answer, ascending.
    pub(crate) fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = self.ends.iter().copied().collect();
        ends.sort_unstable();
        ends
    }
}

fn kind_of(model: &str) -> Result<VocabularyKind, TokenizerError> {
    match model {
        "gpt2" => Ok(VocabularyKind::ByteLevel),
        "llama" => Ok(VocabularyKind::SentencePiece),
        "gemma4" => Ok(VocabularyKind::CharacterLevel),
        "" => Err(TokenizerError::Missing { key: "tokenizer.ggml.model" }),
        other => Err(TokenizerError::UnsupportedModel { model: other.to_owned() }),
    }
}

fn types_of(parts: &VocabularyParts<'_>) -> Result<Vec<TokenType>, TokenizerError> {
    let count = parts.tokens.len();
    if parts.types.is_empty() {
        return Ok(vec![TokenType::Normal; count]);
    }
    check_length("tokenizer.ggml.token_type", parts.types.len(), count)?;
    let typed = parts.types.iter().enumerate().map(|(token, code)| {
        TokenType::from_code(*code).ok_or(TokenizerError::BadTokenType { token, code: *code })
    });
    typed.collect()
}

/// Refuses an array that must have one entry per token and has not.
pub(crate) fn check_length(
    key: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), TokenizerError> {
    if found == expected {
        return Ok(());
    }
    Err(TokenizerError::WrongLength { key, found, expected })
}

fn index_texts(tokens: &[String]) -> Result<HashMap<&str, u32>, TokenizerError> {
    let mut by_text = HashMap::with_capacity(tokens.len());
    for (id, text) in tokens.iter().enumerate() {
        if let Some(first) = by_text.insert(text.as_str(), id as u32) {
            return Err(TokenizerError::DuplicateToken { first, second: id as u32 });
        }
    }
    Ok(by_text)
}

fn printed_bytes(
    kind: VocabularyKind,
    parts: &VocabularyParts<'_>,
    types: &[TokenType],
) -> Result<(Vec<u8>, Vec<u32>), TokenizerError> {
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(types.len() + 1);
    offsets.push(0);
    for (text, token_type) in parts.tokens.iter().zip(types) {
        match (kind, token_type) {
            (_, TokenType::Control | TokenType::Unknown) => bytes.extend(text.as_bytes()),
            (VocabularyKind::ByteLevel, TokenType::UserDefined) => bytes.extend(text.as_bytes()),
            (VocabularyKind::ByteLevel, _) => match byte_alphabet::unspell(text) {
                Some(unspelled) => bytes.extend(unspelled),
                None => bytes.extend(text.as_bytes()),
            },
            (_, TokenType::Byte) => match byte_token_value(text) {
                Some(byte) => bytes.push(byte),
                None => return Err(TokenizerError::BadByteToken { text: text.clone() }),
            },
            _ => bytes.extend(text.replace('\u{2581}', " ").as_bytes()),
        }
        let end = u32::try_from(bytes.len()).map_err(|_| TokenizerError::TextTooLong)?;
        offsets.push(end);
    }
    Ok((bytes, offsets))
}

/// The byte of a `<0xNN>` token.
fn byte_token_value(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

fn check_special_ids(parts: &VocabularyParts<'_>) -> Result<(), TokenizerError> {
    let ids = [
        ("tokenizer.ggml.bos_token_id", parts.bos),
        ("tokenizer.ggml.eos_token_id", parts.eos),
        ("tokenizer.ggml.eot_token_id", parts.eot),
        ("tokenizer.ggml.eom_token_id", parts.eom),
        ("tokenizer.ggml.unknown_token_id", parts.unknown),
    ];
    for (key, id) in ids {
        if let Some(id) = id.filter(|id| *id as usize >= parts.tokens.len()) {
            return Err(TokenizerError::IdOutOfRange { key, id, count: parts.tokens.len() });
        }
    }
    Ok(())
}

fn end_tokens(
    parts: &VocabularyParts<'_>,
    types: &[TokenType],
    by_text: &HashMap<&str, u32>,
) -> HashSet<u32> {
    let mut ends = HashSet::new();
    for text in END_TEXTS {
        if let Some(id) = by_text.get(text)
            && matches!(types[*id as usize], TokenType::Control | TokenType::UserDefined)
        {
            ends.insert(*id);
        }
    }
    // Harmony models close every channel with <|end|> and only the answer with <|return|>.
    if let (Some(end), true) = (by_text.get("<|end|>"), by_text.contains_key("<|return|>")) {
        ends.remove(end);
    }
    ends.extend([parts.eos, parts.eot, parts.eom].into_iter().flatten());
    ends
}
