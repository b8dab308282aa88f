//! `swarmllm demo [PROMPT]`: three nodes on this machine answer together, as one would alone.
//!
//! Called by `cli/mod.rs`. Splits the embedded model's layers, runs [`crate::demo`], prints the
//! answer while it comes, then the route, the speed, and whether a single node says the same.
//! `--json` prints one object: `answer`, `token_ids`, `nodes`, `identical`, `route`, `ttft_ms`,
//! `decode_tok_s`. Exit code 1 when the tokens differ or anything fails. SIGINT and SIGTERM leave
//! no process and no file.

use std::{io::Write, ops::ControlFlow};

use serde_json::json;
use swarmllm_models::{Model, SamplingParams};
use swarmllm_protocol::{ids::LayerRange, placement::split_layers};
use tokio::sync::oneshot;

use super::{CliError, log, print_json, table};
use crate::{
    config::Environment,
    demo::{self, DemoAnswer, DemoPlan, Swarm},
    generate::{Chat, Prompt},
    local::{self, Chain, ChainOptions, LocalRequest},
    prompt,
    service::{ready_file::Ready, signals::EndSignals},
};

/// The embedded model that is split.
const MODEL: &str = "demo";

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// What to ask.
    #[arg(default_value = "What is SwarmLLM?")]
    prompt: String,
    /// How many nodes share the model.
    #[arg(long, default_value_t = 3, value_name = "N")]
    nodes: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: DemoArgs) -> Result<(), CliError> {
    log::start(&Environment::of_process(), "warn");
    let plan = plan(&args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = EndSignals::listen(false)?;
        // Whichever ends first drops the other: a signal drops the nodes and their folder.
        tokio::select! {
            outcome = ask_and_compare(&args, &plan) => outcome,
            reason = signals.wait() => Err(CliError::failed(format!("ended by {reason}"))),
        }
    })
}

fn plan(args: &DemoArgs) -> Result<DemoPlan, CliError> {
    let model = embedded()?;
    let layer_bytes = model.layer_bytes();
    let n_layers = layer_bytes.len();
    if args.nodes == 0 || args.nodes as usize > n_layers {
        return Err(CliError::usage(format!(
            "--nodes must be from 1 to {n_layers}: each node holds at least one of the model's \
             {n_layers} layers"
        )));
    }
    let whole: u64 = layer_bytes.iter().sum();
    let split = split_layers(&layer_bytes, &vec![whole; args.nodes as usize]);
    let program = std::env::current_exe()?;
    let (model, prompt) = (MODEL.to_owned(), args.prompt.clone());
    Ok(DemoPlan { program, model, split, threads: None, prompt })
}

fn embedded() -> Result<Model, CliError> {
    let model = Model::embedded(MODEL);
    model.ok_or_else(|| CliError::failed("no model is built in"))?.map_err(CliError::failed)
}

async fn ask_and_compare(args: &DemoArgs, plan: &DemoPlan) -> Result<(), CliError> {
    let say = |text: &str| {
        if !args.json {
            print!("{text}");
            // A closed stdout shows itself at the next print.
            let _ = std::io::stdout().flush();
        }
    };
    let ranges: Vec<String> = plan.split.iter().map(range_text).collect();
    say(&format!(
        "Starting {} nodes on this machine, layers {} of the built-in model ...\n",
        plan.split.len(),
        ranges.join(", ")
    ));
    let mut swarm = Swarm::start(plan).await.map_err(CliError::failed)?;
    say(&format!("They found each other.\n\n> {}\n", plan.prompt));
    let answer = swarm.ask(&plan.prompt, &say).await.map_err(CliError::failed)?;
    say("\n\n");
    let nodes = swarm.nodes().to_vec();
    drop(swarm);
    let alone = answer_alone(plan.prompt.clone()).await?;
    let identical = alone == answer.token_ids;
    if args.json {
        print_json(&json!({
            "answer": answer.text, "token_ids": answer.token_ids, "nodes": nodes.len(),
            "identical": identical, "route": answer.route,
            "ttft_ms": answer.ttft_ms, "decode_tok_s": answer.decode_tok_s,
        }))?;
    } else {
        print!("{}", report(&answer, &nodes, identical));
    }
    match identical {
        true => Ok(()),
        false => Err(CliError::failed(format!(
            "the tokens differ from those of a single node, which must not happen; please report \
             it with the prompt {:?}",
            plan.prompt
        ))),
    }
}

/// The same question to the whole model in this process, on a thread of its own: a signal must
/// not wait for it.
async fn answer_alone(prompt: String) -> Result<Vec<u32>, CliError> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more after a signal.
        let _ = sender.send(generate_alone(&prompt));
    });
    receiver.await.map_err(|_| CliError::failed("the single node in this process failed"))?
}

fn generate_alone(prompt: &str) -> Result<Vec<u32>, CliError> {
    let model = embedded()?;
    let tokenizer = model.tokenizer().map_err(CliError::failed)?;
    let template = local::chat_template(&model).map_err(CliError::failed)?;
    let messages = Prompt::Chat(Chat::of_messages(demo::messages(prompt)));
    let prompt = prompt::prepare(&tokenizer, template.as_ref(), &messages);
    let positions = model.config().context_length;
    let options = ChainOptions { positions, ..ChainOptions::default() };
    let request = LocalRequest {
        prompt: prompt.map_err(CliError::failed)?.tokens,
        max_new: None,
        sampling: SamplingParams::default(),
        chunk: local::DEFAULT_CHUNK,
    };
    let mut chain = Chain::load(&model, &options)?;
    let answer = local::generate(&mut chain, &tokenizer, &request, |_| ControlFlow::Continue(()))?;
    Ok(answer.token_ids)
}

fn range_text(range: &LayerRange) -> String {
    format!("{}-{}", range.start, range.end)
}

fn report(answer: &DemoAnswer, nodes: &[Ready], identical: bool) -> String {
    let rows: Vec<Vec<String>> = answer
        .route
        .iter()
        .map(|stage| {
            let index = nodes.iter().position(|node| node.peer_id == stage.peer);
            let name = index.map_or("-".to_owned(), |index| format!("node {index}"));
            vec![
                name,
                stage.peer.chars().take(8).collect(),
                format!("{}-{}", stage.layers[0], stage.layers[1]),
                format!("{:.2}", stage.compute_ms),
                format!("{:.2}", stage.hop_ms),
                stage.bytes_out.to_string(),
            ]
        })
        .collect();
    let header = ["node", "peer", "layers", "compute ms", "hop ms", "bytes sent"];
    let right = [false, false, true, true, true, true];
    format!(
        "{}\n{} tokens; the first after {:.1} ms, then {:.1} tokens/s\n\
         identical to a single node: {}\n",
        table::render(&header, &right, &rows),
        answer.token_ids.len(),
        answer.ttft_ms,
        answer.decode_tok_s,
        if identical { "yes" } else { "no" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::DemoStage;

    #[test]
    fn the_report_names_nodes_route_and_verdict() {
        let stage = DemoStage {
            peer: "abcdefghijkl".into(),
            layers: [0, 2],
            compute_ms: 1.5,
            hop_ms: 0.25,
            bytes_out: 512,
        };
        let answer = DemoAnswer {
            text: "x".into(),
            token_ids: vec![1, 2],
            route: vec![stage],
            ttft_ms: 3.0,
            decode_tok_s: 100.0,
        };
        let text = report(&answer, &[], true);
        assert!(text.contains("abcdefgh"), "{text}");
        assert!(text.contains("   0-2"), "{text}");
        assert!(text.ends_with("identical to a single node: yes\n"), "{text}");
    }
}
