//! Sends a response: as one object, or as events while it grows.
//!
//! Called by `mod.rs`. An event is named by its `type`; the stream ends behind the last one,
//! without a marker. While the model reads a long prompt a sign of life goes out every ten seconds.
//! Errors before the first event have a status; later ones are `response.failed`. A finished
//! response is kept before its last event goes out, so that it can be gone on with at once.
//! Dropping the body drops the generation, which cancels it everywhere.

use std::time::Duration;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use super::encoder::Encoder;
use super::store::Item;
use super::{ResponseStore, now_unix_s};
use crate::generate::{ErrorKind, GenerateError, GenerationStream, TokenEvent};
use crate::http::errors::{ApiError, Places};
use crate::http::sse::{self, KEEP_ALIVE, SETTLE};

/// Where a finished response is kept, and what its model read.
#[derive(Debug)]
pub(super) struct Keep {
    pub(super) store: ResponseStore,
    pub(super) items: Vec<Item>,
}

/// A response under way.
#[derive(Debug)]
pub(super) struct Answer {
    generation: GenerationStream,
    encoder: Encoder,
    keep: Option<Keep>,
    /// Where the node may find a mistake.
    places: Places,
    /// Longest silence of its stream.
    silence: Duration,
}

/// What comes next in a stream.
enum Next {
    /// The first events, then this one when it is already there.
    Start(Answer, Option<Event>),
    /// Whatever event arrives.
    Wait(Answer),
    /// Nothing.
    End,
}

type Event = Result<TokenEvent, GenerateError>;

impl Answer {
    pub(super) fn new(
        generation: GenerationStream,
        encoder: Encoder,
        keep: Option<Keep>,
        places: Places,
    ) -> Answer {
        Answer { generation, encoder, keep, places, silence: KEEP_ALIVE }
    }

    pub(super) async fn whole(mut self) -> Result<HttpResponse, ApiError> {
        while !self.encoder.is_finished() {
            let event = self.next().await.map_err(|error| self.places.name(error))?;
            self.push(event);
        }
        Ok(HttpResponse::Ok().json(self.encoder.response()))
    }

    pub(super) async fn streamed(mut self) -> Result<HttpResponse, ApiError> {
        // The first event says whether the prompt fits. A missing route shows itself at once
        // behind it; it deserves its status rather than an event.
        let first = self.next().await.map_err(|error| self.places.name(error))?;
        self.push(first);
        let early = tokio::time::timeout(SETTLE, self.next()).await.ok();
        if let Some(Err(error)) = early {
            return Err(self.places.name(error));
        }
        let body = stream::unfold(Next::Start(self, early), next_bytes);
        Ok(sse::response().streaming(body))
    }

    /// The next event; an answer that just ends is an error.
    async fn next(&mut self) -> Event {
        self.generation.events.recv().await.unwrap_or_else(|| {
            let message = "the answer ended before its end; see the node's log and try again";
            Err(GenerateError::new(ErrorKind::Internal, message))
        })
    }

    fn push(&mut self, event: TokenEvent) -> Vec<Value> {
        let events = self.encoder.push(event, now_unix_s());
        if self.encoder.is_finished()
            && let Some(keep) = self.keep.take()
        {
            let response = self.encoder.response();
            keep.store.insert(response["id"].as_str().unwrap_or_default(), response, keep.items);
        }
        events
    }

    /// The events of an event, and what comes next.
    fn step(mut self, event: Event) -> (Vec<Value>, Next) {
        match event {
            Ok(event) => {
                let events = self.push(event);
                let is_finished = self.encoder.is_finished();
                (events, if is_finished { Next::End } else { Next::Wait(self) })
            }
            Err(error) => {
                tracing::warn!(%error, "an answer ended early");
                (vec![self.encoder.fail(&error)], Next::End)
            }
        }
    }
}

/// One step of a streamed body, never empty. Dropping the body drops the answer in it.
async fn next_bytes(mut next: Next) -> Option<(Result<Bytes, ApiError>, Next)> {
    loop {
        let events;
        (events, next) = match next {
            Next::End => return None,
            Next::Start(mut answer, early) => {
                let mut events = answer.encoder.start();
                match early {
                    None => (events, Next::Wait(answer)),
                    Some(event) => {
                        let (more, next) = answer.step(event);
                        events.extend(more);
                        (events, next)
                    }
                }
            }
            Next::Wait(mut answer) => {
                match tokio::time::timeout(answer.silence, answer.next()).await {
                    Ok(event) => answer.step(event),
                    Err(_) => (vec![answer.encoder.keep_alive()], Next::Wait(answer)),
                }
            }
        };
        if !events.is_empty() {
            return Some((
                Ok(events.iter().map(bytes_of).collect::<Vec<_>>().concat().into()),
                next,
            ));
        }
    }
}

fn bytes_of(event: &Value) -> Bytes {
    sse::named_event(event["type"].as_str().unwrap_or_default(), event)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use serde_json::Map;
    use swarmllm_models::chat_output::ChatEvent;
    use swarmllm_protocol::ids::RequestId;
    use tokio::sync::mpsc;

    use super::super::encoder::{Head, Style};
    use super::*;

    fn answer_of(events: mpsc::Receiver<Event>) -> Answer {
        let head =
            Head { suffix: "s".into(), created_at: 7, model: "demo".into(), echo: Map::new() };
        let generation = GenerationStream { request: RequestId([1; 16]), events };
        let encoder = Encoder::new(head, Style::default());
        Answer::new(generation, encoder, None, Places::all("input"))
    }

    #[actix_web::test]
    async fn a_refusal_before_the_first_token_has_a_status() {
        for started in [true, false] {
            let (sender, receiver) = mpsc::channel(2);
            if started {
                let event = TokenEvent::Started { prompt_tokens: 3 };
                sender.send(Ok(event)).await.expect("room");
            }
            let long = GenerateError::new(ErrorKind::ContextLength, "too long");
            sender.send(Err(long)).await.expect("room");
            let error = answer_of(receiver).streamed().await.expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some("input")));
            assert_eq!(error.code, Some("context_length_exceeded"));
        }
    }

    #[actix_web::test]
    async fn a_stream_that_just_ends_has_failed_and_every_event_is_named_by_its_type() {
        let (sender, receiver) = mpsc::channel(2);
        let text = TokenEvent::Part(ChatEvent::Content("a".into()));
        sender.send(Ok(TokenEvent::Opened { cached_tokens: 0 })).await.expect("room");
        sender.send(Ok(text)).await.expect("room");
        drop(sender);
        let body = stream::unfold(Next::Start(answer_of(receiver), None), next_bytes);
        let bytes: Vec<Bytes> = body.map(|bytes| bytes.expect("bytes")).collect().await;
        assert!(bytes.iter().all(|bytes| !bytes.is_empty()));
        let text = String::from_utf8(bytes.concat()).expect("UTF-8");
        let mut names = Vec::new();
        for event in text.split_terminator("\n\n") {
            let (name, data) = event.split_once('\n').expect("two lines");
            let data = data.strip_prefix("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            assert_eq!(data["type"], name.as_str());
            names.push(name);
        }
        assert_eq!(names.first().map(String::as_str), Some("response.created"));
        assert_eq!(names.last().map(String::as_str), Some("response.failed"));
    }

    #[actix_web::test]
    async fn a_silent_stream_shows_a_sign_of_life() {
        let (sender, receiver) = mpsc::channel(1);
        let answer = Answer { silence: Duration::from_millis(1), ..answer_of(receiver) };
        let mut body = Box::pin(stream::unfold(Next::Wait(answer), next_bytes));
        for _ in 0..2 {
            let bytes = body.next().await.expect("an event").expect("bytes");
            assert!(bytes.starts_with(b"event: response.in_progress\n"), "{bytes:?}");
        }
        drop(sender);
    }
}
