//! `/mcp`: the MCP server over streamable HTTP, both eras of the protocol on one path.
//!
//! Called by `server.rs`. The transport of `rmcp` is a tower service over `http` 1; this file
//! brings actix requests to it and its answers back. What it adds: bodies that are no message are
//! JSON-RPC errors, sessions of the handshake era are bounded (`mcp/sessions.rs`), and a POST that
//! is not answered within seconds begins its event stream with comments, so that a long prefill is
//! no silence. Dropping the body of an answer cancels its call where the protocol says so
//! (2026-07-28). The server's guard has looked at Host and Origin before. Errors: JSON-RPC objects
//! with a status.

mod sessions;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    error::PayloadError,
    http::{Method, StatusCode, header},
    web,
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::{self, BoxStream},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use rmcp::{
    model::{ClientJsonRpcMessage, RequestId},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService,
        session::{SessionManager, local::LocalSessionManager},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_service::Service;

use self::sessions::Sessions;
use super::server::BODY_MAX_BYTES;
use crate::{
    mcp::{node::Node, server::McpServer},
    node::NodeHandle,
};

/// Where it is.
pub const PATH: &str = "/mcp";
/// Sessions of the handshake era at once; each is a task and a few channels. Beyond that the one
/// silent longest ends.
const SESSIONS_MAX: usize = 1024;
/// A session that nobody speaks in ends after so long; a long call is silent too.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Longest silence of a POST.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Names a session of the handshake era.
const SESSION_ID: &str = "mcp-session-id";
/// What a client takes that takes everything.
const ACCEPT_ALL: &str = "application/json, text/event-stream";
/// JSON-RPC: no JSON.
const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but no message.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: the server failed.
const INTERNAL_ERROR: i32 = -32603;

type Answer = http::Response<BoxBody<Bytes, Infallible>>;

/// The transport, shared by all workers.
#[derive(Clone)]
pub struct McpDoor {
    service: StreamableHttpService<McpServer, LocalSessionManager>,
    manager: Arc<LocalSessionManager>,
    sessions: Arc<Mutex<Sessions>>,
}

impl std::fmt::Debug for McpDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpDoor").finish_non_exhaustive()
    }
}

impl McpDoor {
    /// The server over this node.
    pub fn new(node: NodeHandle) -> McpDoor {
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(SESSION_IDLE);
        let manager = Arc::new(manager);
        let server = McpServer::new(Arc::new(node));
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_max_request_body_bytes(BODY_MAX_BYTES)
            .with_sse_keep_alive(Some(KEEP_ALIVE));
        let make = move || Ok(server.clone());
        let service = StreamableHttpService::new(make, Arc::clone(&manager), config);
        McpDoor { service, manager, sessions: Arc::new(Mutex::new(Sessions::new(SESSIONS_MAX))) }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the transport, and keeps count of the sessions it opens.
    async fn call(self, request: http::Request<Full<Bytes>>) -> Answer {
        let id_of = |headers: &http::HeaderMap| {
            headers.get(SESSION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned)
        };
        if let Some(id) = id_of(request.headers()) {
            self.sessions().used(&id);
        }
        let Ok(answer) = self.service.clone().call(request).await;
        if let Some(id) = id_of(answer.headers()) {
            let silent = self.sessions().opened(id);
            if let Some(id) = silent {
                // One that has ended by itself is as good.
                let _ = self.manager.close_session(&id.into()).await;
            }
        }
        answer
    }
}

/// Its path.
pub fn routes(config: &mut web::ServiceConfig) {
    let resource = web::resource(PATH);
    let methods = [web::get(), web::post(), web::delete()];
    config.service(methods.into_iter().fold(resource, |all, method| all.route(method.to(mcp))));
}

async fn mcp(
    door: web::Data<McpDoor>,
    node: web::Data<NodeHandle>,
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => return unreadable(&error),
    };
    let method = request.method().clone();
    if method == Method::POST
        && let Some(refusal) = refusal(&body)
    {
        return refusal;
    }
    let Some(mut request) = converted(&request, body) else {
        let message = "the request line or a header can't be read";
        return json_rpc_error(StatusCode::BAD_REQUEST, INVALID_REQUEST, message);
    };
    let node: Arc<dyn Node> = Arc::new(node.get_ref().clone());
    request.extensions_mut().insert(node);
    let mut call = door.get_ref().clone().call(request).boxed();
    match tokio::time::timeout(KEEP_ALIVE, &mut call).await {
        // Clients take nothing but 200 and 204 for a session that has ended.
        Ok(answer) if method == Method::DELETE && answer.status().is_success() => {
            HttpResponse::NoContent().finish()
        }
        Ok(answer) => response(answer).await,
        Err(_) if method == Method::POST => begun(call),
        Err(_) => response(call.await).await,
    }
}

/// Why a POST does not reach the transport.
fn refusal(body: &[u8]) -> Option<HttpResponse> {
    #[derive(Deserialize)]
    struct Asked {
        id: Option<RequestId>,
    }
    let error = serde_json::from_slice::<ClientJsonRpcMessage>(body).err()?;
    // Whoever waits for an answer to this id is told.
    let id = serde_json::from_slice::<Asked>(body).ok().and_then(|asked| asked.id);
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let (code, message) = match is_json {
        true => (INVALID_REQUEST, "the body is no single JSON-RPC 2.0 message".to_owned()),
        false => (PARSE_ERROR, format!("the body is no JSON: {error}")),
    };
    let mut body = error_body(code, &message);
    body["id"] = json!(id);
    Some(HttpResponse::BadRequest().json(body))
}

fn unreadable(error: &actix_web::Error) -> HttpResponse {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => {
            let message = format!("the body is larger than {BODY_MAX_BYTES} bytes");
            json_rpc_error(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, &message)
        }
        _ => {
            let message = format!("the body could not be read: {error}");
            let status = error.as_response_error().status_code();
            let status = if status.is_client_error() { status } else { StatusCode::BAD_REQUEST };
            json_rpc_error(status, INVALID_REQUEST, &message)
        }
    }
}

fn json_rpc_error(status: StatusCode, code: i32, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(error_body(code, message))
}

/// What a request is told that the server's guard refuses.
pub fn refused(message: &str) -> Value {
    error_body(INVALID_REQUEST, message)
}

fn error_body(code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}})
}

/// The same request in the types of the transport.
fn converted(request: &HttpRequest, body: Bytes) -> Option<http::Request<Full<Bytes>>> {
    let mut builder =
        http::Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers() {
        builder = match (name, value.as_bytes()) {
            // The transport takes only what is said in full.
            (&header::ACCEPT, b"*/*") => builder.header(name.as_str(), ACCEPT_ALL),
            (name, value) => builder.header(name.as_str(), value),
        };
    }
    builder.body(Full::new(body)).ok()
}

/// The answer of the transport in the types of the server; a refusal in words as an object.
async fn response(answer: Answer) -> HttpResponse {
    let (parts, body) = answer.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = parts.headers.get(http::header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|value| value.as_bytes() == b"application/json");
    if !is_json && (status.is_client_error() || status.is_server_error()) {
        let Ok(whole) = body.collect().await;
        let message = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
        let code = if status.is_client_error() { INVALID_REQUEST } else { INTERNAL_ERROR };
        return json_rpc_error(status, code, &message);
    }
    let mut response = HttpResponse::build(status);
    for (name, value) in &parts.headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    match http_body::Body::size_hint(&body).exact() {
        Some(0) => response.finish(),
        Some(_) => {
            let Ok(whole) = body.collect().await;
            response.body(whole.to_bytes())
        }
        None => response.streaming(body.into_data_stream()),
    }
}

/// A POST that takes its time.
enum Late {
    /// No answer yet.
    Waiting(BoxFuture<'static, Answer>),
    /// The rest of its events.
    Events(BoxStream<'static, Result<Bytes, Infallible>>),
}

/// An event stream that begins before the call has an answer.
fn begun(call: BoxFuture<'static, Answer>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(Late::Waiting(call), late_bytes))
}

/// One step of it. Dropping it drops the call.
async fn late_bytes(late: Late) -> Option<(Result<Bytes, Infallible>, Late)> {
    let mut events = match late {
        Late::Waiting(mut call) => match tokio::time::timeout(KEEP_ALIVE, &mut call).await {
            Err(_) => return Some((Ok(Bytes::from_static(b":\n\n")), Late::Waiting(call))),
            Ok(answer) => events_of(answer),
        },
        Late::Events(events) => events,
    };
    let bytes = events.next().await?;
    Some((bytes, Late::Events(events)))
}

/// An answer as events: those it has, or its one object as an event.
fn events_of(answer: Answer) -> BoxStream<'static, Result<Bytes, Infallible>> {
    let content_type = answer.headers().get(http::header::CONTENT_TYPE);
    let is_stream =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let body = answer.into_body();
    if is_stream {
        return body.into_data_stream().boxed();
    }
    let whole = async move {
        let Ok(whole) = body.collect().await;
        let text = String::from_utf8_lossy(&whole.to_bytes()).replace('\n', " ");
        Ok(Bytes::from(format!("data: {text}\n\n")))
    };
    stream::once(whole).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &str, body: &'static str) -> Answer {
        let body = Full::new(Bytes::from_static(body.as_bytes())).boxed();
        let response = http::Response::builder().header("content-type", content_type);
        response.body(body).expect("a response")
    }

    async fn text_of(late: Late) -> Vec<String> {
        let bytes: Vec<_> = stream::unfold(late, late_bytes).collect().await;
        let text = |bytes: Result<Bytes, Infallible>| {
            let Ok(bytes) = bytes;
            String::from_utf8_lossy(&bytes).into_owned()
        };
        bytes.into_iter().map(text).collect()
    }

    #[actix_web::test]
    async fn a_late_answer_is_preceded_by_comments() {
        tokio::time::pause();
        let late = Box::pin(async {
            let late = tokio::time::timeout(KEEP_ALIVE * 5 / 2, std::future::pending::<()>());
            late.await.expect_err("nothing comes");
            answer("text/event-stream", "data: {}\n\n")
        });
        assert_eq!(text_of(Late::Waiting(late)).await, [":\n\n", ":\n\n", "data: {}\n\n"]);
    }

    #[actix_web::test]
    async fn a_late_object_becomes_an_event() {
        let late = Box::pin(async { answer("application/json", "{\"id\":1}") });
        assert_eq!(text_of(Late::Waiting(late)).await, ["data: {\"id\":1}\n\n"]);
    }
}
