//! `/v1/models` and `/v1/models/{id}` in the OpenAI form.
//!
//! Called by `server.rs`. Ids may contain slashes and colons. Beside the four fields of the API
//! each model has `meta`, an extension: context length, content address, layers held here, and
//! whether the swarm can answer with it now. Errors: [`ApiError`].

use actix_web::{HttpResponse, http::StatusCode, web};
use serde_json::{Value, json};

use super::errors::ApiError;
use crate::node::{ModelStatus, NodeHandle};

/// GET /v1/models.
pub async fn list(node: web::Data<NodeHandle>) -> Result<HttpResponse, ApiError> {
    let data: Vec<Value> = models(&node).await?.iter().map(model_object).collect();
    Ok(HttpResponse::Ok().json(json!({"object": "list", "data": data})))
}

/// GET /v1/models/{id}.
pub async fn get(
    node: web::Data<NodeHandle>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    let models = models(&node).await?;
    match models.iter().find(|model| model.name == id) {
        Some(model) => Ok(HttpResponse::Ok().json(model_object(model))),
        None => {
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let names = names.join(", ");
            Err(ApiError::model_not_found(format!("no model `{id}` here; there are: {names}")))
        }
    }
}

async fn models(node: &NodeHandle) -> Result<Vec<ModelStatus>, ApiError> {
    node.models().await.map_err(|error| {
        ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error.to_string())
    })
}

fn model_object(model: &ModelStatus) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created_unix_s,
        "owned_by": "swarmllm",
        "meta": {
            "n_ctx": model.context_length,
            "model_id": model.model_id,
            "layers": model.layers,
            "n_layers": model.n_layers,
            "servable": model.servable,
        },
    })
}
