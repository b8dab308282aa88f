//! What the HTTP door bears and costs: many streams at once, thousands of requests, one token.
//!
//! Streams are compared with the same answers asked for as a whole: no error, no lost event.
//! Memory is read when a tenth of the requests are answered, and at the end. What a token costs at
//! the door is the difference between an answer that is streamed and the same one sent whole, on a
//! scripted model, whose own arithmetic is next to nothing: of the shortest of several rounds, as
//! time on the clock and as processor time of the node. Units: microseconds, MiB.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;
use swarmllm::service::ready_file::Ready;

use crate::http::{Answer, chat, question};
use crate::processor::BusySeconds;
use crate::swarm::{self, LabError, Layout};

/// The most that a streamed token may cost.
const TOKEN_BAR_US: f64 = 50.0;
/// What resident memory may grow by: allocators keep a little.
const MEMORY_SLACK_MIB: f64 = 16.0;
/// Words of the scripted answer.
const WORDS: usize = 1000;

/// Options of `doors`.
#[derive(Args)]
pub(crate) struct DoorsArgs {
    /// Streams at once.
    #[arg(long, default_value_t = 64)]
    streams: usize,
    /// Most tokens of each.
    #[arg(long = "gen", default_value_t = 64)]
    new_tokens: usize,
    /// Short requests, one after the other on 32 connections.
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Rounds in which a token's cost is looked for.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when every bar was met.
pub(crate) async fn run(args: DoorsArgs) -> Result<bool, LabError> {
    let (nodes, _) = swarm::start(&Layout::of(Path::new("demo"), 1)).await?;
    let node = &nodes.nodes()[0];
    let streams = many_streams(&args, node.http).await;
    let memory = many_requests(&args, node).await?;
    drop(nodes);
    let token = one_token(&args).await?;
    let kept = [&streams, &memory, &token].iter().all(|part| part["kept"] == true);
    let report = json!({"streams": streams, "memory": memory, "token": token, "kept": kept});
    if args.json {
        println!("{report}");
        return Ok(kept);
    }
    for (part, figures) in report.as_object().into_iter().flatten() {
        for (key, value) in figures.as_object().into_iter().flatten() {
            println!("{part:8} {key:24} {value}");
        }
    }
    Ok(kept)
}

/// Asks everything, so many at once; answers in order.
async fn ask_all(
    to: SocketAddr,
    questions: &[Value],
    at_once: usize,
) -> Vec<Result<Answer, String>> {
    let asked = questions.iter().map(|question| chat(to, question));
    stream::iter(asked).buffered(at_once).collect().await
}

async fn many_streams(args: &DoorsArgs, to: SocketAddr) -> Value {
    let ask = |stream| {
        let text = |n: usize| format!("Tell me story number {n}.");
        let one = |n| question("demo", &text(n), args.new_tokens, stream);
        (0..args.streams).map(one).collect::<Vec<_>>()
    };
    let began = Instant::now();
    let streamed = ask_all(to, &ask(true), args.streams).await;
    let seconds = began.elapsed().as_secs_f64();
    let whole = ask_all(to, &ask(false), 8).await;
    let errors: Vec<&String> =
        streamed.iter().chain(&whole).filter_map(|a| a.as_ref().err()).collect();
    let pairs = || streamed.iter().flatten().zip(whole.iter().flatten());
    let is_same = |(a, b): &(&Answer, &Answer)| (&a.text, &a.token_ids) == (&b.text, &b.token_ids);
    let n_same = pairs().filter(is_same).count();
    let n_tokens: usize = streamed.iter().flatten().map(|answer| answer.token_ids.len()).sum();
    let n_events: usize = streamed.iter().flatten().map(|answer| answer.n_events).sum();
    json!({
        "at_once": args.streams, "tokens": n_tokens, "events": n_events,
        "tok_s": n_tokens as f64 / seconds, "identical": n_same, "errors": errors.len(),
        "first_error": errors.first(), "kept": n_same == args.streams && n_tokens > 0,
    })
}

async fn many_requests(args: &DoorsArgs, node: &Ready) -> Result<Value, LabError> {
    let short = |n: usize| question("demo", &format!("Number {}", n % 97), 2, n.is_multiple_of(2));
    let questions: Vec<Value> = (0..args.requests).map(short).collect();
    let (warm, rest) = questions.split_at(args.requests / 10);
    let began = Instant::now();
    let mut answers = ask_all(node.http, warm, 32).await;
    let early_mib = resident_mib(node).await?;
    answers.extend(ask_all(node.http, rest, 32).await);
    let seconds = began.elapsed().as_secs_f64();
    let late_mib = resident_mib(node).await?;
    let errors: Vec<&String> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
    Ok(json!({
        "requests": args.requests, "requests_s": args.requests as f64 / seconds,
        "errors": errors.len(), "first_error": errors.first(),
        "early_mib": early_mib, "late_mib": late_mib,
        "kept": errors.is_empty() && late_mib - early_mib <= MEMORY_SLACK_MIB,
    }))
}

async fn resident_mib(node: &Ready) -> Result<f64, LabError> {
    let status = ControlClient::connect(&node.control).await?.call("status", Value::Null).await?;
    let bytes = status["rss_bytes"].as_u64().ok_or("no rss_bytes")?;
    Ok(bytes as f64 / f64::from(1 << 20))
}

/// The least that an answer took, in seconds.
#[derive(Clone, Copy)]
struct Least {
    wall_s: f64,
    busy_s: f64,
}

async fn one_token(args: &DoorsArgs) -> Result<Value, LabError> {
    let script = Script::write()?;
    let model = format!("script:{}", script.0.display());
    let (nodes, _) = swarm::start(&Layout::of(Path::new(&model), 1)).await?;
    let to = nodes.nodes()[0].http;
    let name = script.0.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut least = [Least { wall_s: f64::INFINITY, busy_s: f64::INFINITY }; 2];
    let mut n_tokens = 0;
    // The first round warms and is not counted.
    for round in 0..=args.rounds {
        for (kind, least) in least.iter_mut().enumerate() {
            let question = question(&name, "Speak", 2 * WORDS, kind == 1);
            let (busy, began) = (busy_s(nodes.nodes()), Instant::now());
            let answer = chat(to, &question).await?;
            let wall_s = began.elapsed().as_secs_f64();
            let busy_s = busy_s(nodes.nodes()) - busy;
            n_tokens = answer.token_ids.len();
            if round > 0 {
                least.wall_s = least.wall_s.min(wall_s);
                least.busy_s = least.busy_s.min(busy_s);
            }
        }
    }
    let us = |seconds: f64| seconds * 1e6 / n_tokens as f64;
    let [whole, streamed] = least;
    let wall_us = us(streamed.wall_s - whole.wall_s);
    let busy_us = us(streamed.busy_s - whole.busy_s);
    Ok(json!({
        "tokens": n_tokens, "whole_us": us(whole.wall_s), "streamed_us": us(streamed.wall_s),
        "door_us": wall_us, "door_busy_us": busy_us,
        "kept": wall_us <= TOKEN_BAR_US && busy_us <= TOKEN_BAR_US,
    }))
}

fn busy_s(nodes: &[Ready]) -> f64 {
    let BusySeconds { net, compute, other } = BusySeconds::of(nodes);
    net + compute + other
}

/// A script that speaks at length; removed when dropped.
struct Script(PathBuf);

impl Script {
    fn write() -> std::io::Result<Script> {
        let name = format!("swarmllm-lab-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let words: Vec<String> = (0..WORDS).map(|n| format!("{}", n % 10)).collect();
        std::fs::write(&path, json!({"rules": [{"say": words.join(" ")}]}).to_string())?;
        Ok(Script(path))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It is in the system's temporary folder; what is left there does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}
