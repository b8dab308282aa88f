//! Lookups in a large network: how long, how many messages, how often in vain.
//!
//! Everybody is alive while records are announced. Then the share of nodes that `--stale` says is
//! gone at once and stays in everybody's tables, and of the holders too; nothing repairs a table
//! before it is used. `--nodes` counts the live ones.

use clap::Args;
use serde_json::{Value, json};
use swarmllm_protocol::{ids::ModelId, kademlia::DhtSettings};

use crate::{
    figures::{SearchFigures, announced_object},
    population,
    publish::{Announced, announce_all, search_all},
    random::Random,
    ring::NodeId,
    settings::RunArgs,
    world::{Links, World},
};

/// Options of `dht`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DhtArgs {
    /// Live nodes.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) nodes: usize,
    /// Share of contacts in tables that are gone.
    #[arg(long, default_value_t = 0.3)]
    pub(crate) stale: f64,
    /// Share of the live nodes that withhold records and name only each other.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) colluders: f64,
    /// Lookups, each for a record of its own.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) lookups: usize,
    /// Share of datagrams lost.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) loss: f64,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What a run measured.
pub(crate) struct DhtReport {
    pub(crate) figures: SearchFigures,
    pub(crate) announced: Announced,
    pub(crate) trace_hash: String,
}

/// Settings of a node whose table is filled from outside and left as it is.
pub(crate) fn frozen(settings: DhtSettings) -> DhtSettings {
    DhtSettings {
        fills_itself: false,
        revalidate_every_ms: u64::MAX,
        refresh_every_ms: u64::MAX,
        ..settings
    }
}

/// Runs it with these settings.
pub(crate) fn measure(args: &DhtArgs, settings: DhtSettings) -> DhtReport {
    let links = Links { loss: args.loss, ..Links::default() };
    let mut world = World::new(frozen(settings), links, args.run.seed);
    let total = (args.nodes as f64 / (1.0 - args.stale)).round() as usize;
    for _ in 0..total {
        population::add_node(&mut world);
    }
    let mut random = Random::new(args.run.seed ^ 0x5eed);
    // Nodes are alike, so the last ones are the ones that go, and those before them collude.
    let colluders = (args.nodes as f64 * args.colluders).round() as usize;
    let honest = args.nodes - colluders;
    let colluding: Vec<NodeId> = (honest as NodeId..args.nodes as NodeId).collect();
    world.set_colluders(&colluding);
    let ring = population::ring(&world);
    population::fill_tables(&mut world, &ring);

    let providers: Vec<(NodeId, ModelId)> = (0..args.lookups)
        .map(|_| (random.below(honest) as NodeId, ModelId(random.bytes())))
        .collect();
    let (published, announced) = announce_all(&mut world, &providers);
    for id in args.nodes..total {
        world.remove(id as NodeId);
    }
    let searches: Vec<_> =
        published.into_iter().map(|what| (random.below(honest) as NodeId, what)).collect();
    let found = search_all(&mut world, &searches, 20_000);
    let figures = SearchFigures::of(&found);
    DhtReport { figures, announced, trace_hash: world.trace_hash() }
}

/// What must hold, by what was asked for.
fn broken(args: &DhtArgs, figures: &SearchFigures) -> Vec<String> {
    let (success, messages) = match args.colluders {
        share if share > 0.3 => (0.97, 30.0),
        share if share > 0.0 => (0.999, 30.0),
        _ => (0.999, 12.0),
    };
    let mut broken = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    check(figures.success >= success, format!("success {} < {success}", figures.success));
    check(figures.messages <= messages, format!("messages {} > {messages}", figures.messages));
    if args.colluders == 0.0 {
        check(figures.p50_ms <= 150.0, format!("p50 {} > 150 ms", figures.p50_ms));
        check(figures.p95_ms <= 300.0, format!("p95 {} > 300 ms", figures.p95_ms));
    }
    broken
}

/// Runs, prints, and says whether everything held.
pub(crate) fn run(args: &DhtArgs) -> Result<bool, String> {
    let report = measure(args, args.run.settings()?);
    let broken = broken(args, &report.figures);
    let mut object = report.figures.object();
    object.insert("trace_hash".into(), json!(report.trace_hash));
    object.insert("announce".into(), announced_object(&report.announced));
    object.insert("broken".into(), json!(broken));
    match args.run.json {
        true => println!("{}", Value::Object(object)),
        false => object.iter().for_each(|(key, value)| println!("{key:22} {value}")),
    }
    Ok(broken.is_empty())
}
