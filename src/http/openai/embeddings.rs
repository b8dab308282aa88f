//! `POST /v1/embeddings`: the OpenAI embeddings dialect.

use actix_web::web;

/// Its paths.
pub fn routes(_config: &mut web::ServiceConfig) {}
