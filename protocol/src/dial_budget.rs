//! How often this node dials, so that nobody can aim a swarm at a victim.
//!
//! Asked by `peer_book.rs` before every attempt. Whoever names an address that is not theirs (peer
//! exchange, the DHT, a cache that was filled by those, the next hop of a stage) can cause two
//! attempts a minute to its /24 or /56, whatever they say. What a person typed, an invite or the
//! local network itself names has a rate of its own, which others cannot use up.
//! Units: milliseconds of the node's clock. Source: BEP 11; one attempt per /24 and 30 s.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    address::{self, AddressGroup},
    rate_limit::RateLimit,
};

/// The span in which attempts to one group are counted.
pub const GROUP_SPAN_MS: u64 = 60_000;

/// Groups remembered at once. The rate over all is too low for more within a span.
const GROUPS_MAX: usize = 1_024;

/// First wait after a failed attempt.
const RETRY_FIRST_MS: u64 = 500;
/// Longest wait between attempts.
const RETRY_MAX_MS: u64 = 60_000;

/// Who said that an address is worth an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// A person, an invite, or the local network.
    Us,
    /// Somebody on the network.
    Others,
}

/// What may still be dialled.
#[derive(Debug, Clone)]
pub struct DialBudget {
    /// The last two attempts to each group, the older one first.
    groups: BTreeMap<AddressGroup, [Option<u64>; 2]>,
    ours: RateLimit,
    others: RateLimit,
}

impl Default for DialBudget {
    fn default() -> Self {
        // A restart dials its whole cache at once; a flood then goes on at 4 a second.
        let (ours, others) = (RateLimit::new(128, 125), RateLimit::new(128, 250));
        Self { groups: BTreeMap::new(), ours, others }
    }
}

impl DialBudget {
    /// Whether this address may be dialled now; if so, it counts as dialled.
    pub fn take(&mut self, to: &SocketAddr, named_by: NamedBy, now_ms: u64) -> bool {
        if named_by == NamedBy::Us {
            return self.ours.take(now_ms);
        }
        if !address::is_counted(to.ip()) {
            return self.others.take(now_ms);
        }
        if self.groups.len() >= GROUPS_MAX {
            self.groups.retain(|_, [_, newer]| is_within(*newer, now_ms));
        }
        let group = AddressGroup::of(to.ip());
        let [older, newer] = self.groups.get(&group).copied().unwrap_or_default();
        let is_granted = !is_within(older, now_ms) && self.others.take(now_ms);
        if is_granted {
            self.groups.insert(group, [newer, Some(now_ms)]);
        }
        is_granted
    }
}

/// Whether an attempt still counts.
fn is_within(at_ms: Option<u64>, now_ms: u64) -> bool {
    at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < GROUP_SPAN_MS)
}

/// When one target is tried again: later each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    next_at_ms: u64,
}

impl Backoff {
    /// Whether the wait is over.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.next_at_ms <= now_ms
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: the wait doubles up to a minute.
    pub fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let wait_ms = RETRY_FIRST_MS << (self.failures - 1).min(16);
        self.next_at_ms = now_ms.saturating_add(wait_ms.min(RETRY_MAX_MS));
    }

    /// Somebody waits for it, so it does not wait for its turn.
    pub fn hurry(&mut self) {
        self.next_at_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn others_cause_two_attempts_a_minute_and_a_person_is_not_held_up_by_them() {
        let mut budget = DialBudget::default();
        let others = NamedBy::Others;
        let mut dialled = |text: &str, by, at_ms| budget.take(&address(text), by, at_ms);
        assert!(dialled("198.51.100.1:1", others, 0) && dialled("198.51.100.2:1", others, 30_000));
        assert!(!dialled("198.51.100.3:1", others, 59_999));
        assert!(dialled("198.51.100.3:1", NamedBy::Us, 59_999));
        assert!(dialled("198.51.100.3:1", others, 60_000));
        assert!(!dialled("198.51.100.4:1", others, 60_001));
        assert!(dialled("[::ffff:198.51.101.4]:1", others, 60_001));
        assert!((0..50).all(|port| dialled(&format!("127.0.0.1:{}", 1 + port), others, 60_002)));
    }

    #[test]
    fn waits_double_and_level_out() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_due(0));
        for wait_ms in [500, 1_000, 2_000] {
            backoff.failed(7);
            assert!(!backoff.is_due(6 + wait_ms) && backoff.is_due(7 + wait_ms));
        }
        (0..40).for_each(|_| backoff.failed(7));
        assert!(!backoff.is_due(60_006) && backoff.is_due(60_007));
        backoff.hurry();
        assert!(backoff.is_due(0));
    }

    proptest! {
        #[test]
        fn no_minute_sees_three_attempts_to_a_group(
            tries in proptest::collection::vec((0_u64..4_000, 0_u8..4, any::<u8>()), 1..400)
        ) {
            let mut budget = DialBudget::default();
            let mut taken: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            let mut now_ms = 0;
            for (step, group, host) in tries {
                now_ms += step;
                let to = SocketAddr::from(([198, 51, group, host], 4001));
                if budget.take(&to, NamedBy::Others, now_ms) {
                    taken.entry(group).or_default().push(now_ms);
                }
            }
            for times in taken.values() {
                prop_assert!(times.windows(3).all(|three| three[2] - three[0] >= GROUP_SPAN_MS));
            }
        }
    }
}
