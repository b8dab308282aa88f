//! Shapes of the Ollama API. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

use super::TextOrTexts;

/// A refusal in the form of the Ollama API.
#[derive(ToSchema)]
pub(in super::super) struct OllamaErrorBody {
    /// What happened, why, and what to do next.
    error: String,
}

/// A conversation to be answered.
#[derive(ToSchema)]
pub(in super::super) struct OllamaChatRequest {
    /// Name of a model, with or without `:latest`.
    model: String,
    /// `{"role", "content"}` objects, oldest first; none to load the model.
    #[schema(value_type = Option<Vec<Object>>)]
    messages: Option<Vec<Value>>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// `"json"` or a JSON schema.
    format: Option<Value>,
    options: Option<OllamaOptions>,
    /// Whether to reason, or how much: `"low"`, `"medium"`, `"high"`.
    think: Option<Value>,
    /// How long the model is kept in memory, which is for good: seconds, or a text such as `10m`.
    keep_alive: Option<Value>,
    /// Answer as lines; true when absent.
    stream: Option<bool>,
}

/// A prompt to be answered.
#[derive(ToSchema)]
pub(in super::super) struct OllamaGenerateRequest {
    /// Name of a model, with or without `:latest`.
    model: String,
    /// The prompt; none to load the model.
    prompt: Option<String>,
    /// What stands behind the text that is missing.
    suffix: Option<String>,
    /// What stands in front of the conversation.
    system: Option<String>,
    /// Give the prompt to the model as it is.
    raw: Option<bool>,
    /// `"json"` or a JSON schema.
    format: Option<Value>,
    options: Option<OllamaOptions>,
    /// Whether to reason, or how much: `"low"`, `"medium"`, `"high"`.
    think: Option<Value>,
    /// How long the model is kept in memory, which is for good: seconds, or a text such as `10m`.
    keep_alive: Option<Value>,
    /// Answer as lines; true when absent.
    stream: Option<bool>,
}

/// How tokens are chosen; options of runners are ignored.
#[derive(ToSchema)]
struct OllamaOptions {
    /// From 0 to 2; 0.8 when absent.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// 40 when absent.
    top_k: Option<i64>,
    /// 0.9 when absent.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f64>,
    /// The same seed gives the same answer.
    seed: Option<i64>,
    /// Most tokens of the answer; from zero down there is no limit.
    num_predict: Option<i64>,
    /// Up to 64 texts that end the answer.
    stop: Option<TextOrTexts>,
    /// Above 0, up to 10.
    #[schema(minimum = 0.01, maximum = 10)]
    repeat_penalty: Option<f64>,
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f64>,
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f64>,
}

/// An answer, or one line of it.
#[derive(ToSchema)]
pub(in super::super) struct OllamaAnswer {
    model: String,
    created_at: String,
    /// Of `/api/generate`.
    #[schema(required = false, nullable = false)]
    response: Option<String>,
    /// Of `/api/chat`: `{"role", "content", "thinking", "tool_calls"}`.
    #[schema(value_type = Object, required = false)]
    message: Value,
    /// Whether it is the last line, which has counts and times.
    done: bool,
    /// `stop`, `length`, `load` or `unload`.
    #[schema(required = false, nullable = false)]
    done_reason: Option<String>,
    /// Nanoseconds from the request to its end.
    #[schema(required = false, nullable = false)]
    total_duration: Option<u64>,
    /// Of those, in the queue.
    #[schema(required = false, nullable = false)]
    load_duration: Option<u64>,
    /// Tokens of the prompt.
    #[schema(required = false, nullable = false)]
    prompt_eval_count: Option<u32>,
    /// Nanoseconds in which they were read.
    #[schema(required = false, nullable = false)]
    prompt_eval_duration: Option<u64>,
    /// Tokens of the answer.
    #[schema(required = false, nullable = false)]
    eval_count: Option<u32>,
    /// Nanoseconds in which they were written.
    #[schema(required = false, nullable = false)]
    eval_duration: Option<u64>,
}

/// A model that is meant.
#[derive(ToSchema)]
pub(in super::super) struct OllamaModelRequest {
    /// Its name, with or without `:latest`.
    model: String,
}

/// A model that is wanted.
#[derive(ToSchema)]
pub(in super::super) struct OllamaPullRequest {
    /// Its name, with or without `:latest`.
    model: String,
    /// Answer as lines; true when absent.
    stream: Option<bool>,
}

/// How far something is.
#[derive(ToSchema)]
pub(in super::super) struct OllamaStatus {
    status: String,
}

/// The models.
#[derive(ToSchema)]
pub(in super::super) struct OllamaModelList {
    /// With `name`, `size`, `digest` and `details`.
    #[schema(value_type = Vec<Object>)]
    models: Vec<Value>,
}

/// What a model is.
#[derive(ToSchema)]
pub(in super::super) struct OllamaShow {
    /// Its chat template.
    template: String,
    #[schema(value_type = Object)]
    details: Value,
    /// What its file says.
    #[schema(value_type = Object)]
    model_info: Value,
    /// `completion`, `tools`, `insert`, `thinking`.
    capabilities: Vec<String>,
}

/// A version.
#[derive(ToSchema)]
pub(in super::super) struct OllamaVersion {
    version: String,
}

/// Texts to be embedded.
#[derive(ToSchema)]
pub(in super::super) struct OllamaEmbedRequest {
    /// Name of a model, with or without `:latest`.
    model: String,
    /// A text or several; none to load the model.
    input: Option<TextOrTexts>,
    /// Cut texts that are too long; true when absent.
    truncate: Option<bool>,
    /// Keep so many values.
    #[schema(minimum = 1)]
    dimensions: Option<i64>,
}

/// Vectors in the order of their texts.
#[derive(ToSchema)]
pub(in super::super) struct OllamaEmbeddings {
    model: String,
    embeddings: Vec<Vec<f64>>,
    prompt_eval_count: i64,
    /// Nanoseconds from the request to its end.
    total_duration: u64,
    load_duration: u64,
}

/// A text to be embedded.
#[derive(ToSchema)]
pub(in super::super) struct OllamaEmbeddingRequest {
    /// Name of a model, with or without `:latest`.
    model: String,
    /// The text; none to load the model.
    prompt: Option<String>,
}

/// Its vector.
#[derive(ToSchema)]
pub(in super::super) struct OllamaEmbedding {
    embedding: Vec<f64>,
}
