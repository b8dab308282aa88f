//! What a hop costs: time per token in a chain of nodes minus one node's, per hop.
//!
//! A model whose activation has the wanted size and hardly any weights runs on one node and on a
//! chain, in turn, several times; medians are compared. A chain of n nodes has n hops: n - 1 with
//! an activation and one with the token back to the requester.

use clap::Args;
use serde_json::json;

use crate::figures::median;
use crate::random_model::{self, Shape};
use crate::swarm::{self, LabError, Layout};

/// Options of `hop`.
#[derive(Args)]
pub(crate) struct HopArgs {
    /// Width of the residual stream; an activation is twice as many bytes.
    #[arg(long, default_value_t = 8192)]
    hidden: usize,
    /// Nodes of the chain.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// New tokens of a generation.
    #[arg(long, default_value_t = 400)]
    tokens: usize,
    /// Generations of each kind.
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when all tokens were identical.
pub(crate) async fn run(args: HopArgs) -> Result<bool, LabError> {
    let HopArgs { hidden, nodes, tokens, repeat, json } = args;
    let shape = Shape { n_layers: nodes, hidden, feed_forward: 32, n_heads: 1, head_dim: 32 };
    let path = std::env::temp_dir().join(format!("swarmllm-lab-{}.gguf", std::process::id()));
    random_model::write(&path, shape)?;
    let measured = measure(&path, nodes, tokens, repeat).await;
    std::fs::remove_file(&path)?;
    let (solo_us, chain_us, identical) = measured?;
    let hop_us = (chain_us - solo_us) / nodes as f64;
    let activation_bytes = hidden * 2;
    if json {
        let object = json!({
            "activation_bytes": activation_bytes, "nodes": nodes, "solo_us_per_token": solo_us,
            "chain_us_per_token": chain_us, "hop_us": hop_us, "identical": identical,
        });
        println!("{object}");
    } else {
        println!("activation of {activation_bytes} bytes, {nodes} nodes, {repeat} runs each");
        println!("one node  {solo_us:8.1} us per token");
        println!("chain     {chain_us:8.1} us per token");
        println!("per hop   {hop_us:8.1} us");
        println!("identical {identical}");
    }
    Ok(identical)
}

/// Medians of microseconds per token on one node and in a chain, and whether all tokens agree.
async fn measure(
    path: &std::path::Path,
    nodes: usize,
    tokens: usize,
    repeat: usize,
) -> Result<(f64, f64, bool), LabError> {
    let (_solo_nodes, mut solo) = swarm::start(&Layout::of(path, 1)).await?;
    let (_chain_nodes, mut chain) = swarm::start(&Layout::of(path, nodes)).await?;
    let prompt = [1, 2, 3, 4];
    let expected = swarm::generate(&mut solo, &prompt, tokens).await?["token_ids"].clone();
    // The first of each warms pages and sockets and is not counted.
    swarm::generate(&mut chain, &prompt, tokens).await?;
    let (mut solo_us, mut chain_us, mut identical) = (Vec::new(), Vec::new(), true);
    for _ in 0..repeat {
        for (client, us) in [(&mut solo, &mut solo_us), (&mut chain, &mut chain_us)] {
            let answer = swarm::generate(client, &prompt, tokens).await?;
            identical &= answer["token_ids"] == expected;
            let rate = answer["decode_tok_s"].as_f64().ok_or("no decode_tok_s")?;
            us.push(1e6 / rate);
        }
    }
    Ok((median(solo_us), median(chain_us), identical))
}
