//! `/v1/models` and `/v1/models/{id}`, in the form of the dialect that is spoken.
//!
//! Called by `server.rs`. Two dialects have this path; who sends `anthropic-version` speaks
//! Anthropic's (`anthropic/models.rs`), everybody else OpenAI's (`openai/models.rs`). Listed are
//! the models held here, then those that are configured to be answered by a provider in the cloud
//! and would be: policy, caller and network allow it, and there is a key. No provider is asked for
//! the list. Ids may contain slashes and colons. Errors: [`ApiError`] in the dialect's form.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::{Map, Value};

use super::{
    anthropic,
    errors::ApiError,
    fields::Fields,
    guard::{in_dialect, is_anthropic},
    openai,
};
use crate::{
    cloud::CloudModel,
    node::{ModelStatus, NodeHandle},
};

/// A model that requests may name.
#[derive(Debug)]
pub(super) enum Listed {
    /// It is held here, as a whole or in part.
    Held(Box<ModelStatus>),
    /// A provider has it.
    Cloud(CloudModel),
}

impl Listed {
    /// What a request calls it.
    pub(super) fn id(&self) -> &str {
        match self {
            Listed::Held(model) => &model.name,
            Listed::Cloud(model) => &model.name,
        }
    }
}

/// Their paths.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/v1/models").route(web::get().to(list)))
        .service(web::resource("/v1/models/{id:.+}").route(web::get().to(get)));
}

async fn list(request: HttpRequest, node: web::Data<NodeHandle>) -> HttpResponse {
    let list = async {
        let models = models(&node).await?;
        match speaks_anthropic(&request) {
            true => anthropic::models::list(&models, query(&request)?),
            false => Ok(openai::models::list(&models)),
        }
    };
    match list.await {
        Ok(list) => HttpResponse::Ok().json(list),
        Err(error) => in_dialect(&request, &error),
    }
}

async fn get(
    request: HttpRequest,
    node: web::Data<NodeHandle>,
    id: web::Path<String>,
) -> HttpResponse {
    let found = models(&node).await.and_then(|models| {
        let found = models.iter().find(|model| model.id() == *id);
        let model = found.ok_or_else(|| missing(&id, &models))?;
        Ok(match speaks_anthropic(&request) {
            true => anthropic::models::object(model),
            false => openai::models::object(model),
        })
    });
    match found {
        Ok(model) => HttpResponse::Ok().json(model),
        Err(error) => in_dialect(&request, &error),
    }
}

fn speaks_anthropic(request: &HttpRequest) -> bool {
    is_anthropic(request.path(), request.headers())
}

fn query(request: &HttpRequest) -> Result<Fields, ApiError> {
    let query = web::Query::<Map<String, Value>>::from_query(request.query_string());
    let unread = |_| ApiError::invalid("what follows `?` can't be read", None);
    Ok(Fields::of_map(query.map_err(unread)?.into_inner()))
}

fn missing(id: &str, models: &[Listed]) -> ApiError {
    let names: Vec<&str> = models.iter().map(Listed::id).collect();
    ApiError::model_not_found(format!("no model `{id}` here; there are: {}", names.join(", ")))
}

async fn models(node: &NodeHandle) -> Result<Vec<Listed>, ApiError> {
    let held = node.models().await.map_err(|error| {
        ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error.to_string())
    })?;
    let mut all: Vec<Listed> = held.into_iter().map(|model| Listed::Held(model.into())).collect();
    for model in node.cloud_models() {
        // A name that is held is the swarm's; a provider may stand in for it.
        if !all.iter().any(|known| known.id() == model.name) {
            all.push(Listed::Cloud(model));
        }
    }
    Ok(all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cloud::Target;

    /// A model that is held here.
    pub(in super::super) fn held(name: &str) -> Listed {
        let model = ModelStatus {
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
        };
        Listed::Held(model.into())
    }

    /// A model of a provider.
    pub(in super::super) fn cloud(name: &str) -> Listed {
        Listed::Cloud(CloudModel {
            name: name.to_owned(),
            target: Target::of_text("openai/gpt-5-mini").expect("valid"),
            provider_name: "OpenAI".to_owned(),
        })
    }
}
