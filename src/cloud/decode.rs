//! What both dialects of providers have in common when their streams are read.
//!
//! [`Decoder`] is fed by `answer.rs` with the events of a stream and gives our own; the dialect's
//! own file reads each event and keeps in [`Told`] what counts at the end. Everything in a stream
//! is somebody else's word: a wrong type is an error, a field that is missing is absent, numbers
//! saturate. Errors: [`DecodeError`].

use serde_json::Value;
use swarmllm_models::chat_output::ChatEvent;

use super::calls::Calls;
use super::provider::Dialect;
use super::{anthropic_decode, openai_decode};
use crate::generate::{FinishReason, TokenEvent};

/// Words of providers for an answer that reached its limit or the end of the context.
const LENGTH_WORDS: [&str; 4] =
    ["length", "max_tokens", "model_length", "model_context_window_exceeded"];

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

/// What a stream has told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) calls: Calls,
    /// The provider's word for why the answer ended.
    pub(super) word: Option<String>,
    pub(super) stop_text: Option<String>,
    pub(super) usage: Usage,
    /// The provider's id of the answer.
    pub(super) id: Option<String>,
    /// The stream has said that it is over.
    pub(super) is_done: bool,
}

/// Reads the stream of one answer.
#[derive(Debug)]
pub(super) struct Decoder {
    dialect: Dialect,
    told: Told,
}

impl Decoder {
    pub(super) fn new(dialect: Dialect) -> Decoder {
        Decoder { dialect, told: Told::default() }
    }

    /// Reads the data of an event, and says what it adds to the answer.
    pub(super) fn push(&mut self, data: &str) -> Result<Vec<TokenEvent>, DecodeError> {
        match self.dialect {
            Dialect::OpenaiChat => openai_decode::read(&mut self.told, data),
            Dialect::AnthropicMessages => anthropic_decode::read(&mut self.told, data),
        }
    }

    /// Whether the stream has said that it is over.
    pub(super) fn is_done(&self) -> bool {
        self.told.is_done
    }

    /// The last of the answer and how it ended; `None` when the stream was cut.
    pub(super) fn finish(self) -> (Vec<TokenEvent>, Option<Ending>, Usage, Option<String>) {
        let Told { mut calls, word, stop_text, usage, id, .. } = self.told;
        let mut out = Vec::new();
        calls.end(&mut out);
        let ending = word.map(|word| {
            let reason = match word.as_str() {
                word if LENGTH_WORDS.contains(&word) => FinishReason::Length,
                _ if calls.has_called() => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            };
            Ending { reason, word, stop_text }
        });
        (out, ending, usage, id)
    }
}

/// A piece of the answer's text or reasoning; an empty one is nothing.
pub(super) fn say(kind: impl Fn(String) -> ChatEvent, piece: &str, out: &mut Vec<TokenEvent>) {
    if !piece.is_empty() {
        out.push(TokenEvent::Part(kind(piece.to_owned())));
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
