//! `/mcp`: the MCP server over streamable HTTP, both eras of the protocol on one path.
//!
//! Called by `server.rs`. The transport of `rmcp` is a tower service over `http` 1; this file
//! brings actix requests to it and its answers back. What it adds: bodies that are no message are
//! JSON-RPC errors, sessions of the handshake era are bounded, and a POST that is not answered
//! within seconds begins its event stream with comments, so that a long prefill is no silence.
//! Dropping the body of an answer cancels its call where the protocol says so (2026-07-28).
//! The server's guard has looked at Host and Origin before. Errors: JSON-RPC objects with a status.

use std::{convert::Infallible, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    error::PayloadError,
    http::{Method, StatusCode, header},
    web,
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService,
        session::local::{LocalSessionManager, SessionConfig},
    },
};
use serde_json::{Value, json};
use tower_service::Service;

use super::server::BODY_MAX_BYTES;
use crate::{mcp::server::McpServer, node::NodeHandle};

/// Sessions of the handshake era at once; each is a task and a few channels.
const SESSIONS_MAX: usize = 1024;
/// A session that nobody speaks in ends after so long; a long call is silent too.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Longest silence of a POST.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Seconds after which a client may ask for a session again.
const RETRY_AFTER_S: u32 = 30;
/// JSON-RPC: no JSON.
const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but no message.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: this server's own.
const OVERLOADED: i32 = -32000;

type Answer = http::Response<BoxBody<Bytes, Infallible>>;

/// The transport, shared by all workers.
#[derive(Clone)]
pub struct McpDoor {
    service: StreamableHttpService<McpServer, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
}

impl std::fmt::Debug for McpDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpDoor").finish_non_exhaustive()
    }
}

impl McpDoor {
    /// The server over this node.
    pub fn new(node: NodeHandle) -> McpDoor {
        let mut session_config = SessionConfig::default();
        session_config.keep_alive = Some(SESSION_IDLE);
        let mut sessions = LocalSessionManager::default();
        sessions.session_config = session_config;
        let sessions = Arc::new(sessions);
        let server = McpServer::new(Arc::new(node));
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_max_request_body_bytes(BODY_MAX_BYTES)
            .with_sse_keep_alive(Some(KEEP_ALIVE));
        let service =
            StreamableHttpService::new(move || Ok(server.clone()), Arc::clone(&sessions), config);
        McpDoor { service, sessions }
    }
}

/// Its path; which of the methods fits an era is the transport's matter.
pub fn routes(config: &mut web::ServiceConfig) {
    let resource = web::resource("/mcp").route(web::get().to(mcp)).route(web::post().to(mcp));
    config.service(resource.route(web::delete().to(mcp)));
}

async fn mcp(
    door: web::Data<McpDoor>,
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => return unreadable(&error),
    };
    let is_post = request.method() == Method::POST;
    if is_post && let Some(refusal) = refusal(&door, &body).await {
        return refusal;
    }
    let Some(request) = converted(&request, body) else {
        let message = "the request line or a header can't be read";
        return json_rpc_error(StatusCode::BAD_REQUEST, INVALID_REQUEST, message);
    };
    let mut call = door.service.clone().call(request);
    match tokio::time::timeout(KEEP_ALIVE, &mut call).await {
        Ok(Ok(answer)) => response(answer).await,
        Err(_) if is_post => begun(call),
        Err(_) => {
            let Ok(answer) = call.await;
            response(answer).await
        }
    }
}

/// Why a POST does not reach the transport.
async fn refusal(door: &McpDoor, body: &[u8]) -> Option<HttpResponse> {
    let message = match serde_json::from_slice::<ClientJsonRpcMessage>(body) {
        Ok(message) => message,
        Err(error) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() => {
            let message = format!("the body is no JSON: {error}");
            return Some(json_rpc_error(StatusCode::BAD_REQUEST, PARSE_ERROR, &message));
        }
        Err(_) => {
            let message = "the body is no single JSON-RPC 2.0 message";
            return Some(json_rpc_error(StatusCode::BAD_REQUEST, INVALID_REQUEST, message));
        }
    };
    let opens_session = matches!(
        &message,
        ClientJsonRpcMessage::Request(request)
            if matches!(request.request, ClientRequest::InitializeRequest(_))
    );
    if opens_session && door.sessions.sessions.read().await.len() >= SESSIONS_MAX {
        let message = format!("{SESSIONS_MAX} sessions are open; close one with DELETE, or wait");
        let mut refused = json_rpc_error(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED, &message);
        refused.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        return Some(refused);
    }
    None
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
    HttpResponse::build(status).json(error_object(code, message))
}

fn error_object(code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}})
}

/// The same request in the types of the transport.
fn converted(request: &HttpRequest, body: Bytes) -> Option<http::Request<Full<Bytes>>> {
    let mut builder =
        http::Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers() {
        builder = builder.header(name.as_str(), value.as_bytes());
    }
    builder.body(Full::new(body)).ok()
}

/// The answer of the transport in the types of the server; what it refuses in plain words becomes
/// an object.
async fn response(answer: Answer) -> HttpResponse {
    let (parts, body) = answer.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_json = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let mut response = HttpResponse::build(status);
    for (name, value) in &parts.headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    match http_body::Body::size_hint(&body).exact() {
        Some(0) => response.finish(),
        Some(_) => {
            let Ok(whole) = body.collect().await;
            let whole = whole.to_bytes();
            match status.is_client_error() && !is_json {
                true => {
                    response.json(error_object(INVALID_REQUEST, &String::from_utf8_lossy(&whole)))
                }
                false => response.body(whole),
            }
        }
        None => response.streaming(body.into_data_stream()),
    }
}

/// A POST that takes its time.
enum Late {
    /// No answer yet.
    Waiting(BoxFuture<'static, Result<Answer, Infallible>>),
    /// The rest of its events.
    Events(BoxStream<'static, Result<Bytes, Infallible>>),
}

/// An event stream that begins before the call has an answer.
fn begun(call: BoxFuture<'static, Result<Answer, Infallible>>) -> HttpResponse {
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
            Ok(Ok(answer)) => events_of(answer),
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
            tokio::time::sleep(KEEP_ALIVE * 5 / 2).await;
            Ok(answer("text/event-stream", "data: {}\n\n"))
        });
        assert_eq!(text_of(Late::Waiting(late)).await, [":\n\n", ":\n\n", "data: {}\n\n"]);
    }

    #[actix_web::test]
    async fn a_late_object_becomes_an_event() {
        let late = Box::pin(async { Ok(answer("application/json", "{\"id\":1}")) });
        assert_eq!(text_of(Late::Waiting(late)).await, ["data: {\"id\":1}\n\n"]);
    }
}
