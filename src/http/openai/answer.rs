//! Runs the choices of one answer to its end: as one object, or as a stream of chunks.
//!
//! Called by `chat.rs` and `completions.rs`, whose choices say how their parts look; ids, order,
//! silence, usage and the end are the same for both. Every chunk of one answer has the same `id`
//! and `created`; the last chunk of a choice has its `finish_reason`, then come an optional usage
//! chunk and `[DONE]`. A stream that has nothing to say sends an empty piece of text every ten
//! seconds, so that no client takes silence for death, and a closed one is noticed.
//! Errors before the first event have a status; later ones are an `error` event, and the stream
//! ends without `[DONE]`. Dropping the body drops the generations, which cancels them everywhere.

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::objects::{Head, extension, timings};
use crate::{
    generate::{Summary, TokenEvent},
    http::{
        errors::ApiError,
        samples::Samples,
        sse::{self, KEEP_ALIVE},
    },
};

/// A choice that is told at its end.
pub(super) trait WholeChoice {
    /// `object` of the answer.
    const KIND: &'static str;
    /// More of it.
    fn take(&mut self, event: TokenEvent);
    /// How likely it is beside others to the same prompt.
    fn likelihood(&self) -> f32;
    /// The choice without its index.
    fn end(self, summary: &Summary) -> Value;
}

/// A choice that is told as it comes. Pieces are choices of chunks without index; `logprobs` and
/// `finish_reason` are null where they say nothing.
pub(super) trait StreamedChoice: 'static {
    /// `object` of every chunk.
    const KIND: &'static str;
    /// What comes before everything.
    fn first(&mut self) -> Option<Value>;
    /// More of it, if it shows.
    fn next(&mut self, event: TokenEvent) -> Option<Value>;
    /// Nothing, said.
    fn silence(&self) -> Value;
    /// The last piece.
    fn last(&mut self, summary: &Summary) -> Value;
}

/// Waits for all choices and tells them at once.
pub(super) async fn whole<C: WholeChoice>(
    head: &Head,
    mut samples: Samples,
    mut choices: Vec<C>,
) -> Result<HttpResponse, ApiError> {
    let mut summaries = vec![None; choices.len()];
    while let Some((index, event)) = samples.next().await {
        match event.map_err(|error| head.places.name(error))? {
            TokenEvent::Finished(summary) => summaries[index] = Some(summary),
            event => choices[index].take(event),
        }
    }
    // All have finished, or there was an error.
    let summaries: Vec<Summary> = summaries.into_iter().flatten().map(|one| *one).collect();
    let usage = head.usage(&summaries);
    let mut choices: Vec<(C, &Summary)> = choices.into_iter().zip(&summaries).collect();
    if head.n_told < head.n {
        choices = likeliest(choices, head);
    }
    let told = choices.into_iter().enumerate();
    let told = told.map(|(index, (choice, summary))| {
        let end = choice.end(summary);
        (indexed(index, end), summary)
    });
    Ok(HttpResponse::Ok().json(head.whole(C::KIND, told.collect(), usage)))
}

/// Those that are told of the choices to each prompt, best first.
fn likeliest<C: WholeChoice, S>(choices: Vec<(C, S)>, head: &Head) -> Vec<(C, S)> {
    let mut ranked: Vec<(usize, (C, S))> = choices.into_iter().enumerate().collect();
    let prompt = |index: usize| index / head.n.max(1);
    ranked.sort_by(|(a, (one, _)), (b, (other, _))| {
        let by_likelihood = other.likelihood().total_cmp(&one.likelihood());
        prompt(*a).cmp(&prompt(*b)).then(by_likelihood)
    });
    let of_prompts = ranked.into_iter().enumerate();
    let told = of_prompts.filter(|(rank, _)| rank % head.n.max(1) < head.n_told);
    told.map(|(_, (_, choice))| choice).collect()
}

/// Tells all choices as they come.
pub(super) async fn streamed<C: StreamedChoice>(
    head: Head,
    mut samples: Samples,
    choices: Vec<C>,
) -> Result<HttpResponse, ApiError> {
    // A missing route shows itself at once; it deserves its status rather than an event.
    let early = samples.settle().await.map_err(|error| head.places.name(error))?;
    let summaries = vec![None; choices.len()];
    let quiet_until = Instant::now();
    let state =
        Streamed { head, samples, choices, summaries, early, quiet_until, stage: Stage::Before };
    Ok(sse::response().streaming(stream::unfold(state, |mut state| async move {
        let bytes = state.bytes().await?;
        Some((Ok::<Bytes, ApiError>(bytes), state))
    })))
}

enum Stage {
    Before,
    Running,
    After,
}

/// A stream under way.
struct Streamed<C> {
    head: Head,
    samples: Samples,
    choices: Vec<C>,
    /// Of the choices that have finished.
    summaries: Vec<Option<Summary>>,
    /// Came before there was a stream.
    early: Option<(usize, TokenEvent)>,
    quiet_until: Instant,
    stage: Stage,
}

impl<C: StreamedChoice> Streamed<C> {
    async fn bytes(&mut self) -> Option<Bytes> {
        let bytes = match self.stage {
            Stage::After => return None,
            Stage::Before => {
                self.stage = Stage::Running;
                self.quiet_until = Instant::now() + KEEP_ALIVE;
                self.first()
            }
            Stage::Running => None,
        };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.more().await,
        };
        self.quiet_until = Instant::now() + KEEP_ALIVE;
        Some(bytes)
    }

    fn first(&mut self) -> Option<Bytes> {
        let firsts = self.choices.iter_mut().map(StreamedChoice::first);
        let firsts: Vec<Option<Value>> = firsts.collect();
        let chunks = firsts.into_iter().enumerate();
        let chunks = chunks.filter_map(|(index, piece)| Some(self.chunk(index, piece?)));
        let bytes = chunks.map(|chunk| sse::event(&chunk)).collect::<Vec<Bytes>>().concat();
        (!bytes.is_empty()).then(|| bytes.into())
    }

    /// Waits for something that shows.
    async fn more(&mut self) -> Bytes {
        loop {
            let event = match self.early.take() {
                Some((index, event)) => Some((index, Ok(event))),
                None => match timeout_at(self.quiet_until, self.samples.next()).await {
                    Ok(event) => event,
                    Err(_) => return self.silence(),
                },
            };
            match event {
                None => return self.end(),
                Some((_, Err(error))) => return self.failure(error.into()),
                Some((index, Ok(TokenEvent::Finished(summary)))) => {
                    return self.finished(index, *summary);
                }
                Some((index, Ok(event))) => {
                    if let Some(piece) = self.choices[index].next(event) {
                        return sse::event(&self.chunk(index, piece));
                    }
                }
            }
        }
    }

    fn chunk(&self, index: usize, piece: Value) -> Value {
        let choice = indexed(index, piece);
        let mut chunk = self.head.object(C::KIND, json!([choice]));
        if self.head.include_usage {
            chunk.insert("usage".to_owned(), Value::Null);
        }
        chunk.into()
    }

    fn silence(&self) -> Bytes {
        let open = self.summaries.iter().position(Option::is_none).unwrap_or(0);
        sse::event(&self.chunk(open, self.choices[open].silence()))
    }

    fn finished(&mut self, index: usize, summary: Summary) -> Bytes {
        let piece = self.choices[index].last(&summary);
        let mut last = self.chunk(index, piece);
        last["swarmllm"] = extension(&summary);
        last["timings"] = timings(&summary);
        self.summaries[index] = Some(summary);
        sse::event(&last)
    }

    /// The usage chunk when wanted, and the end marker.
    fn end(&mut self) -> Bytes {
        self.stage = Stage::After;
        if !self.head.include_usage {
            return sse::DONE;
        }
        let summaries: Vec<Summary> = self.summaries.iter().flatten().cloned().collect();
        let mut chunk = self.head.object(C::KIND, json!([]));
        chunk.insert("usage".to_owned(), self.head.usage(&summaries));
        [sse::event(&chunk.into()), sse::DONE].concat().into()
    }

    fn failure(&mut self, error: ApiError) -> Bytes {
        self.stage = Stage::After;
        tracing::warn!(error = %error, "an answer ended early");
        sse::event(&error.body())
    }
}

fn indexed(index: usize, piece: Value) -> Value {
    let mut choice = json!({"index": index, "logprobs": null, "finish_reason": null});
    if let (Value::Object(choice), Value::Object(piece)) = (&mut choice, piece) {
        choice.extend(piece);
    }
    choice
}

#[cfg(test)]
pub(super) mod testing {
    //! Answers to given events, for the tests of the dialects.

    use actix_web::body::to_bytes;
    use swarmllm_protocol::ids::RequestId;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        generate::{GenerateError, GenerationStream},
        http::errors::Places,
    };

    pub(in super::super) type Events = Vec<Result<TokenEvent, GenerateError>>;

    pub(in super::super) fn head(include_usage: bool) -> Head {
        let places = Places { length: "messages", prompt: "messages", rules: "tools" };
        let (id, model) = ("id-1".into(), "demo".into());
        Head { id, created: 7, model, include_usage, n: 1, n_told: 1, places }
    }

    async fn samples(answers: Vec<Events>) -> Samples {
        let mut streams = Vec::new();
        for answer in answers {
            let (sender, events) = mpsc::channel(64);
            for event in answer {
                sender.send(event).await.expect("room");
            }
            streams.push(GenerationStream { request: RequestId([1; 16]), events });
        }
        Samples::of(streams)
    }

    /// Data of each event of a stream with these answers.
    pub(in super::super) async fn stream_of<C: StreamedChoice>(
        head: Head,
        choices: Vec<C>,
        answers: Vec<Events>,
    ) -> Result<Vec<String>, ApiError> {
        let response = streamed(head, samples(answers).await, choices).await?;
        let bytes = to_bytes(response.into_body()).await.expect("a whole body");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let data = |event: &str| event.strip_prefix("data: ").expect("data line").to_owned();
        Ok(text.split_terminator("\n\n").map(data).collect())
    }

    /// The object of a whole answer.
    pub(in super::super) async fn whole_of<C: WholeChoice>(
        head: Head,
        choices: Vec<C>,
        answers: Vec<Events>,
    ) -> Result<Value, ApiError> {
        let response = whole(&head, samples(answers).await, choices).await?;
        let bytes = to_bytes(response.into_body()).await.expect("a whole body");
        Ok(serde_json::from_slice(&bytes).expect("JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        testing::{Events, head, stream_of},
        *,
    };
    use crate::{
        generate::{ErrorKind, GenerateError},
        http::openai::objects::a_summary,
    };

    /// Shows the prompt's length, and the end.
    struct Plain;

    impl StreamedChoice for Plain {
        const KIND: &'static str = "plain";

        fn first(&mut self) -> Option<Value> {
            None
        }

        fn next(&mut self, event: TokenEvent) -> Option<Value> {
            match event {
                TokenEvent::Opened { cached_tokens } => Some(json!({"cached": cached_tokens})),
                _ => None,
            }
        }

        fn silence(&self) -> Value {
            json!({"silent": true})
        }

        fn last(&mut self, _: &Summary) -> Value {
            json!({"finish_reason": "stop"})
        }
    }

    fn opened() -> Result<TokenEvent, GenerateError> {
        Ok(TokenEvent::Opened { cached_tokens: 4 })
    }

    async fn sent(include_usage: bool, events: Events) -> Result<Vec<String>, ApiError> {
        stream_of(head(include_usage), vec![Plain], vec![events]).await
    }

    fn json_of(data: &str) -> Value {
        serde_json::from_str(data).expect("JSON")
    }

    #[actix_web::test]
    async fn chunks_have_one_head_and_the_end_has_usage() {
        let started = Ok(TokenEvent::Started { prompt_tokens: 3 });
        let events = vec![started, opened(), Ok(TokenEvent::Finished(a_summary().into()))];
        let sent = sent(true, events).await.expect("a stream");
        assert_eq!((sent.len(), sent[3].as_str()), (4, "[DONE]"));
        let chunks: Vec<Value> = sent[..3].iter().map(|data| json_of(data)).collect();
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["created"]), (&json!("id-1"), &json!(7)));
            assert_eq!(chunk["object"], "plain");
        }
        let choice = json!({"index": 0, "logprobs": null, "finish_reason": null, "cached": 4});
        assert_eq!((&chunks[0]["choices"][0], &chunks[0]["usage"]), (&choice, &Value::Null));
        assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
        assert_eq!(chunks[1]["swarmllm"]["token_ids"], json!([10, 11]));
        assert_eq!(chunks[2]["choices"], json!([]));
        assert_eq!(chunks[2]["usage"]["total_tokens"], 5);
    }

    #[actix_web::test]
    async fn without_the_option_no_chunk_speaks_of_usage() {
        let sent = sent(false, vec![Ok(TokenEvent::Finished(a_summary().into()))]).await;
        let sent = sent.expect("a stream");
        assert_eq!((sent.len(), sent[1].as_str()), (2, "[DONE]"));
        assert_eq!(json_of(&sent[0]).get("usage"), None);
    }

    #[actix_web::test]
    async fn a_lost_stage_ends_the_stream_with_an_error_and_no_end_marker() {
        let lost = GenerateError::new(ErrorKind::StageLost, "gone");
        let sent = sent(false, vec![opened(), Err(lost)]).await.expect("a stream");
        assert_eq!(sent.len(), 2);
        assert_eq!(json_of(&sent[1])["error"]["code"], "stage_lost");
    }

    #[actix_web::test]
    async fn a_stream_that_just_ends_is_an_error_too() {
        let sent = sent(true, vec![opened()]).await.expect("a stream");
        assert_eq!(json_of(&sent[1])["error"]["code"], "internal_error");
    }

    #[actix_web::test]
    async fn a_refusal_before_the_first_token_has_a_status() {
        let refusal = Err(GenerateError::new(ErrorKind::NoRoute, "no route"));
        let started = Ok(TokenEvent::Started { prompt_tokens: 3 });
        let error = sent(false, vec![started, refusal]).await.expect_err("refused");
        assert_eq!((error.status.as_u16(), error.code), (503, Some("no_route")));
        let refusal = Err(GenerateError::new(ErrorKind::Grammar, "no such rules"));
        let error = sent(false, vec![refusal]).await.expect_err("refused");
        assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some("tools")));
    }

    #[actix_web::test]
    async fn silence_is_broken_in_a_choice_that_is_open() {
        let (_held, events) = tokio::sync::mpsc::channel(1);
        let request = swarmllm_protocol::ids::RequestId([1; 16]);
        let stream = crate::generate::GenerationStream { request, events };
        let mut state = Streamed {
            head: head(false),
            samples: Samples::of(vec![stream]),
            choices: vec![Plain, Plain],
            summaries: vec![Some(a_summary()), None],
            early: None,
            quiet_until: Instant::now(),
            stage: Stage::Running,
        };
        let bytes = state.bytes().await.expect("an event");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let chunk = json_of(text.strip_prefix("data: ").expect("data").trim_end());
        assert_eq!(chunk["choices"][0]["index"], 1);
        assert_eq!(chunk["choices"][0]["silent"], true);
        assert!(state.quiet_until > Instant::now());
    }
}
