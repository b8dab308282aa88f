//! When this node announces its layers: soon after it knows anybody, again while its table grows,
//! then every twenty minutes, each time a little earlier or later.
//!
//! Pure: the router actor asks what is due and says what came of it.

use std::collections::BTreeMap;

use swarmllm_protocol::ids::{LayerRange, ModelId};
use swarmllm_protocol::kademlia::{LookupId, REPUBLISH_EVERY_S};

/// Wait for the table's first contact to be followed by others.
const SETTLE_MS: u64 = 500;
/// The second announcement: the table is fuller by then, and the nodes near the key are others.
const SECOND_AFTER_MS: u64 = 30_000;
/// Where nobody kept it, try again after this, doubling.
const RETRY_FIRST_MS: u64 = 2_000;
/// Longest wait of a retry.
const RETRY_MAX_MS: u64 = 120_000;

/// What this node holds of one model, and when it says so.
struct Announcement {
    model: ModelId,
    layers: LayerRange,
    next_ms: Option<u64>,
    rounds: u32,
    failures: u32,
}

/// All announcements of this node.
pub(super) struct Announcements {
    list: Vec<Announcement>,
    /// Lookups under way and which announcement each belongs to.
    open: BTreeMap<LookupId, usize>,
    /// Holders that the lookups of the current round of each had.
    holders: BTreeMap<usize, usize>,
    n_done: u64,
}

impl Announcements {
    pub(super) fn new(shards: &[(ModelId, LayerRange)]) -> Announcements {
        let announcement = |(model, layers): &(ModelId, LayerRange)| Announcement {
            model: *model,
            layers: *layers,
            next_ms: None,
            rounds: 0,
            failures: 0,
        };
        let list = shards.iter().map(announcement).collect();
        Announcements { list, open: BTreeMap::new(), holders: BTreeMap::new(), n_done: 0 }
    }

    /// Somebody is in the table, so announcing makes sense.
    pub(super) fn table_has_contacts(&mut self, now_ms: u64) {
        for announcement in self.list.iter_mut().filter(|announcement| announcement.rounds == 0) {
            announcement.next_ms.get_or_insert(now_ms + SETTLE_MS);
        }
    }

    /// When something is due.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.list.iter().filter_map(|announcement| announcement.next_ms).min()
    }

    /// What is due now. `random` spreads the nodes over time.
    pub(super) fn take_due(
        &mut self,
        now_ms: u64,
        random: u64,
    ) -> Vec<(usize, ModelId, LayerRange)> {
        let due = |announcement: &Announcement| announcement.next_ms.is_some_and(|at| at <= now_ms);
        let mut taken = Vec::new();
        for (index, announcement) in self.list.iter_mut().enumerate().filter(|(_, a)| due(a)) {
            let first = announcement.rounds == 0;
            let wait_ms = if first { SECOND_AFTER_MS } else { REPUBLISH_EVERY_S * 1000 };
            announcement.rounds += 1;
            // Nine to ten tenths of the wait: two that fail still leave the record alive.
            announcement.next_ms = Some(now_ms + wait_ms - random % (wait_ms / 10));
            self.holders.insert(index, 0);
            taken.push((index, announcement.model, announcement.layers));
        }
        taken
    }

    /// A lookup of an announcement has begun.
    pub(super) fn begun(&mut self, lookup: LookupId, index: usize) {
        self.open.insert(lookup, index);
    }

    /// A lookup ended; whether it was one of these.
    pub(super) fn ended(&mut self, lookup: LookupId, holders: usize, now_ms: u64) -> bool {
        let Some(index) = self.open.remove(&lookup) else { return false };
        let announcement = &mut self.list[index];
        if holders > 0 {
            *self.holders.entry(index).or_default() += holders;
            announcement.failures = 0;
            self.n_done += 1;
        } else {
            let retry_ms = RETRY_FIRST_MS << announcement.failures.min(10);
            announcement.failures += 1;
            let retry_at_ms = now_ms + retry_ms.min(RETRY_MAX_MS);
            let next_ms = announcement.next_ms.unwrap_or(retry_at_ms);
            announcement.next_ms = Some(next_ms.min(retry_at_ms));
        }
        true
    }

    /// Announcements that somebody kept, since the start.
    pub(super) fn n_done(&self) -> u64 {
        self.n_done
    }

    /// Nodes that keep this node's records, as far as it knows.
    pub(super) fn n_holders(&self) -> usize {
        self.holders.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcements() -> Announcements {
        Announcements::new(&[(ModelId([1; 32]), LayerRange { start: 0, end: 3 })])
    }

    #[test]
    fn nothing_is_said_to_nobody_and_then_it_is_repeated() {
        let mut list = announcements();
        assert_eq!(list.next_ms(), None);
        list.table_has_contacts(1_000);
        list.table_has_contacts(1_200);
        assert_eq!(list.next_ms(), Some(1_500));
        assert!(list.take_due(1_499, 0).is_empty());
        let (index, ..) = list.take_due(1_500, 0)[0];
        list.begun(LookupId(7), index);
        assert!(list.ended(LookupId(7), 3, 1_600) && !list.ended(LookupId(7), 3, 1_600));
        assert_eq!((list.n_done(), list.n_holders()), (1, 3));
        assert_eq!(list.next_ms(), Some(31_500));
        list.take_due(31_500, 119_999);
        assert_eq!(list.next_ms(), Some(31_500 + 1_200_000 - 119_999));
    }

    #[test]
    fn what_nobody_kept_is_tried_again_soon() {
        let mut list = announcements();
        list.table_has_contacts(0);
        for (round, retry_ms) in [2_000, 4_000, 8_000].into_iter().enumerate() {
            let now_ms = list.next_ms().expect("due");
            let (index, ..) = list.take_due(now_ms, 0)[0];
            list.begun(LookupId(round as u64), index);
            list.ended(LookupId(round as u64), 0, now_ms);
            assert_eq!(list.next_ms(), Some(now_ms + retry_ms));
        }
    }
}
