//! Writes an answer of `/api/chat` or `/api/generate`, whole or as lines of JSON.
//!
//! Called by `mod.rs`. A line is one object; the last one has `done: true`, why it ended, counts
//! and times in nanoseconds. A tool call is written when it is complete, for this dialect has no
//! pieces of calls. While the model reads a long prompt an empty line goes out now and then.
//! Dropping the body drops the generation, which cancels it everywhere.

use std::time::{Instant, SystemTime};

use actix_web::{HttpResponse, http::StatusCode};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    super::{
        errors::ApiError,
        sse::{KEEP_ALIVE, SETTLE},
    },
    catalogue::rfc3339,
};
use crate::generate::{FinishReason, GenerateError, GenerationStream, Summary, TokenEvent};

/// Which route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `message`, with a role.
    Chat,
    /// `response`, a text.
    Generate,
}

/// What an answer, or a piece of it, says.
#[derive(Debug, Default)]
struct Said {
    content: String,
    thinking: String,
    calls: Vec<Value>,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.thinking.is_empty() && self.calls.is_empty()
    }
}

/// Puts the pieces of calls together.
#[derive(Debug, Default)]
struct Calls {
    name: String,
    arguments: String,
    n_ended: usize,
}

impl Calls {
    fn take(&mut self, event: ChatEvent, said: &mut Said) {
        match event {
            ChatEvent::Content(text) | ChatEvent::ToolCallBroken(text) => {
                said.content.push_str(&text);
            }
            ChatEvent::Reasoning(text) => said.thinking.push_str(&text),
            ChatEvent::ToolCallBegin(name) => {
                self.name = name;
                self.arguments.clear();
            }
            ChatEvent::ToolCallArguments(piece) => self.arguments.push_str(&piece),
            ChatEvent::ToolCallEnd => {
                let arguments: Value = serde_json::from_str(&self.arguments).unwrap_or_default();
                said.calls.push(json!({"function": {
                    "index": self.n_ended, "name": self.name, "arguments": arguments,
                }}));
                self.n_ended += 1;
            }
        }
    }
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    model: String,
    shape: Shape,
    began: Instant,
    generation: GenerationStream,
    calls: Calls,
}

/// What comes next in a stream.
enum Next {
    /// This event is there already.
    Early(Answer, Event),
    /// Whatever event arrives.
    Wait(Answer),
    /// Nothing.
    End,
}

type Event = Option<Result<TokenEvent, GenerateError>>;

impl Answer {
    /// The answer of a generation that was asked for at `began`.
    pub(super) fn new(
        model: String,
        shape: Shape,
        began: Instant,
        generation: GenerationStream,
    ) -> Answer {
        Answer { model, shape, began, generation, calls: Calls::default() }
    }

    /// All of it in one object.
    pub(super) async fn whole(mut self) -> Result<HttpResponse, ApiError> {
        let mut said = Said::default();
        while let Some(event) = self.generation.events.recv().await {
            match event? {
                TokenEvent::Part(part) => self.calls.take(part, &mut said),
                TokenEvent::Finished(summary) => {
                    return Ok(HttpResponse::Ok().json(self.last(said, &summary)));
                }
                _ => {}
            }
        }
        Err(cut_short())
    }

    /// Line by line; a refusal that comes soon has a status.
    pub(super) async fn streamed(mut self) -> Result<HttpResponse, ApiError> {
        let settled = Instant::now() + SETTLE;
        let early = loop {
            let next = tokio::time::timeout_at(settled.into(), self.generation.events.recv());
            match next.await {
                Ok(Some(Ok(TokenEvent::Started { .. } | TokenEvent::Opened { .. }))) => {}
                Ok(Some(Err(error))) => return Err(error.into()),
                Ok(event) => break Next::Early(self, event),
                Err(_) => break Next::Wait(self),
            }
        };
        Ok(HttpResponse::Ok()
            .content_type("application/x-ndjson")
            .streaming(stream::unfold(early, next_line)))
    }

    /// The lines of an event, and what comes next.
    fn step(mut self, event: Event) -> (Bytes, Next) {
        let mut said = Said::default();
        match event {
            Some(Ok(TokenEvent::Part(part))) => self.calls.take(part, &mut said),
            Some(Ok(TokenEvent::Finished(summary))) => {
                return (line(&self.last(said, &summary)), Next::End);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return (failure(&error.message), Next::End),
            None => return (failure(&cut_short().message), Next::End),
        }
        // Pieces of a call are nothing to show yet.
        let bytes = match said.is_empty() {
            true => Bytes::new(),
            false => line(&Value::Object(self.object(said, false))),
        };
        (bytes, Next::Wait(self))
    }

    fn object(&self, said: Said, done: bool) -> Map<String, Value> {
        object(&self.model, self.shape, said, done)
    }

    fn last(&self, said: Said, summary: &Summary) -> Value {
        let mut last = self.object(said, true);
        let mut add = |name: &str, value: Value| last.insert(name.to_owned(), value);
        let reason = match summary.finish_reason {
            FinishReason::Stop | FinishReason::ToolCalls => "stop",
            FinishReason::Length => "length",
        };
        let n_tokens = summary.completion_tokens();
        let decode_s = match summary.decode_tok_s {
            rate if rate > 0.0 => f64::from(n_tokens.saturating_sub(1)) / rate,
            _ => 0.0,
        };
        add("done_reason", reason.into());
        add("total_duration", nanoseconds(self.began.elapsed().as_secs_f64()));
        add("load_duration", nanoseconds(summary.queue_ms / 1e3));
        add("prompt_eval_count", summary.prompt_tokens.into());
        add("prompt_eval_duration", nanoseconds((summary.ttft_ms - summary.queue_ms) / 1e3));
        add("eval_count", n_tokens.into());
        add("eval_duration", nanoseconds(decode_s));
        Value::Object(last)
    }
}

/// One step of a streamed body. Dropping the body drops the answer in it.
async fn next_line(mut next: Next) -> Option<(Result<Bytes, ApiError>, Next)> {
    loop {
        let (bytes, then) = match next {
            Next::End => return None,
            Next::Early(answer, event) => answer.step(event),
            Next::Wait(mut answer) => {
                match tokio::time::timeout(KEEP_ALIVE, answer.generation.events.recv()).await {
                    Ok(event) => answer.step(event),
                    Err(_) => {
                        let empty = answer.object(Said::default(), false);
                        (line(&Value::Object(empty)), Next::Wait(answer))
                    }
                }
            }
        };
        if !bytes.is_empty() {
            return Some((Ok(bytes), then));
        }
        next = then;
    }
}

/// The answer to whoever asks nothing but that the model be loaded, or let go of: both are no-ops.
pub(super) fn of_nothing(model: &str, shape: Shape, unloads: bool) -> HttpResponse {
    let mut answer = object(model, shape, Said::default(), true);
    let reason = if unloads { "unload" } else { "load" };
    answer.insert("done_reason".to_owned(), reason.into());
    HttpResponse::Ok().json(answer)
}

fn object(model: &str, shape: Shape, said: Said, done: bool) -> Map<String, Value> {
    let mut object = Map::new();
    let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
    add("model", model.into());
    add("created_at", rfc3339(SystemTime::now()).into());
    let Said { content, thinking, calls } = said;
    match shape {
        Shape::Generate => {
            add("response", content.into());
            if !thinking.is_empty() {
                add("thinking", thinking.into());
            }
        }
        Shape::Chat => {
            let mut message = json!({"role": "assistant", "content": content});
            if !thinking.is_empty() {
                message["thinking"] = thinking.into();
            }
            if !calls.is_empty() {
                message["tool_calls"] = calls.into();
            }
            add("message", message);
        }
    }
    add("done", done.into());
    object
}

/// At least one, for clients divide by it.
pub(super) fn nanoseconds(seconds: f64) -> Value {
    ((seconds * 1e9) as u64).max(1).into()
}

/// One line of a stream.
pub(super) fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn failure(message: &str) -> Bytes {
    tracing::warn!(error = message, "an answer ended early");
    line(&json!({"error": message}))
}

fn cut_short() -> ApiError {
    let message = "the answer ended before its end; see the node's log and try again";
    ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use swarmllm_protocol::ids::RequestId;
    use tokio::sync::mpsc;

    use super::*;
    use crate::generate::ErrorKind;

    fn summary() -> Summary {
        Summary {
            finish_reason: FinishReason::ToolCalls,
            prompt_tokens: 3,
            token_ids: vec![10, 11, 12],
            reasoning_tokens: 0,
            stop_text: None,
            route: Vec::new(),
            cached_tokens: 0,
            preemptions: 0,
            cache: "f16".to_owned(),
            queue_ms: 1.0,
            ttft_ms: 3.0,
            decode_tok_s: 4.0,
            cloud: None,
        }
    }

    fn answer(shape: Shape, events: Vec<Result<TokenEvent, GenerateError>>) -> Answer {
        let (sender, receiver) = mpsc::channel(16);
        for event in events {
            sender.try_send(event).expect("room");
        }
        let generation = GenerationStream { request: RequestId([1; 16]), events: receiver };
        Answer::new("m".to_owned(), shape, Instant::now(), generation)
    }

    async fn lines(answer: Answer) -> Vec<Value> {
        let body = stream::unfold(Next::Wait(answer), next_line);
        let bytes: Vec<Bytes> = body.map(|bytes| bytes.expect("bytes")).collect().await;
        let text = String::from_utf8(bytes.concat()).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn part(event: ChatEvent) -> Result<TokenEvent, GenerateError> {
        Ok(TokenEvent::Part(event))
    }

    #[actix_web::test]
    async fn a_chat_is_lines_of_messages_and_a_last_one_with_times() {
        let events = vec![
            Ok(TokenEvent::Started { prompt_tokens: 3 }),
            part(ChatEvent::Reasoning("hm".into())),
            part(ChatEvent::Content("Hi".into())),
            part(ChatEvent::ToolCallBegin("f".into())),
            part(ChatEvent::ToolCallArguments("{\"a\":".into())),
            part(ChatEvent::ToolCallArguments("1}".into())),
            part(ChatEvent::ToolCallEnd),
            Ok(TokenEvent::Finished(summary().into())),
        ];
        let lines = lines(answer(Shape::Chat, events)).await;
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["message"]["thinking"], "hm");
        assert_eq!(lines[1]["message"], json!({"role": "assistant", "content": "Hi"}));
        let call = &lines[2]["message"]["tool_calls"][0]["function"];
        assert_eq!((&call["name"], &call["arguments"]), (&json!("f"), &json!({"a": 1})));
        let last = &lines[3];
        assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
        assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(3), &json!(3)));
        assert_eq!(last["prompt_eval_duration"], 2_000_000);
        assert_eq!(last["eval_duration"], 500_000_000);
        assert!(lines.iter().all(|line| line["model"] == "m"));
    }

    #[actix_web::test]
    async fn a_lost_stage_is_the_last_line() {
        let lost = GenerateError::new(ErrorKind::StageLost, "gone");
        let events = vec![part(ChatEvent::Content("a".into())), Err(lost)];
        let lines = lines(answer(Shape::Generate, events)).await;
        assert_eq!((&lines[0]["response"], &lines[0]["done"]), (&json!("a"), &json!(false)));
        assert_eq!(lines[1], json!({"error": "gone"}));
        assert_eq!(lines.len(), 2);
    }

    #[actix_web::test]
    async fn a_refusal_has_a_status() {
        let refusal = GenerateError::new(ErrorKind::NoRoute, "no route");
        let events = vec![Ok(TokenEvent::Started { prompt_tokens: 1 }), Err(refusal)];
        let error = answer(Shape::Chat, events).streamed().await.expect_err("refused");
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn broken_calls_are_content() {
        let mut calls = Calls::default();
        let mut said = Said::default();
        calls.take(ChatEvent::ToolCallBegin("f".into()), &mut said);
        calls.take(ChatEvent::ToolCallBroken("<tool>f(".into()), &mut said);
        assert_eq!((said.content.as_str(), said.calls.len()), ("<tool>f(", 0));
    }
}
