//! What a service manager and other processes see of a running node.
//!
//! Called by `cli/serve.rs`, `node.rs` and `demo/`. `data_folder.rs` makes one folder belong to one
//! node, `ready_file.rs` announces it, `notify.rs` speaks to systemd, `signals.rs` waits for the
//! wish to end, `memory.rs` says how much the process holds. Absent on purpose: the node itself.

pub mod data_folder;
pub mod memory;
pub mod notify;
pub mod ready_file;
pub mod signals;

pub use memory::{available_bytes, resident_bytes};
