//! Attackers who ground their peer ids until they stand nearest to a key, to hide its records.
//!
//! Every target has its own attackers, and all of them collude at every key, so the network also
//! has that many colluders in general. They are in tables by the same chance as anybody, before the
//! record is announced. `--groups` puts the attackers of a target into so few /24s; without it each
//! has an address anywhere.
//! The grinding is real but shared: from one pool of hashed ids every target takes the nearest.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;
use serde_json::{Value, json};
use swarmllm_protocol::{
    ids::{LayerRange, ModelId, PeerId},
    kademlia::{DhtKey, DhtSettings, provider_keys},
};

use crate::{
    dht::frozen,
    figures::{SearchFigures, announced_object},
    population,
    publish::{Announced, Published, announce_all, search_all},
    random::Random,
    ring::{NodeId, Ring},
    settings::RunArgs,
    world::{Links, World},
};

/// Options of `eclipse`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EclipseArgs {
    /// Honest nodes.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) nodes: usize,
    /// Attackers at every target.
    #[arg(long, default_value_t = 40)]
    pub(crate) sybils: usize,
    /// The /24s that the attackers of a target have; 0: as many as they are.
    #[arg(long, default_value_t = 0)]
    pub(crate) groups: usize,
    /// Keys under attack.
    #[arg(long, default_value_t = 20)]
    pub(crate) targets: usize,
    /// Lookups, spread over the targets.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) lookups: usize,
    /// Ids that the attackers hashed.
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) hashed: u32,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What a run measured.
pub(crate) struct EclipseReport {
    pub(crate) figures: SearchFigures,
    pub(crate) announced: Announced,
    /// Of the 20 nodes nearest to a target, how many are attackers, on average.
    pub(crate) nearest_attackers: f64,
    pub(crate) trace_hash: String,
}

/// Runs it with these settings.
pub(crate) fn measure(args: &EclipseArgs, settings: DhtSettings) -> EclipseReport {
    let mut world = World::new(frozen(settings), Links::default(), args.run.seed);
    for _ in 0..args.nodes {
        population::add_node(&mut world);
    }
    let mut random = Random::new(args.run.seed ^ 0xec11);
    let providers: Vec<(NodeId, ModelId)> = (0..args.targets)
        .map(|_| (random.below(args.nodes) as NodeId, ModelId(random.bytes())))
        .collect();
    let pool = Ring::new((0..args.hashed).map(|number| (DhtKey::of_peer(&ground(number)), number)));
    let mut attackers = Vec::new();
    let mut keys = Vec::new();
    for (_, model) in &providers {
        let key = provider_keys(model, LayerRange { start: 0, end: 8 })[0];
        let networks: Vec<u32> = (0..args.groups).map(|_| random.next() as u32).collect();
        for (place, number) in pool.nearest(&key, args.sybils).into_iter().enumerate() {
            let address = match networks.as_slice() {
                [] => population::fresh_address(&mut world),
                networks => in_network(networks[place % networks.len()], place),
            };
            attackers.push(population::add_sybil(&mut world, ground(number), address));
        }
        keys.push(key);
    }
    world.set_colluders(&attackers);
    let ring = population::ring(&world);
    population::fill_tables(&mut world, &ring);
    let nearest = keys.iter().flat_map(|key| ring.nearest(key, 20));
    let nearest_attackers = nearest.filter(|id| *id as usize >= args.nodes).count();

    let (published, announced) = announce_all(&mut world, &providers);
    let searches: Vec<(NodeId, Published)> = (0..args.lookups)
        .map(|number| {
            (random.below(args.nodes) as NodeId, published[number % published.len()].clone())
        })
        .collect();
    let found = search_all(&mut world, &searches, 20_000);
    EclipseReport {
        figures: SearchFigures::of(&found),
        announced,
        nearest_attackers: nearest_attackers as f64 / args.targets.max(1) as f64,
        trace_hash: world.trace_hash(),
    }
}

/// An id that attackers hashed.
fn ground(number: u32) -> PeerId {
    let mut bytes = [0x5b; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    PeerId(bytes)
}

/// The address of an attacker in one of few networks, public ones.
fn in_network(network: u32, place: usize) -> SocketAddr {
    let host = (place as u32) % 254 + 1;
    let bits = 0x2d00_0000 | (network & 0x00ff_ff00) | host;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(bits)), 4001)
}

/// Runs, prints, and says whether records were found.
pub(crate) fn run(args: &EclipseArgs) -> Result<bool, String> {
    let report = measure(args, args.run.settings()?);
    let mut broken = Vec::new();
    if report.figures.success < 0.99 {
        broken.push(format!("success {} < 0.99", report.figures.success));
    }
    if report.figures.messages > 40.0 {
        broken.push(format!("messages {} > 40", report.figures.messages));
    }
    let mut object = report.figures.object();
    object.insert("trace_hash".into(), json!(report.trace_hash));
    object.insert("attackers_of_nearest_20".into(), json!(report.nearest_attackers));
    object.insert("announce".into(), announced_object(&report.announced));
    object.insert("broken".into(), json!(broken));
    match args.run.json {
        true => println!("{}", Value::Object(object)),
        false => object.iter().for_each(|(key, value)| println!("{key:24} {value}")),
    }
    Ok(broken.is_empty())
}
