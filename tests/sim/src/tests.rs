//! The invariants in small: hundreds of nodes, seconds, the same machines.

use swarmllm_protocol::{ids::ModelId, kademlia::DhtSettings};

use crate::{
    churn::{self, ChurnArgs},
    dht::{self, DhtArgs},
    eclipse::{self, EclipseArgs},
    population,
    publish::{announce_all, search_all},
    settings::RunArgs,
    world::{Links, World},
};

fn run(seed: u64) -> RunArgs {
    RunArgs { seed, set: Vec::new(), json: false }
}

fn dht_args() -> DhtArgs {
    DhtArgs { nodes: 400, stale: 0.3, colluders: 0.0, lookups: 60, loss: 0.0, run: run(7) }
}

#[test]
fn stale_tables_hide_nothing_and_cost_little() {
    let figures = dht::measure(&dht_args(), DhtSettings::default()).figures;
    assert_eq!(figures.success, 1.0);
    assert!(figures.messages <= 12.0, "{figures:?}");
    assert!(figures.p95_ms <= 300.0, "{figures:?}");
}

#[test]
fn the_same_seed_makes_the_same_trace_and_another_one_another() {
    let settings = DhtSettings::default();
    let args = DhtArgs { loss: 0.02, lookups: 20, ..dht_args() };
    let first = dht::measure(&args, settings).trace_hash;
    assert_eq!(dht::measure(&args, settings).trace_hash, first);
    let other = DhtArgs { run: run(8), ..args };
    assert_ne!(dht::measure(&other, settings).trace_hash, first);
}

#[test]
fn colluders_who_withhold_everything_are_looked_past() {
    let args = DhtArgs { stale: 0.0, colluders: 0.4, ..dht_args() };
    let figures = dht::measure(&args, DhtSettings::default()).figures;
    assert!(figures.success >= 0.97, "{figures:?}");
    assert!(figures.messages <= 30.0, "{figures:?}");
}

#[test]
fn attackers_nearest_to_a_key_do_not_hide_its_record() {
    let args = EclipseArgs {
        nodes: 600,
        sybils: 30,
        groups: 0,
        targets: 2,
        lookups: 60,
        hashed: 60_000,
        run: run(3),
    };
    let spread = eclipse::measure(&args, DhtSettings::default());
    assert!(spread.nearest_attackers >= 18.0, "they stand nearest: {}", spread.nearest_attackers);
    assert!(spread.figures.success >= 0.98, "{:?}", spread.figures);
    let few_networks = EclipseArgs { sybils: 100, groups: 4, ..args };
    let crowded = eclipse::measure(&few_networks, DhtSettings::default());
    assert!(crowded.figures.success >= 0.98, "{:?}", crowded.figures);
}

#[test]
fn records_stay_readable_while_nodes_come_and_go() {
    let args = ChurnArgs {
        nodes: 60,
        hours: 1.0,
        providers: 0.2,
        probe_every_s: 10.0,
        loss: 0.01,
        run: run(5),
    };
    let report = churn::measure(&args, DhtSettings::default());
    assert!(report.left >= 10 && report.probes >= 300, "{report:?}");
    assert_eq!(report.missed, 0);
    assert!(report.bytes_per_node_s < 1_000.0, "{}", report.bytes_per_node_s);
}

/// Nothing is filled in from outside here, and every message travels as its bytes.
#[test]
fn three_hundred_nodes_find_each_other_from_one_address() {
    let mut world = World::new(DhtSettings::default(), Links::default(), 11);
    world.through_bytes = true;
    let first = population::add_node(&mut world);
    let known = [world.nodes[first as usize].contact];
    for _ in 1..300 {
        let id = population::add_node(&mut world);
        world.with(id, |node, now| node.handle_contacts(now, &known));
        let next_us = world.now_us + 50_000;
        world.run_until(next_us);
    }
    let settled_us = world.now_us + 60_000_000;
    world.run_until(settled_us);
    for node in &world.nodes {
        let listed = node.node.as_ref().expect("nobody left").router().listed();
        assert!(listed >= 40, "a table of {listed}");
    }
    let random = &mut world.random.clone();
    let providers: Vec<_> =
        (0..30).map(|_| (random.below(300) as u32, ModelId(random.bytes()))).collect();
    let (published, announced) = announce_all(&mut world, &providers);
    assert!(announced.holders.iter().all(|holders| *holders >= 20), "{announced:?}");
    let searches: Vec<_> =
        published.into_iter().map(|what| (random.below(300) as u32, what)).collect();
    let found = search_all(&mut world, &searches, 20_000);
    assert!(found.iter().all(|search| search.found_ms.is_some()), "{found:?}");
    let seen = world.nodes.iter().filter(|node| {
        let router = node.node.as_ref().expect("nobody left").router();
        router.observed_address() == Some(node.contact.address)
    });
    assert!(seen.count() >= 290, "nodes know how others see them");
}
