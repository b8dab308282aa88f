//! Thousands of requests of random lengths, many broken off, and whether anything is left behind.
//!
//! Requests take their prompts from a small set, so some begin alike, and every answer or beginning
//! of one is checked. The first tenth warms the nodes; after it and at the end, when nothing runs,
//! pages in use and resident memory of every node must be the same.
//! Invariants: all answers right, none failed, no event lost, every generation ends once, nobody
//! waits longer than `--stall-ms` for the next piece, pages and memory back.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use swarmllm::control::client::ControlClient;
use swarmllm::demo::Swarm;
use swarmllm::local::LocalAnswer;
use swarmllm::service::ready_file::Ready;

use crate::client::{End, Heard, Patience, ask};
use crate::events::Books;
use crate::processor::BusySeconds;
use crate::swarm::{self, LabError, Layout};
use crate::workload::{Prompts, Request, Solo, Subject};

/// Prompts that requests choose from.
const PROMPTS: usize = 64;
/// Of so many requests one is broken off.
const BROKEN_ONE_IN: usize = 3;
/// Things heard before a request is broken off, at most.
const HEARD_MAX: usize = 12;
/// How long the nodes may take to clear up after the last request.
const SETTLE: Duration = Duration::from_secs(30);
/// What resident memory may grow by: allocators keep a little.
const MEMORY_SLACK_BYTES: u64 = 16 << 20;

/// Options of `soak`.
#[derive(Args)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    layout: Layout,
    /// Requests.
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Requests under way at once.
    #[arg(long, default_value_t = 32)]
    concurrent: usize,
    /// Most tokens of a prompt.
    #[arg(long, default_value_t = 192)]
    prompt: usize,
    /// Most tokens of an answer.
    #[arg(long = "gen", default_value_t = 64)]
    new_tokens: usize,
    /// Longest silence in an answer that is no stall.
    #[arg(long, default_value_t = 10_000.0)]
    stall_ms: f64,
    /// What lengths, prompts and breaks are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One request: which prompt, how many tokens, and whether it is broken off.
struct Plan {
    prompt: usize,
    max_tokens: usize,
    broken_after: Option<usize>,
}

impl Plan {
    fn random(args: &SoakArgs, prompts: &mut Prompts) -> Plan {
        let random = &mut prompts.random;
        let is_broken = random.below(BROKEN_ONE_IN) == 0;
        Plan {
            prompt: random.below(PROMPTS),
            max_tokens: 1 + random.below(args.new_tokens),
            broken_after: is_broken.then(|| 1 + random.below(HEARD_MAX)),
        }
    }
}

/// What came of all requests.
#[derive(Default)]
struct Tally {
    answered: u64,
    cancelled: u64,
    wrong: u64,
    failures: Vec<String>,
    slowest_ms: f64,
}

impl Tally {
    fn add(&mut self, plan: &Plan, heard: &Heard, expected: &LocalAnswer) {
        self.slowest_ms = self.slowest_ms.max(heard.silence_ms);
        let is_right = match &heard.end {
            End::Failed(reason) => return self.failures.push(reason.clone()),
            End::Cancelled => {
                self.cancelled += 1;
                heard.begins(expected)
            }
            End::Answered(answer) => {
                self.answered += 1;
                let wanted = &expected.token_ids[..plan.max_tokens.min(expected.token_ids.len())];
                answer["text"] == heard.text.as_str()
                    && heard.token_ids().as_deref() == Some(wanted)
            }
        };
        self.wrong += u64::from(!is_right);
    }
}

/// What an idle node holds.
#[derive(Clone, Copy)]
struct Held {
    pages: u64,
    rss_bytes: u64,
}

/// Runs; true when every invariant held.
pub(crate) async fn run(args: SoakArgs) -> Result<bool, LabError> {
    let subject = Subject::open(&args.layout.model)?;
    let positions = args.prompt + args.new_tokens;
    subject.check_fits(positions)?;
    let mut prompts = subject.prompts(args.seed);
    let request = |_| {
        let n_tokens = 1 + prompts.random.below(args.prompt);
        Request { tokens: prompts.tokens(n_tokens), max_tokens: args.new_tokens }
    };
    let requests: Vec<Request> = (0..PROMPTS).map(request).collect();
    let expected = Solo::load(&subject, positions, args.layout.threads)?.answers(&requests)?;
    let plans: Vec<Plan> = (0..args.requests).map(|_| Plan::random(&args, &mut prompts)).collect();
    let (nodes, _) = swarm::start(&args.layout).await?;
    let books = Books::default();
    let soak = Soak { nodes: &nodes, requests: &requests, expected: &expected, books: &books };
    let outcome = tokio::select! {
        ended = books.keep(&nodes.nodes()[0].control) => return ended.map(|()| false),
        outcome = soak.run(&args, &plans) => outcome?,
    };
    let report = outcome.report(&args, &books);
    let kept = report["kept"] == true;
    if args.json {
        println!("{report}");
    } else {
        for (key, value) in report.as_object().into_iter().flatten() {
            println!("{key:24} {value}");
        }
    }
    Ok(kept)
}

struct Soak<'a> {
    nodes: &'a Swarm,
    requests: &'a [Request],
    expected: &'a [LocalAnswer],
    books: &'a Books,
}

struct Outcome {
    tally: Tally,
    wall_s: f64,
    busy: BusySeconds,
    start: Vec<Held>,
    end: Vec<Held>,
    settled: bool,
}

impl Soak<'_> {
    async fn run(&self, args: &SoakArgs, plans: &[Plan]) -> Result<Outcome, LabError> {
        let nodes = self.nodes.nodes();
        let (warm, rest) = plans.split_at(plans.len() / 10);
        let mut tally = Tally::default();
        self.all(args, warm, &mut tally).await;
        let (start, warm_settled) = settled(nodes, self.books, None).await?;
        let (began, busy) = (Instant::now(), BusySeconds::of(nodes));
        self.all(args, rest, &mut tally).await;
        let (wall_s, busy) = (began.elapsed().as_secs_f64(), BusySeconds::of(nodes) - busy);
        let (end, end_settled) = settled(nodes, self.books, Some(&start)).await?;
        let settled = warm_settled && end_settled;
        Ok(Outcome { tally, wall_s, busy, start, end, settled })
    }

    async fn all(&self, args: &SoakArgs, plans: &[Plan], tally: &mut Tally) {
        let control = &self.nodes.nodes()[0].control;
        let asked = plans.iter().map(|plan| async move {
            let tokens = self.requests[plan.prompt].tokens.clone();
            let request = Request { tokens, max_tokens: plan.max_tokens };
            let patience = plan.broken_after.map_or(Patience::Endless, Patience::Notifications);
            (plan, ask(control, &request, patience, |_| ()).await)
        });
        let mut heard = stream::iter(asked).buffer_unordered(args.concurrent.max(1));
        while let Some((plan, heard)) = heard.next().await {
            tally.add(plan, &heard, &self.expected[plan.prompt]);
        }
    }
}

/// Waits until nothing runs and, if known, pages are as before; what is held then, and whether
/// that came in time.
async fn settled(
    nodes: &[Ready],
    books: &Books,
    before: Option<&[Held]>,
) -> Result<(Vec<Held>, bool), LabError> {
    let began = Instant::now();
    loop {
        let (mut held, mut n_active) = (Vec::new(), 0);
        for node in nodes {
            let status = status(&node.control).await?;
            let number = |value: &Value| value.as_u64().ok_or("a status without its numbers");
            n_active += number(&status["n_active"])?;
            let pages = number(&status["kv_pages"][0])?;
            held.push(Held { pages, rss_bytes: number(&status["rss_bytes"])? });
        }
        let is_before = |before: &[Held]| {
            before.iter().zip(&held).all(|(before, now)| before.pages == now.pages)
        };
        if n_active == 0 && books.uneven() == 0 && before.is_none_or(is_before) {
            return Ok((held, true));
        }
        if began.elapsed() > SETTLE {
            return Ok((held, false));
        }
    }
}

async fn status(control: &Path) -> Result<Value, LabError> {
    Ok(ControlClient::connect(control).await?.call("status", Value::Null).await?)
}

impl Outcome {
    fn report(&self, args: &SoakArgs, books: &Books) -> Value {
        let Outcome { tally, start, end, .. } = self;
        let pages = |held: &[Held]| held.iter().map(|held| held.pages).sum::<u64>();
        let rss = |held: &[Held]| held.iter().map(|held| held.rss_bytes).sum::<u64>();
        let pairs = || start.iter().zip(end);
        let pages_back = pairs().all(|(start, end)| end.pages == start.pages);
        let memory_back =
            pairs().all(|(start, end)| end.rss_bytes <= start.rss_bytes + MEMORY_SLACK_BYTES);
        let accounted = tally.answered + tally.cancelled == args.requests as u64
            && books.uneven() == 0
            && books.finished.get() >= tally.answered;
        let stalled = tally.slowest_ms > args.stall_ms;
        let kept = tally.wrong == 0
            && accounted
            && books.lost.get() == 0
            && !stalled
            && pages_back
            && memory_back
            && self.settled;
        json!({
            "model": args.layout.model,
            "stages": args.layout.stages,
            "requests": args.requests,
            "answered": tally.answered,
            "cancelled": tally.cancelled,
            "failed": tally.failures.len(),
            "first_failure": tally.failures.first(),
            "identical": tally.wrong == 0,
            "lost_events": books.lost.get(),
            "unended": books.uneven(),
            "slowest_gap_ms": tally.slowest_ms,
            "pages_start": pages(start),
            "pages_end": pages(end),
            "rss_start_bytes": rss(start),
            "rss_end_bytes": rss(end),
            "wall_s": self.wall_s,
            "cpu_net_s": self.busy.net,
            "cpu_compute_s": self.busy.compute,
            "cpu_other_s": self.busy.other,
            "kept": kept,
        })
    }
}
