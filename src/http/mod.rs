//! The HTTP door: every dialect over one node.
//!
//! Called by `cli/serve.rs`. `server.rs` binds, `guard.rs` looks at every request and asks
//! `keys.rs` for its API key. A folder for each dialect: `openai/`, `responses/`, `anthropic/`,
//! `ollama/`, `mcp/`; none calls another. What they share: `fields.rs` reads bodies field by field,
//! `sse.rs` writes event streams, `samples.rs` makes several answers one stream, `errors.rs` knows
//! the shape of an error; `generation_fields.rs`, `log_probabilities.rs`, `schema.rs` and
//! `processing_time.rs` are for the dialects of OpenAI. `health.rs` is for service managers,
//! `metrics.rs` for monitoring, `text.rs` shows how a model reads text, `docs/` describes all
//! paths.
//! Absent on purpose: TLS (a proxy adds it), and any knowledge of actors.

pub mod anthropic;
pub mod docs;
pub mod errors;
mod fields;
mod generation_fields;
mod guard;
pub mod health;
pub mod keys;
mod log_probabilities;
pub mod mcp;
pub mod metrics;
pub mod ollama;
pub mod openai;
mod processing_time;
pub mod responses;
mod samples;
mod schema;
pub mod server;
pub mod sse;
pub mod text;
mod vectors;

pub use guard::Gate;
#[cfg(test)]
mod testing;
