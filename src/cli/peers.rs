//! `swarmllm peers`: who the running node knows.
//!
//! Called by `cli/mod.rs`; asks `peers` over the control socket.
//! Output: a table, or with `--json` the object `{"peers":[..]}`.

use serde_json::Value;

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell, layers, short},
    table,
};

/// Flags of `peers`.
#[derive(Debug, clap::Args)]
pub struct PeersArgs {
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub fn run(args: PeersArgs) -> Result<(), CliError> {
    let answer = reach::ask(&args.node, "peers", Value::Null)?;
    if args.node.json {
        return print_json(&answer);
    }
    print!("{}", describe(&answer));
    Ok(())
}

fn describe(answer: &Value) -> String {
    let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if peers.is_empty() {
        return "No peers yet. `swarmllm invite` prints a code that another node joins with.\n"
            .to_owned();
    }
    let list = |value: &Value, show: &dyn Fn(&Value) -> String| {
        let shown: Vec<String> = value.as_array().into_iter().flatten().map(show).collect();
        if shown.is_empty() { "-".to_owned() } else { shown.join(", ") }
    };
    let offer = |offer: &Value| {
        let range = layers(&offer["layers"]);
        format!("{} {range} of {}", cell(&offer["model"]), cell(&offer["n_layers"]))
    };
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|peer| {
            vec![
                short(&peer["peer_id"]),
                cell(&peer["state"]),
                cell(&peer["via"]),
                cell(&peer["rtt_ms"]),
                list(&peer["addresses"], &cell),
                list(&peer["offers"], &offer),
            ]
        })
        .collect();
    let right = [false, false, false, true];
    table::render(&["peer", "state", "via", "rtt ms", "addresses", "layers"], &right, &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn peers_are_listed_with_what_they_offer() {
        let text = describe(&json!({"peers": [{
            "peer_id": "abcdefghijkl", "state": "connected", "via": "join", "rtt_ms": 0.123,
            "addresses": ["127.0.0.1:5"],
            "offers": [{"model": "demo", "layers": [2, 4], "n_layers": 6}],
        }]}));
        assert!(text.contains("abcdefgh  connected  join"), "{text}");
        assert!(text.contains("0.12  127.0.0.1:5  demo 2-4 of 6"), "{text}");
    }

    #[test]
    fn nobody_is_a_hint_not_a_blank() {
        assert!(describe(&json!({"peers": []})).contains("swarmllm invite"));
    }
}
