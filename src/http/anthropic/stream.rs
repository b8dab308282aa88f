//! Sends the events of an answer in time: the first at once, and never too long a silence.
//!
//! Called by `mod.rs`. Whatever the encoder says is one piece of the body; when it has said nothing
//! for [`KEEP_ALIVE`], a sign of life goes out, also while the model reasons unseen. A refusal in
//! the first second has a status; a later failure is an `error` event, and the stream ends without
//! `message_stop`. Dropping the body drops the generation, which cancels it everywhere.

use std::time::Duration;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::{
        errors::ApiError,
        sse::{self, KEEP_ALIVE, SETTLE},
    },
    encoder::Encoder,
    errors, next_event,
};
use crate::generate::{GenerateError, GenerationStream, TokenEvent};

/// Begins a stream.
pub(super) async fn start(
    mut encoder: Encoder,
    mut generation: GenerationStream,
    request_id: &str,
) -> Result<HttpResponse, ApiError> {
    // A missing route shows itself at once; it deserves its status rather than an event.
    let early = match tokio::time::timeout(SETTLE, next_event(&mut generation)).await {
        Ok(Err(error)) => return Err(errors::of_generate(error)),
        Ok(Ok(TokenEvent::Opened { cached_tokens })) => {
            encoder.push(TokenEvent::Opened { cached_tokens });
            None
        }
        Ok(Ok(event)) => Some(event),
        Err(_) => None,
    };
    let mut first = encoder.start();
    first.extend(early.into_iter().flat_map(|event| encoder.push(event)));
    let sender = Sender {
        encoder,
        generation,
        request_id: request_id.to_owned(),
        keep_alive: KEEP_ALIVE,
        sent_at: Instant::now(),
    };
    Ok(sse::response().streaming(sender.bytes(first)))
}

/// What sends a stream.
struct Sender {
    encoder: Encoder,
    generation: GenerationStream,
    request_id: String,
    keep_alive: Duration,
    sent_at: Instant,
}

impl Sender {
    /// The body, these events first.
    fn bytes(self, first: Vec<Value>) -> impl Stream<Item = Result<Bytes, ApiError>> {
        stream::unfold((self, first), async |(mut sender, first)| {
            let events = if first.is_empty() { sender.next().await } else { first };
            match events.is_empty() {
                true => None,
                false => Some((Ok(named(&events)), (sender, Vec::new()))),
            }
        })
    }

    /// The next events that go out together; none at the end.
    async fn next(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while events.is_empty() && !self.encoder.is_over() {
            let silent_until = self.sent_at + self.keep_alive;
            events = tokio::select! {
                biased;
                () = tokio::time::sleep_until(silent_until) => self.encoder.keep_alive(),
                event = next_event(&mut self.generation) => self.encode(event),
            };
        }
        self.sent_at = Instant::now();
        events
    }

    fn encode(&mut self, event: Result<TokenEvent, GenerateError>) -> Vec<Value> {
        match event {
            Ok(event) => self.encoder.push(event),
            Err(error) => {
                let error = errors::of_generate(error);
                tracing::warn!(error = %error, "an answer ended early");
                self.encoder.fail(&error, &self.request_id)
            }
        }
    }
}

fn named(events: &[Value]) -> Bytes {
    let bytes: Vec<Bytes> = events
        .iter()
        .map(|event| sse::named_event(event["type"].as_str().unwrap_or("message"), event))
        .collect();
    bytes.concat().into()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use swarmllm_models::chat_output::ChatEvent;
    use swarmllm_protocol::ids::RequestId;
    use tokio::sync::mpsc;

    use super::{
        super::{
            encoder::{
                Answer,
                tests::{answer, summary},
            },
            request::Thinking,
        },
        *,
    };
    use crate::generate::{ErrorKind, FinishReason};

    type Events = mpsc::Sender<Result<TokenEvent, GenerateError>>;

    fn encoder(thinking: Thinking) -> Encoder {
        Encoder::new(Answer { thinking, ..answer(None) })
    }

    fn generation() -> (Events, GenerationStream) {
        let (sender, events) = mpsc::channel(16);
        (sender, GenerationStream { request: RequestId([1; 16]), events })
    }

    fn sender(keep_alive: Duration) -> (Events, Sender) {
        let (events, generation) = generation();
        let sender = Sender {
            encoder: encoder(Thinking::Shown),
            generation,
            request_id: "req_1".into(),
            keep_alive,
            sent_at: Instant::now(),
        };
        (events, sender)
    }

    fn types(events: &[Value]) -> Vec<&str> {
        events.iter().filter_map(|event| event["type"].as_str()).collect()
    }

    #[actix_web::test]
    async fn silence_is_filled_until_the_answer_comes() {
        let (events, mut sender) = sender(Duration::from_millis(1));
        let first = sender.next().await;
        assert_eq!(types(&first), ["ping", "content_block_start", "content_block_delta"]);
        let second = sender.next().await;
        assert_eq!(types(&second), ["ping", "content_block_delta"]);
        assert_eq!(
            second[1]["delta"],
            serde_json::json!({"type": "thinking_delta", "thinking": ""})
        );
        sender.keep_alive = Duration::from_secs(3600);
        let part = TokenEvent::Part(ChatEvent::Reasoning("2+2".into()));
        events.send(Ok(part)).await.expect("room");
        let thought = sender.next().await;
        assert_eq!(thought[0]["delta"]["thinking"], "2+2");
        events
            .send(Ok(TokenEvent::Finished(summary(FinishReason::Stop).into())))
            .await
            .expect("room");
        assert_eq!(types(&sender.next().await).last(), Some(&"message_stop"));
        assert!(sender.next().await.is_empty());
    }

    #[actix_web::test]
    async fn an_answer_that_fails_or_just_ends_says_so() {
        for failure in [Some(GenerateError::new(ErrorKind::StageLost, "gone")), None] {
            let (events, mut sender) = sender(KEEP_ALIVE);
            if let Some(failure) = failure {
                events.send(Err(failure)).await.expect("room");
            }
            drop(events);
            let last = sender.next().await;
            assert_eq!((types(&last), &last[0]["request_id"]), (vec!["error"], &"req_1".into()));
            assert!(sender.next().await.is_empty());
        }
    }

    #[actix_web::test]
    async fn a_refusal_before_the_first_token_has_a_status() {
        let (events, generation) = generation();
        let refusal = GenerateError::new(ErrorKind::NoRoute, "no route");
        events.send(Err(refusal)).await.expect("room");
        let error = start(encoder(Thinking::Off), generation, "r").await.expect_err("refused");
        assert_eq!(error.code, Some("no_route"));
    }

    #[actix_web::test]
    async fn every_event_is_named() {
        let (events, sender) = sender(KEEP_ALIVE);
        for event in [
            TokenEvent::Opened { cached_tokens: 32 },
            TokenEvent::Part(ChatEvent::Content("Hi".into())),
            TokenEvent::Finished(summary(FinishReason::Stop).into()),
        ] {
            events.send(Ok(event)).await.expect("room");
        }
        let first = sender.encoder.start();
        let body: Vec<_> = sender.bytes(first).map(|bytes| bytes.expect("bytes")).collect().await;
        let text = String::from_utf8(body.concat()).expect("UTF-8");
        let mut names = Vec::new();
        for event in text.split_terminator("\n\n") {
            let (name, data) = event.split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name");
            let data = data.strip_prefix("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(data["type"], name);
            names.push(name);
        }
        let expected = [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names, expected);
    }
}
