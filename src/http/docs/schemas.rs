//! The shapes of bodies, for the documentation: the fields that matter, with their types.
//!
//! Read by `operations.rs` through their schemas; nothing is made of these types. Handlers read
//! bodies field by field, so that a mistake is named; more fields are read than are listed here.
#![allow(dead_code, reason = "only the derived schemas are used")]

use serde_json::Value;
use utoipa::ToSchema;

/// A refusal in the form of the OpenAI API.
#[derive(ToSchema)]
pub(super) struct OpenAiError {
    error: OpenAiErrorFields,
}

#[derive(ToSchema)]
struct OpenAiErrorFields {
    /// What happened, why, and what to do next.
    message: String,
    /// The class of the error.
    r#type: String,
    /// The field that is wrong.
    param: Option<String>,
    /// The kind of error, for programs.
    code: Option<String>,
}

/// A message of MCP: a request, a notification, or an answer.
#[derive(ToSchema)]
pub(super) struct McpMessage {
    /// `2.0`.
    jsonrpc: String,
    /// Text or number of a request and its answer; null where it could not be read.
    #[schema(value_type = Option<Value>)]
    id: Option<Value>,
    /// What to do, in a request or notification.
    method: Option<String>,
    /// With what.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// What came of it.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Or what went wrong: `{"code", "message"}`.
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
}

/// A conversation to be answered.
#[derive(ToSchema)]
pub(super) struct ChatCompletionRequest {
    /// Name of a model held here.
    model: String,
    /// `{"role", "content"}` objects, oldest first.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    messages: Vec<Value>,
    /// Answer as server-sent events.
    stream: Option<bool>,
    /// Most tokens of the answer.
    #[schema(minimum = 1)]
    max_completion_tokens: Option<i64>,
    /// From 0 to 2; 1 when absent.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// The same seed gives the same answer.
    seed: Option<i64>,
    /// How many answers.
    #[schema(minimum = 1, maximum = 16)]
    n: Option<i64>,
    /// Texts that end the answer.
    #[schema(max_items = 4)]
    stop: Option<Vec<String>>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// Who asks; clients share the node evenly.
    user: Option<String>,
}

/// An answer.
#[derive(ToSchema)]
pub(super) struct ChatCompletion {
    id: String,
    object: String,
    created: i64,
    model: String,
    /// One for each of `n`, with `message` and `finish_reason`.
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    /// Tokens of prompt and answer.
    #[schema(value_type = Object)]
    usage: Value,
    /// Who computed it and how long it took.
    #[schema(value_type = Object)]
    swarmllm: Value,
}

/// The models held here.
#[derive(ToSchema)]
pub(super) struct ModelList {
    object: String,
    data: Vec<Model>,
}

/// A model.
#[derive(ToSchema)]
pub(super) struct Model {
    id: String,
    object: String,
    created: i64,
    owned_by: String,
    /// Context, layers held here, and whether the swarm can answer with it now.
    #[schema(value_type = Object)]
    meta: Value,
}

/// A refusal in the form of the Ollama API.
#[derive(ToSchema)]
pub(super) struct OllamaErrorBody {
    /// What happened, why, and what to do next.
    error: String,
}

/// A conversation to be answered.
#[derive(ToSchema)]
pub(super) struct OllamaChatRequest {
    /// Name of a model, with or without `:latest`.
    model: String,
    /// `{"role", "content"}` objects, oldest first; none to load the model.
    #[schema(value_type = Option<Vec<Object>>)]
    messages: Option<Vec<Value>>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// `"json"` or a JSON schema.
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
    options: Option<OllamaOptions>,
    /// Whether to reason, or how much: `"low"`, `"medium"`, `"high"`.
    #[schema(value_type = Option<bool>)]
    think: Option<Value>,
    /// Answer as lines; true when absent.
    stream: Option<bool>,
}

/// A prompt to be answered.
#[derive(ToSchema)]
pub(super) struct OllamaGenerateRequest {
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
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
    options: Option<OllamaOptions>,
    /// Whether to reason, or how much: `"low"`, `"medium"`, `"high"`.
    #[schema(value_type = Option<bool>)]
    think: Option<Value>,
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
    /// Most tokens of the answer; below zero there is no limit.
    num_predict: Option<i64>,
    /// Texts that end the answer.
    stop: Option<Vec<String>>,
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
pub(super) struct OllamaAnswer {
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
}

/// A model that is meant.
#[derive(ToSchema)]
pub(super) struct OllamaModelRequest {
    /// Its name, with or without `:latest`.
    model: String,
}

/// A model that is wanted.
#[derive(ToSchema)]
pub(super) struct OllamaPullRequest {
    /// Its name, with or without `:latest`.
    model: String,
    /// Answer as lines; true when absent.
    stream: Option<bool>,
}

/// How far something is.
#[derive(ToSchema)]
pub(super) struct OllamaStatus {
    status: String,
}

/// The models.
#[derive(ToSchema)]
pub(super) struct OllamaModelList {
    /// With `name`, `size`, `digest` and `details`.
    #[schema(value_type = Vec<Object>)]
    models: Vec<Value>,
}

/// What a model is.
#[derive(ToSchema)]
pub(super) struct OllamaShow {
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
pub(super) struct OllamaVersion {
    version: String,
}

/// Text for a tokenizer: one of `content`, `prompt` and `messages`.
#[derive(ToSchema)]
pub(super) struct TokenizeRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// A text; nothing is added unless `add_special` is set.
    content: Option<String>,
    /// A prompt; what begins one is added unless `add_special_tokens` is false.
    prompt: Option<String>,
    /// A conversation, which is rendered first.
    #[schema(value_type = Option<Vec<Object>>)]
    messages: Option<Vec<Value>>,
    /// Add what begins and ends a prompt.
    add_special: Option<bool>,
    /// The same, as vLLM calls it.
    add_special_tokens: Option<bool>,
    /// Read control tokens out of the text.
    parse_special: Option<bool>,
    /// Answer each token with its text.
    with_pieces: Option<bool>,
}

/// Tokens.
#[derive(ToSchema)]
pub(super) struct Tokenized {
    /// Ids or, with `with_pieces`, objects with `id` and `piece`.
    tokens: Vec<Value>,
    count: i64,
    /// The model's context.
    max_model_len: i64,
    model: String,
}

/// Tokens to be read.
#[derive(ToSchema)]
pub(super) struct DetokenizeRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// Token ids.
    tokens: Vec<u32>,
}

/// Their text, under both names.
#[derive(ToSchema)]
pub(super) struct Detokenized {
    content: String,
    prompt: String,
    model: String,
}

/// A conversation to be rendered.
#[derive(ToSchema)]
pub(super) struct TemplateRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// `{"role", "content"}` objects, oldest first.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// More variables of the template.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Value>,
}

/// A conversation as the model reads it.
#[derive(ToSchema)]
pub(super) struct Rendered {
    prompt: String,
    model: String,
}
