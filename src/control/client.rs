//! The asking end of the control socket.
//!
//! Called by `cli/` and `demo/`. One request at a time: the lines before its answer are
//! notifications and go to the caller's function.
//! Errors: [`ClientError`], each with what to do. Dropping a client closes the connection, which
//! ends whatever the node was doing for it. Bounds: an answer line is at most 64 MiB.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::json_rpc::{Line, LineSplitter, RpcError, request_line};

/// Longest answer: an answer lists peers or token ids, far below this.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Bytes read from the socket at once.
const READ_BYTES: usize = 16 << 10;

/// Why the node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no node answers at {path} ({cause}); start one with `swarmllm serve`, or name its data \
         folder with --data-dir"
    )]
    NoNode {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The node went away before it answered.
    #[error("the node closed the connection before it answered; see its log")]
    Closed,
    /// The connection failed.
    #[error("the connection to the node failed: {0}")]
    Io(#[from] io::Error),
    /// The answer was none.
    #[error("the node's answer is not understood ({0}); are both of the same version?")]
    BadAnswer(String),
    /// The node answered with an error.
    #[error("{0}")]
    Refused(#[from] RpcError),
}

/// A connection to a running node.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    splitter: LineSplitter,
    pending: std::collections::VecDeque<Line>,
    next_id: u64,
}

/// What comes back to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A notification: method and parameters.
    Heard(String, Value),
    /// The answer; nothing follows.
    Answered(Value),
}

#[derive(Debug, Deserialize)]
struct Incoming {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Value>,
    error: Option<RpcError>,
}

impl Incoming {
    /// An error without id: the node could not even read whose request it was.
    fn is_refusal_of_the_line(&self) -> bool {
        self.id.is_none() && self.error.is_some()
    }
}

impl ControlClient {
    /// Connects to the socket of a node.
    pub async fn connect(path: &Path) -> Result<ControlClient, ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|cause| ClientError::NoNode { path: path.to_owned(), cause })?;
        let splitter = LineSplitter::new(ANSWER_MAX_BYTES);
        Ok(ControlClient { stream, splitter, pending: Default::default(), next_id: 1 })
    }

    /// Asks and waits for the answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.call_with(method, params, |_, _| {}).await
    }

    /// Asks, hands every notification to `heard(method, params)`, returns the answer.
    pub async fn call_with(
        &mut self,
        method: &str,
        params: Value,
        mut heard: impl FnMut(&str, &Value),
    ) -> Result<Value, ClientError> {
        let id = self.ask(method, params).await?;
        loop {
            match self.step(id).await? {
                Step::Heard(method, params) => heard(&method, &params),
                Step::Answered(result) => return Ok(result),
            }
        }
    }

    /// Asks; what comes back is taken with [`step`](ControlClient::step) and the id returned here.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(request_line(Some(id), method, &params).as_bytes()).await?;
        Ok(id)
    }

    /// The next thing that comes back to the question with this id.
    pub async fn step(&mut self, id: u64) -> Result<Step, ClientError> {
        loop {
            let incoming = self.read().await?;
            if let Some(method) = incoming.method {
                return Ok(Step::Heard(method, incoming.params));
            }
            if incoming.id == Some(id.into()) || incoming.is_refusal_of_the_line() {
                return match (incoming.error, incoming.result) {
                    (Some(error), _) => Err(ClientError::Refused(error)),
                    (None, result) => Ok(Step::Answered(result.unwrap_or(Value::Null))),
                };
            }
        }
    }

    async fn read(&mut self) -> Result<Incoming, ClientError> {
        loop {
            match self.pending.pop_front() {
                Some(Line::Whole(line)) => {
                    let bad = |error: serde_json::Error| ClientError::BadAnswer(error.to_string());
                    return serde_json::from_slice(&line).map_err(bad);
                }
                Some(Line::TooLong) => {
                    return Err(ClientError::BadAnswer("a line is beyond 64 MiB".to_owned()));
                }
                None => {}
            }
            let mut buffer = [0; READ_BYTES];
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                return Err(ClientError::Closed);
            }
            self.pending.extend(self.splitter.push(&buffer[..length]));
        }
    }
}
