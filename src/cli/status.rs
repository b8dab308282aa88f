//! `swarmllm status`: how the running node is doing.
//!
//! Called by `cli/mod.rs`; asks `status` over the control socket.
//! Output: a few lines, or with `--json` the node's own object.

use serde_json::Value;

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell, layers},
};

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub fn run(args: StatusArgs) -> Result<(), CliError> {
    let status = reach::ask(&args.node, "status", Value::Null)?;
    if args.node.json {
        return print_json(&status);
    }
    print!("{}", describe(&status));
    Ok(())
}

fn describe(status: &Value) -> String {
    let field = |name: &str| cell(&status[name]);
    let uptime = duration(status["uptime_s"].as_f64().unwrap_or(0.0));
    let mib = status["rss_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
    let (pages, scheduler) = (&status["kv_pages"], &status["scheduler"]);
    let count = |name: &str| scheduler[name].as_u64().unwrap_or(0);
    let known_percent = 100 * count("prefix_hits") / count("prefix_queries").max(1);
    let peers = match status["connectivity"].as_str() {
        Some("no_network") => "no network here: this node answers with what it holds".to_owned(),
        _ => format!("{} peers connected", field("n_peers")),
    };
    let mut text = format!(
        "node     {} ({})\nswarm    {}, {peers}\nlistens  {}\n\
         program  version {}, up {uptime}, {mib:.1} MiB resident\n\
         answers  {} under way, {} wait for a place, {} finished\n\
         cache    {} of {} pages in use, {} kept for reuse, \
         {known_percent} % of prompt tokens known\n",
        field("peer_id"),
        field("state"),
        field("network"),
        field("listen"),
        field("version"),
        field("n_active"),
        count("waiting"),
        field("n_finished"),
        cell(&pages[0]),
        cell(&pages[1]),
        count("pages_cached"),
    );
    for model in status["models"].as_array().into_iter().flatten() {
        let servable = match model["servable"].as_bool() {
            Some(true) => "can answer",
            _ => "cannot answer yet: layers are missing in the swarm",
        };
        text.push_str(&format!(
            "model    {}: layers {} of {} here, context {}, {servable}\n",
            cell(&model["name"]),
            layers(&model["layers"]),
            cell(&model["n_layers"]),
            cell(&model["context_length"]),
        ));
    }
    text
}

fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_reads_as_a_few_lines() {
        let text = describe(&json!({
            "peer_id": "abc", "state": "ready", "network": "main", "n_peers": 2,
            "listen": "127.0.0.1:1", "version": "0.1.0", "uptime_s": 61.5, "rss_bytes": 1048576,
            "n_active": 0, "n_finished": 4, "kv_pages": [0, 64],
            "scheduler": {"waiting": 2, "pages_cached": 9, "prefix_hits": 32, "prefix_queries": 96},
            "models": [{"name": "demo", "layers": [0, 2], "n_layers": 6, "servable": true,
                        "context_length": 1024}],
        }));
        assert!(text.contains("up 1 min 1 s, 1.0 MiB resident"), "{text}");
        assert!(text.contains("main, 2 peers connected"), "{text}");
        assert!(text.contains("0 under way, 2 wait for a place, 4 finished"), "{text}");
        assert!(text.contains("0 of 64 pages in use, 9 kept for reuse, 33 % of prompt"), "{text}");
        assert!(text.contains("demo: layers 0-2 of 6 here, context 1024, can answer"), "{text}");
        let text = describe(&json!({"connectivity": "no_network", "network": "main"}));
        assert!(text.contains("main, no network here"), "{text}");
    }
}
