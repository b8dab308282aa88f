//! Whom a node could connect to, and whom it dials next.
//!
//! Held by the peer directory, and by a simulator in its place. It checks what peers tell of others
//! (`node_record.rs`, `peer_exchange.rs`), keeps what may be true (`peer_cache.rs`), and chooses
//! within the budget (`dial_budget.rs`): anchors first, then whoever brings a new address group,
//! peers that have answered before others, at most half of a choice by one teller's word.
//! Units: [`Now`]. Errors: those of the parts. Absent on purpose: sessions; a caller says who is
//! connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::{
    address::{self, AddressGroup, is_counted, is_private},
    dial_budget::{DialBudget, NamedBy},
    ids::{NetworkId, PeerId},
    node_record::NodeRecord,
    peer_cache::{CachedPeer, Heard, Method, Now, PeerCache},
    peer_exchange::{ExchangeRefusal, ExchangeSources},
};

/// What never changes about the node whose book it is.
#[derive(Debug, Clone)]
pub struct BookOwner {
    /// The node itself, which is never remembered.
    pub peer: PeerId,
    /// Records of other networks are refused.
    pub network: NetworkId,
    /// Nothing beyond private addresses is remembered or dialled.
    pub is_offline: bool,
}

/// Whom a node could connect to.
#[derive(Debug, Clone)]
pub struct PeerBook {
    owner: BookOwner,
    cache: PeerCache,
    sources: ExchangeSources,
    budget: DialBudget,
    /// Choices made, so that equals take turns.
    round: u64,
    has_changed: bool,
}

/// Whom a choice leaves out, and what it should be different from.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Connected already, or being dialled.
    pub peers: BTreeSet<PeerId>,
    /// Where those are, with their number.
    pub groups: BTreeMap<AddressGroup, usize>,
}

impl Taken {
    /// One more peer, at this address.
    pub fn add(&mut self, peer: PeerId, at: Option<IpAddr>) {
        self.peers.insert(peer);
        if let Some(ip) = at.filter(|ip| is_counted(*ip)) {
            *self.groups.entry(AddressGroup::of(ip)).or_default() += 1;
        }
    }
}

/// What came of one message of peer exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeardExchange {
    /// Peers that are remembered now and were not before.
    pub found: usize,
    /// Records that were none, or not good in this network at this time.
    pub bad: usize,
}

impl PeerBook {
    /// A book that begins with what is remembered.
    #[must_use]
    pub fn new(owner: BookOwner, cache: PeerCache) -> Self {
        let (sources, budget) = (ExchangeSources::default(), DialBudget::default());
        Self { owner, cache, sources, budget, round: 0, has_changed: false }
    }

    /// What is remembered.
    #[must_use]
    pub fn cache(&self) -> &PeerCache {
        &self.cache
    }

    /// Whether this changed since it was asked last: then it is worth writing.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// A connected peer tells of others.
    ///
    /// # Errors
    /// When it is not heard at all.
    pub fn hear_exchange(
        &mut self,
        (source, source_ip): (PeerId, IpAddr),
        (added, dropped): (&[Vec<u8>], &[PeerId]),
        now: Now,
    ) -> Result<HeardExchange, ExchangeRefusal> {
        self.sources.hear(source, source_ip, now.ms)?;
        for peer in dropped {
            self.cache.retract(peer, &source);
        }
        let mut heard = HeardExchange::default();
        for bytes in added {
            let Ok(record) = NodeRecord::read(bytes, &self.owner.network, now.unix_s) else {
                heard.bad += 1;
                continue;
            };
            let facts = record.facts();
            if !facts.is_reachable || facts.peer == self.owner.peer {
                continue;
            }
            let (peer, sequence, addresses) = (facts.peer, facts.sequence, &facts.addresses[..]);
            let method = Method::PeerExchange;
            let told = Heard { peer, addresses, sequence, method, source, source_ip };
            heard.found += usize::from(self.hear(told, now));
        }
        Ok(heard)
    }

    /// A peer is spoken of: it is remembered if its addresses mean something here and there is
    /// room. Returns whether it was not known before.
    pub fn hear(&mut self, heard: Heard<'_>, now: Now) -> bool {
        if heard.peer == self.owner.peer {
            return false;
        }
        let is_meant = |address: &&SocketAddr| {
            address::is_meant_for_us(address, heard.source_ip) && self.may_dial(address)
        };
        let addresses: Vec<SocketAddr> = heard.addresses.iter().filter(is_meant).copied().collect();
        let was_known = self.cache.get(&heard.peer).is_some();
        let is_kept = self.cache.hear(Heard { addresses: &addresses, ..heard }, now).is_ok();
        self.has_changed |= is_kept;
        is_kept && !was_known
    }

    /// Whether an address may be dialled at all.
    #[must_use]
    pub fn may_dial(&self, address: &SocketAddr) -> bool {
        address::is_dialable(address) && (!self.owner.is_offline || is_private(address.ip()))
    }

    /// Those of some addresses that may be dialled now; they count as dialled.
    pub fn permit(&mut self, addresses: &[SocketAddr], by: NamedBy, now: Now) -> Vec<SocketAddr> {
        let mut permitted = Vec::new();
        for address in addresses {
            if self.may_dial(address) && self.budget.take(address, by, now.ms) {
                permitted.push(*address);
            }
        }
        permitted
    }

    /// Up to `count` peers to dial now, each with the addresses that may be dialled.
    pub fn choose(
        &mut self,
        count: usize,
        taken: &Taken,
        now: Now,
    ) -> Vec<(PeerId, Vec<SocketAddr>)> {
        self.round += 1;
        let mut groups = taken.groups.clone();
        let mut by_source: BTreeMap<PeerId, usize> = BTreeMap::new();
        let mut chosen = Vec::new();
        let mut left: Vec<(CachedPeer, u64)> = self
            .cache
            .peers()
            .filter(|known| known.is_due(now.ms) && !taken.peers.contains(&known.peer))
            .map(|known| (known.clone(), self.turn(&known.peer)))
            .collect();
        while chosen.len() < count {
            let crowd = |known: &CachedPeer| {
                let ip = known.addresses.first().map(SocketAddr::ip).filter(|ip| is_counted(*ip));
                ip.and_then(|ip| groups.get(&AddressGroup::of(ip))).copied().unwrap_or(0)
            };
            let best = left.iter().enumerate().min_by_key(|(_, (known, turn))| {
                (!known.is_anchor, crowd(known), !known.is_tried(), known.failures(), *turn)
            });
            let Some(place) = best.map(|(place, _)| place) else { break };
            let (known, _) = left.swap_remove(place);
            let told = by_source.entry(known.source).or_default();
            // Who told of itself, or was reached before, is nobody's hearsay.
            let is_hearsay = known.source != known.peer && !known.is_tried();
            if is_hearsay && *told >= count.div_ceil(2) {
                continue;
            }
            let addresses = self.permit(&known.addresses, NamedBy::Others, now);
            let Some(first) = addresses.first() else { continue };
            *told += usize::from(is_hearsay);
            if is_counted(first.ip()) {
                *groups.entry(AddressGroup::of(first.ip())).or_default() += 1;
            }
            chosen.push((known.peer, addresses));
        }
        chosen
    }

    fn turn(&self, peer: &PeerId) -> u64 {
        self.cache.hash(b"turn", &[&self.round.to_le_bytes(), peer.as_bytes()])
    }

    /// Whose place is wanted by another: to be dialled, or said to be alive.
    #[must_use]
    pub fn to_test(&self, now: Now) -> Option<&CachedPeer> {
        self.cache.to_test(now.ms)
    }

    /// This node has reached a peer at an address.
    pub fn reached(&mut self, peer: &PeerId, at: SocketAddr, now: Now) {
        self.score(peer, true, now);
        self.cache.reached(peer, at, now);
        self.has_changed = true;
    }

    /// An attempt to reach a peer failed; `is_online` says whether anything can be reached.
    pub fn failed(&mut self, peer: &PeerId, is_online: bool, now: Now) {
        if is_online {
            self.score(peer, false, now);
        }
        self.cache.failed(peer, is_online, now);
        self.has_changed = true;
    }

    /// Who told of a peer that was dialled is judged by that.
    fn score(&mut self, peer: &PeerId, is_reached: bool, now: Now) {
        let Some(known) = self.cache.get(peer) else { return };
        let source = known.source;
        if source != *peer && self.sources.dialled(&source, is_reached, now.ms) {
            self.cache.forget_told_by(&source);
        }
    }

    /// A peer is connected, and was for so long that it comes before others after a start.
    pub fn still_connected(&mut self, longest_first: &[PeerId], now: Now) {
        for peer in longest_first {
            self.cache.is_alive(peer, now);
        }
        self.cache.set_anchors(longest_first, now.unix_s);
        self.cache.expire(now.unix_s);
        self.has_changed |= !longest_first.is_empty();
    }
}

#[cfg(test)]
#[path = "peer_book_tests.rs"]
mod tests;
