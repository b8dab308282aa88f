//! `POST /v1/chat/completions`: the OpenAI chat dialect, whole or as a stream.
//!
//! Called by `server.rs`. `chat_request.rs` reads the body; this file turns token events into
//! `chat.completion` or `chat.completion.chunk` objects. Every chunk of one answer has the same
//! `id` and `created`; the first delta names the role, the last chunk the `finish_reason`, then an
//! optional usage chunk and `[DONE]`. While the model reads a long prompt an empty delta goes out
//! every ten seconds, so that no client takes silence for death, and a closed one is noticed.
//! Extension: the final object (of a stream: the last chunk of each choice) carries `swarmllm` with
//! `token_ids`, `route` and timings; with several choices a list of them, `samples`.
//! Errors before the first event have a status; later ones are an `error` event, and the stream
//! ends without `[DONE]`. Dropping the body drops the generation, which cancels it everywhere.
//! Source: OpenAI API reference, chat completions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::{HttpResponse, http::StatusCode, http::header, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    chat_request::{self, ChatRequest},
    errors::{ApiError, body_error},
    samples::Samples,
    server::random_hex,
    sse,
};
use crate::{
    generate::{FinishReason, GenerateError, Summary, TokenEvent},
    node::NodeHandle,
};

/// Longest silence of a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a stream waits for a refusal before it begins; there is nothing to show before anyway.
const SETTLE: Duration = Duration::from_secs(1);

/// What all objects of one answer have in common.
#[derive(Debug, Clone)]
struct Head {
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
}

/// POST /v1/chat/completions.
pub async fn chat_completions(
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| body_error(&error))?;
    let request = chat_request::parse(&body, random_seed()?)?;
    let ChatRequest { generate, n, stream, include_usage } = request;
    let head = Head {
        id: format!("chatcmpl-{}", random_hex::<12>()?),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        model: generate.model.clone(),
        include_usage,
    };
    let mut samples = Samples::start(&node, generate, n).await?;
    // The first event decides the status; after it nothing but the body can tell of a failure.
    let prompt_tokens = match samples.next().await {
        Some((_, Ok(TokenEvent::Started { prompt_tokens }))) => prompt_tokens,
        Some((_, Ok(_))) | None => return Err(cut_short()),
        Some((_, Err(error))) => return Err(error.into()),
    };
    let answer = Answer::new(head, prompt_tokens, samples);
    if !stream {
        return answer.whole().await;
    }
    answer.streamed().await
}

/// An answer under way.
struct Answer {
    head: Head,
    prompt_tokens: u32,
    samples: Samples,
    /// Of the samples that have finished.
    summaries: Vec<Option<Summary>>,
}

/// What comes next in a stream.
enum Next {
    /// The chunks that name the role, then this event when it is already there.
    Role(Answer, Option<Event>),
    /// This event.
    Early(Answer, Event),
    /// Whatever event arrives.
    Wait(Answer),
    /// Nothing.
    End,
}

type Event = Option<(usize, Result<TokenEvent, GenerateError>)>;

impl Answer {
    fn new(head: Head, prompt_tokens: u32, samples: Samples) -> Answer {
        let summaries = vec![None; samples.len()];
        Answer { head, prompt_tokens, samples, summaries }
    }

    async fn whole(mut self) -> Result<HttpResponse, ApiError> {
        let mut texts = vec![String::new(); self.samples.len()];
        while let Some((index, event)) = self.samples.next().await {
            match event? {
                TokenEvent::Part(ChatEvent::Content(piece)) => texts[index].push_str(&piece),
                TokenEvent::Finished(summary) => self.summaries[index] = Some(summary),
                _ => {}
            }
        }
        let summaries: Vec<Summary> = self.summaries.into_iter().flatten().collect();
        Ok(HttpResponse::Ok().json(completion(&self.head, self.prompt_tokens, &texts, &summaries)))
    }

    async fn streamed(mut self) -> Result<HttpResponse, ApiError> {
        // A missing route shows itself at once; it deserves its status rather than an event.
        let early = tokio::time::timeout(SETTLE, self.samples.next()).await;
        if let Ok(Some((_, Err(error)))) = early {
            return Err(error.into());
        }
        Ok(HttpResponse::Ok()
            .content_type("text/event-stream; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            // Tells a reverse proxy to pass each event on at once.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(stream::unfold(Next::Role(self, early.ok()), next_bytes)))
    }

    fn delta(&self, index: usize, delta: &Value) -> Bytes {
        sse::event(&chunk(&self.head, index, delta, None))
    }

    /// The bytes of an event, and what comes next.
    fn step(mut self, event: Event) -> (Bytes, Next) {
        let Some((index, event)) = event else {
            return (last_chunks(&self), Next::End);
        };
        match event {
            Ok(TokenEvent::Part(ChatEvent::Content(piece))) => {
                (self.delta(index, &json!({"content": piece})), Next::Wait(self))
            }
            Ok(
                TokenEvent::Started { .. }
                | TokenEvent::Opened { .. }
                | TokenEvent::Sampled(_)
                | TokenEvent::Part(_),
            ) => (self.delta(index, &json!({"content": ""})), Next::Wait(self)),
            Ok(TokenEvent::Finished(summary)) => {
                let reason = Some(finish_reason(summary.finish_reason));
                let mut last = chunk(&self.head, index, &json!({}), reason);
                last["swarmllm"] = extension(&summary);
                self.summaries[index] = Some(summary);
                (sse::event(&last), Next::Wait(self))
            }
            Err(error) => (failure(error.into()), Next::End),
        }
    }
}

/// One step of a streamed body. Dropping the body drops the answer in it.
async fn next_bytes(next: Next) -> Option<(Result<Bytes, ApiError>, Next)> {
    let (bytes, next) = match next {
        Next::End => return None,
        Next::Role(answer, early) => {
            let role = json!({"role": "assistant", "content": ""});
            let roles: Vec<Bytes> =
                (0..answer.samples.len()).map(|index| answer.delta(index, &role)).collect();
            let bytes = roles.concat().into();
            let next = match early {
                Some(event) => Next::Early(answer, event),
                None => Next::Wait(answer),
            };
            (bytes, next)
        }
        Next::Early(answer, event) => answer.step(event),
        Next::Wait(mut answer) => {
            match tokio::time::timeout(KEEP_ALIVE, answer.samples.next()).await {
                Ok(event) => answer.step(event),
                Err(_) => (answer.delta(0, &json!({"content": ""})), Next::Wait(answer)),
            }
        }
    };
    Some((Ok(bytes), next))
}

fn failure(error: ApiError) -> Bytes {
    tracing::warn!(error = %error, "an answer ended early");
    sse::event(&error.body())
}

fn cut_short() -> ApiError {
    let message = "the answer ended before its end; see the node's log and try again";
    ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

fn chunk(head: &Head, index: usize, delta: &Value, finish: Option<&str>) -> Value {
    let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
    chunk_of(head, json!([choice]))
}

fn chunk_of(head: &Head, choices: Value) -> Value {
    let mut chunk = Map::new();
    chunk.insert("id".to_owned(), head.id.as_str().into());
    chunk.insert("object".to_owned(), "chat.completion.chunk".into());
    chunk.insert("created".to_owned(), head.created.into());
    chunk.insert("model".to_owned(), head.model.as_str().into());
    chunk.insert("system_fingerprint".to_owned(), fingerprint());
    chunk.insert("choices".to_owned(), choices);
    if head.include_usage {
        chunk.insert("usage".to_owned(), Value::Null);
    }
    Value::Object(chunk)
}

/// The usage chunk when wanted, and the end marker.
fn last_chunks(answer: &Answer) -> Bytes {
    let mut bytes = Vec::new();
    if answer.head.include_usage {
        let summaries: Vec<Summary> = answer.summaries.iter().flatten().cloned().collect();
        let mut usage_chunk = chunk_of(&answer.head, json!([]));
        usage_chunk["usage"] = usage(answer.prompt_tokens, &summaries);
        bytes.extend_from_slice(&sse::event(&usage_chunk));
    }
    bytes.extend_from_slice(&sse::DONE);
    bytes.into()
}

fn completion(head: &Head, prompt_tokens: u32, texts: &[String], summaries: &[Summary]) -> Value {
    let choice = |(index, (text, summary)): (usize, (&String, &Summary))| {
        json!({
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": finish_reason(summary.finish_reason),
        })
    };
    let choices: Vec<Value> = texts.iter().zip(summaries).enumerate().map(choice).collect();
    let extension = match summaries {
        [one] => extension(one),
        several => json!({"samples": several.iter().map(extension).collect::<Vec<_>>()}),
    };
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": fingerprint(),
        "choices": choices,
        "usage": usage(prompt_tokens, summaries),
        "swarmllm": extension,
    })
}

/// The prompt counts once, however many answers there are.
fn usage(prompt_tokens: u32, summaries: &[Summary]) -> Value {
    let completion_tokens: u32 = summaries.iter().map(Summary::completion_tokens).sum();
    let prompt_tokens = summaries.first().map_or(prompt_tokens, |summary| summary.prompt_tokens);
    let cached_tokens = summaries.first().map_or(0, |summary| summary.cached_tokens);
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

fn extension(summary: &Summary) -> Value {
    json!({
        "token_ids": summary.token_ids,
        "route": summary.route,
        "cached_tokens": summary.cached_tokens,
        "preemptions": summary.preemptions,
        "cache": summary.cache,
        "queue_ms": summary.queue_ms,
        "ttft_ms": summary.ttft_ms,
        "decode_tok_s": summary.decode_tok_s,
        "cloud": summary.cloud,
    })
}

/// Changes when the arithmetic may have changed: same fingerprint and seed, same tokens.
fn fingerprint() -> Value {
    concat!("swarmllm-", env!("CARGO_PKG_VERSION")).into()
}

fn random_seed() -> Result<u64, ApiError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| no_randomness())?;
    Ok(u64::from_le_bytes(seed))
}

/// The system has no random bytes for us.
pub(super) fn no_randomness() -> ApiError {
    let message = "the system gave no random bytes; try again";
    ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::generate::{ErrorKind, GenerationStream};

    fn head(include_usage: bool) -> Head {
        Head { id: "chatcmpl-1".into(), created: 7, model: "demo".into(), include_usage }
    }

    fn summary() -> Summary {
        Summary {
            finish_reason: FinishReason::Stop,
            prompt_tokens: 3,
            token_ids: vec![10, 11],
            reasoning_tokens: 0,
            stop_text: None,
            route: Vec::new(),
            cached_tokens: 2,
            preemptions: 0,
            cache: "f16".to_owned(),
            queue_ms: 0.0,
            ttft_ms: 1.0,
            decode_tok_s: 2.0,
            cloud: None,
        }
    }

    fn answer_of(head: Head, events: mpsc::Receiver<Result<TokenEvent, GenerateError>>) -> Answer {
        let request = swarmllm_protocol::ids::RequestId([1; 16]);
        Answer::new(head, 3, Samples::of(GenerationStream { request, events }))
    }

    /// Data of each event of a stream fed with these events.
    async fn sent(
        include_usage: bool,
        events: Vec<Result<TokenEvent, GenerateError>>,
    ) -> Vec<String> {
        let (sender, receiver) = mpsc::channel(16);
        for event in events {
            sender.send(event).await.expect("room");
        }
        drop(sender);
        let answer = answer_of(head(include_usage), receiver);
        let body = stream::unfold(Next::Role(answer, None), next_bytes);
        let bytes: Vec<Bytes> = body.map(|bytes| bytes.expect("bytes")).collect().await;
        let text = String::from_utf8(bytes.concat()).expect("UTF-8");
        let data = |event: &str| event.strip_prefix("data: ").expect("data line").to_owned();
        text.split_terminator("\n\n").map(data).collect()
    }

    fn json_of(data: &str) -> Value {
        serde_json::from_str(data).expect("JSON")
    }

    #[actix_web::test]
    async fn a_stream_has_role_texts_reason_usage_and_end() {
        let events = vec![
            Ok(TokenEvent::Part(ChatEvent::Content("Hi ".into()))),
            Ok(TokenEvent::Part(ChatEvent::Content("you".into()))),
            Ok(TokenEvent::Finished(summary())),
        ];
        let sent = sent(true, events).await;
        assert_eq!(sent.len(), 6);
        assert_eq!(sent[5], "[DONE]");
        let chunks: Vec<Value> = sent[..5].iter().map(|data| json_of(data)).collect();
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["created"]), (&json!("chatcmpl-1"), &json!(7)));
            assert_eq!(chunk["object"], "chat.completion.chunk");
        }
        let delta = |i: usize| chunks[i]["choices"][0]["delta"].clone();
        assert_eq!(delta(0), json!({"role": "assistant", "content": ""}));
        assert_eq!((delta(1), delta(2)), (json!({"content": "Hi "}), json!({"content": "you"})));
        assert_eq!(delta(3), json!({}));
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
        assert_eq!(chunks[3]["swarmllm"]["token_ids"], json!([10, 11]));
        assert_eq!(chunks[3]["usage"], Value::Null);
        assert_eq!(chunks[4]["choices"], json!([]));
        assert_eq!(chunks[4]["usage"]["total_tokens"], 5);
    }

    #[actix_web::test]
    async fn without_the_option_no_chunk_speaks_of_usage() {
        let sent = sent(false, vec![Ok(TokenEvent::Finished(summary()))]).await;
        assert_eq!(sent.len(), 3);
        assert!(sent[..2].iter().all(|data| json_of(data).get("usage").is_none()));
    }

    #[actix_web::test]
    async fn a_lost_stage_ends_the_stream_with_an_error_and_no_end_marker() {
        let lost = GenerateError::new(ErrorKind::StageLost, "gone");
        let sent =
            sent(false, vec![Ok(TokenEvent::Part(ChatEvent::Content("a".into()))), Err(lost)])
                .await;
        let last = json_of(sent.last().expect("an event"));
        assert_eq!(last["error"]["code"], "stage_lost");
        assert!(!sent.contains(&"[DONE]".to_owned()));
    }

    #[actix_web::test]
    async fn a_refusal_before_the_first_token_has_a_status() {
        let (sender, receiver) = mpsc::channel(1);
        let refusal = GenerateError::new(ErrorKind::NoRoute, "no route");
        sender.send(Err(refusal)).await.expect("room");
        let answer = answer_of(head(false), receiver);
        let error = answer.streamed().await.expect_err("refused");
        assert_eq!((error.status, error.code), (StatusCode::SERVICE_UNAVAILABLE, Some("no_route")));
    }

    #[actix_web::test]
    async fn an_event_that_came_early_is_sent_after_the_role() {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(Ok(TokenEvent::Finished(summary()))).await.expect("room");
        let mut answer = answer_of(head(false), receiver);
        let early = answer.samples.next().await;
        let body = stream::unfold(Next::Role(answer, Some(early)), next_bytes);
        let bytes: Vec<_> = body.collect().await;
        assert_eq!(bytes.len(), 3);
        let last = bytes[2].as_ref().expect("bytes");
        assert!(last.ends_with(b"data: [DONE]\n\n"), "{last:?}");
    }

    #[actix_web::test]
    async fn a_stream_that_just_ends_is_an_error_too() {
        let sent = sent(false, vec![Ok(TokenEvent::Part(ChatEvent::Content("a".into())))]).await;
        assert_eq!(json_of(&sent[2])["error"]["code"], "internal_error");
    }

    #[test]
    fn a_whole_answer_has_the_shape_of_the_api() {
        let answer = completion(&head(false), 3, &["Hi".to_owned()], &[summary()]);
        assert_eq!(answer["object"], "chat.completion");
        let message = json!({"role": "assistant", "content": "Hi", "refusal": null});
        assert_eq!(answer["choices"][0]["message"], message);
        assert_eq!(answer["usage"]["completion_tokens"], 2);
    }
}
