//! `swarmllm net check`: what works of the network, and what to do about what does not.
//!
//! Called by `cli/mod.rs`; asks `net.check` over the control socket.
//! Output: a few lines and a table, or with `--json` the node's own object.

use serde_json::Value;
use swarmllm_actors::clock;

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell, short},
    table,
};

/// The subcommands of `net`.
#[derive(Debug, clap::Subcommand)]
pub enum NetCommand {
    /// Show how the node is seen, which ways of finding peers work, and what to do.
    Check(NodeArgs),
}

/// Runs the command.
pub fn run(command: NetCommand) -> Result<(), CliError> {
    let NetCommand::Check(node) = command;
    let check = reach::ask(&node, "net.check", Value::Null)?;
    if node.json {
        return print_json(&check);
    }
    print!("{}", describe(&check, clock::unix_s()));
    Ok(())
}

fn describe(check: &Value, now_unix_s: u64) -> String {
    let field = |name: &str| cell(&check[name]);
    let yes = |value: &Value, yes: &'static str, no: &'static str| {
        if value.as_bool() == Some(true) { yes } else { no }
    };
    let dht = &check["dht"];
    let mut text = format!(
        "node       {} in {}, listens on {}{}\n\
         sessions   {} open, {} looked for; {} peers remembered, {} more heard of\n\
         reachable  {}\n",
        short(&check["peer_id"]),
        field("network"),
        field("listen"),
        yes(&check["offline"], ", stays in private ranges", ""),
        field("connected"),
        field("wanted"),
        cell(&check["remembered"][0]),
        cell(&check["remembered"][1]),
        yes(&check["reachable"], "yes, as far as is known", "nobody has called here yet"),
    );
    for path in check["paths"].as_array().into_iter().flatten() {
        let by_datagram = match path["datagram_ms"].as_f64() {
            Some(ms) => format!("{ms:.2} ms by datagram"),
            None => "no answer to a datagram".to_owned(),
        };
        text.push_str(&format!(
            "path to    {} at {}: {} ms by session, {by_datagram}\n",
            short(&path["peer_id"]),
            cell(&path["address"]),
            cell(&path["session_ms"]),
        ));
    }
    for heard in check["heard"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "seen as    {} by {} sessions and {} datagrams{}\n",
            cell(&heard["address"]),
            cell(&heard["sessions"]),
            cell(&heard["datagrams"]),
            yes(&heard["believed"], ", believed", ""),
        ));
    }
    text.push_str(&format!(
        "dht        {}, {} contacts in {} buckets, {} records kept; {} lookups, {} failed{}; \
         own layers at {} nodes\n\n",
        yes(&dht["is_server"], "server", "client"),
        cell(&dht["contacts"]),
        cell(&dht["buckets"]),
        cell(&dht["records"]),
        dht["lookups_done"].as_u64().unwrap_or(0) + dht["lookups_failed"].as_u64().unwrap_or(0),
        cell(&dht["lookups_failed"]),
        dht["last_error"].as_str().map(|error| format!(" ({error})")).unwrap_or_default(),
        cell(&dht["holders"]),
    ));
    text.push_str(&layers(check, now_unix_s));
    for advice in check["advice"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n- {}\n", cell(advice)));
    }
    text
}

/// What each way of finding peers has brought.
fn layers(check: &Value, now_unix_s: u64) -> String {
    let ago = |at: &Value| {
        at.as_u64().map(|at| format!("{} s ago", now_unix_s.saturating_sub(at))).unwrap_or_default()
    };
    let layers = check["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |layer: &Value| {
        let error = layer["last_error"].as_str().unwrap_or("-").to_owned();
        let failed = ago(&layer["failed_at_unix_s"]);
        vec![
            cell(&layer["via"]),
            if layer["on"] == true { "on" } else { "off" }.to_owned(),
            cell(&layer["found"]),
            cell(&layer["connected"]),
            ago(&layer["found_at_unix_s"]),
            if failed.is_empty() { error } else { format!("{error} ({failed})") },
        ]
    };
    let rows: Vec<Vec<String>> = layers.iter().map(row).collect();
    let right = [false, false, true, true, true];
    table::render(&["found by", "", "found", "connected", "last", "last error"], &right, &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_check_reads_as_lines_and_a_table() {
        let check = json!({
            "peer_id": "abcdefghijkl", "network": "main", "listen": "0.0.0.0:8810",
            "offline": false, "connected": 2, "wanted": 16, "remembered": [4, 1],
            "reachable": false,
            "paths": [{"peer_id": "mnopqrstu", "address": "192.0.2.7:1", "session_ms": 1.25,
                "datagram_ms": null}],
            "heard": [{"address": "198.51.100.7", "sessions": 2, "datagrams": 5, "believed": true}],
            "layers": [{"via": "mdns", "on": true, "found": 3, "connected": 2,
                "found_at_unix_s": 90, "last_error": "no answer", "failed_at_unix_s": 95}],
            "dht": {"is_server": false, "contacts": 5, "buckets": 2, "lookups_done": 3,
                "lookups_failed": 1, "last_error": null, "records": 0, "holders": 0},
            "advice": ["forward port 8810"],
        });
        let text = describe(&check, 100);
        assert!(text.contains("abcdefgh in main, listens on 0.0.0.0:8810\n"), "{text}");
        assert!(text.contains("mnopqrst at 192.0.2.7:1: 1.25 ms by session, no answer"), "{text}");
        assert!(text.contains("198.51.100.7 by 2 sessions and 5 datagrams, believed"), "{text}");
        assert!(text.contains("client, 5 contacts in 2 buckets"), "{text}");
        assert!(text.contains("10 s ago  no answer (5 s ago)"), "{text}");
        assert!(text.contains("- forward port 8810"), "{text}");
    }
}
