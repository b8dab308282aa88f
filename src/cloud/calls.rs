//! The function calls of an answer, as both dialects stream them: begin, pieces, the next one.
//!
//! Used by `openai_decode.rs` and `anthropic_decode.rs`. Calls come one after the other and are
//! numbered by the provider. At its end a call's arguments must be a JSON object; no arguments are
//! an empty one, anything else makes the call broken.
//! Bounds: names; arguments are bounded by the stream.

use serde_json::Value;
use swarmllm_models::chat_output::ChatEvent;

use super::decode::DecodeError;
use crate::generate::TokenEvent;

/// Longest name of a function.
const NAME_MAX_BYTES: usize = 128;

#[derive(Debug)]
struct OpenCall {
    index: u64,
    arguments: String,
}

/// Calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Option<OpenCall>,
    has_called: bool,
}

impl Calls {
    /// Whether a call is under way, and which.
    pub(super) fn open_index(&self) -> Option<u64> {
        self.open.as_ref().map(|call| call.index)
    }

    /// Whether at least one call was complete.
    pub(super) fn has_called(&self) -> bool {
        self.has_called
    }

    /// A call begins; the one before it has ended.
    pub(super) fn begin(
        &mut self,
        index: u64,
        name: &str,
        out: &mut Vec<TokenEvent>,
    ) -> Result<(), DecodeError> {
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(DecodeError::Malformed("a call without a usable name"));
        }
        self.end(out);
        self.open = Some(OpenCall { index, arguments: String::new() });
        out.push(TokenEvent::Part(ChatEvent::ToolCallBegin(name.to_owned())));
        Ok(())
    }

    /// A piece of its arguments.
    pub(super) fn arguments(
        &mut self,
        index: u64,
        piece: &str,
        out: &mut Vec<TokenEvent>,
    ) -> Result<(), DecodeError> {
        if piece.is_empty() {
            return Ok(());
        }
        let call = self.open.as_mut().filter(|call| call.index == index);
        let call = call.ok_or(DecodeError::Malformed("arguments of a call that is not open"))?;
        call.arguments.push_str(piece);
        out.push(TokenEvent::Part(ChatEvent::ToolCallArguments(piece.to_owned())));
        Ok(())
    }

    /// The call under way, if any, is over.
    pub(super) fn end(&mut self, out: &mut Vec<TokenEvent>) {
        let Some(OpenCall { arguments, .. }) = self.open.take() else { return };
        if arguments.trim().is_empty() {
            out.push(TokenEvent::Part(ChatEvent::ToolCallArguments("{}".to_owned())));
        } else if !serde_json::from_str::<Value>(&arguments).is_ok_and(|value| value.is_object()) {
            out.push(TokenEvent::Part(ChatEvent::ToolCallBroken(arguments)));
            return;
        }
        self.has_called = true;
        out.push(TokenEvent::Part(ChatEvent::ToolCallEnd));
    }
}
