//! Records that a node keeps for others, and who may fill it with how much.
//!
//! The rules, so that a flood from few places displaces nobody else:
//! - one record per peer and key, the one with the largest sequence;
//! - of one address group [`PER_GROUP_MAX`] at a key, of one peer [`PER_PEER_MAX`] in all; a group
//!   is where the record was sent from, since a token proved that address;
//! - [`PER_KEY_MAX`] at a key and [`BYTES_MAX`] in all: beyond that a newcomer takes the place of
//!   one from the most crowded /16 and /24, and is refused when its own is as crowded.
//!
//! Units: Unix seconds, bytes. Errors: [`RefusalReason`].
//! Absent on purpose: checking signatures; the router does it before.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;

use crate::{
    address::{self, AddressGroup, WideAddressGroup},
    ids::PeerId,
    kademlia::{key::DhtKey, messages::RefusalReason, record::ProviderRecord},
};

/// Most records of one address group at one key.
const PER_GROUP_MAX: usize = 8;
/// Most records of one peer in all.
const PER_PEER_MAX: usize = 64;
/// Most records at one key.
const PER_KEY_MAX: usize = 256;
/// Most bytes of records in all: about 25,000 of usual size.
const BYTES_MAX: usize = 4 << 20;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Group(WideAddressGroup, AddressGroup),
    /// Of one local network everybody counts alone.
    Near(PeerId),
}

impl Origin {
    fn of(ip: IpAddr, peer: PeerId) -> Self {
        match address::is_counted(ip) {
            true => Self::Group(WideAddressGroup::of(ip), AddressGroup::of(ip)),
            false => Self::Near(peer),
        }
    }

    /// Whether both are of one larger network.
    fn is_wide_neighbour(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Group(ours, _), Self::Group(theirs, _)) => ours == theirs,
            _ => self == other,
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    record: Bytes,
    sequence: u64,
    expires_at_unix_s: u64,
    origin: Origin,
    /// Decides the order among equals, differently on every node.
    shuffle: u64,
}

/// See the head of this file.
#[derive(Debug, Clone)]
pub(crate) struct RecordStore {
    secret: [u8; 32],
    keys: BTreeMap<DhtKey, BTreeMap<PeerId, Kept>>,
    per_peer: BTreeMap<PeerId, usize>,
    bytes: usize,
}

impl RecordStore {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, keys: BTreeMap::new(), per_peer: BTreeMap::new(), bytes: 0 }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.values().map(BTreeMap::len).sum()
    }

    /// Keeps a checked record that came from `from`.
    pub(crate) fn insert(
        &mut self,
        key: DhtKey,
        record: &ProviderRecord,
        from: SocketAddr,
    ) -> Result<(), RefusalReason> {
        let peer = record.peer();
        let origin = Origin::of(from.ip(), peer);
        let records = self.keys.entry(key).or_default();
        let held = records.get(&peer);
        if held.is_some_and(|held| held.sequence > record.facts().sequence) {
            return Err(RefusalReason::Older);
        }
        let is_new = held.is_none();
        let is_of_group = |(of, held): (&PeerId, &Kept)| *of != peer && held.origin == origin;
        let in_group = records.iter().filter(|(of, held)| is_of_group((of, held))).count();
        let of_peer = self.per_peer.get(&peer).copied().unwrap_or(0);
        let is_full = is_new && records.len() >= PER_KEY_MAX;
        let has_share = in_group >= PER_GROUP_MAX || is_new && of_peer >= PER_PEER_MAX;
        if has_share || is_full && !self.displace(key, &origin) {
            self.forget_empty(&key);
            return Err(RefusalReason::Quota);
        }
        self.take_out(&key, &peer);
        let length = record.as_bytes().len();
        while self.bytes + length > BYTES_MAX {
            let fullest = self.keys.iter().max_by_key(|(_, records)| records.len());
            let Some(fullest) = fullest.map(|(key, _)| *key) else { break };
            if !self.displace(fullest, &origin) {
                self.forget_empty(&key);
                return Err(RefusalReason::Quota);
            }
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&key.0).update(peer.as_bytes());
        let mut shuffle = [0; 8];
        shuffle.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        let kept = Kept {
            record: record.as_bytes().clone(),
            sequence: record.facts().sequence,
            expires_at_unix_s: record.facts().expires_at_unix_s,
            origin,
            shuffle: u64::from_le_bytes(shuffle),
        };
        self.keys.entry(key).or_default().insert(peer, kept);
        *self.per_peer.entry(peer).or_default() += 1;
        self.bytes += length;
        Ok(())
    }

    /// Records at a key that have not expired: first one of every address group, then a second one
    /// and so on, so that the beginning is of many places.
    pub(crate) fn at(&self, key: &DhtKey, now_unix_s: u64) -> Vec<Bytes> {
        let Some(records) = self.keys.get(key) else { return Vec::new() };
        let mut live: Vec<&Kept> =
            records.values().filter(|kept| kept.expires_at_unix_s > now_unix_s).collect();
        live.sort_unstable_by_key(|kept| (kept.origin, kept.shuffle));
        let mut turns: BTreeMap<Origin, usize> = BTreeMap::new();
        let mut ordered: Vec<(usize, u64, &Kept)> = Vec::with_capacity(live.len());
        for kept in live {
            let turn = turns.entry(kept.origin).or_default();
            ordered.push((*turn, kept.shuffle, kept));
            *turn += 1;
        }
        ordered.sort_unstable_by_key(|(turn, shuffle, _)| (*turn, *shuffle));
        ordered.into_iter().map(|(_, _, kept)| kept.record.clone()).collect()
    }

    /// Drops what has expired.
    pub(crate) fn expire(&mut self, now_unix_s: u64) {
        let mut expired = Vec::new();
        for (key, records) in &self.keys {
            let old = records.iter().filter(|(_, kept)| kept.expires_at_unix_s <= now_unix_s);
            expired.extend(old.map(|(peer, _)| (*key, *peer)));
        }
        for (key, peer) in expired {
            self.take_out(&key, &peer);
        }
    }

    /// Drops a record of the most crowded origin at a key, if one of `newcomer` would leave it
    /// less crowded; whether it did.
    fn displace(&mut self, key: DhtKey, newcomer: &Origin) -> bool {
        let Some(records) = self.keys.get(&key) else { return false };
        let crowd = |origin: &Origin| {
            let wide =
                records.values().filter(|kept| kept.origin.is_wide_neighbour(origin)).count();
            (wide, records.values().filter(|kept| kept.origin == *origin).count())
        };
        let worst =
            records.iter().map(|(peer, kept)| (crowd(&kept.origin), kept.shuffle, *peer)).max();
        let Some((worst, _, peer)) = worst else { return false };
        let (wide, group) = crowd(newcomer);
        if (wide + 1, group + 1) >= worst {
            return false;
        }
        self.take_out(&key, &peer);
        true
    }

    fn take_out(&mut self, key: &DhtKey, peer: &PeerId) {
        let Some(records) = self.keys.get_mut(key) else { return };
        let Some(kept) = records.remove(peer) else { return };
        self.bytes -= kept.record.len();
        if let Some(count) = self.per_peer.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(peer);
            }
        }
        self.forget_empty(key);
    }

    fn forget_empty(&mut self, key: &DhtKey) {
        if self.keys.get(key).is_some_and(BTreeMap::is_empty) {
            self.keys.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
