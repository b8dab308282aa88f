//! Real-process harness: starts whole nodes on this machine and prints what they cost.
//!
//! `cargo run --release -p swarmllm-lab -- COMMAND [--json]`, after `cargo build --release`, which
//! makes the program that it starts. Exit 1 when an invariant breaks: answers identical to those of
//! a single sequence, nothing lost, nothing kept. Figures break nothing; they are for reading.
//! Units last in names. Absent on purpose: anything computed specially for a measurement.

mod client;
mod doors;
mod events;
mod figures;
mod floor;
mod hop;
mod hostile;
#[path = "../../support/hostile.rs"]
mod hostile_peers;
mod http;
mod load;
mod long_prompt;
mod memory;
mod mesh;
#[path = "../../support/peer.rs"]
mod peer;
mod prefix;
mod processor;
mod random_model;
mod session;
mod soak;
mod swarm;
mod workload;

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
    /// The HTTP door: many streams, memory over thousands of requests, what a token costs there.
    Doors(doors::DoorsArgs),
    /// Time per token and hop: a chain of nodes against one node, the same model.
    Hop(hop::HopArgs),
    /// What brought nodes of other networks down, by many peers at once.
    Hostile(hostile::HostileArgs),
    /// Resident memory of a node with a third of the layers beside one with all.
    Memory(memory::MemoryArgs),
    /// Many nodes without a model from one address: how soon they are one network, and what it
    /// costs to stay one.
    Mesh(mesh::MeshArgs),
    /// Speed of many requests at once.
    Load(load::LoadArgs),
    /// What running streams feel of a long prompt, and what it feels of them.
    LongPrompt(long_prompt::LongPromptArgs),
    /// Requests that begin alike.
    Prefix(prefix::PrefixArgs),
    /// Speed of one session beside the cipher's own, and what control feels of bulk.
    Session(session::SessionArgs),
    /// Thousands of requests, many of them broken off.
    Soak(soak::SoakArgs),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime on this thread");
    let measured = runtime.block_on(async {
        match Arguments::parse().command {
            Command::Doors(args) => doors::run(args).await,
            Command::Hop(args) => hop::run(args).await,
            Command::Hostile(args) => hostile::run(args).await,
            Command::Memory(args) => memory::run(args).await,
            Command::Mesh(args) => mesh::run(args).await,
            Command::Load(args) => load::run(args).await,
            Command::LongPrompt(args) => long_prompt::run(args).await,
            Command::Prefix(args) => prefix::run(args).await,
            Command::Session(args) => session::run(&args),
            Command::Soak(args) => soak::run(args).await,
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
