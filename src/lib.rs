//! The doors of SwarmLLM: command line, configuration, HTTP and control socket over one node.
//!
//! Called by `main.rs` and by nobody else: no crate depends on this one.
//!
//! Reading order:
//! - [`cli`]: one file per subcommand; [`config`]: file < environment < flags;
//! - [`generate`]: the dialect-free request and events; [`sampling`], [`stop`]: what doors share;
//! - [`caller`]: what one caller allows, and who answered it; [`cloud`]: providers that stand in;
//! - [`node`]: the composition root, the only place that knows every actor;
//! - [`http`]: the OpenAI dialect; [`control`]: JSON-RPC on a Unix socket;
//! - [`mcp`]: tools for other models' programs, over HTTP and stdio;
//! - [`service`]: what a service manager and other processes see of a running node;
//! - [`demo`]: several nodes of this program as child processes;
//! - [`prompt`]: from messages to token ids; [`local`]: a generation without a node;
//! - [`loading`]: how far a model is loaded, for whoever waits.
//!
//! Absent on purpose: numbers (`models`), network rules (`protocol`), concurrency (`actors`).

pub mod caller;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod control;
pub mod demo;
pub mod generate;
pub mod http;
pub mod loading;
pub mod local;
pub mod mcp;
pub mod node;
pub mod prompt;
pub mod sampling;
pub mod service;
pub mod stop;
