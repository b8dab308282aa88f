//! A provider's imitation: HTTP on loopback, answers from a script, counts of what came.
//!
//! Used by `cloud.rs`. Each request takes the next reply of the script; the last one stays. A
//! connection carries one request. Errors: panics in its own threads, seen as missing answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::DEADLINE;

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, then the end of the connection.
    Whole(String),
    /// These bytes, then nothing until the other side goes away.
    Silence(String),
    /// Nothing at all until then.
    Mute,
}

fn head(status: u16, kind: &str, more: &[(&str, &str)]) -> String {
    let more: String = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "HTTP/1.1 {status} Word\r\nContent-Type: {kind}\r\nx-request-id: req-of-it\r\n{more}\
         Connection: close\r\n\r\n"
    )
}

fn stream(events: &[Value]) -> String {
    let event = |event: &Value| match event["type"].as_str() {
        Some(kind) => format!("event: {kind}\r\ndata: {event}\r\n\r\n"),
        None => format!("data: {event}\n\n"),
    };
    let events: String = events.iter().map(event).collect();
    format!("{}: a comment\n\n{events}", head(200, "text/event-stream; charset=utf-8", &[]))
}

impl Reply {
    /// A stream of these events, with `[DONE]` at its end or without.
    pub(crate) fn events(events: &[Value], is_done: bool) -> Reply {
        let done = if is_done { "data: [DONE]\n\n" } else { "" };
        Reply::Whole(stream(events) + done)
    }

    /// A stream that begins with these events and never goes on.
    pub(crate) fn silence(events: &[Value]) -> Reply {
        Reply::Silence(stream(events))
    }

    /// An error with more headers.
    pub(crate) fn error(status: u16, more: &[(&str, &str)], body: Value) -> Reply {
        Reply::Whole(format!("{}{body}", head(status, "application/json", more)))
    }

    /// Success with any body.
    pub(crate) fn raw(kind: &str, body: &str) -> Reply {
        Reply::Whole(head(200, kind, &[]) + body)
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Request line and headers.
    pub(crate) head: String,
    body: String,
}

impl Received {
    /// Its body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

#[derive(Debug)]
struct Shared {
    replies: Vec<Reply>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

/// A running imitation.
#[derive(Debug)]
pub(crate) struct Imitation {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    answering: Receiver<()>,
    hang_ups: Receiver<()>,
}

impl Imitation {
    /// Starts it; it ends with the test program.
    pub(crate) fn start(replies: Vec<Reply>) -> Imitation {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = AtomicUsize::new(0);
        let shared = Arc::new(Shared { replies, received: Mutex::default(), connections });
        let (said, answering) = channel();
        let (left, hang_ups) = channel();
        let for_threads = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                for_threads.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, said, left) = (Arc::clone(&for_threads), said.clone(), left.clone());
                std::thread::spawn(move || serve(socket, &shared, (&said, &left)));
            }
        });
        Imitation { address, shared, answering, hang_ups }
    }

    /// What came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("whole").clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until a silent reply has been begun.
    pub(crate) fn wait_for_answering(&self) {
        self.answering.recv_timeout(DEADLINE).expect("an answer is begun");
    }

    /// Waits until the other side has left a silent reply.
    pub(crate) fn wait_for_hang_up(&self) {
        self.hang_ups.recv_timeout(DEADLINE).expect("the connection is closed");
    }
}

fn serve(socket: TcpStream, shared: &Shared, (said, left): (&Sender<()>, &Sender<()>)) {
    let mut reader = BufReader::new(socket.try_clone().expect("a clone"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).expect("readable") == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().expect("a length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a whole body");
    let body = String::from_utf8(body).expect("UTF-8");
    let reply = {
        let mut received = shared.received.lock().expect("whole");
        received.push(Received { head, body });
        let at = (received.len() - 1).min(shared.replies.len() - 1);
        shared.replies[at].clone()
    };
    let mut socket = socket;
    let (text, is_silent) = match reply {
        Reply::Whole(text) => (text, false),
        Reply::Silence(text) => (text, true),
        Reply::Mute => (String::new(), true),
    };
    // The node may be gone by now.
    let _ = socket.write_all(text.as_bytes());
    if is_silent {
        let _ = said.send(());
        let _ = reader.read(&mut [0]);
        let _ = left.send(());
    }
}
