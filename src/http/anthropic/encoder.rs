//! Token events in, events of a messages stream out: a pure state machine.
//!
//! Driven by `stream.rs`. Order: `message_start`; per block `content_block_start`, deltas,
//! `content_block_stop`; `message_delta` with the reason and the usage; `message_stop`. One block
//! is open at a time. Its kinds are thinking (its signature is the last delta), text and tool_use.
//! A sign of life is a `ping` and an empty delta in the block that is open or will be: some clients
//! count only deltas as life. So an answer may hold an empty block. An event is its data; the name
//! is its `type`. Usage: `input_tokens`, `cache_read_input_tokens` and
//! `cache_creation_input_tokens` are parts of the prompt without overlap.
//! Source: Anthropic API reference, streaming messages.

use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{super::errors::ApiError, errors::error_body, request::Thinking, signature::Signer};
use crate::generate::{FinishReason, Summary, TokenEvent, cache_write_tokens};

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    /// Random letters of its ids.
    pub(super) id: String,
    pub(super) model: String,
    pub(super) thinking: Thinking,
    pub(super) signer: Signer,
    pub(super) prompt_tokens: u32,
}

impl Answer {
    /// The message without its content, which is empty until it is said.
    pub(super) fn message(&self, usage: Value) -> Value {
        json!({
            "id": format!("msg_{}", self.id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage,
        })
    }

    /// The beginning of a call, the first being number 0.
    pub(super) fn call(&self, number: usize, name: &str) -> Value {
        let id = format!("toolu_{}{number:02}", self.id);
        json!({"type": "tool_use", "id": id, "name": name, "input": {}})
    }
}

/// What counts tokens: those read from the cache, those that are new in it (whole pages), the rest.
pub(super) fn usage(prompt_tokens: u32, cached_tokens: u32, output_tokens: u32) -> Value {
    let cached = cached_tokens.min(prompt_tokens);
    let created = cache_write_tokens(prompt_tokens, cached);
    json!({
        "input_tokens": prompt_tokens - cached - created,
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": cached,
        "output_tokens": output_tokens,
    })
}

/// The usage of an answer that is complete.
pub(super) fn final_usage(summary: &Summary) -> Value {
    usage(summary.prompt_tokens, summary.cached_tokens, summary.completion_tokens())
}

/// Why it ended, and the stop text that ended it.
pub(super) fn stop(summary: &Summary) -> (&'static str, Option<&str>) {
    match (summary.finish_reason, &summary.stop_text) {
        (FinishReason::ToolCalls, _) => ("tool_use", None),
        (FinishReason::Length, _) => ("max_tokens", None),
        (FinishReason::Stop, Some(text)) => ("stop_sequence", Some(text)),
        (FinishReason::Stop, None) => ("end_turn", None),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    ToolUse,
}

/// A stream under way.
#[derive(Debug)]
pub(super) struct Encoder {
    answer: Answer,
    cached_tokens: u32,
    open: Option<Kind>,
    n_blocks: usize,
    n_calls: usize,
    /// What the open thinking block holds.
    thought: String,
    /// Whether the model has said anything.
    has_begun: bool,
    is_over: bool,
}

impl Encoder {
    pub(super) fn new(answer: Answer) -> Encoder {
        Encoder {
            answer,
            cached_tokens: 0,
            open: None,
            n_blocks: 0,
            n_calls: 0,
            thought: String::new(),
            has_begun: false,
            is_over: false,
        }
    }

    /// Whether nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The event that begins it; counts what is cached if that is known by now.
    pub(super) fn start(&self) -> Vec<Value> {
        let usage = usage(self.answer.prompt_tokens, self.cached_tokens, 1);
        vec![json!({"type": "message_start", "message": self.answer.message(usage)})]
    }

    /// What an event becomes; often nothing.
    pub(super) fn push(&mut self, event: TokenEvent) -> Vec<Value> {
        let mut out = Vec::new();
        match event {
            TokenEvent::Started { .. } | TokenEvent::Sampled(_) => {}
            TokenEvent::Opened { cached_tokens } => self.cached_tokens = cached_tokens,
            TokenEvent::Part(part) => self.part(part, &mut out),
            TokenEvent::Finished(summary) => self.finish(&summary, &mut out),
        }
        out
    }

    /// The event that ends a stream too early.
    pub(super) fn fail(&mut self, error: &ApiError, request_id: &str) -> Vec<Value> {
        self.is_over = true;
        vec![error_body(error, request_id)]
    }

    /// A sign of life.
    pub(super) fn keep_alive(&mut self) -> Vec<Value> {
        let thinks = self.answer.thinking != Thinking::Off && !self.has_begun;
        let kind = self.open.unwrap_or(if thinks { Kind::Thinking } else { Kind::Text });
        let mut out = vec![json!({"type": "ping"})];
        self.ensure(kind, &mut out);
        let delta = match kind {
            Kind::Thinking => json!({"type": "thinking_delta", "thinking": ""}),
            Kind::Text => json!({"type": "text_delta", "text": ""}),
            Kind::ToolUse => json!({"type": "input_json_delta", "partial_json": ""}),
        };
        out.push(self.delta(delta));
        out
    }

    fn part(&mut self, part: ChatEvent, out: &mut Vec<Value>) {
        self.has_begun = true;
        match part {
            ChatEvent::Content(text) => self.text(&text, out),
            ChatEvent::Reasoning(text) => self.thinking(&text, out),
            ChatEvent::ToolCallBegin(name) => {
                let block = self.answer.call(self.n_calls, &name);
                self.n_calls += 1;
                self.begin(Kind::ToolUse, block, out);
            }
            ChatEvent::ToolCallArguments(json) => {
                out.push(self.delta(json!({"type": "input_json_delta", "partial_json": json})));
            }
            ChatEvent::ToolCallEnd => self.close(out),
            ChatEvent::ToolCallBroken(_) if self.open == Some(Kind::ToolUse) => self.close(out),
            ChatEvent::ToolCallBroken(text) => self.text(&text, out),
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<Value>) {
        self.ensure(Kind::Text, out);
        out.push(self.delta(json!({"type": "text_delta", "text": text})));
    }

    fn thinking(&mut self, text: &str, out: &mut Vec<Value>) {
        if self.answer.thinking == Thinking::Off {
            return;
        }
        self.ensure(Kind::Thinking, out);
        if self.answer.thinking == Thinking::Shown {
            self.thought.push_str(text);
            out.push(self.delta(json!({"type": "thinking_delta", "thinking": text})));
        }
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<Value>) {
        self.close(out);
        self.is_over = true;
        let (reason, text) = stop(summary);
        out.push(json!({
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": text},
            "usage": final_usage(summary),
            "swarmllm": summary,
        }));
        out.push(json!({"type": "message_stop"}));
    }

    /// Opens a block of this kind unless one is open.
    fn ensure(&mut self, kind: Kind, out: &mut Vec<Value>) {
        if self.open == Some(kind) {
            return;
        }
        let block = match kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            _ => json!({"type": "text", "text": ""}),
        };
        self.begin(kind, block, out);
    }

    fn begin(&mut self, kind: Kind, block: Value, out: &mut Vec<Value>) {
        self.close(out);
        self.open = Some(kind);
        self.n_blocks += 1;
        let index = self.index();
        out.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
    }

    fn close(&mut self, out: &mut Vec<Value>) {
        let Some(kind) = self.open else { return };
        if kind == Kind::Thinking {
            let thought = std::mem::take(&mut self.thought);
            let signature = self.answer.signer.sign(&self.answer.model, &thought);
            out.push(self.delta(json!({"type": "signature_delta", "signature": signature})));
        }
        out.push(json!({"type": "content_block_stop", "index": self.index()}));
        self.open = None;
    }

    fn delta(&self, delta: Value) -> Value {
        json!({"type": "content_block_delta", "index": self.index(), "delta": delta})
    }

    /// Number of the block that was begun last.
    fn index(&self) -> usize {
        self.n_blocks.saturating_sub(1)
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
pub(super) mod tests;
