//! The Ollama routes, for programs that speak only those.

use actix_web::web;

/// Its paths.
pub fn routes(_config: &mut web::ServiceConfig) {}
