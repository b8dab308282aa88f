//! What every request passes: host, origin, API key, request id, CORS, and bounds in time.
//!
//! Wrapped around all routes by `server.rs`. Where the node listens on loopback, a request must
//! name a loopback host or that of an allowed origin (`http.origins`): a web page whose name was
//! rebound to 127.0.0.1 must not speak to the node. A page of another site is refused everywhere
//! unless its origin is allowed; allowed and loopback pages get CORS answers. A key
//! (`Authorization: Bearer` or `x-api-key`) is needed as soon as one exists, and beyond loopback
//! unless `http.open` is set. Every answer has an `x-request-id`; one sent by the caller is kept
//! when it is short and plain. While the node ends, new requests get 503. A body must keep coming.
//! Errors are [`ApiError`]s in the form of the dialect whose path was asked; 405 names what is
//! allowed, as `docs` declares it.

use std::{
    io,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Extensions, Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use super::{
    anthropic, docs, errors::ApiError, keys::KeyStore, mcp, metrics::HttpCounts, server::random_hex,
};
use crate::{caller::Caller, node::NodeHandle};

/// Longest request id taken over from a caller.
const REQUEST_ID_MAX_BYTES: usize = 128;
/// Longest pause within a body.
const BODY_SILENCE: Duration = Duration::from_secs(30);
/// Longest time for a whole one: 64 MiB over a slow line.
const BODY_DEADLINE: Duration = Duration::from_secs(600);
/// What a page may read of an answer beside its body: client libraries look at all of it.
const SHOWN_HEADERS: &str = "x-request-id, request-id, retry-after, retry-after-ms, \
                             x-should-retry, openai-processing-ms, x-swarmllm-answered-by, \
                             mcp-session-id";
/// How long a browser may remember what it may send.
const PREFLIGHT_MAX_AGE_S: u32 = 600;
/// Schemes of programs with a web view, which are no web pages and may read answers.
const PROGRAM_SCHEMES: [&str; 3] = ["app", "tauri", "vscode-webview"];
/// Paths that tell no more of the node than that it is there and which models it can answer with:
/// nobody needs a key for them.
const OPEN_PATHS: [&str; 6] = ["/", "/health", "/v1/health", "/ready", "/docs", "/openapi.json"];

/// `allow` or `never`: whether a provider in the cloud may answer.
const X_CLOUD: HeaderName = HeaderName::from_static("x-swarmllm-cloud");
/// `swarm` or `cloud/PROVIDER/MODEL`.
const X_ANSWERED_BY: HeaderName = HeaderName::from_static("x-swarmllm-answered-by");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where Anthropic's clients look for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What a request is called, in its extensions.
#[derive(Debug, Clone)]
struct RequestId(HeaderValue);

/// What the guard of every request knows; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Whether only this machine can reach the server.
    pub(super) loopback: bool,
    /// Whether whoever reaches it beyond loopback needs no key.
    pub(super) open: bool,
    /// Origins of web pages that may ask.
    pub(super) origins: Arc<[String]>,
    pub(super) keys: Arc<KeyStore>,
    pub(super) stopping: Arc<AtomicBool>,
}

/// What becomes of a request.
#[derive(Debug)]
enum Admission {
    /// By this client, if its key says so.
    In(String),
    Preflight,
    Refused(ApiError),
}

impl Gate {
    /// From now on new requests are refused.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Admission {
        if self.stopping.load(Ordering::Relaxed) {
            let message = "the node is ending; try again when it is back, or another node";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Admission::Refused(ApiError::with(status, "stopping", message));
        }
        if self.loopback && text(headers, header::HOST).is_some_and(|host| !self.is_own(host)) {
            let message = "this node listens on loopback and answers to localhost only; to serve \
                           others start it with --http ADDRESS:PORT of that network, or add the \
                           address of its proxy to http.origins";
            return Admission::Refused(ApiError::with(
                StatusCode::FORBIDDEN,
                "foreign_host",
                message,
            ));
        }
        if headers.contains_key(header::ORIGIN) && !self.lets_page_in(headers) {
            let message = "a web page of another site may not use this node; to allow it add its \
                           origin to http.origins";
            let status = StatusCode::FORBIDDEN;
            return Admission::Refused(ApiError::with(status, "foreign_origin", message));
        }
        let asks_first = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if *method == Method::OPTIONS && asks_first && headers.contains_key(header::ORIGIN) {
            return Admission::Preflight;
        }
        match self.check_key(path, headers) {
            Ok(client) if is_plain(headers) => Admission::In(client),
            Ok(_) => {
                let message = "bodies are read as they are; send it without a content-encoding";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Admission::Refused(ApiError::with(status, "content_encoding", message))
            }
            Err(error) => Admission::Refused(error),
        }
    }

    fn check_key(&self, path: &str, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(info) = presented_keys(headers).find_map(|key| self.keys.find(key)) {
            return Ok(format!("key {}", info.id));
        }
        let needs_key = !self.keys.is_empty() || !(self.loopback || self.open);
        if !needs_key || OPEN_PATHS.contains(&path) {
            return Ok(String::new());
        }
        let message = match presented_keys(headers).next() {
            Some(_) => "this API key is not known here; `swarmllm key list` shows those that are",
            None => {
                "an API key is needed: send `Authorization: Bearer KEY` or `x-api-key: KEY`; \
                 `swarmllm key create` makes one"
            }
        };
        Err(ApiError::with(StatusCode::UNAUTHORIZED, "invalid_api_key", message))
    }

    /// Whether a host is this machine, or stands in an allowed origin.
    fn is_own(&self, host: &str) -> bool {
        let listed = |origin: &String| authority(origin).is_some_and(|own| own == host);
        is_loopback_authority(host) || self.origins.iter().any(listed)
    }

    fn lets_page_in(&self, headers: &HeaderMap) -> bool {
        // A browser says one.
        let is_one = headers.get_all(header::ORIGIN).count() == 1;
        let Some(origin) = text(headers, header::ORIGIN).filter(|_| is_one) else { return false };
        // Pages without an origin of their own say `null`; programs have schemes of their own.
        let scheme = origin.split_once("://").map(|(scheme, _)| scheme);
        let is_program = scheme.is_some_and(|scheme| !is_of_web(scheme) && !scheme.is_empty());
        let host = text(headers, header::HOST);
        let is_same = !self.loopback && authority(origin).is_some_and(|own| Some(own) == host);
        is_program || is_same || self.may_read(origin)
    }

    /// Whether a page of this origin may read answers.
    fn may_read(&self, origin: &str) -> bool {
        let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        let scheme = origin.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| PROGRAM_SCHEMES.contains(&scheme))
            || authority(origin).is_some_and(is_loopback_authority)
            || self.origins.iter().any(listed)
    }

    /// Tells a browser that the page may read this.
    fn add_cors(&self, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if origin.to_str().is_ok_and(|origin| self.may_read(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let shown = HeaderValue::from_static(SHOWN_HEADERS);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        }
    }
}

/// Refuses what must not come in, and marks what goes out.
pub(super) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(gate) = request.app_data::<web::Data<Gate>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let counts = request.app_data::<web::Data<HttpCounts>>().cloned();
    let id = chosen_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let origin = request.headers().get(header::ORIGIN).cloned();
    let admission = gate.admit(request.method(), request.path(), request.headers());
    let mut caller = None;
    let response = match admission {
        Admission::In(client) => {
            caller = take_node_for(&mut request, client);
            let payload = bounded(request.take_payload(), BODY_SILENCE, BODY_DEADLINE);
            request.set_payload(payload);
            next.call(request).await?.map_into_boxed_body()
        }
        Admission::Preflight => {
            let response = preflight(request.headers());
            request.into_response(response)
        }
        Admission::Refused(error) => {
            let response = in_dialect(request.request(), &error);
            request.into_response(response)
        }
    };
    let mut response = with_allowed_methods(response);
    gate.add_cors(origin, response.headers_mut());
    if is_anthropic(response.request().path(), response.request().headers()) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    // An error answers nothing, whoever was asked before it.
    let caller = caller.filter(|_| response.status().is_success());
    let answered_by = caller.and_then(|caller: Arc<Caller>| caller.answered_by());
    if let Some(by) = answered_by.and_then(|by| HeaderValue::from_str(&by).ok()) {
        response.headers_mut().insert(X_ANSWERED_BY, by);
    }
    if let Some(counts) = counts {
        let request = response.request();
        let path = request.match_pattern().map(|pattern| docs::declared(&pattern));
        counts.count(path.as_deref(), request.method(), response.status());
    }
    Ok(response)
}

/// Every door takes its node from here: none can forget who asks and what they forbid.
fn take_node_for(request: &mut ServiceRequest, client: String) -> Option<Arc<Caller>> {
    let node = request.app_data::<web::Data<NodeHandle>>()?;
    let caller = Arc::new(Caller::new(client, forbids_cloud(request.headers())));
    let mut own = Extensions::new();
    own.insert(web::Data::new(node.for_caller(Arc::clone(&caller))));
    request.add_data_container(Rc::new(own));
    Some(caller)
}

/// What is neither absent nor `allow` was meant to forbid.
fn forbids_cloud(headers: &HeaderMap) -> bool {
    headers.get_all(X_CLOUD).any(|value| !value.as_bytes().eq_ignore_ascii_case(b"allow"))
}

/// An error in the form of the dialect that a request speaks.
pub(super) fn in_dialect(request: &HttpRequest, error: &ApiError) -> HttpResponse {
    match request.path() {
        path if path.starts_with("/api/") => error.answer(&json!({"error": error.message})),
        path if is_anthropic(path, request.headers()) => {
            anthropic::response(error, &request_id(request))
        }
        mcp::PATH => error.answer(&mcp::refused(&error.message)),
        _ => error.answer(&error.body()),
    }
}

/// Whether a request speaks Anthropic's dialect; its clients say so wherever they ask.
pub(super) fn is_anthropic(path: &str, headers: &HeaderMap) -> bool {
    path.starts_with("/v1/messages") || headers.contains_key(ANTHROPIC_VERSION)
}

/// What a request is called in the `x-request-id` of its answer.
pub(super) fn request_id(request: &HttpRequest) -> String {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("req_unknown").to_owned()
}

/// A 405 says which methods there are.
fn with_allowed_methods(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let request = response.request();
    let pattern = request.match_pattern().unwrap_or_default();
    let allowed = docs::methods_at(&pattern).join(", ");
    if matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0)) {
        let (method, path) = (request.method(), request.path());
        let message = format!("{path} is not for {method}; use {allowed}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let error = ApiError::with(status, "method_not_allowed", message);
        let answer = in_dialect(request, &error);
        response = response.into_response(answer);
    }
    if let Ok(allowed) = HeaderValue::from_str(&allowed)
        && !response.headers().contains_key(header::ALLOW)
    {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// What a browser may send next. Which page may, `add_cors` says.
fn preflight(headers: &HeaderMap) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, DELETE"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S));
    // Client libraries send headers of their own; none of them has a meaning that could harm.
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
    }
    response.finish()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // What is no text is no name that anybody allowed.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a body is not compressed.
fn is_plain(headers: &HeaderMap) -> bool {
    let encoding = text(headers, header::CONTENT_ENCODING).unwrap_or("identity").trim();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")
}

/// Keys that come with a request. Claude Code sends two when it has a token and a key.
fn presented_keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let own = text(headers, X_API_KEY).map(str::trim);
    [bearer, own].into_iter().flatten().filter(|key| !key.is_empty())
}

/// Whether pages with this scheme come from anywhere in the web.
fn is_of_web(scheme: &str) -> bool {
    ["http", "https", "ftp"].iter().any(|web| scheme.eq_ignore_ascii_case(web))
}

/// `HOST:PORT` of the origin of a web page.
fn authority(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    is_of_web(scheme).then_some(authority)
}

/// Whether `HOST` or `HOST:PORT` is this machine.
fn is_loopback_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        Some(None) => return false,
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    // Names below `localhost` are nobody else's: no name server is asked for them.
    let name = host.to_ascii_lowercase();
    let is_local = name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_local && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn chosen_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=REQUEST_ID_MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(allowed)
    };
    let given = headers.get(X_REQUEST_ID).filter(plain).cloned();
    let made = || HeaderValue::from_str(&format!("req_{}", random_hex::<12>().ok()?)).ok();
    given.or_else(made).unwrap_or(HeaderValue::from_static("req_unknown"))
}

/// A body that fails when it pauses for too long, or never ends.
fn bounded(payload: Payload, silence: Duration, deadline: Duration) -> Payload {
    match payload {
        Payload::None => Payload::None,
        payload => Payload::Stream { payload: Box::pin(in_time(payload, silence, deadline)) },
    }
}

fn in_time(
    payload: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    silence: Duration,
    deadline: Duration,
) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let end = Instant::now() + deadline;
    stream::unfold(Some(payload), move |payload| async move {
        let mut payload = payload?;
        let until = end.min(Instant::now() + silence);
        match tokio::time::timeout_at(until, payload.next()).await {
            Ok(item) => Some((item?, Some(payload))),
            Err(_) => Some((Err(PayloadError::Io(io::ErrorKind::TimedOut.into())), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn gate(loopback: bool, origins: &[&str]) -> Gate {
        let keys = KeyStore::open(Path::new("/nonexistent"), [0; 32]).expect("no keys");
        Gate {
            loopback,
            open: true,
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            keys: Arc::new(keys),
            stopping: Arc::default(),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    /// The status of the refusal, if it is one.
    fn refusal(gate: &Gate, pairs: &[(&'static str, &str)]) -> Option<u16> {
        match gate.admit(&Method::POST, "/v1/models", &headers(pairs)) {
            Admission::Refused(error) => Some(error.status.as_u16()),
            _ => None,
        }
    }

    #[test]
    fn loopback_names_are_recognised_and_others_are_not() {
        let own = ["localhost", "LocalHost:80", "127.0.0.1:8800", "127.9.9.9", "[::1]:1", "[::1]"];
        let others = ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "[::2]:1"];
        assert!(is_loopback_authority("tauri.localhost") && is_loopback_authority("A.localhost:1"));
        for odd in
            ["localhost:80@evil.example", "localhost:", "[::1", "[::1]x", "[::1]:1@evil", "x:y"]
        {
            assert!(!is_loopback_authority(odd), "{odd}");
        }
        assert!(own.into_iter().all(is_loopback_authority));
        assert!(!others.into_iter().any(is_loopback_authority));
    }

    #[test]
    fn a_rebound_name_is_refused_on_loopback_only() {
        let local = gate(true, &["https://chat.example"]);
        assert_eq!(refusal(&local, &[("host", "evil.example:8800")]), Some(403));
        assert_eq!(refusal(&local, &[("host", "chat.example")]), None);
        assert_eq!(refusal(&local, &[("host", "localhost:8800")]), None);
        assert_eq!(refusal(&gate(false, &[]), &[("host", "node.example")]), None);
    }

    #[test]
    fn pages_of_other_sites_are_refused_everywhere_unless_allowed() {
        for (loopback, host) in [(true, "127.0.0.1:1"), (false, "10.0.0.7:1")] {
            let gate = gate(loopback, &["https://chat.example"]);
            let code = |origin: &str| refusal(&gate, &[("host", host), ("origin", origin)]);
            assert_eq!(code("https://evil.example"), Some(403));
            assert_eq!(code("https://chat.example.evil.example"), Some(403));
            assert_eq!(code("null"), Some(403));
            assert_eq!(code("https://chat.example"), None);
            assert_eq!(code("http://localhost:3000"), None);
            assert_eq!(code("vscode-webview://x"), None);
            for odd in ["HTTPS://evil.example", "evil.example", "//evil.example", "://x", "", "?"] {
                assert_eq!(code(odd), Some(403), "{odd}");
            }
            let two =
                [("host", host), ("origin", "http://localhost"), ("origin", "http://evil.example")];
            assert_eq!(refusal(&gate, &two), Some(403));
        }
        let lan = gate(false, &[]);
        assert_eq!(refusal(&lan, &[("host", "10.0.0.7:1"), ("origin", "http://10.0.0.7:1")]), None);
    }

    #[test]
    fn only_allowed_and_loopback_pages_may_read_answers() {
        let gate = gate(true, &["https://chat.example"]);
        let told = |origin: &'static str| {
            let mut answer = HeaderMap::new();
            gate.add_cors(Some(HeaderValue::from_static(origin)), &mut answer);
            answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        for origin in ["https://chat.example", "http://localhost:3000", "tauri://localhost"] {
            assert_eq!(told(origin).expect("told"), origin);
        }
        assert_eq!(told("https://evil.example"), None);
        assert_eq!(told("chrome-extension://abc"), None);
    }

    #[test]
    fn a_closed_gate_asks_to_come_back() {
        let gate = gate(true, &[]);
        gate.clone().close();
        assert_eq!(refusal(&gate, &[]), Some(503));
    }

    #[test]
    fn a_key_comes_as_bearer_or_in_its_own_header() {
        let found = |pairs: &[(&'static str, &str)]| {
            presented_keys(&headers(pairs)).collect::<Vec<&str>>().join(" ")
        };
        assert_eq!(found(&[("authorization", "bearer  k1 ")]), "k1");
        assert_eq!(found(&[("x-api-key", "k2")]), "k2");
        assert_eq!(found(&[("authorization", "Basic abc"), ("x-api-key", "k")]), "k");
        assert_eq!(found(&[("authorization", "Bearer a"), ("x-api-key", "b")]), "a b");
        assert_eq!(found(&[("authorization", "Bearer ")]), "");
        assert_eq!(found(&[]), "");
    }

    #[test]
    fn a_compressed_body_is_refused() {
        let gate = gate(true, &[]);
        assert_eq!(refusal(&gate, &[("content-encoding", "gzip")]), Some(415));
        assert_eq!(refusal(&gate, &[("content-encoding", "Identity")]), None);
    }

    #[test]
    fn beyond_loopback_a_key_is_needed_unless_the_node_is_open() {
        let lan = Gate { open: false, ..gate(false, &[]) };
        assert_eq!(refusal(&lan, &[]), Some(401));
        assert_eq!(refusal(&gate(false, &[]), &[]), None);
        assert_eq!(refusal(&gate(true, &[]), &[]), None);
        for path in OPEN_PATHS {
            let admission = lan.admit(&Method::GET, path, &HeaderMap::new());
            assert!(matches!(admission, Admission::In(_)), "{path}");
        }
    }

    #[test]
    fn a_misspelt_wish_to_stay_in_the_swarm_counts_as_one() {
        let forbids = |value| forbids_cloud(&headers(&[("x-swarmllm-cloud", value)]));
        assert!(["never", "NEVER", "nevr", ""].into_iter().all(forbids));
        assert!(!forbids("Allow") && !forbids_cloud(&headers(&[])));
    }

    #[test]
    fn a_plain_request_id_is_kept() {
        assert_eq!(chosen_id(&headers(&[("x-request-id", "abc-1")])), "abc-1");
        let made = chosen_id(&headers(&[("x-request-id", "a b")]));
        assert!(made.to_str().expect("ASCII").starts_with("req_"));
    }

    #[actix_web::test]
    async fn a_body_that_stops_coming_is_an_error() {
        let first = stream::iter([Ok(Bytes::from_static(b"a"))]);
        let stalled = Box::pin(first.chain(stream::pending()));
        let short = Duration::from_millis(20);
        let items: Vec<_> = in_time(stalled, short, Duration::from_secs(9)).collect().await;
        assert_eq!(items.len(), 2);
        assert!(matches!(&items[1], Err(PayloadError::Io(error))
            if error.kind() == io::ErrorKind::TimedOut));
        let pause = tokio::time::interval(Duration::from_millis(1));
        let drip = Box::pin(stream::unfold(pause, async |mut pause| {
            pause.tick().await;
            Some((Ok(Bytes::new()), pause))
        }));
        let items: Vec<_> = in_time(drip, Duration::from_secs(9), short).collect().await;
        assert!(items.last().is_some_and(Result::is_err));
    }
}
