//! From token events to the dialect's events and response object: a pure state machine.
//!
//! Driven by `answer.rs`: `start`, then `push` for every event, or `fail`. A whole answer takes the
//! same way and shows only the last object. Output items are opened, grown and closed one after the
//! other; every event has its `type` and the next `sequence_number`. Ids are made of the response's
//! own and the item's place.
//!
//! - Reasoning is an item with its text in `content`; where the caller asked for a summary the text
//!   is the summary, since programs show nothing else. `encrypted_content`, if asked for, holds it
//!   for the way back.
//! - A call that turns out broken after it was shown ends there, `incomplete`; in a whole answer it
//!   is text.
//! - A stream that is silent repeats `response.in_progress`, which clients read as a sign of life.
//!
//! Errors: none. Source: OpenAI API reference, streaming events of responses.

use serde_json::{Map, Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::input::opaque;
use crate::generate::{ErrorKind, FinishReason, GenerateError, SampledToken, Summary, TokenEvent};
use crate::http::log_probabilities::{behind, told};

/// What a response says of itself from its beginning.
#[derive(Debug)]
pub(super) struct Head {
    /// Part of every id.
    pub(super) suffix: String,
    /// Unix time, seconds.
    pub(super) created_at: u64,
    /// The model asked for.
    pub(super) model: String,
    /// Fields of the request that are repeated.
    pub(super) echo: Map<String, Value>,
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    /// Nothing is shown before the end.
    pub(super) is_whole: bool,
    /// Reasoning is shown as a summary.
    pub(super) is_summarised: bool,
    /// Reasoning also comes as `encrypted_content`.
    pub(super) has_opaque_reasoning: bool,
}

/// A response that grows.
#[derive(Debug)]
pub(super) struct Encoder {
    suffix: String,
    style: Style,
    /// Without its output.
    response: Value,
    /// Items that are complete.
    output: Vec<Value>,
    open: Option<OpenItem>,
    /// Tokens whose text did not come yet.
    sampled: Vec<SampledToken>,
    sequence_number: u64,
    is_finished: bool,
}

/// The item that grows.
#[derive(Debug)]
struct OpenItem {
    id: String,
    kind: Kind,
    text: String,
    log_probabilities: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Message,
    Reasoning,
    Call { id: String, name: String },
}

impl Encoder {
    /// Nothing was said yet.
    pub(super) fn new(head: Head, style: Style) -> Encoder {
        let mut response = json!({
            "id": format!("resp_{}", head.suffix),
            "object": "response",
            "created_at": head.created_at,
            "status": "in_progress",
            "background": false,
            "completed_at": null,
            "error": null,
            "incomplete_details": null,
            "max_tool_calls": null,
            "model": head.model,
            "output": [],
            "service_tier": "default",
            "usage": null,
        });
        if let Value::Object(response) = &mut response {
            response.extend(head.echo);
        }
        Encoder {
            suffix: head.suffix,
            style,
            response,
            output: Vec::new(),
            open: None,
            sampled: Vec::new(),
            sequence_number: 0,
            is_finished: false,
        }
    }

    /// The events a stream begins with.
    pub(super) fn start(&mut self) -> Vec<Value> {
        let response = self.response.clone();
        vec![
            self.event("response.created", json!({"response": response})),
            self.event("response.in_progress", json!({"response": self.response})),
        ]
    }

    /// A sign of life.
    pub(super) fn keep_alive(&mut self) -> Value {
        self.event("response.in_progress", json!({"response": self.response}))
    }

    /// What an event of the node says in this dialect; `now` is the time in Unix seconds.
    pub(super) fn push(&mut self, event: TokenEvent, now: u64) -> Vec<Value> {
        match event {
            TokenEvent::Started { .. } | TokenEvent::Opened { .. } => Vec::new(),
            TokenEvent::Sampled(token) => {
                self.sampled.push(token);
                Vec::new()
            }
            TokenEvent::Part(part) => self.part(part),
            TokenEvent::Finished(summary) => self.finish(&summary, now),
        }
    }

    /// The last event of an answer that failed.
    pub(super) fn fail(&mut self, error: &GenerateError) -> Value {
        self.response["status"] = "failed".into();
        self.response["error"] = json!({"code": error_code(error.kind), "message": error.message});
        self.response["output"] = std::mem::take(&mut self.output).into();
        self.event("response.failed", json!({"response": self.response}))
    }

    /// The response as it is; whole once it is finished.
    pub(super) fn response(&self) -> &Value {
        &self.response
    }

    /// Whether nothing follows.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn part(&mut self, part: ChatEvent) -> Vec<Value> {
        match part {
            ChatEvent::Content(text) => self.grow(&Kind::Message, &text),
            ChatEvent::Reasoning(text) => self.grow(&Kind::Reasoning, &text),
            ChatEvent::ToolCallBegin(name) => {
                let mut events = self.close("completed");
                let id = self.id("call");
                events.extend(self.open(Kind::Call { id, name }));
                events
            }
            ChatEvent::ToolCallArguments(text) => self.delta(&text),
            ChatEvent::ToolCallEnd => self.close("completed"),
            ChatEvent::ToolCallBroken(raw) if self.style.is_whole => {
                self.open = None;
                self.grow(&Kind::Message, &raw)
            }
            ChatEvent::ToolCallBroken(_) => self.close("incomplete"),
        }
    }

    /// More text of an item of this kind, which is opened if there is none.
    fn grow(&mut self, kind: &Kind, text: &str) -> Vec<Value> {
        let mut events = Vec::new();
        if self.open.as_ref().is_none_or(|open| open.kind != *kind) {
            events.extend(self.close("completed"));
            events.extend(self.open(kind.clone()));
        }
        events.extend(self.delta(text));
        events
    }

    fn open(&mut self, kind: Kind) -> Vec<Value> {
        let id = self.id(match kind {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
            Kind::Call { .. } => "fc",
        });
        let open = OpenItem { id, kind, text: String::new(), log_probabilities: Vec::new() };
        let item = self.shown(&open, "in_progress");
        let mut events = vec![self.item_event("response.output_item.added", item)];
        match open.kind {
            Kind::Call { .. } => {}
            Kind::Reasoning if self.style.is_summarised => {
                let part = json!({"type": "summary_text", "text": ""});
                let name = "response.reasoning_summary_part.added";
                events.push(self.text_event(name, &open, "part", part));
            }
            Kind::Message | Kind::Reasoning => {
                let part = self.part_of(&open);
                events.push(self.text_event("response.content_part.added", &open, "part", part));
            }
        }
        self.open = Some(open);
        events
    }

    /// More text of the open item.
    fn delta(&mut self, text: &str) -> Vec<Value> {
        let sampled = std::mem::take(&mut self.sampled);
        let Some(mut open) = self.open.take() else { return Vec::new() };
        open.text.push_str(text);
        let mut event = self.text_event(self.delta_name(&open.kind), &open, "delta", text.into());
        if open.kind == Kind::Message {
            let sampled: Vec<Value> = behind(text, sampled).iter().map(told).collect();
            event["logprobs"] = sampled.clone().into();
            open.log_probabilities.extend(sampled);
        }
        self.open = Some(open);
        vec![event]
    }

    fn close(&mut self, status: &str) -> Vec<Value> {
        let Some(open) = self.open.take() else { return Vec::new() };
        let mut events = Vec::new();
        let text = Value::from(open.text.as_str());
        match open.kind {
            Kind::Call { ref name, .. } => {
                let done = "response.function_call_arguments.done";
                let mut event = self.text_event(done, &open, "arguments", text);
                event["name"] = name.as_str().into();
                events.push(event);
            }
            Kind::Reasoning if self.style.is_summarised => {
                let done = "response.reasoning_summary_text.done";
                events.push(self.text_event(done, &open, "text", text.clone()));
                let part = json!({"type": "summary_text", "text": text});
                let done = "response.reasoning_summary_part.done";
                events.push(self.text_event(done, &open, "part", part));
            }
            Kind::Reasoning => {
                let done = "response.reasoning_text.done";
                events.push(self.text_event(done, &open, "text", text));
                let part = self.part_of(&open);
                events.push(self.text_event("response.content_part.done", &open, "part", part));
            }
            Kind::Message => {
                let done = "response.output_text.done";
                let mut event = self.text_event(done, &open, "text", text);
                event["logprobs"] = open.log_probabilities.clone().into();
                events.push(event);
                let part = self.part_of(&open);
                events.push(self.text_event("response.content_part.done", &open, "part", part));
            }
        }
        let item = self.shown(&open, status);
        events.push(self.item_event("response.output_item.done", item.clone()));
        self.output.push(item);
        events
    }

    fn finish(&mut self, summary: &Summary, now: u64) -> Vec<Value> {
        let is_cut = summary.finish_reason == FinishReason::Length;
        let status = if is_cut { "incomplete" } else { "completed" };
        let mut events = Vec::new();
        if self.open.is_none() && self.output.is_empty() {
            // Who said nothing said an empty text: programs look for one.
            events.extend(self.open(Kind::Message));
        }
        events.extend(self.close(status));
        self.response["status"] = status.into();
        if is_cut {
            self.response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        } else {
            self.response["completed_at"] = now.into();
        }
        self.response["output"] = std::mem::take(&mut self.output).into();
        self.response["usage"] = usage(summary);
        self.response["swarmllm"] = json!(summary);
        self.is_finished = true;
        let name = if is_cut { "response.incomplete" } else { "response.completed" };
        events.push(self.event(name, json!({"response": self.response})));
        events
    }

    fn delta_name(&self, kind: &Kind) -> &'static str {
        match kind {
            Kind::Message => "response.output_text.delta",
            Kind::Reasoning if self.style.is_summarised => "response.reasoning_summary_text.delta",
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        }
    }

    /// The item as an output shows it.
    fn shown(&self, open: &OpenItem, status: &str) -> Value {
        let is_done = status != "in_progress";
        let mut item = json!({"id": open.id, "status": status});
        match &open.kind {
            Kind::Message => {
                item["type"] = "message".into();
                item["role"] = "assistant".into();
                item["content"] = if is_done { json!([self.part_of(open)]) } else { json!([]) };
            }
            Kind::Reasoning => {
                item["type"] = "reasoning".into();
                item["summary"] = json!([]);
                if self.style.is_summarised && is_done {
                    item["summary"] = json!([{"type": "summary_text", "text": open.text}]);
                } else if is_done {
                    item["content"] = json!([self.part_of(open)]);
                }
                if self.style.has_opaque_reasoning {
                    let text = opaque(&open.text);
                    item["encrypted_content"] = if is_done { text.into() } else { Value::Null };
                }
            }
            Kind::Call { id, name } => {
                item["type"] = "function_call".into();
                item["call_id"] = id.as_str().into();
                item["name"] = name.as_str().into();
                item["arguments"] = open.text.as_str().into();
            }
        }
        item
    }

    /// The one part of a message's or reasoning's content.
    fn part_of(&self, open: &OpenItem) -> Value {
        match open.kind {
            Kind::Reasoning => json!({"type": "reasoning_text", "text": open.text}),
            _ => json!({
                "type": "output_text", "text": open.text, "annotations": [],
                "logprobs": open.log_probabilities,
            }),
        }
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}o{}", self.suffix, self.output.len())
    }

    fn event(&mut self, name: &str, mut fields: Value) -> Value {
        fields["type"] = name.into();
        fields["sequence_number"] = self.sequence_number.into();
        self.sequence_number += 1;
        fields
    }

    fn item_event(&mut self, name: &str, item: Value) -> Value {
        let output_index = self.output.len();
        self.event(name, json!({"output_index": output_index, "item": item}))
    }

    /// An event about the text of an item.
    fn text_event(&mut self, name: &str, open: &OpenItem, field: &str, value: Value) -> Value {
        let output_index = self.output.len();
        let mut fields = json!({"item_id": open.id, "output_index": output_index});
        fields[field] = value;
        match open.kind {
            Kind::Call { .. } => {}
            Kind::Reasoning if self.style.is_summarised => fields["summary_index"] = 0.into(),
            Kind::Message | Kind::Reasoning => fields["content_index"] = 0.into(),
        }
        self.event(name, fields)
    }
}

fn usage(summary: &Summary) -> Value {
    let output_tokens = summary.completion_tokens();
    json!({
        "input_tokens": summary.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": summary.cached_tokens,
            "cache_write_tokens": summary.cache_write_tokens(),
        },
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": summary.reasoning_tokens},
        "total_tokens": summary.prompt_tokens + output_tokens,
    })
}

/// The codes that clients of the API act upon.
fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ContextLength => "context_length_exceeded",
        ErrorKind::Busy => "rate_limit_exceeded",
        ErrorKind::Invalid | ErrorKind::Grammar | ErrorKind::ModelNotFound => "invalid_prompt",
        ErrorKind::NoRoute
        | ErrorKind::StageLost
        | ErrorKind::DeadlinePassed
        | ErrorKind::Internal => "server_error",
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
