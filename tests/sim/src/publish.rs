//! Providers and their records in the world: one signed record each, announced by the protocol.

use std::collections::BTreeMap;

use swarmllm_protocol::{
    ids::{LayerRange, ModelId, NetworkId},
    kademlia::{DhtKey, LookupId, LookupOutcome, ProviderFacts, ProviderRecord},
};

use crate::{
    ring::NodeId,
    world::{BEGINNING_UNIX_S, Said, World},
};

/// A record that somebody will look for.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) provider: NodeId,
    pub(crate) key: DhtKey,
}

/// How announcing went.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Until half a bucket of nodes kept the record.
    pub(crate) held_ms: Vec<u64>,
    pub(crate) elapsed_ms: Vec<u64>,
    pub(crate) messages: Vec<u64>,
    pub(crate) holders: Vec<u64>,
}

/// A record of a node for a model, signed now.
pub(crate) fn sign(
    world: &World,
    provider: NodeId,
    model: ModelId,
    sequence: u64,
) -> ProviderRecord {
    let node = &world.nodes[provider as usize];
    let facts = ProviderFacts {
        peer: node.contact.peer,
        model,
        layers: LayerRange { start: 0, end: 8 },
        capacity_class: 3,
        sequence,
        expires_at_unix_s: world.now().unix_s.max(BEGINNING_UNIX_S) + 3_600,
        addresses: vec![node.contact.address],
    };
    ProviderRecord::sign(&node.identity, &NetworkId::default(), facts).expect("a plain record")
}

/// Announces one record of each model, a few milliseconds apart, and waits for the end of it.
pub(crate) fn announce_all(
    world: &mut World,
    providers: &[(NodeId, ModelId)],
) -> (Vec<Published>, Announced) {
    let mut published = Vec::with_capacity(providers.len());
    for (provider, model) in providers {
        let record = sign(world, *provider, *model, 1);
        let key = record.keys()[0];
        world.with(*provider, |node, now| node.announce(now, key, &record));
        published.push(Published { provider: *provider, key });
        let pause_us = world.now_us + 5_000;
        world.run_until(pause_us);
    }
    let end_us = world.now_us + 30_000_000;
    world.run_until(end_us);
    let mut announced = Announced::default();
    for (_, _, _, said) in world.said.drain(..) {
        if let Said::Finished { outcome } = said {
            announced.held_ms.push(outcome.held_ms.unwrap_or(outcome.elapsed_ms));
            announced.elapsed_ms.push(outcome.elapsed_ms);
            announced.messages.push(u64::from(outcome.messages));
            announced.holders.push(outcome.holders as u64);
        }
    }
    (published, announced)
}

/// How one search went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// After how long the record was there.
    pub(crate) found_ms: Option<f64>,
    pub(crate) messages: u64,
}

/// Looks for records, `(who, which)` each, some milliseconds apart, and waits for the end of it.
pub(crate) fn search_all(
    world: &mut World,
    searches: &[(NodeId, Published)],
    pause_us: u64,
) -> Vec<Search> {
    let mut results: Vec<Search> = Vec::with_capacity(searches.len());
    let mut by_lookup: BTreeMap<(NodeId, LookupId), (usize, u64)> = BTreeMap::new();
    for (who, what) in searches {
        let lookup = world.with(*who, |node, now| node.find_providers(now, what.key, 1));
        if let Some(lookup) = lookup {
            by_lookup.insert((*who, lookup), (results.len(), world.now_us));
        }
        results.push(Search::default());
        let next_us = world.now_us + pause_us;
        world.run_until(next_us);
    }
    let end_us = world.now_us + 60_000_000;
    world.run_until(end_us);
    for (who, lookup, at_us, said) in world.said.drain(..) {
        let Some((place, began_us)) = by_lookup.get(&(who, lookup)) else { continue };
        let wanted = world.nodes[searches[*place].1.provider as usize].contact.peer;
        let result = &mut results[*place];
        match said {
            Said::Found { records } if records.iter().any(|record| record.peer() == wanted) => {
                result.found_ms.get_or_insert((at_us - began_us) as f64 / 1000.0);
            }
            Said::Found { .. } => {}
            Said::Finished { outcome: LookupOutcome { messages, .. } } => {
                result.messages = u64::from(messages);
            }
        }
    }
    results
}
