//! The peers a node remembers, so that it finds its swarm again, and so that nobody can fill its
//! memory with peers of theirs.
//!
//! Kept by the peer directory and written to a file (`file.rs`); filled by every discovery layer.
//! 200 places: 120 for peers that have answered (tried), 80 for those that were only heard of
//! (new). A place follows from a secret, the address group of the peer and, for new ones, the group
//! of whoever told: a teller reaches 10 places, wherever it says that peers are. A tried peer gives
//! way only after a failed attempt to reach it. On one machine or local network groups say nothing,
//! and the address itself stands in for its group.
//! Units: Unix seconds for what is remembered, milliseconds of the node's clock for attempts.
//! Errors: [`Refusal`]. Source: Bitcoin's addrman; geth's node database (5 days, 5 minutes).

mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{
    address::{self, AddressGroup, is_counted},
    dial_budget::Backoff,
    ids::PeerId,
};

pub use file::{CACHE_FILE_MAX_BYTES, PeerCacheError};

/// Places of peers that have answered.
pub const TRIED_MAX: usize = 120;
/// Places of peers that were heard of.
pub const NEW_MAX: usize = 80;
/// Addresses kept of one peer: two families, two of each.
pub const ADDRESSES_KEPT: usize = 4;
/// Peers of one /24 or /56.
const PER_GROUP_MAX: usize = 2;
/// Peers that one teller told of, and places it reaches.
const PER_SOURCE_MAX: usize = 10;
/// Peers found in one way: half of all.
const PER_METHOD_MAX: usize = (TRIED_MAX + NEW_MAX) / 2;
/// Peers that are tried first after a start.
pub const ANCHORS_MAX: usize = 8;
/// Peers of one group of tried places.
const BUCKET: usize = 5;
/// Seconds after which a peer that was not reached is forgotten: 5 days.
const AGE_MAX_S: u64 = 5 * 24 * 3600;
/// Seconds for which a place is safe from other peers, and after which a peer may be an anchor.
const TABLE_TIME_MIN_S: u64 = 300;
/// Failed attempts after which a peer that never answered is forgotten.
const FAILURES_MAX: u8 = 3;

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of the node's clock.
    pub ms: u64,
    /// Unix seconds.
    pub unix_s: u64,
}

/// How a peer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// An address that a person gave.
    Join,
    /// An invite code.
    Invite,
    /// mDNS on the local network.
    Mdns,
    /// Another peer told us.
    PeerExchange,
    /// It connected to us.
    Incoming,
    /// The DHT.
    Dht,
}

impl Method {
    const ALL: [Self; 6] =
        [Self::Join, Self::Invite, Self::Mdns, Self::PeerExchange, Self::Incoming, Self::Dht];

    /// Whether limits per address say something: not of what a person chose.
    fn is_limited(self) -> bool {
        !matches!(self, Self::Join | Self::Invite)
    }
}

/// A peer that somebody speaks of.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Who.
    pub peer: PeerId,
    /// Where, best first.
    pub addresses: &'a [SocketAddr],
    /// Of its signed record; 0 without.
    pub sequence: u64,
    /// How.
    pub method: Method,
    /// Who says so; the peer itself when nobody else does.
    pub source: PeerId,
    /// Where that one is.
    pub source_ip: IpAddr,
}

/// Why a peer is not remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No address that can be dialled.
    #[error("no address that can be dialled")]
    Addresses,
    /// Its neighbours are known already.
    #[error("enough peers of its address range are known")]
    Group,
    /// Whoever told of it has told of enough.
    #[error("enough peers from whoever told of it are known")]
    Source,
    /// Enough were found that way.
    #[error("enough peers are known that were found in this way")]
    Method,
    /// Every place it could have is taken.
    #[error("every place it could have is taken")]
    Full,
}

/// A remembered peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPeer {
    /// Who.
    pub peer: PeerId,
    /// Where, best first; at most [`ADDRESSES_KEPT`].
    pub addresses: Vec<SocketAddr>,
    /// Of its record.
    sequence: u64,
    /// How it was found.
    pub method: Method,
    /// Who told of it.
    pub source: PeerId,
    /// Whether it is tried first after a start.
    pub is_anchor: bool,
    added_s: u64,
    /// When it was reached last; 0 for never.
    reached_s: u64,
    failures: u8,
    backoff: Backoff,
}

/// The memory.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCache {
    secret: [u8; 32],
    /// Tried places, then new ones.
    places: Vec<Option<CachedPeer>>,
    /// Tried peers to be tested, by place, and who would have that place.
    challenges: BTreeMap<usize, PeerId>,
}

impl fmt::Debug for PeerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tried, new) = self.counts();
        f.debug_struct("PeerCache").field("tried", &tried).field("new", &new).finish()
    }
}

impl PeerCache {
    /// An empty memory; the secret decides places, and nobody else may know it.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let places = vec![None; TRIED_MAX + NEW_MAX];
        Self { secret, places, challenges: BTreeMap::new() }
    }

    /// Every peer, tried ones first.
    pub fn peers(&self) -> impl Iterator<Item = &CachedPeer> {
        self.places.iter().flatten()
    }

    /// How many are tried, and how many new.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let (tried, new) = self.places.split_at(TRIED_MAX);
        (tried.iter().flatten().count(), new.iter().flatten().count())
    }

    /// What is remembered of a peer.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<&CachedPeer> {
        self.peers().find(|known| known.peer == *peer)
    }

    fn place_of(&self, peer: &PeerId) -> Option<usize> {
        self.places.iter().position(|place| place.as_ref().is_some_and(|known| known.peer == *peer))
    }

    fn at(&mut self, peer: &PeerId) -> Option<(usize, &mut CachedPeer)> {
        let place = self.place_of(peer)?;
        Some((place, self.places[place].as_mut()?))
    }

    /// Somebody speaks of a peer. Of one that is known, a newer record replaces the addresses.
    ///
    /// # Errors
    /// Why it is not remembered; what is remembered stays.
    pub fn hear(&mut self, heard: Heard<'_>, now: Now) -> Result<(), Refusal> {
        let addresses = kept(heard.addresses);
        if addresses.is_empty() {
            return Err(Refusal::Addresses);
        }
        if heard.method.is_limited() {
            self.check_groups(&heard.peer, &addresses)?;
        }
        if let Some((_, known)) = self.at(&heard.peer) {
            if heard.sequence > known.sequence {
                known.sequence = heard.sequence;
                known.addresses = addresses;
            }
            return Ok(());
        }
        let told = |known: &&CachedPeer| known.source == heard.source;
        if self.peers().filter(told).count() >= PER_SOURCE_MAX {
            return Err(Refusal::Source);
        }
        let found = |known: &&CachedPeer| known.method == heard.method;
        if self.peers().filter(found).count() >= PER_METHOD_MAX {
            return Err(Refusal::Method);
        }
        let place = self.new_place(&heard, &addresses[0], now).ok_or(Refusal::Full)?;
        self.places[place] = Some(CachedPeer {
            peer: heard.peer,
            addresses,
            sequence: heard.sequence,
            method: heard.method,
            source: heard.source,
            is_anchor: false,
            added_s: now.unix_s,
            reached_s: 0,
            failures: 0,
            backoff: Backoff::default(),
        });
        Ok(())
    }

    /// Two peers of a group, and one of an address, whatever its port.
    fn check_groups(&self, peer: &PeerId, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        let others = || self.peers().filter(|known| known.peer != *peer);
        let counted = addresses.iter().map(SocketAddr::ip).filter(|ip| is_counted(*ip));
        for ip in counted {
            let is_there = |known: &CachedPeer| known.addresses.iter().any(|at| at.ip() == ip);
            let group = AddressGroup::of(ip);
            let is_near = |known: &&CachedPeer| {
                known.addresses.iter().any(|at| AddressGroup::of(at.ip()) == group)
            };
            if others().any(is_there) || others().filter(is_near).count() >= PER_GROUP_MAX {
                return Err(Refusal::Group);
            }
        }
        Ok(())
    }

    /// A free place among those that the teller reaches, or that of a peer that failed.
    fn new_place(&self, heard: &Heard<'_>, at: &SocketAddr, now: Now) -> Option<usize> {
        let source = match is_counted(heard.source_ip) {
            true => group_of(&SocketAddr::new(heard.source_ip, 0)),
            false => heard.source.as_bytes().to_vec(),
        };
        let (start, step) = (self.hash(b"start", &[&source]), self.hash(b"step", &[&source]));
        let first = self.hash(b"new", &[&source, &group_of(at)]);
        // A step without a common divisor with the number of places, so the ten differ.
        let step = [1, 3, 7, 9, 11, 13, 17, 19][(step % 8) as usize];
        let mut reached = (0..PER_SOURCE_MAX as u64).map(|n| {
            let nth = (first % PER_SOURCE_MAX as u64 + n) % PER_SOURCE_MAX as u64;
            TRIED_MAX + ((start % NEW_MAX as u64 + nth * step) % NEW_MAX as u64) as usize
        });
        let mut again = reached.clone();
        let is_spare = |place: &usize| {
            let spare = |known: &CachedPeer| known.failures > 0 && known.is_settled(now.unix_s);
            self.places[*place].as_ref().is_none_or(spare)
        };
        reached.find(|place| self.places[*place].is_none()).or_else(|| again.find(is_spare))
    }

    /// This node has reached a peer at one of its addresses: it is tried, or will be once the peer
    /// that has its place was tested.
    pub fn reached(&mut self, peer: &PeerId, at: SocketAddr, now: Now) {
        let Some((place, known)) = self.at(peer) else { return };
        (known.reached_s, known.failures) = (now.unix_s, 0);
        known.backoff = Backoff::default();
        if address::is_meant_for_us(&at, at.ip()) {
            known.addresses.retain(|address| *address != at);
            known.addresses.insert(0, at);
            known.addresses.truncate(ADDRESSES_KEPT);
        }
        if place < TRIED_MAX {
            self.challenges.remove(&place);
            return;
        }
        let bucket = self.hash(b"tried", &[&group_of(&at)]) as usize % (TRIED_MAX / BUCKET);
        let bucket = bucket * BUCKET..(bucket + 1) * BUCKET;
        if let Some(free) = bucket.clone().find(|place| self.places[*place].is_none()) {
            self.places[free] = self.places[place].take();
            return;
        }
        let is_free = |place: &usize| !self.challenges.contains_key(place);
        let longest_ago = |place: &usize| self.places[*place].as_ref().map(|known| known.reached_s);
        if let Some(oldest) = bucket.filter(is_free).min_by_key(longest_ago) {
            self.challenges.insert(oldest, *peer);
        }
    }

    /// An attempt to reach a peer failed. While nothing at all can be reached (`is_online` is
    /// false) that says nothing about the peer, which only waits for its next turn.
    pub fn failed(&mut self, peer: &PeerId, is_online: bool, now: Now) {
        let Some((place, known)) = self.at(peer) else { return };
        known.backoff.failed(now.ms);
        if !is_online {
            return;
        }
        known.failures = known.failures.saturating_add(1);
        let is_hopeless = place >= TRIED_MAX && known.failures >= FAILURES_MAX;
        if let Some(challenger) = self.challenges.remove(&place) {
            self.places[place] = None;
            if let Some(from) = self.place_of(&challenger).filter(|from| *from >= TRIED_MAX) {
                self.places[place] = self.places[from].take();
            }
        } else if is_hopeless {
            self.places[place] = None;
        }
    }

    /// Whose place is wanted by another and who is due for a test.
    #[must_use]
    pub fn to_test(&self, now_ms: u64) -> Option<&CachedPeer> {
        let tested = self.challenges.keys().filter_map(|place| self.places[*place].as_ref());
        tested.into_iter().find(|known| known.backoff.is_due(now_ms))
    }

    /// A peer is connected, so it needs no test.
    pub fn is_alive(&mut self, peer: &PeerId, now: Now) {
        if let Some((place, known)) = self.at(peer) {
            known.reached_s = now.unix_s;
            known.failures = 0;
            self.challenges.remove(&place);
        }
    }

    /// Whoever told of a peer is no longer connected to it; nobody else knows it.
    pub fn retract(&mut self, peer: &PeerId, source: &PeerId) {
        if let Some((place, known)) = self.at(peer)
            && (known.source, known.reached_s) == (*source, 0)
        {
            self.places[place] = None;
        }
    }

    /// Forgets what one teller told of and nobody has reached.
    pub fn forget_told_by(&mut self, source: &PeerId) {
        for place in &mut self.places {
            place.take_if(|known| known.source == *source && known.reached_s == 0);
        }
    }

    /// Forgets whoever was not reached for days.
    pub fn expire(&mut self, now_unix_s: u64) {
        for place in &mut self.places {
            place.take_if(|known| known.used_s().saturating_add(AGE_MAX_S) < now_unix_s);
        }
        self.challenges.retain(|place, _| self.places[*place].is_some());
    }

    /// These were connected longest: those of them that are tried and known for a while are tried
    /// first after a start, one of each address group.
    pub fn set_anchors(&mut self, longest: &[PeerId], now_unix_s: u64) {
        let mut groups = BTreeSet::new();
        let mut chosen = BTreeSet::new();
        for peer in longest {
            let Some(place) = self.place_of(peer).filter(|place| *place < TRIED_MAX) else {
                continue;
            };
            let Some(known) = &self.places[place] else { continue };
            let is_settled = known.is_settled(now_unix_s);
            if is_settled
                && chosen.len() < ANCHORS_MAX
                && groups.insert(group_of(&known.addresses[0]))
            {
                chosen.insert(*peer);
            }
        }
        for known in self.places.iter_mut().flatten() {
            known.is_anchor = chosen.contains(&known.peer);
        }
    }

    /// A number from the secret and these fields, which nobody without the secret can foresee.
    pub(crate) fn hash(&self, what: &[u8], fields: &[&[u8]]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for field in [&[what], fields].concat() {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        let digest = hasher.finalize();
        let (first, _) = digest.as_bytes().split_first_chunk().expect("32 bytes");
        u64::from_le_bytes(*first)
    }
}

impl CachedPeer {
    /// Whether it may be tried now.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.backoff.is_due(now_ms)
    }

    /// Whether it has ever answered.
    #[must_use]
    pub fn is_tried(&self) -> bool {
        self.reached_s > 0
    }

    /// Failed attempts since it answered last.
    #[must_use]
    pub fn failures(&self) -> u8 {
        self.failures
    }

    /// When it was of use last.
    fn used_s(&self) -> u64 {
        self.reached_s.max(self.added_s)
    }

    fn is_settled(&self, now_unix_s: u64) -> bool {
        now_unix_s.saturating_sub(self.added_s) >= TABLE_TIME_MIN_S
    }
}

/// The first few addresses that can be dialled, each once.
fn kept(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if address::is_dialable(&address) && !kept.contains(&address) && kept.len() < ADDRESSES_KEPT
        {
            kept.push(address);
        }
    }
    kept
}

/// The group that decides about a place: where groups say nothing, the address itself.
fn group_of(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    if is_counted(address.ip()) {
        address::write(&SocketAddr::new(AddressGroup::of(address.ip()).ip(), 0), &mut bytes);
    } else {
        address::write(address, &mut bytes);
    }
    bytes
}
