//! `/health`: whether every part of the node answers, for service managers and load balancers.
//!
//! Called by `server.rs`. 200 `{"status":"ok"}`, or 503 `{"status":"unhealthy"}` with
//! `Retry-After`. It asks the actors themselves, as the watchdog does; that a model lacks layers
//! is no illness of this node (see `/v1/models`).

use std::time::Duration;

use actix_web::{HttpResponse, http::header, web};
use serde_json::json;

use crate::node::NodeHandle;

/// How long the actors may take to answer; they need microseconds.
pub const HEALTH_DEADLINE: Duration = Duration::from_secs(2);

/// GET /health.
pub async fn health(node: web::Data<NodeHandle>) -> HttpResponse {
    if node.is_healthy(HEALTH_DEADLINE).await {
        return HttpResponse::Ok().json(json!({"status": "ok"}));
    }
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, 5))
        .json(json!({"status": "unhealthy"}))
}
