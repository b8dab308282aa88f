//! The control socket: JSON-RPC 2.0 between a running node and the commands on the same machine.
//!
//! Called by `cli/serve.rs` (server) and by `cli/` and `demo/` (client). One Unix socket per node,
//! mode 0600, only for the user that runs the node; one JSON object per line, both ways.
//! `json_rpc.rs` is the pure form, `methods.rs` what can be asked (`invites.rs` about invites,
//! `keys.rs` about API keys), `server.rs` and `client.rs` the two ends.
//! Absent on purpose: batches (a caller may send many lines instead).

pub mod client;
mod cloud;
mod invites;
pub mod json_rpc;
mod keys;
pub mod methods;
pub mod server;
