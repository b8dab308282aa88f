//! `swarmllm mcp`: the MCP server over stdin and stdout, for programs that start their servers.
//!
//! Called by `cli/mod.rs`. Works on the running node through its control socket. Stdout carries
//! the protocol and nothing else, one JSON object a line; the log goes to stderr. Ends when stdin
//! does. Errors: [`CliError`] when no node runs, so that whoever set it up sees why.

use std::{path::PathBuf, sync::Arc};

use rmcp::{
    service::{ServerInitializeError, ServiceExt},
    transport::stdio_pipes,
};

use super::{
    CliError, log,
    reach::{self, NodeArgs},
};
use crate::{
    config::Environment,
    control::client::ControlClient,
    mcp::{remote::RemoteNode, server::McpServer},
};

/// Flags of `mcp`.
#[derive(Debug, clap::Args)]
pub struct McpArgs {
    /// Data folder of the node.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Control socket of the node, instead of the one in its data folder.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Never let a provider in the cloud stand in.
    #[arg(long)]
    private: bool,
}

/// Runs the command.
pub fn run(args: McpArgs) -> Result<(), CliError> {
    log::start(&Environment::of_process(), "warn");
    let McpArgs { data_dir, control, private } = args;
    let socket = reach::socket(&NodeArgs { data_dir, control, json: false })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(socket, private));
    // A read of stdin that nobody wants any more must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(socket: PathBuf, private: bool) -> Result<(), CliError> {
    drop(ControlClient::connect(&socket).await.map_err(CliError::failed)?);
    let server = McpServer::new(Arc::new(RemoteNode::at(socket, private)));
    let service = match server.serve(stdio_pipes()).await {
        Ok(service) => service,
        // Whoever started this said nothing at all.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(CliError::failed(error)),
    };
    service.waiting().await.map(|_| ()).map_err(CliError::failed)
}
