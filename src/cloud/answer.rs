//! One answer of a provider: its stream as the same events that the swarm gives.
//!
//! Started by `fallback.rs` once the provider has begun to answer; runs as a task of the door's own
//! thread until the answer ends, fails, or nobody listens any more, which drops the connection.
//! Bounds: bytes of the whole stream, time without a byte, the requester's deadline. A stream that
//! is cut is an error, never a short answer. Where a provider counts no tokens, four bytes are
//! taken for one, and the summary says so.

use std::time::{Duration, Instant};

use reqwest::Response;
use swarmllm_models::chat_output::ChatEvent;
use swarmllm_protocol::ids::RequestId;
use tokio::sync::mpsc;

use super::client::quoted;
use super::decode::{DecodeError, Decoder, Ending, Usage};
use super::error::CloudError;
use super::fallback::{Held, Line, Pass, Reason};
use super::key::ApiKey;
use super::settings::Target;
use super::sse_parser::SseParser;
use crate::generate::{CloudAnswer, GenerateError, RouteStage, Summary, TokenEvent};

/// Longest stream of one answer.
const STREAM_MAX_BYTES: u64 = 64 << 20;
/// What a token is taken for where nobody counts.
const BYTES_PER_TOKEN: usize = 4;

pub(super) type Events = mpsc::Sender<Result<TokenEvent, GenerateError>>;

/// Tokens of a text of so many bytes, about.
pub(super) fn estimated_tokens(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

/// An answer under way. `H` is held as long as it lives.
pub(super) struct Answer<H> {
    pub(super) id: RequestId,
    pub(super) pass: Pass,
    pub(super) key: ApiKey,
    pub(super) target: Target,
    pub(super) reason: Reason,
    pub(super) began: Instant,
    pub(super) deadline: Option<Duration>,
    pub(super) prompt_estimate: u32,
    pub(super) events: Events,
    pub(super) held: H,
}

/// What was read so far.
struct Reading {
    decoder: Decoder,
    n_stream_bytes: u64,
    n_answer_bytes: usize,
    request_id: Option<String>,
    first_at: Option<Instant>,
}

impl Reading {
    fn answer_estimate(&self) -> u32 {
        estimated_tokens(self.n_answer_bytes)
    }
}

/// Why there is no summary.
enum Lost {
    /// Nobody listens any more.
    Door,
    Failed(CloudError),
}

impl From<CloudError> for Lost {
    fn from(error: CloudError) -> Lost {
        Lost::Failed(error)
    }
}

impl<H: Held> Answer<H> {
    /// Runs to the end.
    pub(super) async fn run(self, response: Response) {
        let id = ["x-request-id", "request-id"]
            .into_iter()
            .find_map(|name| response.headers().get(name)?.to_str().ok().map(str::to_owned));
        let mut reading = Reading {
            decoder: Decoder::new(self.line().provider.dialect),
            n_stream_bytes: 0,
            n_answer_bytes: 0,
            request_id: id,
            first_at: None,
        };
        let left = self.deadline.map(|all| all.saturating_sub(self.began.elapsed()));
        let relayed = tokio::select! {
            relayed = within(left, self.relay(&mut reading, response)) => relayed,
            () = self.events.closed() => Err(Lost::Door),
        };
        match relayed {
            Ok(()) => self.end(reading).await,
            Err(lost) => self.give_up(&reading, lost).await,
        }
    }

    fn line(&self) -> &Line {
        self.pass.line()
    }

    async fn relay(&self, reading: &mut Reading, mut response: Response) -> Result<(), Lost> {
        self.send(TokenEvent::Started { prompt_tokens: self.prompt_estimate }).await?;
        self.send(TokenEvent::Opened { cached_tokens: 0 }).await?;
        let provider = &self.line().provider;
        let mut parser = SseParser::default();
        while !reading.decoder.is_done() {
            let chunk = tokio::time::timeout(provider.timeouts.idle, response.chunk()).await;
            let chunk = chunk.map_err(|_| self.silent())?.map_err(|_| self.cut())?;
            let Some(chunk) = chunk else { return Ok(()) };
            reading.n_stream_bytes += chunk.len() as u64;
            if reading.n_stream_bytes > STREAM_MAX_BYTES {
                return Err(self.garbage("a stream without end".to_owned()).into());
            }
            let events = parser.push(&chunk).map_err(|error| self.garbage(error.to_string()))?;
            for event in events {
                let told = reading.decoder.push(&event.data).map_err(|error| self.unread(error))?;
                for event in told {
                    reading.n_answer_bytes += n_bytes(&event);
                    reading.first_at.get_or_insert_with(Instant::now);
                    self.send(event).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, event: TokenEvent) -> Result<(), Lost> {
        self.events.send(Ok(event)).await.map_err(|_| Lost::Door)
    }

    async fn end(self, mut reading: Reading) {
        let blank = Decoder::new(self.line().provider.dialect);
        let decoder = std::mem::replace(&mut reading.decoder, blank);
        let (last, ending, usage, id) = decoder.finish();
        let Some(ending) = ending else {
            let cut = Lost::Failed(self.cut());
            return self.give_up(&reading, cut).await;
        };
        reading.request_id = reading.request_id.or(id);
        for event in last {
            // The door may close right before the end; what was computed is paid for all the same.
            let _ = self.send(event).await;
        }
        let summary = self.summary(reading, ending, usage);
        let _ = self.send(TokenEvent::Finished(summary.into())).await;
        self.pass.succeeded();
    }

    fn summary(&self, reading: Reading, ending: Ending, usage: Usage) -> Summary {
        let completion_tokens = usage.answer.unwrap_or_else(|| reading.answer_estimate());
        let prompt_tokens = usage.prompt.unwrap_or(self.prompt_estimate);
        let cost_usd = self.book([prompt_tokens, completion_tokens]);
        let whole = self.began.elapsed();
        let ttft = reading.first_at.map_or(whole, |at| at - self.began);
        let decode_s = whole.saturating_sub(ttft).as_secs_f64();
        let decode_tok_s = match decode_s > 0.0 {
            true => f64::from(completion_tokens.saturating_sub(1)) / decode_s,
            false => 0.0,
        };
        tracing::info!(
            to = %self.target, reason = self.reason.word(), prompt_tokens, completion_tokens,
            cost_usd, "a provider in the cloud answered"
        );
        Summary {
            finish_reason: ending.reason,
            prompt_tokens,
            token_ids: Vec::new(),
            reasoning_tokens: usage.reasoning,
            stop_text: ending.stop_text,
            route: vec![RouteStage {
                peer: format!("cloud/{}", self.target),
                layers: [0, 0],
                compute_ms: 0.0,
                hop_ms: whole.as_secs_f64() * 1000.0,
                bytes_out: reading.n_stream_bytes,
            }],
            cached_tokens: usage.cached,
            preemptions: 0,
            cache: "unknown".to_owned(),
            queue_ms: 0.0,
            ttft_ms: ttft.as_secs_f64() * 1000.0,
            decode_tok_s,
            cloud: Some(CloudAnswer {
                provider: self.target.provider.clone(),
                model: self.target.model.clone(),
                reason: self.reason.word().to_owned(),
                request_id: reading.request_id,
                finish_reason: ending.word,
                completion_tokens,
                usage_reported: usage.prompt.is_some() && usage.answer.is_some(),
                cost_usd,
            }),
        }
    }

    /// Writes tokens of prompt and answer into the books; returns what they cost.
    fn book(&self, tokens: [u32; 2]) -> Option<f64> {
        let line = self.line();
        let cost_usd = line.provider.cost_usd(&self.target.model, tokens[0], tokens[1]);
        line.with(|books| books.ledger.answered(tokens, cost_usd));
        cost_usd
    }

    async fn give_up(self, reading: &Reading, lost: Lost) {
        // What was said until now is paid for.
        self.book([self.prompt_estimate, reading.answer_estimate()]);
        let Lost::Failed(error) = lost else { return };
        tracing::warn!(to = %self.target, %error, "an answer from the cloud ended early");
        let told = error.to_generate_error();
        self.pass.ended_with(&error);
        self.held.failed(self.id);
        // The door may be closed by now.
        let _ = self.events.send(Err(told)).await;
    }

    fn silent(&self) -> CloudError {
        let idle_s = self.line().provider.timeouts.idle.as_secs();
        CloudError::Silent { provider: self.target.provider.clone(), idle_s }
    }

    fn cut(&self) -> CloudError {
        CloudError::Cut { provider: self.target.provider.clone() }
    }

    fn garbage(&self, reason: String) -> CloudError {
        CloudError::Garbage { provider: self.target.provider.clone(), reason }
    }

    fn unread(&self, error: DecodeError) -> CloudError {
        match error {
            DecodeError::Malformed(what) => self.garbage(what.to_owned()),
            DecodeError::Reported(text) => CloudError::Refused {
                provider: self.target.provider.clone(),
                status: 0,
                message: quoted(&self.key, &text),
                retry_after_ms: None,
            },
        }
    }
}

/// Bytes of text that an event shows.
fn n_bytes(event: &TokenEvent) -> usize {
    match event {
        TokenEvent::Part(
            ChatEvent::Content(text)
            | ChatEvent::Reasoning(text)
            | ChatEvent::ToolCallBegin(text)
            | ChatEvent::ToolCallArguments(text),
        ) => text.len(),
        _ => 0,
    }
}

async fn within(
    left: Option<Duration>,
    relayed: impl Future<Output = Result<(), Lost>>,
) -> Result<(), Lost> {
    match left {
        None => relayed.await,
        Some(left) => match tokio::time::timeout(left, relayed).await {
            Ok(relayed) => relayed,
            Err(_) => Err(Lost::Failed(CloudError::DeadlinePassed)),
        },
    }
}
