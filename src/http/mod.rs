//! The HTTP door: the OpenAI dialect over one node.
//!
//! Called by `cli/serve.rs`. `server.rs` binds and guards, `openai/` speaks the dialect, `sse.rs`
//! writes event streams, `samples.rs` makes several answers one stream, `errors.rs` knows the shape
//! of an error, `health.rs` is for service managers, `metrics.rs` for monitoring.
//! Absent on purpose: TLS and API keys (the server is on loopback; a proxy adds them), and any
//! knowledge of actors.

pub mod anthropic;
pub mod docs;
pub mod errors;
pub mod health;
pub mod mcp;
pub mod metrics;
pub mod ollama;
pub mod openai;
pub mod responses;
mod samples;
pub mod server;
pub mod sse;
