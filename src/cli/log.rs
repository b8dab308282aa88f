//! Where the program's own log goes: stderr, readable on a terminal, plain elsewhere.
//!
//! Called by the commands that run nodes. `SWARMLLM_LOG` chooses what is shown, as
//! `warn,swarmllm_actors=debug`; `SWARMLLM_LOG_FORMAT=json` writes one object per line. Under
//! journald lines carry no time, for the journal has its own. Prompts are never logged.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::Environment;

/// Starts logging; a second call in one process changes nothing.
pub fn start(environment: &Environment, default_filter: &str) {
    let filter = environment.get("SWARMLLM_LOG").unwrap_or(default_filter);
    // The first would write whole messages, prompts among them; the second an error for every
    // request of a stranger that can't be read.
    let quiet = "rmcp=error,actix_http=off";
    let filter = EnvFilter::builder().parse_lossy(format!("{quiet},{filter}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // An error means that a log is already there, which is what was wanted.
    let _ = if environment.get("SWARMLLM_LOG_FORMAT") == Some("json") {
        builder.json().try_init()
    } else if environment.get("JOURNAL_STREAM").is_some() {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    };
}
