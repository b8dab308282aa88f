//! The answering end of the control socket.
//!
//! Started by `cli/serve.rs` on the actix system. Per connection: one task reads lines, each
//! request runs as a task of its own, one task writes, so a long `generate` never delays a
//! `status`. Closing the connection ends its tasks, and with them its generations.
//! Bounds: connections, requests per connection and waiting lines are limited; a line beyond
//! [`LINE_MAX_BYTES`] is skipped. Only the user who runs the node is heard (SO_PEERCRED).
//! Errors: [`io::Error`] when the socket cannot be made. The socket file is removed on drop.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    pin::pin,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
};

use super::{
    json_rpc::{
        INVALID_REQUEST, LINE_MAX_BYTES, Line, LineSplitter, Request, RpcError, TOO_MANY_REQUESTS,
        parse_request, request_line, response_line,
    },
    methods::{self, Answer, ControlState},
};

/// Commands, a dashboard and a few scripts at once.
const CONNECTIONS_MAX: usize = 64;
/// Requests under way on one connection.
const REQUESTS_MAX: usize = 16;
/// Lines waiting for a slow reader; beyond, the method that makes them waits.
const LINES_WAITING_MAX: usize = 64;
/// Bytes read from the socket at once.
const READ_BYTES: usize = 16 << 10;
/// Longest path a Unix socket can have on every system (Linux takes 108 with the final zero).
const PATH_MAX_BYTES: usize = 100;

/// A listening control socket; stops and removes its file on drop.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl ControlServer {
    /// Binds the socket. The caller holds the data folder's lock: a file already there is stale.
    pub fn bind(path: &Path, state: ControlState) -> io::Result<ControlServer> {
        if path.as_os_str().len() > PATH_MAX_BYTES {
            let message = format!(
                "a Unix socket's path is at most {PATH_MAX_BYTES} bytes long; choose a shorter \
                 --data-dir"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        // Between these two lines the peer check below already protects the socket.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let own_uid = fs::metadata(path)?.uid();
        let accepting = actix_rt::spawn(accept(listener, own_uid, state));
        Ok(ControlServer { path: path.to_owned(), accepting })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.accepting.abort();
        // Gone already means the folder was removed under us.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, own_uid: u32, state: ControlState) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !is_own_user(&stream, own_uid) => {
                    tracing::warn!("refused a control connection of another user");
                }
                Ok(_) if connections.len() >= CONNECTIONS_MAX => {
                    tracing::warn!("refused a control connection: {CONNECTIONS_MAX} are open");
                }
                Ok((stream, _)) => {
                    connections.spawn_local(serve_connection(stream, state.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    // Out of descriptors: the next attempt would fail at once, and so on.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

fn is_own_user(stream: &UnixStream, own_uid: u32) -> bool {
    // The administrator can read the node's memory anyway.
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own_uid || peer.uid() == 0)
}

async fn serve_connection(stream: UnixStream, state: ControlState) {
    let (reader, writer) = stream.into_split();
    let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
    let mut writing = pin!(write_lines(writer, waiting));
    let reading = read_requests(reader, state, lines);
    // Who stops listening ends the conversation: what still runs is dropped with the future.
    // Who only stops asking (a script that closed its half) still gets its answers.
    tokio::select! {
        () = &mut writing => {}
        () = reading => writing.await,
    }
}

async fn write_lines(mut writer: OwnedWriteHalf, mut waiting: mpsc::Receiver<String>) {
    while let Some(line) = waiting.recv().await {
        if writer.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_requests(
    mut reader: OwnedReadHalf,
    state: ControlState,
    lines: mpsc::Sender<String>,
) {
    let mut splitter = LineSplitter::new(LINE_MAX_BYTES);
    let mut running = JoinSet::new();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        for line in splitter.push(&buffer[..length]) {
            if let Some(refusal) = start(line, &state, &lines, &mut running)
                && lines.send(refusal).await.is_err()
            {
                return;
            }
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

/// Starts the request of a line as a task; returns an answer line when it cannot be started.
fn start(
    line: Line,
    state: &ControlState,
    lines: &mpsc::Sender<String>,
    running: &mut JoinSet<()>,
) -> Option<String> {
    let parsed = match line {
        Line::Whole(line) => parse_request(&line),
        Line::TooLong => {
            let message = format!("a line is at most {LINE_MAX_BYTES} bytes");
            Err((Value::Null, RpcError::new(INVALID_REQUEST, message)))
        }
    };
    let request = match parsed {
        Ok(request) => request,
        Err((id, error)) => return Some(response_line(&id, &Err(error))),
    };
    if running.len() >= REQUESTS_MAX {
        while running.try_join_next().is_some() {}
    }
    if running.len() >= REQUESTS_MAX {
        let message = format!("{REQUESTS_MAX} requests are under way on this connection; wait");
        let refusal = Err(RpcError::new(TOO_MANY_REQUESTS, message));
        return request.id.map(|id| response_line(&id, &refusal));
    }
    let (state, lines) = (state.clone(), lines.clone());
    running.spawn_local(run(state, request, lines));
    None
}

/// Runs a request and sends its answer; ends early when the connection takes no more.
async fn run(state: ControlState, request: Request, lines: mpsc::Sender<String>) {
    let (result, events) = match methods::call(&state, &request, &lines).await {
        Ok(Answer::Once(result)) => (Ok(result), None),
        Ok(Answer::Subscription(events)) => (Ok(json!({"subscribed": true})), Some(events)),
        Err(error) => (Err(error), None),
    };
    if let Some(id) = &request.id
        && lines.send(response_line(id, &result)).await.is_err()
    {
        return;
    }
    let Some(mut events) = events else { return };
    while let Some(event) = events.recv().await {
        if lines.send(request_line(None, "event", &event)).await.is_err() {
            return;
        }
    }
}
