//! How many datagrams are answered: per source, and in all.
//!
//! Called by the actor that owns the UDP socket, behind the tag and before any curve arithmetic.
//! A source is an address group ([`AddressGroup`]) where groups say anything, else the very
//! address: on one machine a whole swarm shares one.
//! Rule: a source that is over its rate takes nothing from the others' share; the map of sources
//! cannot fill up, because only admitted datagrams leave a bucket that is not full.
//! Units: datagrams, milliseconds of the caller's clock. Errors: none, the answer is yes or no.
//! Absent on purpose: who answers honestly; that is the routing table's business.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::address::{self, AddressGroup};

/// Most sources remembered.
pub const SOURCES_MAX: usize = 4_096;

/// A sustained rate, and what may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Datagrams a second.
    pub per_s: u32,
    /// Datagrams at once, after a pause.
    pub burst: u32,
}

/// What one source gets: a lookup asks one node a few times, a household has a few nodes.
pub const PER_SOURCE: Rate = Rate { per_s: 20, burst: 60 };

/// What all get: opening a question takes about 0.15 ms, so this is a sixth of one core at most.
pub const IN_ALL: Rate = Rate { per_s: 1_000, burst: 1_000 };

const MILLI: u64 = 1_000;

// Buckets that are not full: those admitted while one refills. They fit the map.
const _: () = assert!(
    (IN_ALL.burst + IN_ALL.per_s * (PER_SOURCE.burst / PER_SOURCE.per_s)) as usize <= SOURCES_MAX
);

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct TokenBucket {
    /// Thousandths of a token.
    level: u64,
    at_ms: u64,
}

impl TokenBucket {
    fn full(rate: Rate, now_ms: u64) -> Self {
        Self { level: u64::from(rate.burst) * MILLI, at_ms: now_ms }
    }

    fn refill(&mut self, rate: Rate, now_ms: u64) {
        // Milliseconds times tokens a second are thousandths of tokens.
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let gained = passed_ms.saturating_mul(u64::from(rate.per_s));
        self.level = self.level.saturating_add(gained).min(u64::from(rate.burst) * MILLI);
        self.at_ms = self.at_ms.max(now_ms);
    }

    fn is_full(&self, rate: Rate) -> bool {
        self.level == u64::from(rate.burst) * MILLI
    }

    fn has_token(&self) -> bool {
        self.level >= MILLI
    }

    fn take(&mut self) {
        self.level -= MILLI;
    }
}

/// Who sent something, as far as rates are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Group(AddressGroup),
    Address(IpAddr, u16),
}

impl Source {
    fn of(from: SocketAddr) -> Self {
        let ip = from.ip().to_canonical();
        if address::is_counted(ip) {
            Source::Group(AddressGroup::of(ip))
        } else {
            Source::Address(ip, from.port())
        }
    }
}

/// The buckets of every source and of all together.
#[derive(Debug)]
pub struct SourceLimit {
    per_source: Rate,
    in_all: Rate,
    sources: BTreeMap<Source, TokenBucket>,
    together: TokenBucket,
}

impl SourceLimit {
    /// The rates of this program.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            per_source: PER_SOURCE,
            in_all: IN_ALL,
            sources: BTreeMap::new(),
            together: TokenBucket::full(IN_ALL, now_ms),
        }
    }

    /// Whether a datagram from there may be opened now; it is counted if so.
    pub fn admit(&mut self, from: SocketAddr, now_ms: u64) -> bool {
        self.together.refill(self.in_all, now_ms);
        if !self.together.has_token() {
            return false;
        }
        let source = Source::of(from);
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES_MAX {
            self.forget_idle(now_ms);
        }
        let rate = self.per_source;
        let bucket = self.sources.entry(source).or_insert(TokenBucket::full(rate, now_ms));
        bucket.refill(rate, now_ms);
        if !bucket.has_token() {
            return false;
        }
        bucket.take();
        self.together.take();
        true
    }

    /// Forgets whoever would be treated as a newcomer anyway.
    fn forget_idle(&mut self, now_ms: u64) {
        let rate = self.per_source;
        self.sources.retain(|_, bucket| {
            bucket.refill(rate, now_ms);
            !bucket.is_full(rate)
        });
    }

    /// Sources remembered.
    #[must_use]
    pub fn n_sources(&self) -> usize {
        self.sources.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// How many of `n` datagrams are admitted.
    fn admitted(limit: &mut SourceLimit, from: SocketAddr, n: u32, now_ms: u64) -> u32 {
        (0..n).map(|_| u32::from(limit.admit(from, now_ms))).sum()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut limit = SourceLimit::new(0);
        let (here, there) = (at("198.51.100.1:1"), at("203.0.113.1:1"));
        assert_eq!(admitted(&mut limit, here, 500, 0), PER_SOURCE.burst);
        assert_eq!(admitted(&mut limit, at("198.51.100.200:9"), 9, 0), 0, "the same group");
        assert_eq!(admitted(&mut limit, there, 500, 0), PER_SOURCE.burst, "nothing was taken");
        assert_eq!(admitted(&mut limit, here, 500, 1_000), PER_SOURCE.per_s);
    }

    #[test]
    fn nodes_of_one_machine_are_sources_of_their_own() {
        let mut limit = SourceLimit::new(0);
        assert_eq!(admitted(&mut limit, at("127.0.0.1:1"), 500, 0), PER_SOURCE.burst);
        assert_eq!(admitted(&mut limit, at("127.0.0.1:2"), 500, 0), PER_SOURCE.burst);
    }

    #[test]
    fn all_together_get_no_more_than_their_rate() {
        let mut limit = SourceLimit::new(0);
        let from = |index: u32| SocketAddr::new(IpAddr::from((index << 8).to_be_bytes()), 7);
        let first = (1 << 16..1 << 17).filter(|index| limit.admit(from(*index), 0)).count();
        assert_eq!(first, IN_ALL.burst as usize);
        let later = (1 << 17..1 << 18).filter(|index| limit.admit(from(*index), 1_000)).count();
        assert_eq!(later, IN_ALL.per_s as usize);
    }

    proptest! {
        #[test]
        fn the_map_is_bounded_and_time_may_jump(
            steps in proptest::collection::vec((0_u64..3_000, 0_u32..1 << 24), 0..6_000),
        ) {
            let (mut limit, mut now_ms) = (SourceLimit::new(u64::MAX), 0_u64);
            for (step_ms, index) in steps {
                now_ms = now_ms.wrapping_add(step_ms);
                limit.admit(SocketAddr::new(IpAddr::from((index << 8).to_be_bytes()), 7), now_ms);
                prop_assert!(limit.n_sources() <= SOURCES_MAX);
            }
        }
    }
}
