//! Simulator: the protocol's state machines on an event heap, seeded, the same trace twice.
//!
//! `cargo run --release -p swarmllm-sim -- COMMAND [--json]`. Exit 1 when an invariant breaks.
//! The machines are those of the service (`swarmllm_protocol::kademlia`); only links, clocks and
//! attackers are made up here. Units last in names. Absent on purpose: actors, sockets, sealing.

mod churn;
mod dht;
mod eclipse;
mod figures;
mod population;
mod publish;
mod random;
mod ring;
mod settings;
mod sweep;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Simulates the network's protocol with thousands of nodes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lookups in a large network with stale tables and colluders.
    Dht(dht::DhtArgs),
    /// Attackers whose nodes stand nearest to a key.
    Eclipse(eclipse::EclipseArgs),
    /// Days of nodes that come and go, and whether records stay readable.
    Churn(churn::ChurnArgs),
    /// One setting changed at a time.
    Sweep(sweep::SweepArgs),
}

fn main() -> ExitCode {
    let held = match Arguments::parse().command {
        Command::Dht(args) => dht::run(&args),
        Command::Eclipse(args) => eclipse::run(&args),
        Command::Churn(args) => churn::run(&args),
        Command::Sweep(args) => sweep::run(&args),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::from(2)
        }
    }
}
