//! Shapes of the Responses API. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

use super::TextOrObjects;

/// A conversation to be answered.
#[derive(ToSchema)]
pub(in super::super) struct ResponseRequest {
    /// Name of a model held here.
    model: String,
    /// A text, or items, oldest first.
    input: TextOrObjects,
    /// What stands in front of the conversation.
    instructions: Option<String>,
    /// A kept response to go on from.
    previous_response_id: Option<String>,
    /// Answer as server-sent events.
    stream: Option<bool>,
    /// Keep the response; true when absent.
    store: Option<bool>,
    /// Most tokens of the answer.
    #[schema(minimum = 1)]
    max_output_tokens: Option<i64>,
    /// From 0 to 2; 1 when absent.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// Functions that may be called; tools of other kinds are skipped.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
}

/// An answer.
#[derive(ToSchema)]
pub(in super::super) struct Response {
    id: String,
    object: String,
    /// `completed`, `incomplete` or `failed`.
    status: String,
    model: String,
    /// Messages, reasoning and calls, in order.
    #[schema(value_type = Vec<Object>)]
    output: Vec<Value>,
}

/// The length of a request.
#[derive(ToSchema)]
pub(in super::super) struct ResponseInputTokens {
    object: String,
    input_tokens: i64,
}

/// A response that is forgotten.
#[derive(ToSchema)]
pub(in super::super) struct ResponseDeleted {
    id: String,
    object: String,
    deleted: bool,
}

/// What a response answered.
#[derive(ToSchema)]
pub(in super::super) struct ResponseItems {
    object: String,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
}
