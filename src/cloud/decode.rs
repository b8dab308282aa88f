//! What both dialects of providers have in common when their streams are read.
//!
//! [`Decoder`] is fed by `answer.rs` with the events of a stream and gives our own. Everything in
//! a stream is somebody else's word: a wrong type is an error, a field that is missing is absent,
//! numbers saturate. Errors: [`DecodeError`].

use serde_json::Value;

use super::anthropic_decode::AnthropicDecoder;
use super::openai_decode::OpenaiDecoder;
use super::provider::Dialect;
use super::sse_parser::SseEvent;
use crate::generate::{FinishReason, TokenEvent};

/// Why an event can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// It is not what the dialect has there.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is the provider's own error.
    #[error("{0}")]
    Reported(String),
}

/// Tokens as a provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// Of the prompt, cached ones included.
    pub(super) prompt: Option<u32>,
    /// Of the answer, reasoning included.
    pub(super) answer: Option<u32>,
    /// Of the answer, reasoning alone.
    pub(super) reasoning: u32,
    /// Of the prompt, known from before.
    pub(super) cached: u32,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) reason: FinishReason,
    /// In the provider's own word.
    pub(super) word: String,
    /// The stop text that ended it, where it is told.
    pub(super) stop_text: Option<String>,
}

/// Reads the stream of one answer.
#[derive(Debug)]
pub(super) enum Decoder {
    Openai(OpenaiDecoder),
    Anthropic(AnthropicDecoder),
}

impl Decoder {
    pub(super) fn new(dialect: Dialect) -> Decoder {
        match dialect {
            Dialect::OpenaiChat => Decoder::Openai(OpenaiDecoder::default()),
            Dialect::AnthropicMessages => Decoder::Anthropic(AnthropicDecoder::default()),
        }
    }

    /// Reads an event, and says what it adds to the answer.
    pub(super) fn push(&mut self, event: &SseEvent) -> Result<Vec<TokenEvent>, DecodeError> {
        match self {
            Decoder::Openai(decoder) => decoder.push(&event.data),
            Decoder::Anthropic(decoder) => decoder.push(&event.data),
        }
    }

    /// Whether the stream has said that it is over.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Decoder::Openai(decoder) => decoder.is_done(),
            Decoder::Anthropic(decoder) => decoder.is_done(),
        }
    }

    /// The last of the answer and how it ended; `None` when the stream was cut.
    pub(super) fn finish(self) -> (Vec<TokenEvent>, Option<Ending>, Usage, Option<String>) {
        match self {
            Decoder::Openai(decoder) => decoder.finish(),
            Decoder::Anthropic(decoder) => decoder.finish(),
        }
    }
}

/// The JSON object of an event.
pub(super) fn object(data: &str) -> Result<Value, DecodeError> {
    let value: Value = serde_json::from_str(data)
        .map_err(|_| DecodeError::Malformed("an event that is no JSON"))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(DecodeError::Malformed("an event that is no object")),
    }
}

/// A text that may be missing or null.
pub(super) fn text<'a>(value: &'a Value, what: &'static str) -> Result<&'a str, DecodeError> {
    match value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(DecodeError::Malformed(what)),
    }
}

/// A count that may be missing.
pub(super) fn count(value: &Value) -> Option<u32> {
    value.as_u64().map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// What an error object of either dialect says.
pub(super) fn reported(error: &Value) -> DecodeError {
    let message = error["message"].as_str().or(error.as_str()).unwrap_or("an error without text");
    DecodeError::Reported(message.to_owned())
}
