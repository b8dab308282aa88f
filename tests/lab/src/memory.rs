//! Resident memory of a node that holds a third of the layers, beside one that holds all.
//!
//! Each node answers once before it is asked, so that everything it needs has been touched. An
//! empty share is the program itself: a node of the embedded draft model.

use clap::Args;
use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;

use crate::random_model::{self, Shape};
use crate::swarm::{self, LabError, Layout};

/// Options of `memory`.
#[derive(Args)]
pub(crate) struct MemoryArgs {
    /// Layers of the random model, 50 MB each.
    #[arg(long, default_value_t = 12)]
    layers: usize,
    /// Nodes that share it.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when all tokens were identical.
pub(crate) async fn run(args: MemoryArgs) -> Result<bool, LabError> {
    let shape = Shape {
        n_layers: args.layers,
        hidden: 2048,
        feed_forward: 5632,
        n_heads: 32,
        head_dim: 64,
    };
    let path = std::env::temp_dir().join(format!("swarmllm-lab-{}.gguf", std::process::id()));
    random_model::write(&path, shape)?;
    let file_mib = mib(std::fs::metadata(&path)?.len());
    let measured = measure(&path, args.nodes).await;
    std::fs::remove_file(&path)?;
    let (whole_mib, shares_mib, identical) = measured?;
    if args.json {
        let object = json!({
            "file_mib": file_mib, "whole_mib": whole_mib, "shares_mib": shares_mib,
            "identical": identical,
        });
        println!("{object}");
    } else {
        println!("model file         {file_mib:8.1} MiB");
        println!("node with all      {whole_mib:8.1} MiB resident");
        for (index, share_mib) in shares_mib.iter().enumerate() {
            println!("node {index} of {}        {share_mib:8.1} MiB resident", args.nodes);
        }
        println!("identical          {identical}");
    }
    Ok(identical)
}

async fn measure(path: &std::path::Path, nodes: usize) -> Result<(f64, Vec<f64>, bool), LabError> {
    let prompt: Vec<u32> = (0..64).collect();
    let (solo_nodes, mut solo) = swarm::start(&Layout::of(path, 1)).await?;
    let expected = swarm::generate(&mut solo, &prompt, 8).await?["token_ids"].clone();
    let whole_mib = resident_mib(&solo_nodes.nodes()[0].control).await?;
    drop(solo_nodes);
    let (chain_nodes, mut chain) = swarm::start(&Layout::of(path, nodes)).await?;
    let identical = swarm::generate(&mut chain, &prompt, 8).await?["token_ids"] == expected;
    let mut shares_mib = Vec::new();
    for node in chain_nodes.nodes() {
        shares_mib.push(resident_mib(&node.control).await?);
    }
    Ok((whole_mib, shares_mib, identical))
}

async fn resident_mib(control: &std::path::Path) -> Result<f64, LabError> {
    let status = ControlClient::connect(control).await?.call("status", Value::Null).await?;
    Ok(mib(status["rss_bytes"].as_u64().ok_or("no rss_bytes")?))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
