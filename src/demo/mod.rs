//! Several nodes of this program as child processes on loopback, asked one question.
//!
//! Called by `cli/demo.rs`. `folder.rs` is the temporary folder, `children.rs` the processes; this
//! file starts them, waits until a route exists, asks through node 0's control socket and checks
//! the tokens against a single node in this process. Dropping the future at any point ends the
//! processes and removes the folder.
//! Units: milliseconds, bytes, layers half open. Errors: [`DemoError`].

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use swarmllm_protocol::ids::LayerRange;

use crate::{
    control::client::{ClientError, ControlClient},
    service::ready_file::Ready,
};

pub mod children;
pub mod folder;

use children::Children;

/// How long a node may take to start: it opens a model of a few megabytes.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long the nodes may take to find each other on loopback.
const ROUTE_DEADLINE: Duration = Duration::from_secs(30);
/// How long an answer of the small model may take, on the slowest machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(300);
/// How often something that has no event is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Why a demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or process could not be made.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A node ended or was not ready in time.
    #[error("node {index} {how}{log}")]
    Node {
        /// Which one, from 0.
        index: usize,
        /// What happened.
        how: String,
        /// The last lines of its log.
        log: String,
    },
    /// The nodes did not find a route over all layers.
    #[error("the nodes found no route over all layers within {0:?}{1}")]
    NoRoute(Duration, String),
    /// The first node could not be asked.
    #[error("asking node 0 failed: {0}{1}")]
    Ask(ClientError, String),
    /// The answer has not the expected form.
    #[error("the answer of node 0 is not understood: {0}")]
    Answer(#[from] serde_json::Error),
    /// It took too long.
    #[error("no answer within {0:?}{1}")]
    Late(Duration, String),
}

/// What to run.
#[derive(Debug, Clone)]
pub struct DemoPlan {
    /// The program to start as nodes.
    pub program: PathBuf,
    /// Name of the embedded model.
    pub model: String,
    /// Layers of each node; the first one is asked.
    pub split: Vec<LayerRange>,
    /// Compute threads of each node; as many as the machine has when absent.
    pub threads: Option<u32>,
    /// The question.
    pub prompt: String,
}

impl DemoPlan {
    /// What `serve` is told of a node that holds these layers.
    fn flags(&self, layers: LayerRange) -> Vec<String> {
        let range = format!("{}-{}", layers.start, layers.end);
        let mut flags = vec!["--config", "/dev/null", "--model", &self.model, "--layers", &range];
        let threads = self.threads.map(|threads| threads.to_string());
        flags.extend(threads.iter().flat_map(|threads| ["--threads", threads]));
        flags.into_iter().map(str::to_owned).collect()
    }
}

/// One stage of the route, as the node reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoStage {
    /// Peer id of the stage.
    pub peer: String,
    /// Half-open layer range.
    pub layers: [u32; 2],
    /// Sum of the stage's compute.
    pub compute_ms: f64,
    /// Sum of the time to the next stage or back.
    pub hop_ms: f64,
    /// Payload bytes sent on.
    pub bytes_out: u64,
}

/// What the swarm answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DemoAnswer {
    /// The text.
    pub text: String,
    /// Every sampled token.
    pub token_ids: Vec<u32>,
    /// Who computed it.
    pub route: Vec<DemoStage>,
    /// From the request to the first token.
    pub ttft_ms: f64,
    /// New tokens per second after the first.
    pub decode_tok_s: f64,
}

/// Messages of the demo's question, for the model's own template.
pub fn messages(prompt: &str) -> Value {
    json!([{"role": "user", "content": prompt}])
}

/// Running nodes that have found each other.
#[derive(Debug)]
pub struct Swarm {
    children: Children,
    nodes: Vec<Ready>,
    client: ControlClient,
}

impl Swarm {
    /// Starts the nodes and waits until they can answer together.
    pub async fn start(plan: &DemoPlan) -> Result<Swarm, DemoError> {
        let mut children = Children::new(plan.program.clone())?;
        let mut nodes: Vec<Ready> = Vec::with_capacity(plan.split.len());
        for range in &plan.split {
            let first = nodes.first().map(|ready| ready.listen);
            let index = children.start(&plan.flags(*range), first)?;
            // The others only need node 0's address; they start side by side.
            if index == 0 {
                nodes.push(children.ready(0, START_DEADLINE).await?);
            }
        }
        for index in 1..plan.split.len() {
            nodes.push(children.ready(index, START_DEADLINE).await?);
        }
        let client = match ControlClient::connect(&nodes[0].control).await {
            Ok(client) => client,
            Err(error) => return Err(DemoError::Ask(error, children.logs())),
        };
        let mut swarm = Swarm { children, nodes, client };
        swarm.wait_for_route().await?;
        Ok(swarm)
    }

    /// The nodes, in the order of their layers.
    pub fn nodes(&self) -> &[Ready] {
        &self.nodes
    }

    /// Asks the question greedily; hands every piece of the answer on as it comes.
    pub async fn ask(
        &mut self,
        prompt: &str,
        mut piece: impl FnMut(&str),
    ) -> Result<DemoAnswer, DemoError> {
        let params = json!({"messages": messages(prompt), "temperature": 0});
        let asked = self.client.call_with("generate", params, |method, params| {
            if let ("generate.text", Some(text)) = (method, params["text"].as_str()) {
                piece(text);
            }
        });
        match tokio::time::timeout(ANSWER_DEADLINE, asked).await {
            Ok(Ok(answer)) => Ok(serde_json::from_value(answer)?),
            Ok(Err(error)) => Err(DemoError::Ask(error, self.children.logs())),
            Err(_) => Err(DemoError::Late(ANSWER_DEADLINE, self.children.logs())),
        }
    }

    async fn wait_for_route(&mut self) -> Result<(), DemoError> {
        let start = Instant::now();
        while start.elapsed() < ROUTE_DEADLINE {
            self.children.check_alive()?;
            let models = match self.client.call("models", Value::Null).await {
                Ok(models) => models,
                Err(error) => return Err(DemoError::Ask(error, self.children.logs())),
            };
            let models = models["models"].as_array().map(Vec::as_slice).unwrap_or_default();
            if models.iter().any(|model| model["servable"] == true) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(DemoError::NoRoute(ROUTE_DEADLINE, self.children.logs()))
    }
}
