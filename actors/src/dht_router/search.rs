//! Searches for the providers of a model: one lookup for each key of its layers, answered together.
//!
//! Pure bookkeeping of the router actor. Bounds: searches at once, models remembered.

use std::collections::{BTreeMap, BTreeSet};

use swarmllm_protocol::ids::{LayerRange, ModelId, PeerId};
use swarmllm_protocol::kademlia::{LookupId, ProviderFacts, ProviderRecord};
use tokio::sync::oneshot;

/// Searches at once.
pub(super) const SEARCHES_MAX: usize = 16;
/// Models whose providers are remembered.
const REMEMBERED_MAX: usize = 64;
/// How long an answer is as good as a new one.
const GOOD_FOR_MS: u64 = 20_000;
/// How long to believe that nobody provides a model.
const NOTHING_FOR_MS: u64 = 2_000;

/// Providers by who and what, each by its newest record.
type Found = BTreeMap<(PeerId, LayerRange), ProviderFacts>;
/// Somebody who waits for an answer.
pub(super) type Waiting = oneshot::Sender<Vec<ProviderFacts>>;

struct Search {
    /// Its first lookup, whose number no other search has.
    first: Option<LookupId>,
    open: BTreeSet<LookupId>,
    found: Found,
    waiting: Vec<Waiting>,
}

/// All searches, and what the last ones found.
#[derive(Default)]
pub(super) struct Searches {
    running: BTreeMap<ModelId, Search>,
    remembered: BTreeMap<ModelId, (u64, Vec<ProviderFacts>)>,
}

impl Searches {
    /// What is known well enough.
    pub(super) fn remembered(&self, model: &ModelId, now_ms: u64) -> Option<Vec<ProviderFacts>> {
        let (found_at_ms, facts) = self.remembered.get(model)?;
        let good_for_ms = if facts.is_empty() { NOTHING_FOR_MS } else { GOOD_FOR_MS };
        (now_ms.saturating_sub(*found_at_ms) < good_for_ms).then(|| facts.clone())
    }

    /// Waits for a search under way; gives `waiting` back where there is none.
    pub(super) fn join(&mut self, model: &ModelId, waiting: Waiting) -> Result<(), Waiting> {
        match self.running.get_mut(model) {
            Some(search) => {
                search.waiting.push(waiting);
                Ok(())
            }
            None => Err(waiting),
        }
    }

    /// Whether one more may begin.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < SEARCHES_MAX
    }

    /// Whether the search of a model is still the one with this first lookup.
    pub(super) fn is_running(&self, model: &ModelId, first: LookupId) -> bool {
        self.running.get(model).is_some_and(|search| search.first == Some(first))
    }

    /// Begins.
    pub(super) fn begin(&mut self, model: ModelId, lookups: &[LookupId], waiting: Waiting) {
        let open = lookups.iter().copied().collect();
        let first = lookups.first().copied();
        let search = Search { first, open, found: Found::new(), waiting: vec![waiting] };
        self.running.insert(model, search);
    }

    /// A lookup found records.
    pub(super) fn found(&mut self, lookup: LookupId, records: &[ProviderRecord], local: PeerId) {
        let Some((model, search)) =
            self.running.iter_mut().find(|(_, search)| search.open.contains(&lookup))
        else {
            return;
        };
        for facts in records.iter().map(ProviderRecord::facts) {
            if facts.peer == local || facts.model != *model {
                continue;
            }
            let held = search.found.entry((facts.peer, facts.layers)).or_insert(facts.clone());
            if held.sequence < facts.sequence {
                *held = facts.clone();
            }
        }
    }

    /// A lookup ended; the model whose search is over with it.
    pub(super) fn ended(&mut self, lookup: LookupId) -> Option<ModelId> {
        let (model, search) =
            self.running.iter_mut().find(|(_, search)| search.open.contains(&lookup))?;
        search.open.remove(&lookup);
        search.open.is_empty().then_some(*model)
    }

    /// Answers everybody who waits; the lookups that still run.
    pub(super) fn finish(&mut self, model: &ModelId, now_ms: u64) -> BTreeSet<LookupId> {
        let Some(search) = self.running.remove(model) else { return BTreeSet::new() };
        let facts: Vec<ProviderFacts> = search.found.into_values().collect();
        for waiting in search.waiting {
            // Whoever stopped waiting needs no answer.
            let _ = waiting.send(facts.clone());
        }
        if self.remembered.len() >= REMEMBERED_MAX && !self.remembered.contains_key(model) {
            let oldest = self.remembered.iter().min_by_key(|(_, (at_ms, _))| *at_ms);
            if let Some(oldest) = oldest.map(|(model, _)| *model) {
                self.remembered.remove(&oldest);
            }
        }
        self.remembered.insert(*model, (now_ms, facts));
        search.open
    }
}
