//! Whether the node lives (`/health`), whether it can answer (`/ready`), and which one it is
//! (`/version`, `/`).
//!
//! Called by `server.rs`. `/health` is for whoever would start the node again: 200, or 503 when a
//! part of it does not answer; that a model lacks layers is no illness. `/ready` is for whoever
//! sends requests: 200 when a route over all layers of a model exists, with `?model=NAME` of that
//! one; else 503, and 404 for a model that is not here. Every 503 has `Retry-After`. `/` answers
//! whoever only looks whether somebody is there.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::ApiError;
use crate::node::NodeHandle;

/// How long the actors may take to answer; they need microseconds.
pub const HEALTH_DEADLINE: Duration = Duration::from_secs(2);
/// How long `/ready` may look for layers in the swarm.
const READY_DEADLINE: Duration = Duration::from_secs(5);
/// Seconds after which to ask again.
const RETRY_AFTER_S: u32 = 5;

/// How the node is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `unhealthy`.
    status: &'static str,
}

/// What the node can answer with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// The models that were looked at.
    models: Vec<ReadyModel>,
}

/// One model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadyModel {
    /// Its name.
    name: String,
    /// Whether the swarm has all its layers now.
    servable: bool,
}

/// Which program this is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    /// Its name.
    name: &'static str,
    /// Its version.
    version: &'static str,
}

#[derive(Debug, Deserialize)]
struct ReadyQuery {
    model: Option<String>,
}

/// Their paths.
pub fn routes(config: &mut web::ServiceConfig) {
    for path in ["/health", "/v1/health"] {
        let resource = web::resource(path);
        config.service(resource.route(web::get().to(health)).route(web::head().to(health)));
    }
    config
        .service(web::resource("/ready").route(web::get().to(ready)).route(web::head().to(ready)))
        .service(web::resource("/").route(web::get().to(greeting)).route(web::head().to(greeting)))
        .service(web::resource("/version").route(web::get().to(version)));
}

async fn health(node: web::Data<NodeHandle>) -> HttpResponse {
    match node.is_healthy(HEALTH_DEADLINE).await {
        true => HttpResponse::Ok().json(Health { status: "ok" }),
        false => unavailable(&Health { status: "unhealthy" }),
    }
}

async fn ready(
    node: web::Data<NodeHandle>,
    query: Result<web::Query<ReadyQuery>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let query = query.map_err(|error| ApiError::invalid(error.to_string(), Some("model")))?;
    let models = tokio::time::timeout(READY_DEADLINE, node.models()).await;
    // A node that starts a part of itself again, or still looks for layers, is not ready.
    let Some(mut models) = models.ok().and_then(Result::ok) else {
        return Ok(unavailable(&Readiness { status: "not_ready", models: Vec::new() }));
    };
    if let Some(name) = &query.model {
        models.retain(|model| model.name == *name);
        if models.is_empty() {
            return Err(ApiError::model_not_found(format!("no model `{name}` here")));
        }
    }
    let models: Vec<ReadyModel> = models
        .into_iter()
        .map(|model| ReadyModel { name: model.name, servable: model.servable })
        .collect();
    Ok(match models.iter().any(|model| model.servable) {
        true => HttpResponse::Ok().json(Readiness { status: "ready", models }),
        false => unavailable(&Readiness { status: "not_ready", models }),
    })
}

fn unavailable(body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
        .insert_header((header::RETRY_AFTER, RETRY_AFTER_S))
        .json(body)
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().json(Version { name: "swarmllm", version: env!("CARGO_PKG_VERSION") })
}

async fn greeting() -> HttpResponse {
    let text = concat!("SwarmLLM ", env!("CARGO_PKG_VERSION"), " is running; see /docs\n");
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}
