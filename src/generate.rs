//! The dialect-free request and the events of its answer: what every door speaks to the node.
//!
//! Called by `http/`, `control/` and `cli/`; answered by `node.rs`. No dialect knows another: each
//! turns its body into a [`GenerateRequest`] and its own events out of [`TokenEvent`]s.
//! Units: tokens, milliseconds. Errors: [`GenerateError`], whose kind a door maps to its own code.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use swarmllm_models::chat_output::ChatEvent;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::{ids::RequestId, limits::PAGE_TOKENS};
use tokio::sync::mpsc;

/// What to generate from, before tokenisation.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// A conversation for the model's own template.
    Chat(Chat),
    /// Token ids, fed exactly so.
    Tokens(Vec<u32>),
    /// Plain text, encoded with the model's default specials.
    Text(String),
    /// What stands before and behind the text that is missing.
    Infill {
        /// Before it.
        prefix: String,
        /// Behind it.
        suffix: String,
    },
}

/// A conversation in the form that templates take, whichever dialect it came in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chat {
    /// JSON array of `{"role","content"}`, role `system`, `user`, `assistant` or `tool`, content a
    /// text or null. An assistant's may have `reasoning_content` and `tool_calls`
    /// (`[{"id","type":"function","function":{"name","arguments":{..}}}]`, arguments an object), a
    /// tool's has `tool_call_id` and `name`.
    pub messages: Value,
    /// Functions that may be called, as `{"type":"function","function":{"name","description",
    /// "parameters","strict"}}`; empty when there are none. Where one has `strict` true, calls
    /// follow the schemas of their functions even though nothing forces a call.
    pub tools: Vec<Value>,
    /// Whether they must be.
    pub tool_choice: ToolChoice,
    /// Only one call in an answer.
    pub single_call: bool,
    /// The last message is the assistant's and is to be continued.
    pub continue_last: bool,
    /// More variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

impl Chat {
    /// Messages and nothing else.
    pub fn of_messages(messages: Value) -> Chat {
        Chat { messages, ..Chat::default() }
    }
}

/// Whether an answer calls functions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// As the model sees fit.
    #[default]
    Auto,
    /// It does not, although it is told of them.
    None,
    /// At least one.
    Required,
    /// At least one of these.
    OneOf(Vec<String>),
}

/// What the text of an answer must follow; calls and reasoning are no part of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum AnswerFormat {
    /// Nothing.
    #[default]
    Text,
    /// It is a JSON object.
    JsonObject,
    /// It is JSON that is valid under this schema.
    JsonSchema(Value),
    /// It matches as a whole.
    Regex(String),
    /// It follows this Lark grammar from its rule `start`.
    Lark(String),
}

/// One request, whichever door it came through.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Name of a model this node knows.
    pub model: String,
    /// The prompt.
    pub prompt: Prompt,
    /// How a token is chosen; part of the one answer. Penalties look at the answer alone.
    pub sampling: SamplingParams,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// What the answer must follow.
    pub format: AnswerFormat,
    /// Report every token with its log-probability and those of so many likeliest ones.
    pub log_probabilities: Option<u8>,
    /// Go on behind tokens that end answers.
    pub ignores_end: bool,
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
    /// It must not leave the swarm: no provider in the cloud stands in.
    pub private: bool,
}

impl GenerateRequest {
    /// Greedy, free, as long as there is room.
    pub fn new(model: impl Into<String>, prompt: Prompt) -> GenerateRequest {
        GenerateRequest {
            model: model.into(),
            prompt,
            sampling: SamplingParams::default(),
            logit_bias: Vec::new(),
            format: AnswerFormat::Text,
            log_probabilities: None,
            ignores_end: false,
            max_tokens: None,
            stop: Vec::new(),
            client: String::new(),
            sample_of: None,
            deadline: None,
            private: false,
        }
    }
}

/// Texts whose embeddings are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// Name of a model this node knows.
    pub model: String,
    /// The texts.
    pub inputs: Vec<Prompt>,
    /// Which of the node's clients asks, if it says so.
    pub client: String,
}

/// Embeddings of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One vector of length 1 for each text, in order; as many values as the model's rows have.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub prompt_tokens: u32,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop text was reached.
    Stop,
    /// The token limit or the context was reached.
    Length,
    /// The model ended it after it called at least one function.
    ToolCalls,
}

/// One stage of the route that computed an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Every sampled token, the ending one included.
    pub token_ids: Vec<u32>,
    /// Of those, the ones that belong to reasoning.
    pub reasoning_tokens: u32,
    /// The stop text that ended it.
    pub stop_text: Option<String>,
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
    /// The provider in the cloud that answered instead of the swarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<CloudAnswer>,
}

impl Summary {
    /// Length of the answer in tokens, reasoning included, whoever computed it.
    pub fn completion_tokens(&self) -> u32 {
        let own = || u32::try_from(self.token_ids.len()).unwrap_or(u32::MAX);
        self.cloud.as_ref().map_or_else(own, |cloud| cloud.completion_tokens)
    }

    /// Tokens of the prompt that are new in the swarm's prefix cache.
    pub fn cache_write_tokens(&self) -> u32 {
        match self.cloud {
            None => cache_write_tokens(self.prompt_tokens, self.cached_tokens),
            Some(_) => 0,
        }
    }
}

/// Tokens of a prompt that are new in the prefix cache: those of whole pages.
pub fn cache_write_tokens(prompt_tokens: u32, cached_tokens: u32) -> u32 {
    (prompt_tokens - prompt_tokens % PAGE_TOKENS).saturating_sub(cached_tokens)
}

/// What a provider in the cloud says of its answer; the tokens of such an answer have no ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudAnswer {
    /// Id of the provider.
    pub provider: String,
    /// Its name for the model.
    pub model: String,
    /// Why it was asked: `named`, `no_route`, `busy` or `model_not_found`.
    pub reason: String,
    /// Its id of the request.
    pub request_id: Option<String>,
    /// Its word for why the answer ended.
    pub finish_reason: String,
    /// Length of the answer in its tokens.
    pub completion_tokens: u32,
    /// Whether it counted tokens itself; else they are an estimate from the length of the texts.
    pub usage_reported: bool,
    /// Tokens times list price, US dollars, where the price is known.
    pub cost_usd: Option<f64>,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenEvent {
    /// The prompt was accepted and has this many tokens.
    Started {
        /// Prompt length in tokens.
        prompt_tokens: u32,
    },
    /// Every stage has a place for it; the prompt is being read.
    Opened {
        /// Tokens of the prompt that every stage knew from before.
        cached_tokens: u32,
    },
    /// A token was sampled; its text, once its characters are whole, is in the parts that follow.
    /// Only where log-probabilities were asked for.
    Sampled(SampledToken),
    /// More of the answer: text, reasoning or a call. Whole characters, never empty.
    Part(ChatEvent),
    /// The end. Nothing follows.
    Finished(Box<Summary>),
}

/// A token that was sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledToken {
    /// The token.
    pub token: TokenLogProbability,
    /// The likeliest tokens there, best first.
    pub top: Vec<TokenLogProbability>,
}

/// A token with the natural logarithm of its probability, before bias, penalties and filters.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogProbability {
    /// Its id.
    pub id: u32,
    /// Its bytes; not always whole characters.
    pub bytes: Vec<u8>,
    /// At most 0.
    pub log_probability: f32,
}

/// A token of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptToken {
    /// What it prints.
    pub bytes: Vec<u8>,
    /// How likely it was behind those before it, where that was asked for; never of the first.
    pub scored: Option<SampledToken>,
}

/// What kind of failure, so that a door can choose its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No model of that name.
    ModelNotFound,
    /// Prompt and answer do not fit into the context.
    ContextLength,
    /// The request itself is wrong: its prompt, as far as is known.
    Invalid,
    /// What the answer must follow can't be followed.
    Grammar,
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
