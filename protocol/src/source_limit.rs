//! How many datagrams are answered: per source, and in all.
//!
//! Called by the actor that owns the UDP socket, behind the tag and before any curve arithmetic.
//! A source is an address group ([`AddressGroup`]) where groups say anything, else the very
//! address: on one machine a whole swarm shares one.
//! Rules: a source that is over its rate takes nothing from the others' share. Whoever has shown by
//! a cookie that it is where it says has rates of its own, so that those who write others'
//! addresses on their questions use up nothing but each other's; what is over their rate is
//! challenged, which costs a hash and is bounded as well. The map of sources cannot fill up,
//! because only admitted datagrams leave a bucket that is not full.
//! Units: datagrams, milliseconds of the caller's clock. Errors: none, the answer is a [`Verdict`].
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

/// What all get that have shown a cookie: opening a question takes about 0.1 ms, so with
/// [`CLAIMED`] this is a tenth of one core at most.
pub const SHOWN: Rate = Rate { per_s: 750, burst: 750 };

/// What all others get together. Above, they are asked for a cookie.
pub const CLAIMED: Rate = Rate { per_s: 250, burst: 250 };

/// Challenges: a hash and a datagram each.
pub const CHALLENGES: Rate = Rate { per_s: 2_000, burst: 2_000 };

const MILLI: u64 = 1_000;

/// Most buckets that are not full: those admitted while one refills.
const fn filling(rate: Rate) -> usize {
    (rate.burst + rate.per_s * (PER_SOURCE.burst / PER_SOURCE.per_s)) as usize
}

// They fit the map.
const _: () = assert!(filling(SHOWN) + filling(CLAIMED) <= SOURCES_MAX);

/// What to do with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Open it.
    Open,
    /// Ask for a cookie.
    Challenge,
    /// Nothing.
    Drop,
}

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
    /// By who it is, and whether that is more than a claim.
    sources: BTreeMap<(Source, bool), TokenBucket>,
    shown: TokenBucket,
    claimed: TokenBucket,
    challenges: TokenBucket,
}

impl SourceLimit {
    /// The rates of this program.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            sources: BTreeMap::new(),
            shown: TokenBucket::full(SHOWN, now_ms),
            claimed: TokenBucket::full(CLAIMED, now_ms),
            challenges: TokenBucket::full(CHALLENGES, now_ms),
        }
    }

    /// What to do with a question from there, counted if it costs anything.
    pub fn admit(&mut self, from: SocketAddr, has_cookie: bool, now_ms: u64) -> Verdict {
        if self.may_open(from, has_cookie, now_ms) {
            return Verdict::Open;
        }
        self.challenges.refill(CHALLENGES, now_ms);
        if has_cookie || !self.challenges.has_token() {
            return Verdict::Drop;
        }
        self.challenges.take();
        Verdict::Challenge
    }

    fn may_open(&mut self, from: SocketAddr, has_cookie: bool, now_ms: u64) -> bool {
        let (together, rate) =
            if has_cookie { (&mut self.shown, SHOWN) } else { (&mut self.claimed, CLAIMED) };
        together.refill(rate, now_ms);
        if !together.has_token() {
            return false;
        }
        let source = (Source::of(from), has_cookie);
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES_MAX {
            self.forget_idle(now_ms);
        }
        let full = TokenBucket::full(PER_SOURCE, now_ms);
        let bucket = self.sources.entry(source).or_insert(full);
        bucket.refill(PER_SOURCE, now_ms);
        if !bucket.has_token() {
            return false;
        }
        bucket.take();
        if has_cookie {
            self.shown.take()
        } else {
            self.claimed.take()
        }
        true
    }

    /// Forgets whoever would be treated as a newcomer anyway.
    fn forget_idle(&mut self, now_ms: u64) {
        self.sources.retain(|_, bucket| {
            bucket.refill(PER_SOURCE, now_ms);
            !bucket.is_full(PER_SOURCE)
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

    /// How many of `n` questions without a cookie are opened.
    fn opened(limit: &mut SourceLimit, from: SocketAddr, n: u32, now_ms: u64) -> u32 {
        (0..n).map(|_| u32::from(limit.admit(from, false, now_ms) == Verdict::Open)).sum()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut limit = SourceLimit::new(0);
        let (here, there) = (at("198.51.100.1:1"), at("203.0.113.1:1"));
        assert_eq!(opened(&mut limit, here, 500, 0), PER_SOURCE.burst);
        assert_eq!(opened(&mut limit, at("198.51.100.200:9"), 9, 0), 0, "the same group");
        assert_eq!(opened(&mut limit, there, 500, 0), PER_SOURCE.burst, "nothing was taken");
        assert_eq!(opened(&mut limit, here, 500, 1_000), PER_SOURCE.per_s);
    }

    #[test]
    fn nodes_of_one_machine_are_sources_of_their_own() {
        let mut limit = SourceLimit::new(0);
        assert_eq!(opened(&mut limit, at("127.0.0.1:1"), 500, 0), PER_SOURCE.burst);
        assert_eq!(opened(&mut limit, at("127.0.0.1:2"), 500, 0), PER_SOURCE.burst);
    }

    fn group(index: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::from((index << 8).to_be_bytes()), 7)
    }

    #[test]
    fn all_together_get_no_more_than_their_rate() {
        for (has_cookie, rate) in [(false, CLAIMED), (true, SHOWN)] {
            let mut limit = SourceLimit::new(0);
            let mut count = |groups: std::ops::Range<u32>, now_ms| {
                let open =
                    |index: &u32| limit.admit(group(*index), has_cookie, now_ms) == Verdict::Open;
                groups.filter(open).count()
            };
            assert_eq!(count(1 << 16..1 << 17, 0), rate.burst as usize);
            assert_eq!(count(1 << 17..1 << 18, 1_000), rate.per_s as usize);
        }
    }

    /// Twenty thousand questions a second under others' addresses, also under those of the honest.
    #[test]
    fn forged_addresses_take_nothing_from_whoever_shows_a_cookie() {
        let mut limit = SourceLimit::new(0);
        let (mut asked, mut answered, mut challenges) = (0, 0, 0);
        for now_ms in 0..10_000_u64 {
            for forged in 0..20 {
                let from = group((now_ms as u32 * 20 + forged) % (1 << 23) + (1 << 16));
                challenges += u32::from(limit.admit(from, false, now_ms) == Verdict::Challenge);
            }
            let honest = group((1 << 16) + now_ms as u32 % 40);
            if now_ms % 2 == 0 {
                asked += 1;
                answered += u32::from(limit.admit(honest, true, now_ms) == Verdict::Open);
            }
        }
        assert_eq!(answered, asked);
        assert!(challenges <= CHALLENGES.burst + 10 * CHALLENGES.per_s, "{challenges}");
        // Who is over its rate with a cookie is not asked for one.
        let one = group(1 << 20);
        let verdicts = (0..100).map(|_| limit.admit(one, true, 20_000));
        assert!(verdicts.skip(PER_SOURCE.burst as usize).all(|verdict| verdict == Verdict::Drop));
    }

    proptest! {
        #[test]
        fn the_map_is_bounded_and_time_may_jump(
            steps in proptest::collection::vec(
                (0_u64..3_000, 0_u32..1 << 24, any::<bool>()),
                0..6_000,
            ),
        ) {
            let (mut limit, mut now_ms) = (SourceLimit::new(u64::MAX), 0_u64);
            for (step_ms, index, has_cookie) in steps {
                now_ms = now_ms.wrapping_add(step_ms);
                limit.admit(group(index), has_cookie, now_ms);
                prop_assert!(limit.n_sources() <= SOURCES_MAX);
            }
        }
    }
}
