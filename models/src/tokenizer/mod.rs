//! Text to tokens and back, from GGUF metadata alone.
//!
//! Opened by `Model::tokenizer`, used by every door that takes text. Two kinds of vocabulary:
//! byte-level byte pairs (`gpt2`, with the pre-tokenizer named by `tokenizer.ggml.pre`) and
//! SentencePiece (`llama`); `gemma4` is byte pairs over characters. The order of work:
//! cut at special tokens (`special.rs`), cut words (`pre_tokenizer.rs`), merge (`byte_pair.rs` or
//! `sentence_piece.rs`). Ids are positions in the vocabulary, `u32`. Encoding cannot fail;
//! unusable metadata is refused with a [`TokenizerError`] when the tokenizer is built.
//! Absent on purpose: WordPiece, Unigram and RWKV vocabularies (refused by name), clean-up of
//! spaces before marks on decoding (bytes come back as they went in).

mod byte_alphabet;
mod byte_pair;
mod infill;
mod merge;
mod metadata;
mod pre_tokenizer;
mod sentence_piece;
mod special;
mod stream_decode;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::sync::Arc;

pub use stream_decode::StreamDecoder;
pub use vocabulary::{TokenType, VocabularyKind, VocabularyParts};

use byte_pair::BytePair;
use merge::Merger;
use pre_tokenizer::PreTokenizer;
use sentence_piece::SentencePiece;
use special::{Fragment, SpecialTokens};
use vocabulary::Vocabulary;

/// Words are encoded in stretches of at most this many bytes, so that positions fit `u32`.
const MAX_STRETCH_BYTES: usize = 1 << 30;

/// Why metadata makes no tokenizer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TokenizerError {
    /// A key that this kind of vocabulary needs is absent or empty.
    #[error("the model has no usable {key}; the file is damaged or holds weights only")]
    Missing {
        /// Metadata key.
        key: &'static str,
    },
    /// A key holds another type than it must.
    #[error("{key} has the wrong type: expected {expected}")]
    WrongType {
        /// Metadata key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A kind of vocabulary that is not implemented.
    #[error("vocabulary kind '{model}' is not supported (supported: gpt2, llama, gemma4)")]
    UnsupportedModel {
        /// `tokenizer.ggml.model`.
        model: String,
    },
    /// A pre-tokenizer that is not in the table.
    #[error("pre-tokenizer '{name}' is not supported; its splitting rule is unknown here")]
    UnsupportedPreTokenizer {
        /// `tokenizer.ggml.pre`.
        name: String,
    },
    /// An array that must have one entry per token has another length.
    #[error("{key} has {found} entries, expected {expected}")]
    WrongLength {
        /// Metadata key.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The vocabulary's size.
        expected: usize,
    },
    /// More tokens than any real vocabulary has.
    #[error("the vocabulary has {count} tokens, the limit is {limit}")]
    TooManyTokens {
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// All token texts together exceed 4 GiB.
    #[error("the token texts together are longer than 4 GiB")]
    TextTooLong,
    /// Two ids with one text.
    #[error("tokens {first} and {second} have the same text")]
    DuplicateToken {
        /// The earlier id.
        first: u32,
        /// The later id.
        second: u32,
    },
    /// A token type outside the specification.
    #[error("token {token} has type {code}, which does not exist")]
    BadTokenType {
        /// Token id.
        token: usize,
        /// Its type number.
        code: i64,
    },
    /// A byte token that does not spell a byte.
    #[error("byte token '{text}' is not of the form <0xNN>")]
    BadByteToken {
        /// Its text.
        text: String,
    },
    /// A score that is no number.
    #[error("the score of token {token} is not a number")]
    BadScore {
        /// Token id.
        token: usize,
    },
    /// A special id outside the vocabulary.
    #[error("{key} is {id}, but the vocabulary has {count} tokens")]
    IdOutOfRange {
        /// Metadata key.
        key: &'static str,
        /// The id.
        id: u32,
        /// The vocabulary's size.
        count: usize,
    },
    /// A merge without a space, or of texts (or into a text) that are no tokens.
    #[error("merge {rank} ('{merge}') does not join two tokens into a token")]
    BadMerge {
        /// Position in the list of merges.
        rank: usize,
        /// Its text, cut to 64 characters.
        merge: String,
    },
    /// Some text could not be spelled.
    #[error("the vocabulary has neither a token for byte {byte:#04x} nor an unknown token")]
    MissingByte {
        /// The byte.
        byte: u8,
    },
    /// The special tokens cannot be searched for.
    #[error("the special tokens cannot be prepared for matching: {reason}")]
    SpecialTokens {
        /// What the matcher says.
        reason: String,
    },
}

/// How text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Add BOS and EOS as the model's metadata says.
    pub add_special: bool,
    /// Read control tokens out of the text. For rendered templates only, never for user text.
    pub parse_special: bool,
}

/// A model's tokenizer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    pub(crate) inner: Arc<Inner>,
}

/// What tokenizer and stream decoders share.
#[derive(Debug)]
pub(crate) struct Inner {
    vocabulary: Vocabulary,
    specials: SpecialTokens,
    encoder: Encoder,
}

#[derive(Debug)]
enum Encoder {
    BytePair(PreTokenizer, BytePair),
    SentencePiece(SentencePiece),
}

impl Inner {
    /// What `token` prints, given whether anything was printed before it.
    fn printed(&self, token: u32, at_start: &mut bool) -> &[u8] {
        let bytes = match self.vocabulary.token_type(token) {
            None | Some(TokenType::Control | TokenType::Unknown) => return &[],
            Some(_) => self.vocabulary.token_bytes(token),
        };
        let first = std::mem::take(at_start);
        match bytes {
            // The space that encoding put before the text is not part of it.
            [b' ', rest @ ..] if first && self.vocabulary.add_space_prefix => rest,
            _ => bytes,
        }
    }
}

impl Tokenizer {
    /// Checks a vocabulary and prepares it.
    pub fn new(parts: &VocabularyParts<'_>) -> Result<Tokenizer, TokenizerError> {
        let (vocabulary, by_text) = Vocabulary::new(parts)?;
        let encoder = match vocabulary.kind {
            VocabularyKind::SentencePiece => {
                Encoder::SentencePiece(SentencePiece::new(parts, &vocabulary)?)
            }
            kind => {
                let rule = match kind {
                    VocabularyKind::CharacterLevel => PreTokenizer::lines(),
                    _ => PreTokenizer::named(parts.pre.as_deref())?,
                };
                let pairs = BytePair::new(parts, &vocabulary, &by_text, rule.whole_words)?;
                Encoder::BytePair(rule, pairs)
            }
        };
        let specials = SpecialTokens::new(&vocabulary)?;
        Ok(Tokenizer { inner: Arc::new(Inner { vocabulary, specials, encoder }) })
    }

    /// The tokens of `text`.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let vocabulary = &self.inner.vocabulary;
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        let mut merger = Merger::default();
        if options.add_special && vocabulary.add_bos {
            ids.extend(vocabulary.bos);
        }
        let mut after_special = true;
        self.inner.specials.split(text, options.parse_special, |fragment| match fragment {
            Fragment::Token(id) => {
                ids.push(id);
                after_special = true;
            }
            Fragment::Words(words) => {
                for stretch in stretches(words) {
                    let prefix = std::mem::take(&mut after_special);
                    self.encode_words(stretch, prefix, &mut merger, &mut ids);
                }
            }
        });
        if options.add_special && vocabulary.add_eos {
            ids.extend(vocabulary.eos);
        }
        ids
    }

    fn encode_words(&self, words: &str, prefix: bool, merger: &mut Merger, ids: &mut Vec<u32>) {
        let vocabulary = &self.inner.vocabulary;
        match &self.inner.encoder {
            Encoder::BytePair(rule, pairs) if vocabulary.kind == VocabularyKind::ByteLevel => {
                for piece in rule.split(words) {
                    pairs.encode(vocabulary, &words[piece], merger, ids);
                }
            }
            Encoder::BytePair(rule, pairs) => {
                let spelled = words.replace(' ', "\u{2581}");
                for piece in rule.split(&spelled) {
                    pairs.encode(vocabulary, &spelled[piece], merger, ids);
                }
            }
            Encoder::SentencePiece(pieces) if prefix && vocabulary.add_space_prefix => {
                pieces.encode(vocabulary, &format!(" {words}"), merger, ids);
            }
            Encoder::SentencePiece(pieces) => pieces.encode(vocabulary, words, merger, ids),
        }
    }

    /// The bytes that `tokens` print, one after the other; control tokens print nothing.
    pub fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        let mut at_start = true;
        let printed = tokens.iter().map(|token| self.inner.printed(*token, &mut at_start));
        printed.fold(Vec::new(), |mut bytes, piece| {
            bytes.extend_from_slice(piece);
            bytes
        })
    }

    /// A decoder for tokens that come one by one.
    pub fn stream(&self) -> StreamDecoder {
        StreamDecoder::new(self, Vec::new())
    }

    /// The same, with those of these texts printed that are control tokens of this vocabulary.
    pub fn stream_with_tags(&self, tags: &[&str]) -> StreamDecoder {
        let parsed = EncodeOptions { add_special: false, parse_special: true };
        let control = |tag: &&str| match self.encode(tag, parsed)[..] {
            [id] if self.token_type(id) == Some(TokenType::Control) => Some(id),
            _ => None,
        };
        StreamDecoder::new(self, tags.iter().filter_map(control).collect())
    }

    /// The text behind `id` as bytes (control tokens included); empty outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.inner.vocabulary.token_bytes(id)
    }

    /// The type of `id`; `None` outside the vocabulary.
    pub fn token_type(&self, id: u32) -> Option<TokenType> {
        self.inner.vocabulary.token_type(id)
    }

    /// Whether a sampled `id` ends the answer.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.inner.vocabulary.is_end(id)
    }

    /// Every token that ends an answer, ascending.
    pub fn end_tokens(&self) -> Vec<u32> {
        self.inner.vocabulary.ends()
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> u32 {
        self.inner.vocabulary.len() as u32
    }

    /// The beginning-of-sequence token, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.inner.vocabulary.bos
    }

    /// The end-of-sequence token, if there is one.
    pub fn eos(&self) -> Option<u32> {
        self.inner.vocabulary.eos
    }
}

/// Cuts words that no `u32` could address; almost always one stretch.
fn stretches(mut words: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if words.is_empty() {
            return None;
        }
        let end = words.floor_char_boundary(MAX_STRETCH_BYTES);
        let (stretch, rest) = words.split_at(end);
        words = rest;
        Some(stretch)
    })
}
