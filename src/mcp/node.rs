//! What the tools ask of a node, so that they don't know where it runs.
//!
//! Implemented here for the node of this process, and in `remote.rs` over a control socket. What a
//! node says of itself is the JSON of the control socket's methods in both cases.
//! Errors: [`GenerateError`].

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use crate::{
    generate::{ErrorKind, GenerateError, GenerateRequest, GenerationStream},
    node::{NodeError, NodeHandle},
};

/// A question about the node itself; each is a method of the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its state: one object.
    Status,
    /// `{"models":[..]}`.
    Models,
    /// `{"peers":[..]}`.
    Peers,
}

impl Look {
    /// Name of the control method.
    pub fn method(self) -> &'static str {
        match self {
            Look::Status => "status",
            Look::Models => "models",
            Look::Peers => "peers",
        }
    }
}

/// A node that answers.
pub trait Node: Send + Sync {
    /// Starts an answer; dropping the stream cancels it everywhere.
    fn generate(
        &self,
        request: GenerateRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, GenerateError>>;

    /// Asks about the node itself.
    fn look(&self, what: Look) -> BoxFuture<'_, Result<Value, GenerateError>>;
}

impl Node for NodeHandle {
    fn generate(
        &self,
        request: GenerateRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, GenerateError>> {
        NodeHandle::generate(self, request).boxed()
    }

    fn look(&self, what: Look) -> BoxFuture<'_, Result<Value, GenerateError>> {
        async move {
            Ok(match what {
                Look::Status => json!(self.status().await.map_err(unavailable)?),
                Look::Models => json!({"models": self.models().await.map_err(unavailable)?}),
                Look::Peers => json!({"peers": self.peers().await.map_err(unavailable)?}),
            })
        }
        .boxed()
    }
}

fn unavailable(error: NodeError) -> GenerateError {
    GenerateError::new(ErrorKind::Internal, error.to_string())
}
