//! Days of nodes that come and go: does a record stay readable, and what does an idle node send?
//!
//! Sessions are log-normal with median 2 h, four of five at most 8 h. Whoever leaves does so
//! without a word, and somebody new comes, knowing three nodes. Everything else is the protocol:
//! tables fill and repair themselves, providers announce every 20 minutes while they are there.
//! Every probe asks a random node for the record of a random provider that is there and has
//! announced once. Messages travel as their bytes.

use std::{cmp::Reverse, collections::BinaryHeap};

use clap::Args;
use serde_json::{Value, json};
use swarmllm_protocol::{
    ids::ModelId,
    kademlia::{DhtKey, DhtSettings, LookupId, REPUBLISH_EVERY_S},
};

use crate::{
    figures::{percentile, rounded},
    population, publish,
    random::Random,
    ring::NodeId,
    settings::RunArgs,
    world::{Links, Role, Said, World},
};

/// Median of the sessions' lengths.
const SESSION_MEDIAN_S: f64 = 2.0 * 3_600.0;
/// ln 4 / 0.8416: four of five sessions last at most four medians.
const SESSION_SIGMA: f64 = 1.6472;
/// Contacts that a newcomer knows.
const KNOWN: usize = 3;

/// Options of `churn`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChurnArgs {
    /// Nodes there are at any time.
    #[arg(long, default_value_t = 300)]
    pub(crate) nodes: usize,
    /// Simulated time.
    #[arg(long, default_value_t = 48.0)]
    pub(crate) hours: f64,
    /// Share of the nodes that provide something.
    #[arg(long, default_value_t = 0.2)]
    pub(crate) providers: f64,
    /// Time between two probes.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) probe_every_s: f64,
    /// Share of datagrams lost.
    #[arg(long, default_value_t = 0.01)]
    pub(crate) loss: f64,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What a run measured.
#[derive(Debug, Default)]
pub(crate) struct ChurnReport {
    pub(crate) probes: u64,
    pub(crate) missed: u64,
    pub(crate) left: u64,
    pub(crate) probe_ms: Vec<f64>,
    pub(crate) announce_ms: Vec<f64>,
    pub(crate) bytes_per_node_s: f64,
    pub(crate) trace_hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Leave(NodeId),
    Announce(NodeId),
    Probe,
}

/// A provider that is there.
#[derive(Debug, Clone, Copy)]
struct Provider {
    node: NodeId,
    model: ModelId,
    key: DhtKey,
    has_announced: bool,
}

struct Churn {
    world: World,
    random: Random,
    plans: BinaryHeap<Reverse<(u64, Plan)>>,
    present: Vec<NodeId>,
    providers: Vec<Provider>,
    announcing: Vec<(NodeId, LookupId)>,
    probing: Vec<(NodeId, LookupId, NodeId, u64)>,
    sequence: u64,
    report: ChurnReport,
}

/// Runs it with these settings.
pub(crate) fn measure(args: &ChurnArgs, settings: DhtSettings) -> ChurnReport {
    let links = Links { loss: args.loss, ..Links::default() };
    let mut world = World::new(settings, links, args.run.seed);
    world.through_bytes = true;
    let mut churn = Churn {
        world,
        random: Random::new(args.run.seed ^ 0xc4),
        plans: BinaryHeap::new(),
        present: Vec::new(),
        providers: Vec::new(),
        announcing: Vec::new(),
        probing: Vec::new(),
        sequence: 0,
        report: ChurnReport::default(),
    };
    let providers = (args.nodes as f64 * args.providers).round() as usize;
    for number in 0..args.nodes {
        churn.arrive(number < providers);
        let next_us = churn.world.now_us + 100_000;
        churn.world.run_until(next_us);
    }
    let end_us = churn.world.now_us + (args.hours * 3.6e9) as u64;
    churn.plan(churn.world.now_us + 60_000_000, Plan::Probe);
    let probe_every_us = (args.probe_every_s * 1e6) as u64;
    while let Some(Reverse((at_us, plan))) = churn.plans.pop() {
        if at_us > end_us {
            break;
        }
        churn.world.run_until(at_us);
        churn.listen();
        match plan {
            Plan::Leave(node) => churn.leave(node),
            Plan::Announce(node) => churn.announce(node),
            Plan::Probe => {
                churn.probe();
                churn.plan(at_us + probe_every_us, Plan::Probe);
            }
        }
    }
    let sent: u64 = churn.world.nodes.iter().map(|node| node.sent_bytes).sum();
    churn.world.run_until(end_us + 60_000_000);
    churn.listen();
    let seconds = end_us as f64 / 1e6;
    churn.report.bytes_per_node_s = sent as f64 / seconds / args.nodes as f64;
    churn.report.trace_hash = churn.world.trace_hash();
    churn.report
}

impl Churn {
    fn plan(&mut self, at_us: u64, plan: Plan) {
        self.plans.push(Reverse((at_us, plan)));
    }

    /// Somebody new.
    fn arrive(&mut self, is_provider: bool) {
        let id = population::add_node(&mut self.world);
        let known: Vec<_> = (0..KNOWN.min(self.present.len()))
            .map(|_| self.present[self.random.below(self.present.len())])
            .map(|other| self.world.nodes[other as usize].contact)
            .collect();
        self.world.with(id, |node, now| node.handle_contacts(now, &known));
        self.present.push(id);
        let session_s = self.random.log_normal(SESSION_MEDIAN_S, SESSION_SIGMA).max(60.0);
        let now_us = self.world.now_us;
        self.plan(now_us + (session_s * 1e6) as u64, Plan::Leave(id));
        if is_provider {
            let model = ModelId(self.random.bytes());
            let key = publish::sign(&self.world, id, model, 1).keys()[0];
            self.providers.push(Provider { node: id, model, key, has_announced: false });
            self.plan(now_us + 30_000_000, Plan::Announce(id));
        }
    }

    fn leave(&mut self, id: NodeId) {
        self.world.remove(id);
        self.present.retain(|present| *present != id);
        let count = self.providers.len();
        self.providers.retain(|provider| provider.node != id);
        self.report.left += 1;
        self.arrive(self.providers.len() < count);
    }

    fn announce(&mut self, id: NodeId) {
        let Some(provider) = self.providers.iter().find(|provider| provider.node == id) else {
            return;
        };
        let (model, key) = (provider.model, provider.key);
        self.sequence += 1;
        let record = publish::sign(&self.world, id, model, self.sequence);
        if let Some(lookup) = self.world.with(id, |node, now| node.announce(now, key, &record)) {
            self.announcing.push((id, lookup));
        }
        // Nobody keeps to the second; the interval is what nodes aim for at most.
        let pause_s = REPUBLISH_EVERY_S as f64 * (0.9 + 0.1 * self.random.unit());
        self.plan(self.world.now_us + (pause_s * 1e6) as u64, Plan::Announce(id));
    }

    fn probe(&mut self) {
        let ready: Vec<Provider> =
            self.providers.iter().filter(|provider| provider.has_announced).copied().collect();
        if ready.is_empty() {
            return;
        }
        let provider = ready[self.random.below(ready.len())];
        // A node that came a moment ago has no table yet; it would not be asked to serve either.
        let who =
            (0..100).map(|_| self.present[self.random.below(self.present.len())]).find(|who| {
                let node = self.world.nodes[*who as usize].node.as_ref();
                node.is_some_and(|node| node.router().listed() >= self.world.settings.bucket_size)
            });
        let Some(who) = who else { return };
        let lookup = self.world.with(who, |node, now| node.find_providers(now, provider.key, 1));
        if let Some(lookup) = lookup {
            self.report.probes += 1;
            self.probing.push((who, lookup, provider.node, self.world.now_us));
        }
    }

    /// Takes what lookups said.
    fn listen(&mut self) {
        let gone = |world: &World, id: NodeId| world.nodes[id as usize].role == Role::Gone;
        for (who, lookup, at_us, said) in std::mem::take(&mut self.world.said) {
            let Said::Finished { outcome } = said else { continue };
            if let Some(place) = self.announcing.iter().position(|a| *a == (who, lookup)) {
                self.announcing.swap_remove(place);
                let held_ms = outcome.held_ms.unwrap_or(outcome.elapsed_ms);
                self.report.announce_ms.push(held_ms as f64);
                let provider = self.providers.iter_mut().find(|provider| provider.node == who);
                if let Some(provider) = provider {
                    provider.has_announced |= outcome.holders > 0;
                }
            }
            let place = self.probing.iter().position(|probe| (probe.0, probe.1) == (who, lookup));
            if let Some(place) = place {
                let (_, _, _, began_us) = self.probing.swap_remove(place);
                match outcome.providers {
                    0 => self.report.missed += 1,
                    _ => self.report.probe_ms.push((at_us - began_us) as f64 / 1000.0),
                }
            }
        }
        // Who asked and left got no answer, and nobody misses it.
        let world = &self.world;
        let before = self.probing.len();
        self.probing.retain(|(who, _, _, _)| !gone(world, *who));
        self.report.probes -= (before - self.probing.len()) as u64;
        self.announcing.retain(|(who, _)| !gone(world, *who));
    }
}

/// Runs, prints, and says whether records stayed readable.
pub(crate) fn run(args: &ChurnArgs) -> Result<bool, String> {
    let report = measure(args, args.run.settings()?);
    let success = 1.0 - report.missed as f64 / report.probes.max(1) as f64;
    let mut broken = Vec::new();
    if success < 0.9999 {
        broken.push(format!("success {success} < 0.9999"));
    }
    let publish = [0.5, 0.95].map(|share| percentile(&report.announce_ms, share));
    if publish[0] > 1_000.0 || publish[1] > 3_000.0 {
        broken.push(format!("announcing takes {publish:?} ms, p50 and p95, not 1000 and 3000"));
    }
    if report.bytes_per_node_s > 2_000.0 {
        broken.push(format!("{} bytes/s of a node > 2000", report.bytes_per_node_s));
    }
    let object = json!({
        "success": rounded(success, 6),
        "probes": report.probes,
        "missed": report.missed,
        "sessions_ended": report.left,
        "p50_ms": percentile(&report.probe_ms, 0.5),
        "p95_ms": percentile(&report.probe_ms, 0.95),
        "announce_p50_ms": publish[0],
        "announce_p95_ms": publish[1],
        "bytes_per_node_s": rounded(report.bytes_per_node_s, 1),
        "trace_hash": report.trace_hash,
        "broken": broken,
    });
    match (args.run.json, &object) {
        (false, Value::Object(object)) => {
            object.iter().for_each(|(key, value)| println!("{key:20} {value}"));
        }
        _ => println!("{object}"),
    }
    Ok(broken.is_empty())
}
