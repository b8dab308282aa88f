//! API keys over the control socket: `key.create` and `key.revoke`.
//!
//! Called by `methods.rs`. A key is in the answer to `key.create`, nowhere else. Errors:
//! [`RpcError`].

use serde::Deserialize;
use serde_json::{Value, json};

use super::json_rpc::{INTERNAL_ERROR, INVALID_PARAMS, RpcError};
use crate::http::keys::{KeyError, KeyStore};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateParams {
    name: Option<String>,
}

pub(super) fn create(keys: &KeyStore, params: CreateParams) -> Result<Value, RpcError> {
    keys.create(params.name.as_deref()).map(|made| json!(made)).map_err(key_error)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeParams {
    key: String,
}

pub(super) fn revoke(keys: &KeyStore, params: RevokeParams) -> Result<Value, RpcError> {
    keys.revoke(&params.key).map(|revoked| json!({"revoked": revoked})).map_err(key_error)
}

fn key_error(error: KeyError) -> RpcError {
    let code = match error {
        KeyError::File { .. } | KeyError::NoKeys { .. } => INTERNAL_ERROR,
        KeyError::BadName | KeyError::Taken(_) | KeyError::Unknown(_) | KeyError::TooMany => {
            INVALID_PARAMS
        }
    };
    RpcError::new(code, error.to_string())
}
