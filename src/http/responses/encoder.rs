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
use crate::generate::{
    ErrorKind, FinishReason, GenerateError, SampledToken, Summary, TokenEvent, TokenLogProbability,
};

/// Stands for a probability of 0, whose logarithm JSON can't write.
const IMPOSSIBLE: f32 = -9999.0;

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
    sampled: Vec<Value>,
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
                self.sampled.push(log_probability(&token));
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
    let output_tokens = summary.token_ids.len();
    json!({
        "input_tokens": summary.prompt_tokens,
        "input_tokens_details": {"cached_tokens": summary.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": summary.reasoning_tokens},
        "total_tokens": summary.prompt_tokens as usize + output_tokens,
    })
}

fn log_probability(sampled: &SampledToken) -> Value {
    let one = |token: &TokenLogProbability| {
        json!({
            "token": String::from_utf8_lossy(&token.bytes),
            "bytes": token.bytes,
            "logprob": token.log_probability.max(IMPOSSIBLE),
        })
    };
    let mut value = one(&sampled.token);
    value["top_logprobs"] = sampled.top.iter().map(one).collect();
    value
}

/// The codes that clients of the API act upon.
fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ContextLength => "context_length_exceeded",
        ErrorKind::Busy => "rate_limit_exceeded",
        ErrorKind::Invalid | ErrorKind::ModelNotFound => "invalid_prompt",
        ErrorKind::NoRoute
        | ErrorKind::StageLost
        | ErrorKind::DeadlinePassed
        | ErrorKind::Internal => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 9;

    fn encoder(style: Style) -> Encoder {
        let echo = Map::from_iter([("store".to_owned(), json!(true))]);
        let head = Head { suffix: "s".into(), created_at: 7, model: "demo".into(), echo };
        Encoder::new(head, style)
    }

    fn finished(finish_reason: FinishReason) -> TokenEvent {
        TokenEvent::Finished(Box::new(Summary {
            finish_reason,
            prompt_tokens: 3,
            token_ids: vec![10, 11],
            reasoning_tokens: 1,
            stop_text: None,
            route: Vec::new(),
            cached_tokens: 2,
            preemptions: 0,
            cache: "f16".to_owned(),
            queue_ms: 0.0,
            ttft_ms: 1.0,
            decode_tok_s: 2.0,
            cloud: None,
        }))
    }

    fn content(text: &str) -> TokenEvent {
        TokenEvent::Part(ChatEvent::Content(text.into()))
    }

    fn reasoning(text: &str) -> TokenEvent {
        TokenEvent::Part(ChatEvent::Reasoning(text.into()))
    }

    fn call(parts: &[&str]) -> Vec<TokenEvent> {
        let pieces = parts.iter().map(|part| ChatEvent::ToolCallArguments((*part).into()));
        let begin = ChatEvent::ToolCallBegin("f".into());
        [begin].into_iter().chain(pieces).map(TokenEvent::Part).collect()
    }

    fn run(style: Style, events: impl IntoIterator<Item = TokenEvent>) -> (Vec<Value>, Value) {
        let mut encoder = encoder(style);
        let mut all = encoder.start();
        for event in events {
            all.extend(encoder.push(event, NOW));
        }
        for (index, event) in all.iter().enumerate() {
            assert_eq!(event["sequence_number"], index, "{event}");
        }
        (all, encoder.response().clone())
    }

    fn names(events: &[Value]) -> Vec<&str> {
        fn short(event: &Value) -> &str {
            let name = event["type"].as_str().expect("a type");
            name.strip_prefix("response.").expect("its prefix")
        }
        events.iter().map(short).collect()
    }

    #[test]
    fn a_text_is_opened_grown_and_closed() {
        let opened =
            [TokenEvent::Started { prompt_tokens: 3 }, TokenEvent::Opened { cached_tokens: 2 }];
        let said = [content("Hi "), content("you"), finished(FinishReason::Stop)];
        let (events, response) = run(Style::default(), opened.into_iter().chain(said));
        assert_eq!(
            names(&events),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed"
            ]
        );
        assert_eq!(events[0]["response"]["status"], "in_progress");
        assert_eq!(events[0]["response"]["store"], true);
        assert_eq!(events[2]["item"]["content"], json!([]));
        let delta = json!({
            "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_so0",
            "output_index": 0, "content_index": 0, "delta": "Hi ", "logprobs": [],
        });
        assert_eq!(events[4], delta);
        assert_eq!(events[6]["text"], "Hi you");
        let part =
            json!({"type": "output_text", "text": "Hi you", "annotations": [], "logprobs": []});
        let item = json!({
            "id": "msg_so0", "type": "message", "role": "assistant", "status": "completed",
            "content": [part],
        });
        assert_eq!((&events[7]["part"], &events[8]["item"]), (&part, &item));
        assert_eq!(events[9]["response"], response);
        assert_eq!(
            (&response["output"], &response["status"]),
            (&json!([item]), &json!("completed"))
        );
        assert_eq!((&response["id"], &response["completed_at"]), (&json!("resp_s"), &json!(NOW)));
        let usage = json!({
            "input_tokens": 3, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 5,
        });
        assert_eq!(response["usage"], usage);
        assert_eq!(response["swarmllm"]["token_ids"], json!([10, 11]));
    }

    #[test]
    fn calls_follow_a_text_each_as_an_item() {
        let end = || TokenEvent::Part(ChatEvent::ToolCallEnd);
        let mut all = vec![content("ok")];
        all.extend(call(&["{\"a\":", "1}"]));
        all.push(end());
        all.extend(call(&["{}"]));
        all.extend([end(), finished(FinishReason::ToolCalls)]);
        let (events, response) = run(Style::default(), all);
        assert_eq!(
            names(&events[8..]),
            [
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "completed"
            ][1..]
        );
        let output = response["output"].as_array().expect("items");
        let first = json!({
            "id": "fc_so1", "type": "function_call", "status": "completed",
            "call_id": "call_so1", "name": "f", "arguments": "{\"a\":1}",
        });
        assert_eq!((output.len(), &output[1]), (3, &first));
        assert_eq!(output[2]["call_id"], "call_so2");
        let added = &events[8];
        assert_eq!((&added["output_index"], &added["item"]["arguments"]), (&json!(1), &json!("")));
        assert_eq!(events[11]["arguments"], "{\"a\":1}");
    }

    #[test]
    fn reasoning_is_an_item_of_its_own() {
        let said = [reasoning("h"), reasoning("m"), content("ok"), finished(FinishReason::Stop)];
        let (events, response) = run(Style::default(), said);
        assert_eq!(
            names(&events[2..9]),
            [
                "output_item.added",
                "content_part.added",
                "reasoning_text.delta",
                "reasoning_text.delta",
                "reasoning_text.done",
                "content_part.done",
                "output_item.done"
            ]
        );
        let item = json!({
            "id": "rs_so0", "type": "reasoning", "status": "completed", "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        });
        assert_eq!(response["output"][0], item);
        assert_eq!(response["output"][1]["content"][0]["text"], "ok");
    }

    #[test]
    fn a_summary_that_was_asked_for_shows_the_reasoning() {
        let style = Style { is_summarised: true, has_opaque_reasoning: true, ..Style::default() };
        let (events, response) =
            run(style, [reasoning("hm"), content("ok"), finished(FinishReason::Stop)]);
        assert_eq!(
            names(&events[2..8]),
            [
                "output_item.added",
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
                "output_item.done"
            ]
        );
        assert_eq!(events[4]["summary_index"], 0);
        let item = &response["output"][0];
        assert_eq!(item["summary"], json!([{"type": "summary_text", "text": "hm"}]));
        assert_eq!(item["encrypted_content"], opaque("hm"));
        assert!(item.get("content").is_none());
    }

    #[test]
    fn a_limit_makes_item_and_response_incomplete() {
        let (events, response) =
            run(Style::default(), [content("Hi"), finished(FinishReason::Length)]);
        assert_eq!(names(&events).last(), Some(&"incomplete"));
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
        assert_eq!(response["output"][0]["status"], "incomplete");
    }

    #[test]
    fn a_broken_call_ends_where_it_was_shown_and_is_text_where_not() {
        let broken = || TokenEvent::Part(ChatEvent::ToolCallBroken("<call>{\"a".into()));
        let mut all = call(&["{\"a"]);
        all.extend([broken(), finished(FinishReason::Stop)]);
        let (_, streamed) = run(Style::default(), all.clone());
        let item = &streamed["output"][0];
        assert_eq!((&item["status"], &item["arguments"]), (&json!("incomplete"), &json!("{\"a")));
        let (_, whole) = run(Style { is_whole: true, ..Style::default() }, all);
        assert_eq!(whole["output"].as_array().expect("items").len(), 1);
        assert_eq!(whole["output"][0]["content"][0]["text"], "<call>{\"a");
    }

    #[test]
    fn nothing_said_is_an_empty_text() {
        let (_, response) = run(Style::default(), [finished(FinishReason::Stop)]);
        assert_eq!(response["output"][0]["content"][0]["text"], "");
    }

    #[test]
    fn log_probabilities_come_with_their_text() {
        let token = |text: &str, log_probability: f32| TokenLogProbability {
            id: 1,
            bytes: text.as_bytes().to_vec(),
            log_probability,
        };
        let sampled = |text: &str| {
            let top = vec![token("x", f32::NEG_INFINITY)];
            TokenEvent::Sampled(SampledToken { token: token(text, -0.5), top })
        };
        let all = [
            sampled("t"),
            reasoning("t"),
            sampled("a"),
            sampled("b"),
            content("ab"),
            sampled("<end>"),
            finished(FinishReason::Stop),
        ];
        let (events, response) = run(Style::default(), all);
        let one = |text: &str| {
            let top = json!([{"token": "x", "bytes": [120], "logprob": -9999.0}]);
            json!({"token": text, "bytes": text.as_bytes(), "logprob": -0.5, "top_logprobs": top})
        };
        let expected = json!([one("a"), one("b")]);
        let is_delta = |event: &&Value| event["type"] == "response.output_text.delta";
        assert_eq!(events.iter().find(is_delta).expect("a delta")["logprobs"], expected);
        assert_eq!(response["output"][1]["content"][0]["logprobs"], expected);
    }

    #[test]
    fn a_failure_keeps_what_was_complete_and_names_its_kind() {
        let mut encoder = encoder(Style::default());
        encoder.start();
        encoder.push(reasoning("hm"), NOW);
        encoder.push(content("Hi"), NOW);
        let failed = encoder.fail(&GenerateError::new(ErrorKind::StageLost, "gone"));
        assert_eq!(failed["type"], "response.failed");
        let response = &failed["response"];
        assert_eq!(response["error"], json!({"code": "server_error", "message": "gone"}));
        assert_eq!((&response["status"], &response["output"][1]), (&json!("failed"), &Value::Null));
    }

    #[test]
    fn a_sign_of_life_repeats_that_it_is_under_way() {
        let mut encoder = encoder(Style::default());
        encoder.start();
        let sign = encoder.keep_alive();
        assert_eq!(sign["type"], "response.in_progress");
        assert_eq!(
            (&sign["sequence_number"], &sign["response"]["output"]),
            (&json!(2), &json!([]))
        );
    }
}
