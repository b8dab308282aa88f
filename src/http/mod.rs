//! The HTTP door: the OpenAI dialect over one node.
//!
//! Called by `cli/serve.rs`. `server.rs` binds, `guard.rs` looks at every request and asks `keys.rs`
//! for its API key, `openai_chat.rs` and `openai_models.rs` speak the dialect, `chat_request.rs`
//! reads a chat body, `ollama/` speaks Ollama's, `fields.rs` reads bodies field by field, `sse.rs`
//! writes event streams, `errors.rs` knows the shape of an error, `health.rs` is for service
//! managers, `metrics.rs` for monitoring, `text.rs` shows how a model reads text, `docs/` describes
//! all paths.
//! Absent on purpose: TLS (a proxy adds it), and any knowledge of actors.

pub mod anthropic;
pub mod chat_request;
pub mod completions;
pub mod docs;
pub mod embeddings;
pub mod errors;
mod fields;
mod guard;
pub mod health;
pub mod keys;
pub mod mcp;
pub mod metrics;
pub mod ollama;
pub mod openai_chat;
pub mod openai_models;
pub mod responses;
mod samples;
pub mod server;
pub mod sse;
pub mod text;

pub use guard::Gate;
