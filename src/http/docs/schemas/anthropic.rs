//! Shapes of the Anthropic messages API. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

use super::TextOrObjects;

/// A refusal in the form of the Anthropic API.
#[derive(ToSchema)]
pub(in super::super) struct AnthropicError {
    r#type: String,
    error: AnthropicErrorFields,
    request_id: String,
}

#[derive(ToSchema)]
struct AnthropicErrorFields {
    /// The class of the error.
    r#type: String,
    /// What happened, why, and what to do next.
    message: String,
}

/// A conversation to be answered.
#[derive(ToSchema)]
pub(in super::super) struct MessageRequest {
    /// Name of a model held here.
    model: String,
    /// `{"role", "content"}` objects, oldest first.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    messages: Vec<Value>,
    /// Most tokens of the answer; 0 reads the prompt into the cache and answers nothing.
    #[schema(minimum = 0)]
    max_tokens: i64,
    /// What stands in front of the conversation: a text or blocks.
    system: Option<TextOrObjects>,
    /// Answer as server-sent events.
    stream: Option<bool>,
    /// From 0 to 1; 1 when absent.
    #[schema(minimum = 0, maximum = 1)]
    temperature: Option<f64>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// Whether to reason.
    #[schema(value_type = Option<Object>)]
    thinking: Option<Value>,
}

/// An answer.
#[derive(ToSchema)]
pub(in super::super) struct Message {
    id: String,
    r#type: String,
    role: String,
    model: String,
    /// Text, thinking and calls, in order.
    #[schema(value_type = Vec<Object>)]
    content: Vec<Value>,
    /// Why it ended.
    stop_reason: Option<String>,
    /// Tokens of prompt and answer.
    #[schema(value_type = Object)]
    usage: Value,
}

/// A conversation to be counted.
#[derive(ToSchema)]
pub(in super::super) struct CountRequest {
    /// Name of a model held here.
    model: String,
    /// `{"role", "content"}` objects, oldest first.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    messages: Vec<Value>,
    /// What stands in front of the conversation: a text or blocks.
    system: Option<TextOrObjects>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
}

/// Its length.
#[derive(ToSchema)]
pub(in super::super) struct CountedTokens {
    input_tokens: i64,
    /// There where only a provider in the cloud has the model: the count is an estimate.
    #[schema(value_type = Option<Object>)]
    swarmllm: Option<Value>,
}
