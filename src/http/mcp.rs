//! The MCP server over streamable HTTP.

use actix_web::web;

/// Its paths.
pub fn routes(_config: &mut web::ServiceConfig) {}
