//! Shapes of chat completions, completions, embeddings and models. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

use super::{TextOrTexts, TextsOrTokens};

/// A refusal in the form of the OpenAI API.
#[derive(ToSchema)]
pub(in super::super) struct OpenAiError {
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

/// A conversation to be answered.
#[derive(ToSchema)]
pub(in super::super) struct ChatCompletionRequest {
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
    /// Up to four texts that end the answer.
    stop: Option<TextOrTexts>,
    /// Added to the logits of tokens, by their ids in this model's own vocabulary (`/tokenize`).
    #[schema(value_type = Option<Object>)]
    logit_bias: Option<Value>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// Who asks; clients share the node evenly.
    user: Option<String>,
}

/// An answer.
#[derive(ToSchema)]
pub(in super::super) struct ChatCompletion {
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
    /// How long it took in the words of llama-server; not with several choices.
    #[schema(value_type = Option<Object>)]
    timings: Option<Value>,
}

/// The models held here, and those of providers that are configured.
#[derive(ToSchema)]
pub(in super::super) struct ModelList {
    object: String,
    data: Vec<Model>,
}

/// A model.
#[derive(ToSchema)]
pub(in super::super) struct Model {
    id: String,
    object: String,
    created: i64,
    /// `swarmllm`, or the provider in the cloud that answers with it.
    owned_by: String,
    /// Context, layers held here, and whether it can answer now.
    #[schema(value_type = Object)]
    meta: Value,
}

/// A text to be continued.
#[derive(ToSchema)]
pub(in super::super) struct CompletionRequest {
    /// Name of a model held here.
    model: String,
    /// A text, several, or token ids.
    prompt: Option<TextsOrTokens>,
    /// What stands behind the text that is missing.
    suffix: Option<String>,
    /// Answer as server-sent events.
    stream: Option<bool>,
    /// Most tokens of the answer; 16 when absent.
    #[schema(minimum = 0)]
    max_tokens: Option<i64>,
    /// Give the prompt out as well.
    echo: Option<bool>,
    /// From 0 to 2; 1 when absent.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// Log-probabilities of so many tokens at each place.
    #[schema(minimum = 0)]
    logprobs: Option<i64>,
    /// How many answers.
    #[schema(minimum = 1, maximum = 16)]
    n: Option<i64>,
    /// The same seed gives the same answer.
    seed: Option<i64>,
}

/// An answer.
#[derive(ToSchema)]
pub(in super::super) struct Completion {
    id: String,
    object: String,
    created: i64,
    model: String,
    /// One for each of `n`, with `text` and `finish_reason`.
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    /// Tokens of prompt and answer.
    #[schema(value_type = Object)]
    usage: Value,
}

/// Texts to be embedded.
#[derive(ToSchema)]
pub(in super::super) struct EmbeddingRequest {
    /// Name of a model held here.
    model: String,
    /// A text, several, or token ids.
    input: TextsOrTokens,
    /// `float` or `base64`; `float` when absent.
    encoding_format: Option<String>,
    /// Keep so many values.
    #[schema(minimum = 1)]
    dimensions: Option<i64>,
}

/// Vectors in the order of their texts.
#[derive(ToSchema)]
pub(in super::super) struct EmbeddingList {
    object: String,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
    model: String,
    /// Tokens of the texts.
    #[schema(value_type = Object)]
    usage: Value,
}
