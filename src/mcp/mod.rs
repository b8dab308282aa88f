//! The MCP server: seven tools and a resource over one node, whatever carries the messages.
//!
//! Called by `http/mcp.rs` (streamable HTTP) and `cli/mcp.rs` (stdio). Reading order: [`node`] is
//! what the tools ask of a node, in this process or (`remote`) over its control socket; [`tool`] is
//! our own registry; [`job`] runs one call; `tools/` is one file per tool; [`server`] is the only
//! file here that knows `rmcp`, which speaks both eras of the protocol.
//! Errors: [`tool::ToolError`], which a client sees as a result with `isError`.
//! Absent on purpose: prompts, sampling and logging of the protocol; nothing here needs them.

pub mod job;
pub mod node;
pub mod remote;
pub mod schema;
pub mod server;
pub mod tool;
mod tools;
