//! The peer cache as bytes, for its file.
//!
//! Layout: `SWPC` | version `u8` | count `u8` | per peer, in the order of places: place `u8` | peer
//! 32 | source 32 | sequence `u64` | added `u64` | reached `u64` | failures `u8` | method `u8` |
//! anchor `u8` | address count `u8` | addresses | then BLAKE3 over all before (32). Little endian,
//! Unix seconds. The checksum tells a torn or altered file; it protects from nobody.
//! Errors: [`PeerCacheError`], after which a node starts with an empty cache.
//! Absent on purpose: the secret, which the node derives from its identity.

use std::collections::BTreeSet;

use super::{ADDRESSES_KEPT, ANCHORS_MAX, CachedPeer, Method, NEW_MAX, PeerCache, TRIED_MAX, kept};
use crate::{
    address::{self, ADDRESS_MAX_BYTES, take},
    dial_budget::Backoff,
    ids::PeerId,
};

const MAGIC: &[u8; 4] = b"SWPC";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 32;
const ENTRY_MAX_BYTES: usize = 1 + 32 + 32 + 3 * 8 + 4 + ADDRESSES_KEPT * ADDRESS_MAX_BYTES;

/// Most bytes of a cache; nobody need read more of a file.
pub const CACHE_FILE_MAX_BYTES: usize =
    4 + 1 + 1 + (TRIED_MAX + NEW_MAX) * ENTRY_MAX_BYTES + CHECKSUM_BYTES;

/// Why bytes are no cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerCacheError {
    /// Not written by this program.
    #[error("it is no peer cache")]
    NotACache,
    /// By another version of it.
    #[error("it has version {theirs}, this program reads {VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// Torn or altered.
    #[error("it was cut or altered: its checksum is wrong")]
    Checksum,
    /// Whole, and yet not what this program writes.
    #[error("it holds what no cache holds")]
    Malformed,
}

impl PeerCache {
    /// The cache as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // There are 200 places, so a place and their number fit a byte each.
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[VERSION, self.peers().count() as u8]);
        for (place, known) in self.places.iter().enumerate() {
            let Some(known) = known else { continue };
            bytes.push(place as u8);
            bytes.extend_from_slice(known.peer.as_bytes());
            bytes.extend_from_slice(known.source.as_bytes());
            for number in [known.sequence, known.added_s, known.reached_s] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&[known.failures, known.method as u8, known.is_anchor.into()]);
            bytes.push(known.addresses.len() as u8);
            known.addresses.iter().for_each(|address| address::write(address, &mut bytes));
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads bytes that [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When they are anything else.
    pub fn from_bytes(bytes: &[u8], secret: [u8; 32]) -> Result<Self, PeerCacheError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(PeerCacheError::NotACache) };
        match rest.first() {
            Some(&VERSION) => {}
            Some(&theirs) => return Err(PeerCacheError::Version { theirs }),
            None => return Err(PeerCacheError::Checksum),
        }
        let whole = bytes.split_last_chunk::<CHECKSUM_BYTES>();
        let (fields, checksum) = whole.ok_or(PeerCacheError::Checksum)?;
        if bytes.len() > CACHE_FILE_MAX_BYTES || blake3::hash(fields) != *checksum {
            return Err(PeerCacheError::Checksum);
        }
        let mut cache = Self::new(secret);
        let entries = fields.get(MAGIC.len() + 1..).ok_or(PeerCacheError::Malformed)?;
        cache.read_peers(entries).ok_or(PeerCacheError::Malformed)?;
        Ok(cache)
    }

    fn read_peers(&mut self, mut bytes: &[u8]) -> Option<()> {
        let count = take::<1>(&mut bytes)?[0];
        let (mut next_place, mut peers) = (0, BTreeSet::new());
        for _ in 0..count {
            let place = usize::from(take::<1>(&mut bytes)?[0]);
            let known = read_peer(&mut bytes)?;
            if place < next_place || place >= self.places.len() || !peers.insert(known.peer) {
                return None;
            }
            next_place = place + 1;
            self.places[place] = Some(known);
        }
        let anchors = self.peers().filter(|known| known.is_anchor).count();
        (bytes.is_empty() && anchors <= ANCHORS_MAX).then_some(())
    }
}

fn read_peer(bytes: &mut &[u8]) -> Option<CachedPeer> {
    let (peer, source) = (PeerId(take(bytes)?), PeerId(take(bytes)?));
    let [sequence, added_s, reached_s] = [take(bytes)?, take(bytes)?, take(bytes)?];
    let [failures, method, is_anchor, count] = take(bytes)?;
    let count = usize::from(count);
    if count > ADDRESSES_KEPT || is_anchor > 1 {
        return None;
    }
    let addresses = (0..count).map(|_| address::read(bytes)).collect::<Option<Vec<_>>>()?;
    if addresses.is_empty() || kept(&addresses) != addresses {
        return None;
    }
    Some(CachedPeer {
        peer,
        addresses,
        sequence: u64::from_le_bytes(sequence),
        method: *Method::ALL.get(usize::from(method))?,
        source,
        is_anchor: is_anchor == 1,
        added_s: u64::from_le_bytes(added_s),
        reached_s: u64::from_le_bytes(reached_s),
        failures,
        backoff: Backoff::default(),
    })
}
