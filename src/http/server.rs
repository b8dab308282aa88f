//! The HTTP server: binds, and knows which path is whose.
//!
//! Opened and started by `cli/serve.rs` on the actix system. While the node loads its models, every
//! request is told 503 and when to come back. `guard.rs` looks at every request before its handler
//! does. Beyond loopback the server does not start without an API key, unless it is told that it
//! may be open. Bounds: bodies up to 64 MiB. Errors: [`io::Error`] at the start, then
//! [`ApiError`] bodies.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    task::Poll,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::StatusCode,
    middleware::from_fn,
    web,
};
use tokio::net::TcpSocket;

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
/// Connections that nobody has taken yet.
const BACKLOG: u32 = 1024;
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

/// The server's address, taken before there is a node: a mistake shows before models are loaded,
/// and whoever asks meanwhile is told to come back.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    gate: Gate,
    waiting: ServerHandle,
}

impl Door {
    /// Binds.
    ///
    /// # Errors
    /// When the address can't be had, or strangers would reach a node that asks for no key.
    pub async fn open(options: HttpOptions, keys: Arc<KeyStore>) -> io::Result<Door> {
        let HttpOptions { listen, open, origins } = options;
        let loopback = listen.ip().is_loopback();
        if !loopback && !open && keys.is_empty() {
            return Err(io::Error::other(
                "whoever reaches this address could use the node, for it has no API key; make one \
                 with `swarmllm key create`, or set http.open = true to let everybody in",
            ));
        }
        let listener = bound(listen)?;
        let gate = Gate { loopback, open, origins: origins.into(), keys, stopping: Arc::default() };
        let for_worker = web::Data::new(gate.clone());
        let mut server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(guard))
                .app_data(for_worker.clone())
                .default_service(web::to(not_yet))
        })
        .workers(1)
        .disable_signals()
        .listen(listener.try_clone()?)?
        .run();
        let waiting = server.handle();
        // This starts its threads; the caller's own will be busy with models.
        if let Poll::Ready(ended) = futures_util::poll!(&mut server) {
            ended?;
        }
        actix_rt::spawn(server);
        Ok(Door { listener, gate, waiting })
    }

    /// Serves; returns the server, its address and the gate that ends it.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn serve(self, node: NodeHandle) -> io::Result<(Server, SocketAddr, Gate)> {
        let Door { listener, gate, waiting } = self;
        // Who comes between the two servers waits in the listener's queue.
        waiting.stop(false).await;
        let address = listener.local_addr()?;
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
        .listen(listener)?;
        Ok((server.run(), address, gate))
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

async fn not_yet(request: HttpRequest) -> HttpResponse {
    let message = "the node is loading its models; try again in a while, or ask another node";
    let error = ApiError::with(StatusCode::SERVICE_UNAVAILABLE, "loading", message);
    in_dialect(&request, &error)
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        path::Path,
    };

    use super::*;

    async fn open(listen: &str, open: bool) -> io::Result<Door> {
        let keys = KeyStore::open(Path::new("/nonexistent"), [0; 32]).expect("no keys");
        let listen = listen.parse().expect("an address");
        Door::open(HttpOptions { listen, open, origins: Vec::new() }, Arc::new(keys)).await
    }

    #[actix_web::test]
    async fn who_asks_before_the_models_are_there_is_told_to_come_back() {
        let door = open("127.0.0.1:0", false).await.expect("an address");
        let address = door.listener.local_addr().expect("bound");
        // On this thread, which loads the models in a real node.
        let ask = |head: &str| {
            let mut client = TcpStream::connect(address).expect("reachable");
            let head = format!("{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            client.write_all(head.as_bytes()).expect("writable");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("readable");
            answer
        };
        for (head, status, part) in [
            ("GET /ready", " 503 ", "\"code\":\"loading\""),
            ("POST /v1/chat/completions", " 503 ", "retry-after: 5"),
            ("POST /v1/messages", " 529 ", "overloaded_error"),
            ("POST /api/chat", " 503 ", "{\"error\":\"the node is loading"),
            ("POST /mcp", " 503 ", "\"jsonrpc\":\"2.0\""),
            ("GET /health", " 503 ", "x-request-id: req_"),
        ] {
            let answer = ask(head);
            assert!(answer.contains(status) && answer.contains(part), "{head}: {answer}");
        }
    }

    #[actix_web::test]
    async fn an_address_that_is_taken_or_open_to_strangers_is_refused_at_once() {
        let door = open("127.0.0.1:0", false).await.expect("an address");
        let address = door.listener.local_addr().expect("bound").to_string();
        let taken = open(&address, false).await.expect_err("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let strangers = open("0.0.0.0:0", false).await.expect_err("no key").to_string();
        assert!(strangers.contains("swarmllm key create"), "{strangers}");
        assert!(open("0.0.0.0:0", true).await.is_ok());
    }
}
