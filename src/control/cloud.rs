//! The fallback over the control socket: `cloud.list` and `cloud.models`.
//!
//! Called by `methods.rs`. Keys are neither taken nor given here: `swarmllm cloud key` writes them
//! to their files, and only where one comes from is told. Errors: [`RpcError`].

use serde::Deserialize;
use serde_json::{Value, json};

use super::json_rpc::{INTERNAL_ERROR, RpcError};
use crate::node::NodeHandle;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelsParams {
    provider: String,
}

pub(super) fn list(node: &NodeHandle) -> Value {
    json!(node.cloud().status())
}

pub(super) async fn models(node: &NodeHandle, params: ModelsParams) -> Result<Value, RpcError> {
    let models = node.cloud().list_models(&params.provider).await;
    let models = models.map_err(|error| RpcError::new(INTERNAL_ERROR, error.to_string()))?;
    Ok(json!({"provider": params.provider, "models": models}))
}
