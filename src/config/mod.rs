//! Settings of a node: read from file, environment and flags, each value knowing where from.
//!
//! Called by `cli/`. Order, the later wins: built-in default, system file, user file (or the one
//! named by `--config`), environment `SWARMLLM_*`, flags.
//! `raw.rs` parses a file and refuses what it does not know, `keys.rs` names every key once,
//! `resolved.rs` and `cloud.rs` decide, `byte_size.rs` reads sizes, `paths.rs` knows the XDG and
//! systemd folders.
//! Errors: [`ConfigError`], always with the place of the mistake and what to write instead.
//! Absent on purpose: reloading; a node reads its settings once.

use std::path::PathBuf;

pub mod byte_size;
pub mod cloud;
pub mod keys;
pub mod paths;
pub mod raw;
pub mod resolved;

pub use paths::Environment;
pub use resolved::{Flags, Origin, Setting, Settings, resolve};

/// Why settings could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` is not there or not readable.
    #[error("cannot read the configuration {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The file is no TOML.
    #[error("{path}:{line}:{column}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// A key nobody knows.
    #[error("{path}:{line}:{column}: unknown key `{key}`{}", hint(.nearest, .known))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The key as written, with its table.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// Every key known at this place.
        known: Vec<String>,
    },
    /// A key holds something else than it should.
    #[error("{origin}: `{key}` is {found}, expected {expected}")]
    BadValue {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// What was found.
        found: String,
        /// What belongs there, with an example.
        expected: String,
    },
    /// No place for the node's data.
    #[error(
        "no data folder: neither SWARMLLM_HOME, XDG_DATA_HOME nor HOME is set; name one with \
         --data-dir"
    )]
    NoHome,
}

fn hint(nearest: &Option<String>, known: &[String]) -> String {
    match nearest {
        Some(name) => format!(", did you mean `{name}`?"),
        None => format!("; known here: {}", known.join(", ")),
    }
}
