//! Many peers that break the rules, class by class, against one node; see
//! `tests/support/hostile.rs`, which the tests run with fewer of them.
//!
//! Units: MiB, milliseconds. Invariant: an honest session goes on, and the node's memory does not
//! grow by more than `--most-mib`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use swarmllm::demo::children::Children;

use crate::hostile_peers::{self, Report, Target};
use crate::swarm::{LabError, program};

/// How long the node may take to serve.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Options of `hostile`.
#[derive(Args)]
pub(crate) struct HostileArgs {
    /// Peers of each class.
    #[arg(long, default_value_t = 1_000)]
    peers: usize,
    /// Most that the node's resident memory may grow by, MiB.
    #[arg(long, default_value_t = 64)]
    most_mib: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when the node kept to its bounds and the honest peer got its tokens.
pub(crate) async fn run(args: HostileArgs) -> Result<bool, LabError> {
    let mut children = Children::new(program()?)?;
    children.start(&[], None)?;
    let node = children.ready(0, START_DEADLINE).await?;
    let target = Target { listen: node.listen, pid: node.pid };
    let reports = hostile_peers::replay(target, args.peers)?;
    children.check_alive()?;
    for report in &reports {
        show(report, args.json, target.listen);
    }
    let is_fine = |report: &Report| {
        report.honest_error.is_none() && report.grown_mib <= f64::from(args.most_mib)
    };
    Ok(reports.iter().all(is_fine))
}

fn show(report: &Report, is_json: bool, node: SocketAddr) {
    let object = json!({
        "class": report.class, "peers": report.peers, "let_in": report.let_in,
        "ended": report.ended, "grown_mib": report.grown_mib, "seconds": report.seconds,
        "honest_answers": report.honest_answers, "honest_slowest_ms": report.honest_slowest_ms,
        "honest_error": report.honest_error,
    });
    if is_json {
        println!("{object}");
        return;
    }
    println!("{} against {node}", report.class);
    for (key, value) in object.as_object().into_iter().flatten().filter(|(key, _)| *key != "class")
    {
        println!("  {key:18} {value}");
    }
}
