//! `POST /v1/completions`: the OpenAI completions dialect.

use actix_web::web;

/// Its paths.
pub fn routes(_config: &mut web::ServiceConfig) {}
