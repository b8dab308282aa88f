//! How many questions one corner of the network may ask a second.
//!
//! Units: milliseconds; thousandths of a question. Errors: none.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::address::{self, AddressGroup};

/// Questions at once.
const BURST: u64 = 200;
/// Questions a second after that.
const PER_SECOND: u64 = 50;
/// Sources remembered. One that is forgotten begins with a full burst, so a flood from more groups
/// than this is limited by the sum alone.
const SOURCES_MAX: usize = 4_096;

/// An address group, or one socket of the local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Group(AddressGroup),
    Near(IpAddr, u16),
}

/// What each source has left, in thousandths, and when that was so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quota {
    sources: BTreeMap<Source, (u64, u64)>,
}

impl Quota {
    /// Whether a question from here may be answered now.
    pub(crate) fn takes(&mut self, now_ms: u64, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        let source = match address::is_counted(ip) {
            true => Source::Group(AddressGroup::of(ip)),
            false => Source::Near(ip, from.port()),
        };
        let full = BURST * 1000;
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.forget(now_ms);
        }
        let (left, at_ms) = self.sources.entry(source).or_insert((full, now_ms));
        let earned = now_ms.saturating_sub(*at_ms).saturating_mul(PER_SECOND);
        (*left, *at_ms) = (left.saturating_add(earned).min(full), now_ms);
        let is_due = *left >= 1000;
        *left -= if is_due { 1000 } else { 0 };
        is_due
    }

    /// Forgets those that have earned a full burst again, or, when all are busy, everybody.
    fn forget(&mut self, now_ms: u64) {
        let full_after_ms = BURST * 1000 / PER_SECOND;
        self.sources.retain(|_, (_, at_ms)| at_ms.saturating_add(full_after_ms) > now_ms);
        if self.sources.len() >= SOURCES_MAX {
            self.sources.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_answered_at_its_rate_and_others_are_not_held_up() {
        let mut quota = Quota::default();
        let flood: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        let neighbour: SocketAddr = "192.0.2.77:9".parse().expect("an address");
        let other: SocketAddr = "198.51.100.1:1".parse().expect("an address");
        let answered = (0..10_000).filter(|_| quota.takes(0, flood)).count() as u64;
        assert_eq!(answered, BURST);
        assert!(!quota.takes(0, neighbour));
        assert!(quota.takes(0, other));
        let answered = (0..10_000).filter(|_| quota.takes(1_000, flood)).count() as u64;
        assert_eq!(answered, PER_SECOND);
    }

    #[test]
    fn many_sources_are_a_bounded_memory() {
        let mut quota = Quota::default();
        for number in 0..20_000_u32 {
            let ip = IpAddr::from((0x0100_0000 + number * 256).to_be_bytes());
            assert!(quota.takes(u64::from(number), SocketAddr::new(ip, 1)));
            assert!(quota.sources.len() <= SOURCES_MAX);
        }
    }
}
