//! The command line: which command was asked for, and with which exit code it ends.
//!
//! Called by `main.rs`. One file per subcommand, each with `XArgs` and `run(args)`.
//! `serve`, `demo`, `run` and the file tools work by themselves; the rest ask a running node
//! through its control socket. Exit codes: 0 done, 1 failed, 2 bad usage.
//! Errors: [`CliError`], printed once, here. Absent on purpose: any logic of a command.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};

pub mod bench;
pub mod cloud;
pub mod connect;
pub mod demo;
pub mod detokenize;
pub mod engine;
pub mod invite;
pub mod key;
pub mod log;
pub mod logits;
pub mod mcp;
pub mod net;
pub mod peers;
pub mod reach;
pub mod run;
pub mod serve;
pub mod show;
pub mod status;
pub mod table;
pub mod template;
pub mod tokenize;

/// How a command failed; the variant decides the exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// The command could not do what was asked (exit code 1).
    #[error("{0}")]
    Failed(String),
    /// The command was asked wrongly (exit code 2).
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// A failure with exit code 1; fits `map_err` for any error that prints itself.
    pub fn failed(cause: impl std::fmt::Display) -> CliError {
        CliError::Failed(cause.to_string())
    }

    /// A wrong usage with exit code 2.
    pub fn usage(cause: impl std::fmt::Display) -> CliError {
        CliError::Usage(cause.to_string())
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Failed(_) => 1,
            CliError::Usage(_) => 2,
        }
    }
}

impl From<io::Error> for CliError {
    fn from(cause: io::Error) -> CliError {
        CliError::failed(cause)
    }
}

/// A language model split over the machines of a swarm.
#[derive(Debug, Parser)]
#[command(name = "swarmllm", version, about, propagate_version = true)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start several nodes on this machine, split the built-in model over them and ask it.
    Demo(demo::DemoArgs),
    /// Run a node: serve a model, join a swarm, answer the OpenAI API.
    Serve(serve::ServeArgs),
    /// Generate without a service: one prompt, or a chat on the terminal.
    Run(run::RunArgs),
    /// Show how the running node is doing.
    Status(status::StatusArgs),
    /// List the peers of the running node.
    Peers(peers::PeersArgs),
    /// Look at what works of the network.
    #[command(subcommand)]
    Net(net::NetCommand),
    /// Print an invite code that lets another node join.
    Invite(invite::InviteArgs),
    /// Make, list and revoke API keys for the HTTP server.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Print (or start) the settings of an agent program for the running node.
    Connect(connect::ConnectArgs),
    /// Serve the running node's tools over MCP on stdin and stdout.
    Mcp(mcp::McpArgs),
    /// Providers in the cloud that stand in when the swarm can't answer, and their keys.
    #[command(subcommand)]
    Cloud(cloud::CloudCommand),
    /// Show what a model is.
    Show(show::ShowArgs),
    /// Turn text from stdin into token ids.
    Tokenize(tokenize::TokenizeArgs),
    /// Turn token ids from stdin into bytes.
    Detokenize(detokenize::DetokenizeArgs),
    /// Render a chat template.
    Template(template::TemplateArgs),
    /// Write the logits of every position to a file.
    Logits(logits::LogitsArgs),
    /// Measure speed and memory.
    Bench(bench::BenchArgs),
}

/// Parses the command line of this process, runs the command, returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(print_clap_error(&error)),
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Run(args) => run::run(args),
        Command::Status(args) => status::run(args),
        Command::Peers(args) => peers::run(args),
        Command::Net(command) => net::run(command),
        Command::Invite(args) => invite::run(args),
        Command::Key(command) => key::run(command),
        Command::Connect(args) => connect::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Cloud(command) => cloud::run(command),
        Command::Show(args) => show::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Detokenize(args) => detokenize::run(args),
        Command::Template(args) => template::run(args),
        Command::Logits(args) => logits::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// Help and version go to stdout with code 0; everything else is bad usage.
fn print_clap_error(error: &clap::Error) -> u8 {
    // A closed stdout or stderr leaves nobody to tell.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => 2,
    }
}

/// Prints one JSON object on stdout.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(CliError::failed)?;
    // Not `println!`: a closed stdout is an error like any other, not a panic.
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_codes_are_one_for_failure_and_two_for_usage() {
        assert_eq!(CliError::failed("x").exit_code(), 1);
        assert_eq!(CliError::usage("x").exit_code(), 2);
    }

    #[test]
    fn serve_takes_its_documented_flags() {
        let line = "swarmllm serve --config c --data-dir d --http 127.0.0.1:0 --listen 127.0.0.1:0 \
                    --model demo --model x.gguf --layers 0-2 --join a --join b --no-mdns --offline";
        Cli::try_parse_from(line.split_whitespace()).expect("documented flags parse");
    }
}
