//! The dialect-free request and the events of its answer: what every door speaks to the node.
//!
//! Called by `http/`, `control/` and `cli/`; answered by `node.rs`. No dialect knows another: each
//! turns its body into a [`GenerateRequest`] and its own events out of [`TokenEvent`]s.
//! Units: tokens, milliseconds. Errors: [`GenerateError`], whose kind a door maps to its own code.

use std::time::Duration;

use serde::Serialize;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::ids::RequestId;
use tokio::sync::mpsc;

/// What to generate from, before tokenisation.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Chat messages (and tools) for the model's own template.
    Chat {
        /// JSON array of messages, as the template sees them.
        messages: serde_json::Value,
        /// JSON array of tool definitions.
        tools: Option<serde_json::Value>,
    },
    /// Token ids, fed exactly so.
    Tokens(Vec<u32>),
    /// Plain text, encoded with the model's default specials.
    Text(String),
}

/// One request, whichever door it came through.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Name of a model this node knows.
    pub model: String,
    /// The prompt.
    pub prompt: Prompt,
    /// How a token is chosen; part of the one answer.
    pub sampling: SamplingParams,
    /// At most so many new tokens; the rest of the context when absent.
    pub max_tokens: Option<u32>,
    /// Texts that end the answer and are never part of it.
    pub stop: Vec<String>,
    /// Which of the node's clients asks, if it says so; clients share the node evenly.
    pub client: String,
    /// A running request with the same prompt: this is another sample of it.
    pub sample_of: Option<RequestId>,
    /// The answer is given up after so long.
    pub deadline: Option<Duration>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop text was reached.
    Stop,
    /// The token limit or the context was reached.
    Length,
}

/// One stage of the route that computed an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStage {
    /// Peer id of the stage.
    pub peer: String,
    /// Half-open layer range `[a, b]`.
    pub layers: [u32; 2],
    /// Sum of the stage's compute over the answer.
    pub compute_ms: f64,
    /// Sum of the time on the way from this stage to the next (or back to the requester).
    pub hop_ms: f64,
    /// Payload bytes this stage sent on.
    pub bytes_out: u64,
}

/// What is known at the end of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Every sampled token, the ending one included.
    pub token_ids: Vec<u32>,
    /// Who computed it.
    pub route: Vec<RouteStage>,
    /// Tokens of the prompt that every stage knew from before.
    pub cached_tokens: u32,
    /// How often its pages went to older requests and it was computed again.
    pub preemptions: u32,
    /// How keys and values were kept: `f16`, `f32` or `q8_0`.
    pub cache: String,
    /// From the request to a place at every stage.
    pub queue_ms: f64,
    /// From the request to its first token.
    pub ttft_ms: f64,
    /// New tokens per second after the first.
    pub decode_tok_s: f64,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenEvent {
    /// The prompt was accepted and has this many tokens.
    Started {
        /// Prompt length in tokens.
        prompt_tokens: u32,
    },
    /// More text; always whole characters, never empty.
    Text(String),
    /// The end. Nothing follows.
    Finished(Summary),
}

/// What kind of failure, so that a door can choose its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No model of that name.
    ModelNotFound,
    /// Prompt and answer do not fit into the context.
    ContextLength,
    /// The request itself is wrong.
    Invalid,
    /// Layers are missing in the swarm, or a stage refused.
    NoRoute,
    /// Too many requests wait already.
    Busy,
    /// A stage was lost on the way.
    StageLost,
    /// The time that was given is over.
    DeadlinePassed,
    /// Anything else.
    Internal,
}

/// A failed request; `message` says what happened and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GenerateError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What happened, why, what to do next.
    pub message: String,
    /// When trying again is likely to help.
    pub retry_after_s: Option<u32>,
}

impl GenerateError {
    /// A failure for which nobody can say when to try again.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> GenerateError {
        GenerateError { kind, message: message.into(), retry_after_s: None }
    }
}

/// An answer in progress. Dropping it cancels the generation everywhere.
#[derive(Debug)]
pub struct GenerationStream {
    /// Number of the request, by which further samples of its prompt name it.
    pub request: RequestId,
    /// Events in order; the channel ends after `Finished` or an error.
    pub events: mpsc::Receiver<Result<TokenEvent, GenerateError>>,
}
