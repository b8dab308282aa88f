//! `node_info`: how this node is doing, and who it is connected with.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::models::{Model, NoArguments, models_of};
use crate::mcp::{
    job::Job,
    node::Look,
    schema,
    tool::{Output, Tool, ToolError},
};

pub(crate) const TOOL: Tool = Tool {
    name: "node_info",
    title: "Look at the node",
    description: "Says how this node is doing: its version and state, its connection to the swarm, \
                  how many peers it knows, which models it has, and how busy it is.",
    reaches_out: false,
    input: schema::of_input::<NoArguments>,
    output: schema::of_output::<NodeInfo>,
    run: |_, job| run(job).boxed(),
};

#[derive(Debug, Serialize, JsonSchema)]
struct NodeInfo {
    /// Id of this node.
    peer_id: String,
    /// Program version.
    version: String,
    /// `ready`, `degraded` (a model lacks layers) or `stopping`.
    state: String,
    /// Name of the swarm.
    network: String,
    /// `connected`, `alone` or `no_network`.
    connectivity: String,
    /// Seconds since it started.
    uptime_s: f64,
    peers: Peers,
    models: Vec<Model>,
    answers: Answers,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Peers {
    /// With an open connection.
    connected: u64,
    /// Heard of at all.
    known: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answers {
    /// Under way now.
    active: u64,
    /// Ended since the start.
    finished: u64,
}

async fn run(job: &Job) -> Result<Output, ToolError> {
    let mut status = job.node.look(Look::Status).await?;
    let peers = job.node.look(Look::Peers).await?;
    let models = models_of(&mut status)?;
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let info = NodeInfo {
        peer_id: text("peer_id"),
        version: text("version"),
        state: text("state"),
        network: text("network"),
        connectivity: text("connectivity"),
        uptime_s: status["uptime_s"].as_f64().unwrap_or(0.0),
        peers: Peers {
            connected: number(&status["n_peers"]),
            known: peers["peers"].as_array().map_or(0, Vec::len),
        },
        models,
        answers: Answers {
            active: number(&status["n_active"]),
            finished: number(&status["n_finished"]),
        },
    };
    Output::new(describe(&info), &info)
}

fn describe(info: &NodeInfo) -> String {
    let models: Vec<String> = info.models.iter().map(Model::line).collect();
    format!(
        "node {} (version {}) is {} in swarm {}: {}, {} peers connected of {} known; {} answers \
         under way, {} finished\n{}",
        info.peer_id,
        info.version,
        info.state,
        info.network,
        info.connectivity,
        info.peers.connected,
        info.peers.known,
        info.answers.active,
        info.answers.finished,
        models.join("\n"),
    )
}
