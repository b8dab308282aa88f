//! Many nodes without a model, all given one address: how soon they are one network, and what it
//! costs to stay one.
//!
//! One network: every node has as many sessions as `--sessions` asks for (or one with each other
//! node), and one can walk from any to any over sessions. Then nothing is asked of them for
//! `--idle` seconds and the kernel is read: bytes of the loopback interface, headers of TCP and IP
//! included, each counted once; processor time; resident memory.
//! Where it may, the harness moves into a network of its own, so that nobody else's bytes are
//! counted; `isolated` says whether it could.
//! Units: seconds, bytes per second and node, cores per node, MiB of the largest node.
//! Source: proc(5). Invariant: one network within `--within` seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;
use swarmllm::demo::children::Children;
use swarmllm::service::ready_file::Ready;

use crate::processor::BusySeconds;
use crate::swarm::{LabError, program};

/// Set in the harness that runs in its own network.
const ISOLATED: &str = "SWARMLLM_LAB_ISOLATED";
/// How long one node may take to serve, with many starting at once.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often the nodes are asked for their sessions.
const POLL: Duration = Duration::from_millis(200);

/// Options of `mesh`.
#[derive(Args)]
pub(crate) struct MeshArgs {
    /// Nodes.
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Sessions that every node must have, if there are as many others.
    #[arg(long, default_value_t = 8)]
    sessions: usize,
    /// Seconds within which they must be one network.
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// Seconds of doing nothing that are measured.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Seconds between being connected and being idle.
    #[arg(long, default_value_t = 15)]
    settle: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when the nodes became one network in time.
pub(crate) async fn run(args: MeshArgs) -> Result<bool, LabError> {
    move_into_own_network();
    let mut children = Children::new(program()?)?;
    let config = children.folder().join("no-model.toml");
    std::fs::write(&config, "[models]\nserve = []\n")?;
    let flags = ["--config".to_owned(), config.to_string_lossy().into_owned()];
    let began = Instant::now();
    children.start(&flags, None)?;
    let mut nodes = vec![children.ready(0, START_DEADLINE).await?];
    for _ in 1..args.nodes {
        children.start(&flags, Some(nodes[0].listen))?;
    }
    for index in 1..args.nodes {
        nodes.push(children.ready(index, START_DEADLINE).await?);
    }
    let started_s = began.elapsed().as_secs_f64();
    let connected_s = connected(&nodes, &args, began).await?;
    tokio::time::sleep(Duration::from_secs(args.settle)).await;
    let idle = Idle::measure(&nodes, Duration::from_secs(args.idle)).await?;
    children.check_alive()?;
    let sessions = sessions(&nodes).await?;
    let report = json!({
        "nodes": args.nodes,
        "connected_s": connected_s,
        "started_s": started_s,
        "idle_bytes_per_s": idle.bytes_per_s,
        "idle_cpu": idle.cpu,
        "rss_mib": idle.rss_mib,
        "rss_mean_mib": idle.rss_mean_mib,
        "sessions_min": sessions.values().map(BTreeSet::len).min(),
        "sessions_max": sessions.values().map(BTreeSet::len).max(),
        "isolated": std::env::var_os(ISOLATED).is_some(),
    });
    if args.json {
        println!("{report}");
    } else {
        for (key, value) in report.as_object().into_iter().flatten() {
            println!("{key:18} {value}");
        }
    }
    Ok(connected_s.is_some())
}

/// Starts this program again in a network of its own; goes on here where that is not allowed.
fn move_into_own_network() {
    if std::env::var_os(ISOLATED).is_some() {
        return;
    }
    let up = "ip link set lo up";
    let possible = Command::new("unshare").args(["-rn", "sh", "-c", up]).output();
    if !possible.is_ok_and(|tried| tried.status.success()) {
        eprintln!("no network of its own here: other programs on loopback are counted as well");
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let script = format!("{up}; exec \"$0\" \"$@\"");
    let error = Command::new("unshare")
        .args(["-rn", "sh", "-c", &script])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ISOLATED, "1")
        .exec();
    eprintln!("no network of its own: {error}");
}

/// Seconds until the nodes are one network; `None` when they were not in time.
async fn connected(
    nodes: &[Ready],
    args: &MeshArgs,
    began: Instant,
) -> Result<Option<f64>, LabError> {
    let wanted = args.sessions.min(args.nodes - 1);
    while began.elapsed() < Duration::from_secs(args.within) {
        let sessions = sessions(nodes).await?;
        if sessions.values().all(|peers| peers.len() >= wanted) && is_one(&sessions) {
            return Ok(Some(began.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(None)
}

/// Connected peers of every node.
async fn sessions(nodes: &[Ready]) -> Result<BTreeMap<String, BTreeSet<String>>, LabError> {
    let mut sessions = BTreeMap::new();
    for node in nodes {
        sessions.insert(node.peer_id.clone(), connected_peers(&node.control).await?);
    }
    Ok(sessions)
}

async fn connected_peers(control: &Path) -> Result<BTreeSet<String>, LabError> {
    let answer = ControlClient::connect(control).await?.call("peers", Value::Null).await?;
    let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let connected = peers.iter().filter(|peer| peer["state"] == "connected");
    Ok(connected.filter_map(|peer| peer["peer_id"].as_str()).map(str::to_owned).collect())
}

/// Whether one can walk from any node to any other.
fn is_one(sessions: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let Some(first) = sessions.keys().next() else { return true };
    let (mut reached, mut next) = (BTreeSet::from([first]), vec![first]);
    while let Some(node) = next.pop() {
        for peer in sessions.get(node).into_iter().flatten() {
            if sessions.contains_key(peer) && reached.insert(peer) {
                next.push(peer);
            }
        }
    }
    reached.len() == sessions.len()
}

/// What a node costs while nothing is asked of it.
struct Idle {
    bytes_per_s: f64,
    cpu: f64,
    rss_mib: f64,
    rss_mean_mib: f64,
}

impl Idle {
    async fn measure(nodes: &[Ready], during: Duration) -> Result<Idle, LabError> {
        let (began, bytes, busy) = (Instant::now(), loopback_bytes()?, BusySeconds::of(nodes));
        tokio::time::sleep(during).await;
        let (seconds, n_nodes) = (began.elapsed().as_secs_f64(), nodes.len() as f64);
        let bytes = loopback_bytes()? - bytes;
        let spent = BusySeconds::of(nodes) - busy;
        let rss: Vec<f64> = nodes.iter().map(|node| resident_mib(node.pid)).collect();
        Ok(Idle {
            bytes_per_s: bytes as f64 / seconds / n_nodes,
            cpu: (spent.net + spent.compute + spent.other) / seconds / n_nodes,
            rss_mib: rss.iter().copied().fold(0.0, f64::max),
            rss_mean_mib: rss.iter().sum::<f64>() / n_nodes,
        })
    }
}

/// Bytes sent over the loopback interface.
fn loopback_bytes() -> Result<u64, LabError> {
    let text = std::fs::read_to_string("/proc/net/dev")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    // Eight columns of what was received, then eight of what was sent, bytes first.
    let sent = line.and_then(|line| line.split_whitespace().nth(8)).ok_or("no interface lo")?;
    Ok(sent.parse()?)
}

fn resident_mib(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_islands_are_not_one_network() {
        let sessions = |pairs: &[(&str, &[&str])]| {
            let of = |peers: &[&str]| peers.iter().map(|peer| (*peer).to_owned()).collect();
            pairs.iter().map(|(node, peers)| ((*node).to_owned(), of(peers))).collect()
        };
        let line = [("a", &["b"][..]), ("b", &["a", "c"]), ("c", &["b"])];
        assert!(is_one(&sessions(&line)));
        let islands = [("a", &["b"][..]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])];
        assert!(!is_one(&sessions(&islands)));
    }
}
