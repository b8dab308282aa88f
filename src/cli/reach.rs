//! How a command reaches the running node: which socket, one question, one answer.
//!
//! Used by the commands that ask a running node. The socket is the one named by `--control`, else
//! the one in `ready.json` of the data folder, else `control.sock` in that folder.
//! Errors: [`CliError`] that says how to start a node.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use super::CliError;
use crate::{
    config::{self, Environment, Flags, Settings, paths::CONTROL_SOCKET, raw::RawConfig},
    control::client::ControlClient,
    service::ready_file::{self, READY_FILE, Ready},
};

/// How long a node may take to answer; it needs milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// Flags that say which node is meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NodeArgs {
    /// Data folder of the node.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Control socket of the node, instead of the one in its data folder.
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Reads the configuration files that exist, or exactly the one named.
pub fn read_files(
    named: Option<&PathBuf>,
    environment: &Environment,
) -> Result<Vec<RawConfig>, CliError> {
    let Some(named) = named else {
        let files = environment.config_files();
        let read: Result<Vec<_>, _> = files.iter().map(|path| config::raw::read(path)).collect();
        return Ok(read.map_err(CliError::usage)?.into_iter().flatten().collect());
    };
    match config::raw::read(named).map_err(CliError::usage)? {
        Some(file) => Ok(vec![file]),
        None => Err(CliError::usage(format!("no configuration at {}", named.display()))),
    }
}

/// Asks the node and waits for its answer.
pub fn ask(args: &NodeArgs, method: &str, params: Value) -> Result<Value, CliError> {
    let socket = socket(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = async {
        let mut client = ControlClient::connect(&socket).await.map_err(CliError::failed)?;
        client.call(method, params).await.map_err(CliError::failed)
    };
    // The timer is made inside the runtime that drives it.
    runtime.block_on(async { tokio::time::timeout(ANSWER_DEADLINE, asked).await }).map_err(
        |_| {
            CliError::failed(format!(
                "the node at {} did not answer within {ANSWER_DEADLINE:?}; see its log",
                socket.display()
            ))
        },
    )?
}

/// The control socket of the node that is meant.
pub fn socket(args: &NodeArgs) -> Result<PathBuf, CliError> {
    if let Some(control) = &args.control {
        return Ok(control.clone());
    }
    let data_dir = settings(args)?.data_dir.value;
    // A node that was killed leaves its file; the socket in it then refuses, which is the answer.
    match ready_file::read(&data_dir) {
        Ok(Some(ready)) => Ok(ready.control),
        _ => {
            let control_dir = Environment::of_process().control_dir(&data_dir);
            Ok(control_dir.unwrap_or(data_dir).join(CONTROL_SOCKET))
        }
    }
}

/// The settings that the node was started with, as far as files and environment say.
pub fn settings(args: &NodeArgs) -> Result<Settings, CliError> {
    let environment = Environment::of_process();
    let flags = Flags { data_dir: args.data_dir.clone(), ..Flags::default() };
    let files = read_files(None, &environment)?;
    config::resolve(&files, &environment, &flags).map_err(CliError::usage)
}

/// Where the node that is meant serves.
pub fn ready(args: &NodeArgs) -> Result<Ready, CliError> {
    let data_dir = settings(args)?.data_dir.value;
    let found = ready_file::read(&data_dir).map_err(|error| {
        CliError::failed(format!("{}: {error}", data_dir.join(READY_FILE).display()))
    })?;
    found.ok_or_else(|| {
        CliError::failed(format!(
            "no node serves from {}; start one with `swarmllm serve`, or name its data folder with \
             --data-dir",
            data_dir.display()
        ))
    })
}

/// A number of the answer, for people; a dash when it is missing.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() && !number.is_i64() => format!("{float:.2}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// The first characters of a peer id: enough for a person.
pub fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |id| id.chars().take(8).collect())
}

/// A half-open layer range `[a, b]` as `a-b`.
pub fn layers(value: &Value) -> String {
    format!("{}-{}", cell(&value[0]), cell(&value[1]))
}
