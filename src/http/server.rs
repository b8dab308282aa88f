//! The HTTP server: binds, and knows which path is whose.
//!
//! Started by `cli/serve.rs` on the actix system. `guard.rs` looks at every request before its
//! handler does. Beyond loopback the server does not start without an API key, unless it is told
//! that it may be open. Bounds: bodies up to 64 MiB. Errors: [`io::Error`] at the start, then
//! [`ApiError`] bodies.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, dev::Server, http::StatusCode, middleware::from_fn,
    web,
};

use super::{
    anthropic, docs,
    errors::ApiError,
    guard::{Gate, guard, in_dialect},
    health,
    keys::KeyStore,
    mcp,
    metrics::{self, HttpCounts},
    models, ollama, openai, responses, text,
};
use crate::node::NodeHandle;

/// Agents send whole files as context; nothing sensible is larger.
pub const BODY_MAX_BYTES: usize = 64 << 20;
/// Threads that parse bodies and write events; the work is done elsewhere.
const WORKERS: usize = 2;
/// Seconds for the last bytes of finished answers once the node has drained.
const FLUSH_S: u64 = 1;

/// How the server is reached, and by whom.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether whoever reaches it beyond loopback needs no key.
    pub open: bool,
    /// Origins of web pages that may ask; `*` is any.
    pub origins: Vec<String>,
}

/// Binds and starts; returns the server, its address and the gate that ends it.
///
/// # Errors
/// When the address can't be had, or strangers would reach a node that asks for no key.
pub fn start(
    options: HttpOptions,
    node: NodeHandle,
    keys: Arc<KeyStore>,
) -> io::Result<(Server, SocketAddr, Gate)> {
    let HttpOptions { listen, open, origins } = options;
    let loopback = listen.ip().is_loopback();
    if !loopback && !open && keys.is_empty() {
        return Err(io::Error::other(
            "whoever reaches this address could use the node, for it has no API key; make one \
             with `swarmllm key create`, or set http.open = true to let everybody in",
        ));
    }
    let stopping = Arc::default();
    let gate = Gate { loopback, open, origins: origins.into(), keys, stopping };
    let for_workers = web::Data::new(gate.clone());
    let counts = web::Data::new(HttpCounts::new());
    let mcp = web::Data::new(mcp::McpDoor::new(node.clone()));
    let kept_responses = web::Data::new(responses::ResponseStore::default());
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(guard))
            .app_data(web::Data::new(node.clone()))
            .app_data(for_workers.clone())
            .app_data(counts.clone())
            .app_data(kept_responses.clone())
            .app_data(mcp.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
            .configure(routes)
    })
    .workers(WORKERS)
    // A client that closed its half is gone: its connection ends, and with it the generation.
    .h1_allow_half_closed(false)
    .shutdown_timeout(FLUSH_S)
    .disable_signals()
    .bind(listen)?;
    let bound = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((server.run(), bound, gate))
}

/// Every path of the server; `docs` declares the same ones, which a test compares.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .configure(openai::routes)
        .configure(models::routes)
        .configure(responses::routes)
        .configure(anthropic::routes)
        .configure(ollama::routes)
        .configure(mcp::routes)
        .configure(docs::routes)
        .configure(health::routes)
        .configure(text::routes)
        .service(web::resource("/metrics").route(web::get().to(metrics::metrics)))
        .default_service(web::to(no_such_path));
}

async fn no_such_path(request: HttpRequest) -> HttpResponse {
    let doors = docs::doors().join(", ");
    let message = format!("nothing at {}; there are {doors}", request.path());
    let error = ApiError::with(StatusCode::NOT_FOUND, "not_found", message);
    in_dialect(&request, &error)
}

/// `N` random bytes in lower-case hexadecimal.
pub fn random_hex<const N: usize>() -> Result<String, ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| no_randomness())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A seed for a request without one.
pub fn random_seed() -> Result<u64, ApiError> {
    getrandom::u64().map_err(|_| no_randomness())
}

fn no_randomness() -> ApiError {
    let message = "the system gave no random bytes; try again";
    ApiError::with(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}
