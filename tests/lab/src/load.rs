//! Many requests at once: how fast all of them together, and each of them, are answered.
//!
//! Every request of every level has a prompt of its own, so nothing is answered from what another
//! one left behind. Times are the client's. The answers that a single sequence gives are computed
//! before any node starts.

use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use swarmllm::local::LocalAnswer;

use crate::client::{self, Heard};
use crate::figures::{Sorted, ms};
use crate::processor::BusySeconds;
use crate::swarm::{self, LabError, Layout};
use crate::workload::{Solo, Subject};

/// Options of `load`.
#[derive(Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    layout: Layout,
    /// Requests under way at once, level by level.
    #[arg(long, value_delimiter = ',', default_value = "1,4,8,16")]
    concurrent: Vec<usize>,
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Most tokens of an answer.
    #[arg(long = "gen", default_value_t = 48)]
    new_tokens: usize,
    /// Requests of a level [default: twice as many as are under way at once].
    #[arg(long)]
    requests_per_level: Option<usize>,
    /// What the prompts are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Measures; true when all answers were those of a single sequence.
pub(crate) async fn run(args: LoadArgs) -> Result<bool, LabError> {
    let subject = Subject::open(&args.layout.model)?;
    let positions = args.prompt + args.new_tokens;
    subject.check_fits(positions)?;
    let mut prompts = subject.prompts(args.seed);
    let mut solo = Solo::load(&subject, positions, args.layout.threads)?;
    let mut levels = Vec::new();
    for concurrent in args.concurrent.iter().map(|n| (*n).max(1)) {
        let n = args.requests_per_level.unwrap_or(2 * concurrent);
        let requests = prompts.requests(n, args.prompt, args.new_tokens);
        eprintln!("computing {n} answers alone, for {concurrent} at once");
        let expected = solo.answers(&requests)?;
        levels.push((concurrent, requests, expected));
    }
    drop(solo);
    let (nodes, _) = swarm::start(&args.layout).await?;
    let control = &nodes.nodes()[0].control;
    // The first answer warms pages and sockets and is not counted.
    client::ask_all(control, &prompts.requests(1, args.prompt, args.new_tokens), 1).await;
    let mut rows = Vec::new();
    if !args.json {
        println!("{}", heading());
    }
    for (concurrent, requests, expected) in levels {
        let busy = BusySeconds::of(nodes.nodes());
        let began = Instant::now();
        let heard = client::ask_all(control, &requests, concurrent).await;
        let wall_ms = ms(began, Instant::now());
        let busy = BusySeconds::of(nodes.nodes()) - busy;
        let level = Level { concurrent, heard, expected, wall_ms, busy };
        let row = level.row(&subject);
        if !args.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    let identical = rows.iter().all(|row| row["identical"] == true);
    if args.json {
        let Layout { model, stages, threads } = &args.layout;
        let object = json!({
            "model": model, "stages": stages, "threads": threads, "prompt": args.prompt,
            "gen": args.new_tokens, "seed": args.seed, "rows": rows, "identical": identical,
        });
        println!("{object}");
    }
    Ok(identical)
}

/// One level's outcome.
struct Level {
    concurrent: usize,
    heard: Vec<Heard>,
    expected: Vec<LocalAnswer>,
    wall_ms: f64,
    busy: BusySeconds,
}

impl Level {
    fn row(&self, subject: &Subject) -> Value {
        let ids = |heard: &Heard| heard.token_ids().unwrap_or_default();
        let n_tokens: usize = self.heard.iter().map(|heard| ids(heard).len()).sum();
        let answers = || self.heard.iter().zip(&self.expected);
        let n_differing = answers().filter(|(heard, expected)| !heard.is(expected)).count();
        let ttft = Sorted::of(self.heard.iter().filter_map(Heard::ttft_ms).collect());
        let gaps = answers().flat_map(|(heard, expected)| heard.gaps(expected, &subject.tokenizer));
        let gaps = Sorted::of(gaps.map(|gap| gap.ms).collect());
        json!({
            "concurrent": self.concurrent,
            "requests": self.heard.len(),
            "tokens": n_tokens,
            "tok_s": n_tokens as f64 / self.wall_ms * 1000.0,
            "ttft_p50_ms": ttft.at(0.5),
            "ttft_p99_ms": ttft.at(0.99),
            "itl_p50_ms": gaps.at(0.5),
            "itl_p99_ms": gaps.at(0.99),
            "net_cpu_percent": self.busy.net / self.wall_ms * 1e5,
            "differing": n_differing,
            "identical": n_differing == 0,
        })
    }
}

fn heading() -> String {
    format!(
        "{:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}  identical",
        "concurrent", "tok/s", "ttft p50", "ttft p99", "itl p50", "itl p99", "net %"
    )
}

fn line(row: &Value) -> String {
    let figure = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:>10} {:9.1} {:9.1} {:9.1} {:9.2} {:9.2} {:6.2}  {}",
        row["concurrent"].as_u64().unwrap_or(0),
        figure("tok_s"),
        figure("ttft_p50_ms"),
        figure("ttft_p99_ms"),
        figure("itl_p50_ms"),
        figure("itl_p99_ms"),
        figure("net_cpu_percent"),
        row["identical"],
    )
}
