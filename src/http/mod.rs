//! The HTTP door: the OpenAI dialect over one node.
//!
//! Called by `cli/serve.rs`. `server.rs` binds and guards, `openai_chat.rs` and
//! `openai_models.rs` speak the dialect, `chat_request.rs` reads a chat body, `sse.rs` writes event
//! streams, `errors.rs` knows the shape of an error, `health.rs` is for service managers,
//! `metrics.rs` for monitoring.
//! Absent on purpose: TLS and API keys (the server is on loopback; a proxy adds them), and any
//! knowledge of actors.

pub mod anthropic;
pub mod chat_request;
pub mod completions;
pub mod docs;
pub mod embeddings;
pub mod errors;
pub mod health;
pub mod mcp;
pub mod metrics;
pub mod ollama;
pub mod openai_chat;
pub mod openai_models;
pub mod responses;
mod samples;
pub mod server;
pub mod sse;
