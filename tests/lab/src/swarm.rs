//! Starts nodes of the built program over one model file and asks them for tokens.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;
use swarmllm::demo::{DemoPlan, Swarm};
use swarmllm_protocol::placement::split_layers;

/// Why a measurement ended.
pub(crate) type LabError = Box<dyn std::error::Error>;

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
/// When a node does not start.
pub(crate) async fn start(
    model: &Path,
    n_layers: usize,
    nodes: usize,
) -> Result<(Swarm, ControlClient), LabError> {
    let split = split_layers(&vec![1; n_layers], &vec![1; nodes]);
    let model = model.to_string_lossy().into_owned();
    let plan = DemoPlan { program: program()?, model, split, prompt: String::new() };
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

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
