//! `/v1/models` and `/v1/models/{id}` in the OpenAI form, or in Anthropic's for its clients.
//!
//! Called by `mod.rs`. Both dialects have this path; who sends `anthropic-version` speaks the other
//! one. Ids may contain slashes and colons. Beside the four fields of the API each model has
//! `meta`, an extension with the names of llama-server where it has them: context, size, and
//! whether the swarm can answer with it now. Units: bytes, tokens. Errors: [`ApiError`], or
//! Anthropic's object. Source: OpenAI and Anthropic API references, llama-server.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::{Value, json};
use swarmllm_models::chat_template::format_time;

use crate::{
    http::errors::ApiError,
    node::{ModelStatus, NodeHandle},
};

/// GET /v1/models.
pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<NodeHandle>,
) -> Result<HttpResponse, ApiError> {
    let models = models(&node).await?;
    Ok(HttpResponse::Ok().json(match is_anthropic(&request) {
        true => anthropic_list(&models),
        false => {
            let data: Vec<Value> = models.iter().map(model_object).collect();
            json!({"object": "list", "data": data})
        }
    }))
}

/// GET /v1/models/{id}.
pub(super) async fn get(
    request: HttpRequest,
    node: web::Data<NodeHandle>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    let models = models(&node).await?;
    let found = models.iter().find(|model| model.name == id);
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let missing = || format!("no model `{id}` here; there are: {}", names.join(", "));
    match (found, is_anthropic(&request)) {
        (Some(model), false) => Ok(HttpResponse::Ok().json(model_object(model))),
        (Some(model), true) => Ok(HttpResponse::Ok().json(anthropic_object(model))),
        (None, false) => Err(ApiError::model_not_found(missing())),
        (None, true) => {
            let error = json!({"type": "not_found_error", "message": missing()});
            Ok(HttpResponse::NotFound().json(json!({"type": "error", "error": error})))
        }
    }
}

fn is_anthropic(request: &HttpRequest) -> bool {
    request.headers().contains_key("anthropic-version")
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
            "n_vocab": model.n_vocab,
            "n_params": model.n_params,
            "size": model.size_bytes,
            "quantization": model.quantization,
            "vocab_type": vocabulary_number(&model.vocabulary),
            "model_id": model.model_id,
            "layers": model.layers,
            "n_layers": model.n_layers,
            "servable": model.servable,
        },
    })
}

/// llama.cpp's number of a kind of vocabulary, null for one it has none for.
fn vocabulary_number(kind: &str) -> Option<u32> {
    match kind {
        "llama" => Some(1),
        "gpt2" => Some(2),
        "bert" => Some(3),
        "t5" => Some(4),
        "rwkv" => Some(5),
        _ => None,
    }
}

fn anthropic_list(models: &[ModelStatus]) -> Value {
    let name = |model: &ModelStatus| model.name.clone();
    json!({
        "data": models.iter().map(anthropic_object).collect::<Vec<Value>>(),
        "first_id": models.first().map(name),
        "last_id": models.last().map(name),
        "has_more": false,
    })
}

fn anthropic_object(model: &ModelStatus) -> Value {
    let created = i64::try_from(model.created_unix_s).unwrap_or(i64::MAX);
    json!({
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": format_time("%Y-%m-%dT%H:%M:%SZ", created),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> ModelStatus {
        ModelStatus {
            name: name.to_owned(),
            model_id: "abc".to_owned(),
            layers: [0, 2],
            n_layers: 2,
            servable: true,
            context_length: 512,
            created_unix_s: 1_767_225_600,
            n_params: 1_000,
            n_vocab: 4096,
            size_bytes: 2_000,
            quantization: "Q4_K".to_owned(),
            vocabulary: "gpt2".to_owned(),
        }
    }

    #[test]
    fn what_is_known_of_a_model_is_told() {
        let object = model_object(&model("owner/repo:Q4_K_M"));
        assert_eq!(
            (&object["id"], &object["object"]),
            (&json!("owner/repo:Q4_K_M"), &json!("model"))
        );
        let meta = &object["meta"];
        assert_eq!((&meta["n_params"], &meta["size"]), (&json!(1_000), &json!(2_000)));
        assert_eq!((&meta["quantization"], &meta["vocab_type"]), (&json!("Q4_K"), &json!(2)));
    }

    #[test]
    fn the_other_dialect_has_its_own_shape() {
        let list = anthropic_list(&[model("a"), model("b")]);
        let first = json!({
            "type": "model", "id": "a", "display_name": "a", "created_at": "2026-01-01T00:00:00Z",
        });
        assert_eq!(list["data"][0], first);
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!("a"), &json!("b")));
        assert_eq!(list["has_more"], false);
        assert_eq!(anthropic_list(&[])["first_id"], Value::Null);
    }
}
