//! `/metrics`: the node's counters as OpenMetrics text, for Prometheus and its like.
//!
//! Called by `server.rs`; the text is made by `node/metrics.rs`. 503 while a part of the node is
//! being started again.

use actix_web::{HttpResponse, http::StatusCode, http::header, web};

use super::errors::ApiError;
use crate::node::NodeHandle;

/// GET /metrics.
pub async fn metrics(node: web::Data<NodeHandle>) -> Result<HttpResponse, ApiError> {
    let text = node.metrics().await.map_err(|error| {
        ApiError::with(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
    })?;
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, form)).body(text))
}
