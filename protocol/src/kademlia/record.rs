//! "I hold these layers of this model": a provider's word for it, signed.
//!
//! Made by a node for itself, kept by the nodes near its key, checked by them and by every reader.
//! Layout, little endian: version `u8` | peer 32 | model 32 | first layer `u16` | layer after the
//! last `u16` | capacity class `u8` | sequence `u64` | expiry `u64`, Unix seconds | address count
//! `u8` | addresses (`address.rs`) | Ed25519 signature (64). The signature is over a domain string,
//! the network's name and everything before the signature.
//! A record stands at one key for every [`LAYERS_PER_KEY`] layers that it touches.
//! Units: Unix seconds, layers. Errors: [`RecordError`].
//! Absent on purpose: speed and load. They change by the second, and the provider's session says
//! them.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    address::{self, ADDRESS_MAX_BYTES, take},
    identity::{self, Identity, IdentityError, SIGNATURE_BYTES},
    ids::{LayerRange, ModelId, NetworkId, PeerId},
    kademlia::key::DhtKey,
    limits::{PROVIDER_ADDRESSES_MAX, PROVIDER_RECORD_LIFETIME_MAX_S},
};

/// The layout this program writes and reads.
pub const PROVIDER_RECORD_VERSION: u8 = 1;

/// Most bytes of a record.
pub const PROVIDER_RECORD_MAX_BYTES: usize = 1
    + 32
    + 32
    + 2
    + 2
    + 1
    + 8
    + 8
    + 1
    + PROVIDER_ADDRESSES_MAX * ADDRESS_MAX_BYTES
    + SIGNATURE_BYTES;

/// Layers that share a key: a model of 80 layers has ten keys, a small one has one or two.
pub const LAYERS_PER_KEY: u32 = 8;

const DOMAIN: &str = "swarmllm/1 provider record";
const KEY_CONTEXT: &str = "swarmllm/1 dht provider key";

/// Where the records of providers of these layers stand: one key for every [`LAYERS_PER_KEY`]
/// layers that the range touches.
#[must_use]
pub fn provider_keys(model: &ModelId, layers: LayerRange) -> Vec<DhtKey> {
    let Ok(layers) = LayerRange::new(layers.start, layers.end) else {
        return Vec::new();
    };
    (layers.start / LAYERS_PER_KEY..=(layers.end - 1) / LAYERS_PER_KEY)
        .map(|part| {
            let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
            hasher.update(model.as_bytes()).update(&part.to_le_bytes());
            DhtKey(*hasher.finalize().as_bytes())
        })
        .collect()
}

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Bytes that are no record.
    #[error("a provider record of {length} bytes that is none")]
    Malformed {
        /// Bytes there are.
        length: usize,
    },
    /// A record of another layout.
    #[error("provider record version {theirs}, this program reads {PROVIDER_RECORD_VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// No layers, an address nobody can dial, or too many of them.
    #[error("a provider record needs layers, and up to {PROVIDER_ADDRESSES_MAX} usable addresses")]
    Fields,
    /// Past its time.
    #[error("a provider record that expired {ago_s} s ago")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
    /// Good for longer than a record may be.
    #[error("a provider record good for more than {PROVIDER_RECORD_LIFETIME_MAX_S} s")]
    TooLong,
    /// Not by the node it names.
    #[error("a provider record that its node did not sign: {0}")]
    Forged(#[from] IdentityError),
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFacts {
    /// Who.
    pub peer: PeerId,
    /// Of which model.
    pub model: ModelId,
    /// Which layers.
    pub layers: LayerRange,
    /// How much it can do, by classes of a factor of two; 0 says nothing.
    pub capacity_class: u8,
    /// Of two records of one peer the one with the larger number counts.
    pub sequence: u64,
    /// Until when, Unix seconds.
    pub expires_at_unix_s: u64,
    /// Where it may be reached, best first; may be empty, its peer id can be looked up.
    pub addresses: Vec<SocketAddr>,
}

/// A record whose signature holds, with the bytes that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    facts: ProviderFacts,
    bytes: Bytes,
}

impl ProviderRecord {
    /// This node's own record.
    ///
    /// # Errors
    /// When there are no layers, or an address could not be dialled, or there are too many.
    pub fn sign(
        identity: &Identity,
        network: &NetworkId,
        facts: ProviderFacts,
    ) -> Result<Self, RecordError> {
        check_fields(&facts)?;
        let facts = ProviderFacts { peer: identity.peer_id(), ..facts };
        let mut bytes = fields(&facts);
        let signature = identity.sign(DOMAIN, &[network.as_str().as_bytes(), &bytes]);
        bytes.extend_from_slice(&signature);
        Ok(Self { facts, bytes: bytes.into() })
    }

    /// Reads a record and checks its signature and time.
    ///
    /// # Errors
    /// When it is no record, not signed by its node, or not good at `now_unix_s`.
    pub fn read(bytes: &Bytes, network: &NetworkId, now_unix_s: u64) -> Result<Self, RecordError> {
        let malformed = || RecordError::Malformed { length: bytes.len() };
        if bytes.len() > PROVIDER_RECORD_MAX_BYTES {
            return Err(malformed());
        }
        let (signed, signature) =
            bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or_else(malformed)?;
        match signed.first() {
            Some(&PROVIDER_RECORD_VERSION) => {}
            Some(&theirs) => return Err(RecordError::Version { theirs }),
            None => return Err(malformed()),
        }
        let facts = read_fields(signed).ok_or_else(malformed)?;
        check_fields(&facts)?;
        if facts.expires_at_unix_s <= now_unix_s {
            let ago_s = now_unix_s - facts.expires_at_unix_s;
            return Err(RecordError::Expired { ago_s });
        }
        if facts.expires_at_unix_s - now_unix_s > PROVIDER_RECORD_LIFETIME_MAX_S {
            return Err(RecordError::TooLong);
        }
        let signed = [network.as_str().as_bytes(), signed];
        identity::verify(&facts.peer, DOMAIN, &signed, signature)?;
        Ok(Self { facts, bytes: bytes.clone() })
    }

    /// What it says.
    #[must_use]
    pub fn facts(&self) -> &ProviderFacts {
        &self.facts
    }

    /// Who provides.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.facts.peer
    }

    /// Where it stands.
    #[must_use]
    pub fn keys(&self) -> Vec<DhtKey> {
        provider_keys(&self.facts.model, self.facts.layers)
    }

    /// Whether this is one of its keys.
    #[must_use]
    pub fn stands_at(&self, key: &DhtKey) -> bool {
        self.keys().contains(key)
    }

    /// The record as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

fn check_fields(facts: &ProviderFacts) -> Result<(), RecordError> {
    let has_layers = LayerRange::new(facts.layers.start, facts.layers.end).is_ok();
    let has_room = facts.addresses.len() <= PROVIDER_ADDRESSES_MAX;
    if !has_layers || !has_room || !facts.addresses.iter().all(address::is_dialable) {
        return Err(RecordError::Fields);
    }
    Ok(())
}

/// Everything before the signature.
fn fields(facts: &ProviderFacts) -> Vec<u8> {
    let mut bytes = vec![PROVIDER_RECORD_VERSION];
    bytes.extend_from_slice(facts.peer.as_bytes());
    bytes.extend_from_slice(facts.model.as_bytes());
    // Layers are at most LAYERS_MAX by the check before, addresses PROVIDER_ADDRESSES_MAX.
    bytes.extend_from_slice(&(facts.layers.start as u16).to_le_bytes());
    bytes.extend_from_slice(&(facts.layers.end as u16).to_le_bytes());
    bytes.push(facts.capacity_class);
    bytes.extend_from_slice(&facts.sequence.to_le_bytes());
    bytes.extend_from_slice(&facts.expires_at_unix_s.to_le_bytes());
    bytes.push(facts.addresses.len() as u8);
    for address in &facts.addresses {
        address::write(address, &mut bytes);
    }
    bytes
}

fn read_fields(mut bytes: &[u8]) -> Option<ProviderFacts> {
    take::<1>(&mut bytes)?;
    let peer = PeerId(take(&mut bytes)?);
    let model = ModelId(take(&mut bytes)?);
    let start = u32::from(u16::from_le_bytes(take(&mut bytes)?));
    let end = u32::from(u16::from_le_bytes(take(&mut bytes)?));
    let capacity_class = take::<1>(&mut bytes)?[0];
    let sequence = u64::from_le_bytes(take(&mut bytes)?);
    let expires_at_unix_s = u64::from_le_bytes(take(&mut bytes)?);
    let count = usize::from(take::<1>(&mut bytes)?[0]);
    if count > PROVIDER_ADDRESSES_MAX {
        return None;
    }
    let addresses = (0..count).map(|_| address::read(&mut bytes)).collect::<Option<Vec<_>>>()?;
    let layers = LayerRange { start, end };
    let facts = ProviderFacts {
        peer,
        model,
        layers,
        capacity_class,
        sequence,
        expires_at_unix_s,
        addresses,
    };
    bytes.is_empty().then_some(facts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn identity() -> Identity {
        Identity::from_seed([9; 32])
    }

    fn facts() -> ProviderFacts {
        ProviderFacts {
            peer: identity().peer_id(),
            model: ModelId([3; 32]),
            layers: LayerRange { start: 4, end: 20 },
            capacity_class: 2,
            sequence: 7,
            expires_at_unix_s: NOW + 1_800,
            addresses: vec!["192.0.2.7:4001".parse().expect("an address")],
        }
    }

    fn signed(facts: ProviderFacts) -> Result<ProviderRecord, RecordError> {
        ProviderRecord::sign(&identity(), &NetworkId::default(), facts)
    }

    #[test]
    fn a_record_reads_back_in_its_own_network_and_time() {
        let record = signed(facts()).expect("signs");
        let (bytes, network) = (record.as_bytes(), NetworkId::default());
        assert_eq!(ProviderRecord::read(bytes, &network, NOW), Ok(record.clone()));
        let other = NetworkId::new("other").expect("a name");
        let forged = ProviderRecord::read(bytes, &other, NOW);
        assert!(matches!(forged, Err(RecordError::Forged(_))), "{forged:?}");
        let late = ProviderRecord::read(bytes, &network, NOW + 1_805);
        assert_eq!(late, Err(RecordError::Expired { ago_s: 5 }));
        let early = ProviderRecord::read(bytes, &network, NOW - 7_200);
        assert_eq!(early, Err(RecordError::TooLong));
    }

    #[test]
    fn providers_of_the_same_layers_share_a_key() {
        let record = signed(facts()).expect("signs");
        assert_eq!(record.keys().len(), 3, "layers 4..20 touch 0..8, 8..16 and 16..24");
        let wanted = provider_keys(&ModelId([3; 32]), LayerRange { start: 8, end: 16 });
        assert_eq!(wanted.len(), 1);
        assert!(record.stands_at(&wanted[0]));
        let other = provider_keys(&ModelId([4; 32]), LayerRange { start: 8, end: 16 });
        assert!(!record.stands_at(&other[0]));
        assert!(provider_keys(&ModelId([3; 32]), LayerRange { start: 8, end: 8 }).is_empty());
    }

    #[test]
    fn no_layers_and_useless_addresses_are_refused() {
        let empty = ProviderFacts { layers: LayerRange { start: 4, end: 4 }, ..facts() };
        assert_eq!(signed(empty), Err(RecordError::Fields));
        let addresses = vec!["0.0.0.0:1".parse().expect("an address")];
        assert_eq!(signed(ProviderFacts { addresses, ..facts() }), Err(RecordError::Fields));
    }

    #[test]
    fn the_longest_record_is_within_its_bound() {
        let longest = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
        let addresses = vec![longest; PROVIDER_ADDRESSES_MAX];
        let record = signed(ProviderFacts { addresses, ..facts() }).expect("signs");
        assert_eq!(record.as_bytes().len(), PROVIDER_RECORD_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(place in 0_usize..400, bits in 1_u8..) {
            let record = signed(facts()).expect("signs");
            let mut bytes = record.as_bytes().to_vec();
            let place = place % bytes.len();
            bytes[place] ^= bits;
            prop_assert!(ProviderRecord::read(&bytes.into(), &NetworkId::default(), NOW).is_err());
        }

        #[test]
        fn fields_from_anyone_read_as_they_would_be_written(
            bytes in proptest::collection::vec(any::<u8>(), 0..260)
        ) {
            let _ = ProviderRecord::read(&bytes.clone().into(), &NetworkId::default(), NOW);
            if let Some(facts) = read_fields(&bytes)
                && check_fields(&facts).is_ok()
            {
                prop_assert_eq!(&fields(&facts)[1..], &bytes[1..]);
            }
        }
    }
}
