//! Finds a vocabulary in the metadata of a GGUF file.
//!
//! Called by `Model::tokenizer`. Texts are borrowed from the file's metadata, not copied.
//! Errors: [`TokenizerError::WrongType`] where a key holds something else; keys that are absent
//! stay absent, `vocabulary.rs` decides which of them it needs.
//! Source: the `tokenizer.ggml.*` keys of the GGUF specification.

use std::borrow::Cow;

use super::{Tokenizer, TokenizerError, VocabularyParts};
use crate::gguf::{Gguf, MetadataValue};

/// Reads `key` with `convert`, `None` where it is absent.
fn optional<'g, T>(
    gguf: &'g Gguf,
    key: &'static str,
    expected: &'static str,
    convert: impl Fn(&'g MetadataValue) -> Option<T>,
) -> Result<Option<T>, TokenizerError> {
    let Some(value) = gguf.value(key) else { return Ok(None) };
    convert(value).map(Some).ok_or(TokenizerError::WrongType { key, expected })
}

fn text(gguf: &Gguf, key: &'static str) -> Result<Option<String>, TokenizerError> {
    optional(gguf, key, "text", |value| value.as_str().map(str::to_owned))
}

fn texts<'g>(gguf: &'g Gguf, key: &'static str) -> Result<Cow<'g, [String]>, TokenizerError> {
    let found = optional(gguf, key, "an array of texts", |value| value.as_array()?.as_strings())?;
    Ok(Cow::Borrowed(found.unwrap_or_default()))
}

fn id(gguf: &Gguf, key: &'static str) -> Result<Option<u32>, TokenizerError> {
    // Converters write the largest u32 (or -1) where there is no such token.
    let found = optional(gguf, key, "a token id", MetadataValue::as_integer)?;
    match found {
        None | Some(-1) => Ok(None),
        Some(value) if value == i128::from(u32::MAX) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| TokenizerError::WrongType { key, expected: "a token id" }),
    }
}

fn flag(gguf: &Gguf, key: &'static str) -> Result<Option<bool>, TokenizerError> {
    optional(gguf, key, "a boolean", MetadataValue::as_bool)
}

impl<'g> VocabularyParts<'g> {
    /// The vocabulary as the file's metadata states it, unchecked.
    pub fn from_gguf(gguf: &'g Gguf) -> Result<VocabularyParts<'g>, TokenizerError> {
        let types = optional(gguf, "tokenizer.ggml.token_type", "an array of integers", |value| {
            value.as_array()?.to_i64s()
        })?;
        let scores = optional(gguf, "tokenizer.ggml.scores", "an array of f32", |value| {
            value.as_array()?.as_f32s()
        })?;
        Ok(VocabularyParts {
            model: text(gguf, "tokenizer.ggml.model")?.unwrap_or_default(),
            pre: text(gguf, "tokenizer.ggml.pre")?,
            tokens: texts(gguf, "tokenizer.ggml.tokens")?,
            types: types.unwrap_or_default(),
            scores: Cow::Borrowed(scores.unwrap_or_default()),
            merges: texts(gguf, "tokenizer.ggml.merges")?,
            bos: id(gguf, "tokenizer.ggml.bos_token_id")?,
            eos: id(gguf, "tokenizer.ggml.eos_token_id")?,
            eot: id(gguf, "tokenizer.ggml.eot_token_id")?,
            eom: id(gguf, "tokenizer.ggml.eom_token_id")?,
            unknown: id(gguf, "tokenizer.ggml.unknown_token_id")?,
            add_bos: flag(gguf, "tokenizer.ggml.add_bos_token")?,
            add_eos: flag(gguf, "tokenizer.ggml.add_eos_token")?,
            add_space_prefix: flag(gguf, "tokenizer.ggml.add_space_prefix")?,
        })
    }
}

impl Tokenizer {
    /// The tokenizer that the file's metadata describes.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(&VocabularyParts::from_gguf(gguf)?)
    }
}
