//! Shapes of the model context protocol. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

/// A JSON-RPC 2.0 request or notification.
#[derive(ToSchema)]
pub(in super::super) struct JsonRpcMessage {
    /// `2.0`.
    jsonrpc: String,
    /// Absent for notifications: a number, or a text.
    #[schema(required = false)]
    id: Value,
    /// `initialize`, `server/discover`, `tools/list`, `tools/call`, ...
    method: String,
    /// With what.
    #[schema(value_type = Object, required = false)]
    params: Value,
}

/// A JSON-RPC 2.0 answer: `result` or `error`.
#[derive(ToSchema)]
pub(in super::super) struct JsonRpcAnswer {
    /// `2.0`.
    jsonrpc: String,
    id: Value,
    #[schema(value_type = Object, required = false)]
    result: Value,
    /// With `code` and `message`.
    #[schema(value_type = Object, required = false)]
    error: Value,
}
