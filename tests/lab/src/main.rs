//! Real-process harness: starts whole nodes on this machine and prints what they cost.
//!
//! `cargo run --release -p swarmllm-lab -- hop|memory [--json]`, after `cargo build --release`,
//! which makes the program that it starts. Exit 1 when an invariant (identical tokens) breaks.
//! Units last in names. Absent on purpose: anything computed specially for a measurement.

mod hop;
mod memory;
mod random_model;
mod swarm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures whole nodes of this program on one machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Time per token and hop: a chain of nodes against one node, the same model.
    Hop(hop::HopArgs),
    /// Resident memory of a node with a third of the layers beside one with all.
    Memory(memory::MemoryArgs),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime on this thread");
    let measured = runtime.block_on(async {
        match Arguments::parse().command {
            Command::Hop(args) => hop::run(args).await,
            Command::Memory(args) => memory::run(args).await,
        }
    });
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}
