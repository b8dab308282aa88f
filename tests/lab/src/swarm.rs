//! Starts nodes of the built program over one model and asks them for tokens.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;
use swarmllm::demo::{DemoPlan, Swarm};
use swarmllm::local;
use swarmllm_protocol::placement::split_layers;

/// Why a measurement ended.
pub(crate) type LabError = Box<dyn std::error::Error>;

/// Which nodes are started.
#[derive(Debug, Clone, Args)]
pub(crate) struct Layout {
    /// A GGUF file, or the name of a built-in model.
    #[arg(long, default_value = "demo")]
    pub(crate) model: String,
    /// Nodes that share the layers equally, in a chain.
    #[arg(long, default_value_t = 1)]
    pub(crate) stages: usize,
    /// Compute threads of each node [default: as many as the machine has].
    #[arg(long)]
    pub(crate) threads: Option<u32>,
}

impl Layout {
    /// With as many threads as the machine has.
    pub(crate) fn of(model: &std::path::Path, stages: usize) -> Layout {
        Layout { model: model.to_string_lossy().into_owned(), stages, threads: None }
    }
}

/// The program beside this one.
///
/// # Errors
/// When it was not built.
pub(crate) fn program() -> Result<PathBuf, LabError> {
    let path = std::env::current_exe()?.with_file_name("swarmllm");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing: run `cargo build --release` first", path.display()).into())
    }
}

/// Nodes that hold equal shares of the layers, in a chain, connected.
///
/// # Errors
/// When there are fewer layers than nodes, or a node does not start.
pub(crate) async fn start(layout: &Layout) -> Result<(Swarm, ControlClient), LabError> {
    let Layout { model, stages, threads } = layout.clone();
    let n_layers = local::open_header(&model)?.config().n_layers as usize;
    if stages == 0 || stages > n_layers {
        return Err(format!("{model} has {n_layers} layers: from 1 to {n_layers} stages").into());
    }
    let split = split_layers(&vec![1; n_layers], &vec![1; stages]);
    let plan = DemoPlan { program: program()?, model, split, threads, prompt: String::new() };
    let swarm = Swarm::start(&plan).await?;
    let client = ControlClient::connect(&swarm.nodes()[0].control).await?;
    Ok((swarm, client))
}

/// One greedy generation from token ids: `generate`'s result, its `token_ids` included.
///
/// # Errors
/// When the node refuses.
pub(crate) async fn generate(
    client: &mut ControlClient,
    tokens: &[u32],
    n_new: usize,
) -> Result<Value, LabError> {
    let params = json!({"tokens": tokens, "temperature": 0, "max_tokens": n_new});
    Ok(client.call_with("generate", params, |_, _| ()).await?)
}
