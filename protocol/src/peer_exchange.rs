//! Peer exchange: what a node tells each peer about the others, and how far it trusts what it is
//! told.
//!
//! One [`ExchangeSender`] per session says which records changed since it spoke last: the first
//! time at once, then once a minute. One [`ExchangeSources`] per node decides whose word is heard:
//! who speaks too often is left unheard, and after a while muted; so is who names peers that cannot
//! be reached (80 % of at least 50 attempts). Records are checked and kept by `peer_book.rs`.
//! Units: milliseconds of the node's clock. Errors: [`ExchangeRefusal`].
//! Source: BEP 11. Absent on purpose: hearsay. Only peers that the teller is connected to are told.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    address::{AddressGroup, is_counted},
    ids::PeerId,
    limits::EXCHANGE_MAX,
    node_record::NodeRecord,
};

/// Least time between two messages of one session.
pub const EXCHANGE_EVERY_MS: u64 = 60_000;

/// How much earlier than that a message may come: its way takes longer at one time than at another.
const EARLY_MS: u64 = 10_000;
/// Messages in a row that came too early before their sender is muted. A session that was opened
/// again begins with one.
const TOO_EARLY_MAX: u32 = 10;
/// Messages that are heard from one address group within a minute.
const PER_GROUP_MAX: u32 = 4;
/// Attempts on which a score is based, and how many of them may fail.
const SCORED_MIN: u32 = 50;
const FAILED_MAX_PERCENT: u32 = 80;
/// How long a muted sender stays so.
const MUTED_MS: u64 = 6 * 3_600_000;
/// Senders remembered at once.
const SOURCES_MAX: usize = 512;

/// What is said in one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Records of peers that were connected since.
    pub added: Vec<Vec<u8>>,
    /// Peers that went since.
    pub dropped: Vec<PeerId>,
}

/// What one session's peer was told.
#[derive(Debug, Clone, Default)]
pub struct ExchangeSender {
    told: BTreeMap<PeerId, u64>,
    next_at_ms: u64,
}

impl ExchangeSender {
    /// The next message, when it is time and there is something to say. `connected` are records of
    /// peers that are connected now and can be reached by others.
    pub fn next<'a>(
        &mut self,
        to: PeerId,
        connected: impl Iterator<Item = &'a NodeRecord>,
        now_ms: u64,
    ) -> Option<Exchange> {
        if now_ms < self.next_at_ms {
            return None;
        }
        let connected: BTreeMap<PeerId, &NodeRecord> = connected
            .map(|record| (record.peer(), record))
            .filter(|(peer, _)| *peer != to)
            .collect();
        let is_news = |record: &&NodeRecord| {
            self.told.get(&record.peer()).is_none_or(|told| *told < record.facts().sequence)
        };
        let mut news: Vec<&NodeRecord> = connected.values().copied().filter(is_news).collect();
        // Everybody is told of others first, so that nobody's record is on everyone's list.
        news.sort_by_cached_key(|record| {
            *blake3::hash(&[*to.as_bytes(), *record.peer().as_bytes()].concat()).as_bytes()
        });
        news.truncate(EXCHANGE_MAX);
        let gone = self.told.keys().filter(|peer| !connected.contains_key(*peer));
        let dropped: Vec<PeerId> = gone.copied().take(EXCHANGE_MAX).collect();
        if news.is_empty() && dropped.is_empty() {
            return None;
        }
        for peer in &dropped {
            self.told.remove(peer);
        }
        self.told.extend(news.iter().map(|record| (record.peer(), record.facts().sequence)));
        self.next_at_ms = now_ms.saturating_add(EXCHANGE_EVERY_MS);
        let added = news.into_iter().map(|record| record.as_bytes().to_vec()).collect();
        Some(Exchange { added, dropped })
    }
}

/// Why a message is left unheard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeRefusal {
    /// Before its time.
    #[error("it came before its time: a peer may tell of others once a minute")]
    TooEarly,
    /// Its sender's neighbours have said enough.
    #[error("enough was heard from its sender's address range")]
    Group,
    /// Its sender is not heard for some hours.
    #[error("its sender is muted: it told too often, or of peers that can't be reached")]
    Muted,
}

#[derive(Debug, Clone, Default)]
struct Source {
    heard_at_ms: Option<u64>,
    too_early: u32,
    dialled: u32,
    failed: u32,
    muted_until_ms: u64,
}

/// Whose word is heard.
#[derive(Debug, Clone, Default)]
pub struct ExchangeSources {
    sources: BTreeMap<PeerId, Source>,
    /// Messages heard from each group in the minute that began then.
    groups: BTreeMap<AddressGroup, (u64, u32)>,
}

impl ExchangeSources {
    /// Whether a message of this peer, which is at this address, is heard now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn hear(&mut self, peer: PeerId, ip: IpAddr, now_ms: u64) -> Result<(), ExchangeRefusal> {
        self.make_room(now_ms);
        let source = self.sources.entry(peer).or_default();
        if now_ms < source.muted_until_ms {
            return Err(ExchangeRefusal::Muted);
        }
        let waited_ms = source.heard_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms));
        if waited_ms.is_some_and(|waited_ms| waited_ms < EXCHANGE_EVERY_MS - EARLY_MS) {
            source.too_early += 1;
            if source.too_early >= TOO_EARLY_MAX {
                source.mute(now_ms);
            }
            return Err(ExchangeRefusal::TooEarly);
        }
        if is_counted(ip) {
            let group = AddressGroup::of(ip);
            if self.groups.len() >= SOURCES_MAX && !self.groups.contains_key(&group) {
                return Err(ExchangeRefusal::Group);
            }
            let (began_ms, count) = self.groups.entry(group).or_insert((now_ms, 0));
            if now_ms.saturating_sub(*began_ms) >= EXCHANGE_EVERY_MS {
                (*began_ms, *count) = (now_ms, 0);
            }
            if *count >= PER_GROUP_MAX {
                return Err(ExchangeRefusal::Group);
            }
            *count += 1;
        }
        source.too_early = 0;
        source.heard_at_ms = Some(now_ms);
        Ok(())
    }

    /// A peer that this source told of was dialled. Returns whether the source is muted by that.
    pub fn dialled(&mut self, source: &PeerId, is_reached: bool, now_ms: u64) -> bool {
        let Some(source) = self.sources.get_mut(source) else { return false };
        source.dialled += 1;
        source.failed += u32::from(!is_reached);
        let is_bad = source.failed * 100 >= source.dialled * FAILED_MAX_PERCENT;
        let is_muted = source.dialled >= SCORED_MIN && is_bad;
        if is_muted {
            source.mute(now_ms);
        } else if source.dialled >= 2 * SCORED_MIN {
            // What was long ago counts half.
            (source.dialled, source.failed) = (source.dialled / 2, source.failed / 2);
        }
        is_muted
    }

    /// Forgets who was not heard for longest, when there are too many.
    fn make_room(&mut self, now_ms: u64) {
        if self.groups.len() >= SOURCES_MAX {
            let is_now = |began_ms: u64| now_ms.saturating_sub(began_ms) < EXCHANGE_EVERY_MS;
            self.groups.retain(|_, (began_ms, _)| is_now(*began_ms));
        }
        if self.sources.len() < SOURCES_MAX {
            return;
        }
        let age = |source: &Source| (source.muted_until_ms > now_ms, source.heard_at_ms);
        let oldest = self.sources.iter().min_by_key(|(_, source)| age(source));
        if let Some(peer) = oldest.map(|(peer, _)| *peer) {
            self.sources.remove(&peer);
        }
    }
}

impl Source {
    fn mute(&mut self, now_ms: u64) {
        *self = Self { muted_until_ms: now_ms.saturating_add(MUTED_MS), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{identity::Identity, ids::NetworkId, node_record::NodeFacts};

    const ME: PeerId = PeerId([0; 32]);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn record(seed: u8, sequence: u64) -> NodeRecord {
        let identity = Identity::from_seed([seed; 32]);
        let facts = NodeFacts {
            peer: identity.peer_id(),
            sequence,
            expires_at_unix_s: 1_000,
            is_reachable: true,
            addresses: vec![([127, 0, 0, 1], 1 + u16::from(seed)).into()],
        };
        NodeRecord::sign(&identity, &NetworkId::default(), facts).expect("signs")
    }

    #[test]
    fn the_first_message_goes_at_once_and_later_ones_say_what_changed() {
        let (a, b, c) = (record(1, 1), record(2, 1), record(3, 1));
        let mut sender = ExchangeSender::default();
        assert_eq!(sender.next(ME, [].into_iter(), 0), None);
        let first = sender.next(ME, [&a, &b].into_iter(), 5).expect("news");
        assert_eq!((first.added.len(), first.dropped.len()), (2, 0));
        assert_eq!(sender.next(ME, [&a, &b, &c].into_iter(), 60_004), None);
        let again = record(2, 2);
        let later = sender.next(ME, [&again, &c].into_iter(), 60_005).expect("news");
        let mut added = [again.as_bytes().to_vec(), c.as_bytes().to_vec()];
        let mut said = later.added;
        added.sort();
        said.sort();
        assert_eq!((said.as_slice(), later.dropped.as_slice()), (&added[..], &[a.peer()][..]));
        assert_eq!(sender.next(ME, [&again, &c].into_iter(), 200_000), None);
        let to_c = ExchangeSender::default().next(c.peer(), [&c].into_iter(), 0);
        assert_eq!(to_c, None, "nobody is told of itself");
    }

    #[test]
    fn a_peer_that_tells_too_often_is_not_heard_and_then_muted() {
        let mut sources = ExchangeSources::default();
        let mut hear = |at_ms| sources.hear(PeerId([1; 32]), ip("198.51.100.1"), at_ms);
        assert_eq!(hear(0), Ok(()));
        assert_eq!(hear(49_999), Err(ExchangeRefusal::TooEarly));
        assert_eq!(hear(60_000), Ok(()));
        for n in 0..10 {
            assert_eq!(hear(60_001 + n), Err(ExchangeRefusal::TooEarly));
        }
        assert_eq!(hear(200_000), Err(ExchangeRefusal::Muted));
        assert_eq!(hear(60_010 + MUTED_MS), Ok(()));
    }

    #[test]
    fn many_identities_at_one_place_are_heard_like_a_few() {
        let mut sources = ExchangeSources::default();
        let mut heard = |place: &str, at_ms| {
            let heard = (0..20).map(|n| {
                let peer = PeerId([n; 32]);
                sources.hear(peer, ip(&format!("{place}.{n}")), at_ms).is_ok()
            });
            heard.filter(|is_heard| *is_heard).count()
        };
        assert_eq!([heard("198.51.100", 0), heard("198.51.100", 59_000)], [4, 0]);
        assert_eq!([heard("198.51.100", 60_000), heard("192.168.0", 120_000)], [4, 20]);
    }

    #[test]
    fn whoever_names_peers_that_are_not_there_loses_its_voice() {
        let mut sources = ExchangeSources::default();
        let (liar, good) = (PeerId([1; 32]), PeerId([2; 32]));
        for peer in [liar, good] {
            assert_eq!(sources.hear(peer, ip("192.168.0.1"), 0), Ok(()));
        }
        for n in 1..=200 {
            assert!(!sources.dialled(&good, n % 3 == 0, 1), "{n}");
        }
        assert!((1..50).all(|n| !sources.dialled(&liar, n % 5 == 0, 1)));
        assert!(sources.dialled(&liar, false, 1));
        let heard = sources.hear(liar, ip("192.168.0.1"), 90_000);
        assert_eq!(heard, Err(ExchangeRefusal::Muted));
    }

    #[test]
    fn many_groups_at_once_are_a_bounded_memory() {
        let mut sources = ExchangeSources::default();
        let heard = (0..2_000_u32).filter(|number| {
            let mut peer = [0; 32];
            peer[..4].copy_from_slice(&number.to_le_bytes());
            let ip = IpAddr::from((0x2d00_0000 + number * 256).to_be_bytes());
            sources.hear(PeerId(peer), ip, 0).is_ok()
        });
        assert_eq!(heard.count(), SOURCES_MAX);
        assert!(sources.groups.len() <= SOURCES_MAX && sources.sources.len() <= SOURCES_MAX);
        // A minute later there is room again.
        assert_eq!(sources.hear(ME, ip("203.0.113.1"), EXCHANGE_EVERY_MS), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_said_adds_up_to_what_is_connected(
            rounds in proptest::collection::vec(
                proptest::collection::btree_set(0_u8..120, 0..120), 1..8)
        ) {
            let mut records: BTreeMap<u8, NodeRecord> = BTreeMap::new();
            let (mut sender, mut known) = (ExchangeSender::default(), BTreeMap::new());
            let mut now_ms = 0;
            for connected in &rounds {
                for seed in connected {
                    records.entry(*seed).or_insert_with(|| record(*seed, 1));
                }
                // So many messages are enough for everything that may have changed.
                for _ in 0..3 {
                    let connected = connected.iter().map(|seed| &records[seed]);
                    let Some(said) = sender.next(ME, connected, now_ms) else { continue };
                    prop_assert!(said.added.len() <= 50 && said.dropped.len() <= 50);
                    for bytes in said.added {
                        let record = NodeRecord::read(&bytes, &NetworkId::default(), 1);
                        let peer = record.expect("a good record").peer();
                        prop_assert!(known.insert(peer, ()).is_none());
                    }
                    for peer in said.dropped {
                        prop_assert!(known.remove(&peer).is_some());
                    }
                    now_ms += EXCHANGE_EVERY_MS;
                }
                let expected: Vec<_> = connected.iter().map(|seed| records[seed].peer()).collect();
                prop_assert_eq!(known.len(), expected.len());
                prop_assert!(expected.iter().all(|peer| known.contains_key(peer)));
            }
        }
    }
}
