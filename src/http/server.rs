//! The HTTP server: binds, guards every request, and knows which path is whose.
//!
//! Started by `cli/serve.rs` on the actix system. Every answer has an `x-request-id`; one sent by
//! the caller is kept when it is short and plain. On loopback a request must name a loopback host:
//! a web page whose name was rebound to 127.0.0.1 must not speak to the node, nor may a page of
//! another site post to it. While the node ends, new requests get 503.
//! Bounds: bodies up to 64 MiB. Errors: [`io::Error`] at the start, then [`ApiError`] bodies.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    App, HttpServer, Responder, ResponseError,
    body::MessageBody,
    dev::{Extensions, Server, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};

use super::{
    anthropic, completions, docs, embeddings, errors::ApiError, health, mcp, metrics, ollama,
    openai_chat, openai_models, responses,
};
use crate::{caller::Caller, node::NodeHandle};

/// Agents send whole files as context; nothing sensible is larger.
pub const BODY_MAX_BYTES: usize = 64 << 20;
/// Threads that parse bodies and write events; the work is done elsewhere.
const WORKERS: usize = 2;
/// Seconds for the last bytes of finished answers once the node has drained.
const FLUSH_S: u64 = 1;
/// Longest request id taken over from a caller.
const REQUEST_ID_MAX_BYTES: usize = 128;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `allow` or `never`: whether a provider in the cloud may answer.
const X_CLOUD: HeaderName = HeaderName::from_static("x-swarmllm-cloud");
/// `swarm` or `cloud/PROVIDER/MODEL`.
const X_ANSWERED_BY: HeaderName = HeaderName::from_static("x-swarmllm-answered-by");

/// What the guard of every request knows.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    loopback: bool,
    stopping: Arc<AtomicBool>,
}

impl Gate {
    /// From now on new requests are refused.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Binds and starts; returns the server, its address and the gate that ends it.
pub fn start(address: SocketAddr, node: NodeHandle) -> io::Result<(Server, SocketAddr, Gate)> {
    let gate = Gate { loopback: address.ip().is_loopback(), stopping: Arc::default() };
    let for_workers = gate.clone();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(guard))
            .app_data(web::Data::new(node.clone()))
            .app_data(web::Data::new(for_workers.clone()))
            .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
            .configure(routes)
    })
    .workers(WORKERS)
    // A client that closed its half is gone: its connection ends, and with it the generation.
    .h1_allow_half_closed(false)
    .shutdown_timeout(FLUSH_S)
    .disable_signals()
    .bind(address)?;
    let bound = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((server.run(), bound, gate))
}

fn routes(config: &mut web::ServiceConfig) {
    let chat =
        web::resource("/v1/chat/completions").route(web::post().to(openai_chat::chat_completions));
    config
        .configure(completions::routes)
        .configure(embeddings::routes)
        .configure(responses::routes)
        .configure(anthropic::routes)
        .configure(ollama::routes)
        .configure(mcp::routes)
        .configure(docs::routes)
        .service(chat.default_service(web::to(wrong_method)))
        .service(
            web::resource("/v1/models")
                .route(web::get().to(openai_models::list))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource("/v1/models/{id:.+}")
                .route(web::get().to(openai_models::get))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource("/health")
                .route(web::get().to(health::health))
                .route(web::head().to(health::health))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource("/metrics")
                .route(web::get().to(metrics::metrics))
                .default_service(web::to(wrong_method)),
        )
        .default_service(web::to(no_such_path));
}

async fn no_such_path(request: actix_web::HttpRequest) -> impl Responder {
    let message = format!(
        "nothing at {}; there are /v1/chat/completions, /v1/models, /health, /metrics",
        request.path()
    );
    ApiError::with(StatusCode::NOT_FOUND, "not_found", message).error_response()
}

async fn wrong_method(request: actix_web::HttpRequest) -> impl Responder {
    let message = format!("{} is not for {}", request.path(), request.method());
    ApiError::with(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).error_response()
}

/// Refuses what must not come in, and names every request.
async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = request_id(request.headers());
    let gate = request.app_data::<web::Data<Gate>>().cloned();
    let refusal = gate.and_then(|gate| refusal(&gate, request.headers()));
    let caller = Arc::new(Caller::new(forbids_cloud(request.headers())));
    // Every door takes its node from here: none can forget what the caller forbids.
    if let Some(node) = request.app_data::<web::Data<NodeHandle>>() {
        let mut own = Extensions::new();
        own.insert(web::Data::new(node.for_caller(Arc::clone(&caller))));
        request.add_data_container(Rc::new(own));
    }
    let mut response = match refusal {
        Some(error) => request.error_response(error).map_into_right_body(),
        None => next.call(request).await?.map_into_left_body(),
    };
    response.headers_mut().insert(X_REQUEST_ID, id);
    let answered_by = caller.answered_by().and_then(|by| HeaderValue::from_str(&by).ok());
    if let Some(answered_by) = answered_by {
        response.headers_mut().insert(X_ANSWERED_BY, answered_by);
    }
    Ok(response)
}

/// What is neither absent nor `allow` was meant to forbid.
fn forbids_cloud(headers: &HeaderMap) -> bool {
    headers.get_all(X_CLOUD).any(|value| !value.as_bytes().eq_ignore_ascii_case(b"allow"))
}

fn refusal(gate: &Gate, headers: &HeaderMap) -> Option<ApiError> {
    if gate.stopping.load(Ordering::Relaxed) {
        let message = "the node is ending; try again when it is back, or another node";
        return Some(ApiError::with(StatusCode::SERVICE_UNAVAILABLE, "stopping", message));
    }
    if !gate.loopback {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let foreign_host = text(header::HOST).is_some_and(|host| !is_loopback_authority(host));
    // Programs with a web view have schemes of their own; only web pages are refused.
    let foreign_page = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| !is_loopback_authority(authority))
    });
    if foreign_host || foreign_page {
        let message = "this node listens on loopback and answers to localhost only; to serve \
                       others start it with --http ADDRESS:PORT of that network";
        return Some(ApiError::with(StatusCode::FORBIDDEN, "foreign_host", message));
    }
    None
}

/// Whether `HOST` or `HOST:PORT` is this machine.
fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=REQUEST_ID_MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(allowed)
    };
    let given = headers.get(X_REQUEST_ID).filter(plain).cloned();
    let made = || HeaderValue::from_str(&format!("req_{}", random_hex::<12>().ok()?)).ok();
    given.or_else(made).unwrap_or(HeaderValue::from_static("req_unknown"))
}

/// `N` random bytes in lower-case hexadecimal.
pub fn random_hex<const N: usize>() -> Result<String, ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| openai_chat::no_randomness())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn loopback_names_are_recognised_and_others_are_not() {
        let own = ["localhost", "LocalHost:80", "127.0.0.1:8800", "127.9.9.9", "[::1]:1", "[::1]"];
        let others = ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "[::2]:1"];
        assert!(own.into_iter().all(is_loopback_authority));
        assert!(!others.into_iter().any(is_loopback_authority));
    }

    #[test]
    fn a_rebound_name_and_a_foreign_page_are_refused_on_loopback_only() {
        let local = Gate { loopback: true, ..Gate::default() };
        let code = |gate: &Gate, pairs: &[(&'static str, &'static str)]| {
            refusal(gate, &headers(pairs)).map(|error| error.status.as_u16())
        };
        assert_eq!(code(&local, &[("host", "evil.example:8800")]), Some(403));
        let page = [("host", "127.0.0.1:1"), ("origin", "https://evil.example")];
        assert_eq!(code(&local, &page), Some(403));
        let own_page = [("host", "127.0.0.1:1"), ("origin", "http://localhost:3000")];
        assert_eq!(code(&local, &own_page), None);
        assert_eq!(code(&local, &[("origin", "vscode-webview://x")]), None);
        assert_eq!(code(&Gate::default(), &[("host", "node.example")]), None);
    }

    #[test]
    fn a_closed_gate_asks_to_come_back() {
        let gate = Gate::default();
        gate.clone().close();
        let error = refusal(&gate, &headers(&[])).expect("closed");
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_misspelt_wish_to_stay_in_the_swarm_counts_as_one() {
        let forbids = |value| forbids_cloud(&headers(&[("x-swarmllm-cloud", value)]));
        assert!(["never", "NEVER", "nevr", ""].into_iter().all(forbids));
        assert!(!forbids("Allow") && !forbids_cloud(&headers(&[])));
    }

    #[test]
    fn a_plain_request_id_is_kept() {
        assert_eq!(request_id(&headers(&[("x-request-id", "abc-1")])), "abc-1");
        let made = request_id(&headers(&[("x-request-id", "a b")]));
        assert!(made.to_str().expect("ASCII").starts_with("req_"));
    }
}
