//! Requests that begin alike, one after another: what the second and later ones wait.
//!
//! Every prompt is the same long beginning and an end of its own. `ttft_shared_ms` is the median of
//! all but the first; `bytes` is what stages sent on for one of those, the median.

use clap::Args;
use serde_json::json;

use crate::client::{End, Heard, Patience, ask};
use crate::figures::{Sorted, median};
use crate::swarm::{self, LabError, Layout};
use crate::workload::{Request, Solo, Subject};

/// Options of `prefix`.
#[derive(Args)]
pub(crate) struct PrefixArgs {
    #[command(flatten)]
    layout: Layout,
    /// Tokens that all prompts begin with.
    #[arg(long, default_value_t = 2048)]
    prompt: usize,
    /// Tokens that follow, each request its own.
    #[arg(long, default_value_t = 16)]
    own: usize,
    /// Requests.
    #[arg(long, default_value_t = 50)]
    requests: usize,
    /// Most tokens of an answer.
    #[arg(long = "gen", default_value_t = 8)]
    new_tokens: usize,
    /// What the prompts are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when all answers were those of a single sequence.
pub(crate) async fn run(args: PrefixArgs) -> Result<bool, LabError> {
    if args.requests < 2 {
        return Err("the first request and at least one that shares with it: --requests 2".into());
    }
    let subject = Subject::open(&args.layout.model)?;
    let positions = args.prompt + args.own + args.new_tokens;
    subject.check_fits(positions)?;
    let mut prompts = subject.prompts(args.seed);
    let warm = prompts.requests(1, args.own, args.new_tokens);
    let beginning = prompts.tokens(args.prompt);
    let mut requests = prompts.requests(args.requests, args.own, args.new_tokens);
    for request in &mut requests {
        request.tokens.splice(0..0, beginning.iter().copied());
    }
    let (nodes, _) = swarm::start(&args.layout).await?;
    let control = &nodes.nodes()[0].control;
    // The first answer warms pages and sockets and is not counted.
    ask(control, &warm[0], Patience::Endless, |_| ()).await;
    let mut heard = Vec::new();
    for request in &requests {
        heard.push(ask(control, request, Patience::Endless, |_| ()).await);
    }
    drop(nodes);
    let mut solo = Solo::load(&subject, positions, args.layout.threads)?;
    let identical = all_right(&mut solo, &requests, &heard)?;

    let ttft = |heard: &Heard| heard.ttft_ms().unwrap_or(f64::NAN);
    let ttft_cold_ms = ttft(&heard[0]);
    let shared = Sorted::of(heard[1..].iter().map(ttft).collect());
    let ttft_shared_ms = shared.at(0.5);
    let share_percent = 100.0 * ttft_shared_ms / ttft_cold_ms;
    let prefill_tok_s = (args.prompt + args.own) as f64 / ttft_cold_ms * 1000.0;
    let bytes = median(heard[1..].iter().map(bytes_out).collect());
    if args.json {
        let object = json!({
            "model": args.layout.model, "stages": args.layout.stages, "prompt": args.prompt,
            "own": args.own, "requests": args.requests, "ttft_cold_ms": ttft_cold_ms,
            "ttft_shared_ms": ttft_shared_ms, "ttft_shared_max_ms": shared.at(1.0),
            "shared_percent": share_percent, "prefill_tok_s": prefill_tok_s, "bytes": bytes,
            "identical": identical,
        });
        println!("{object}");
    } else {
        println!("{} requests with {} tokens in common", args.requests, args.prompt);
        println!("first token, first request {ttft_cold_ms:9.1} ms ({prefill_tok_s:.0} tokens/s)");
        println!("first token, later ones    {ttft_shared_ms:9.1} ms ({share_percent:.1} %)");
        println!("at worst                   {:9.1} ms", shared.at(1.0));
        println!("sent on for one of them    {bytes:9} bytes");
        println!("identical                  {identical:>9}");
    }
    Ok(identical)
}

/// Payload bytes that all stages sent on.
fn bytes_out(heard: &Heard) -> f64 {
    let End::Answered(answer) = &heard.end else { return f64::NAN };
    let stages = answer["route"].as_array().map(Vec::as_slice).unwrap_or_default();
    stages.iter().filter_map(|stage| stage["bytes_out"].as_f64()).sum()
}

fn all_right(solo: &mut Solo, requests: &[Request], heard: &[Heard]) -> Result<bool, LabError> {
    let mut identical = true;
    for (request, heard) in requests.iter().zip(heard) {
        // The common beginning is computed once; the nodes' way of sharing it is another one.
        identical &= heard.is(&solo.answer(request)?);
    }
    Ok(identical)
}
