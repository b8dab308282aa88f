//! What a node says of itself, signed: who it is and where it can be reached.
//!
//! Made by a node for itself; passed on by peer exchange, kept by the peer cache and found through
//! the DHT, since nobody can alter it on the way.
//! Layout: version `u8` | peer 32 | sequence `u64` LE | expiry `u64` LE, Unix seconds | flags `u8`
//! (bit 0: others can open connections to it) | address count `u8` | addresses ([`address`]) |
//! Ed25519 signature (64). The signature is over a domain string, the network's name and everything
//! before the signature, so a record of one network means nothing in another.
//! Units: Unix seconds. Errors: [`NodeRecordError`].
//! Absent on purpose: what the node computes. That changes often, and its own session says it.

use std::net::SocketAddr;

use crate::{
    address::{self, ADDRESS_MAX_BYTES, take},
    identity::{self, Identity, IdentityError, SIGNATURE_BYTES},
    ids::{NetworkId, PeerId},
    limits::{ADDRESSES_MAX, NODE_RECORD_LIFETIME_MAX_S},
};

/// The layout this program writes and reads.
pub const NODE_RECORD_VERSION: u8 = 1;

/// Most bytes of a record.
pub const NODE_RECORD_MAX_BYTES: usize =
    1 + 32 + 8 + 8 + 1 + 1 + ADDRESSES_MAX * ADDRESS_MAX_BYTES + SIGNATURE_BYTES;

const DOMAIN: &str = "swarmllm/1 node record";
const REACHABLE: u8 = 1;

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeRecordError {
    /// Bytes that are no record.
    #[error("a node record of {length} bytes that is none")]
    Malformed {
        /// Bytes there are.
        length: usize,
    },
    /// A record of another layout.
    #[error("node record version {theirs}, this program reads {NODE_RECORD_VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// An address nobody can dial, too many, or none where others should connect.
    #[error("a node record needs up to {ADDRESSES_MAX} addresses that others can dial")]
    Addresses,
    /// Past its time.
    #[error("a node record that expired {ago_s} s ago")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
    /// Good for longer than a record may be.
    #[error("a node record good for more than {NODE_RECORD_LIFETIME_MAX_S} s")]
    TooLong,
    /// Not by the node it names.
    #[error("a node record that its node did not sign: {0}")]
    Forged(#[from] IdentityError),
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Who.
    pub peer: PeerId,
    /// Of two records of one node the one with the larger number counts.
    pub sequence: u64,
    /// Until when, Unix seconds.
    pub expires_at_unix_s: u64,
    /// Whether others can open connections to it; else it only opens its own.
    pub is_reachable: bool,
    /// Where, best first.
    pub addresses: Vec<SocketAddr>,
}

/// A record whose signature holds, with the bytes that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    facts: NodeFacts,
    bytes: Vec<u8>,
}

impl NodeRecord {
    /// This node's own record.
    ///
    /// # Errors
    /// When an address could not be dialled or there are too many.
    pub fn sign(
        identity: &Identity,
        network: &NetworkId,
        facts: NodeFacts,
    ) -> Result<Self, NodeRecordError> {
        check_addresses(&facts)?;
        let facts = NodeFacts { peer: identity.peer_id(), ..facts };
        let mut bytes = fields(&facts);
        let signature = identity.sign(DOMAIN, &[network.as_str().as_bytes(), &bytes]);
        bytes.extend_from_slice(&signature);
        Ok(Self { facts, bytes })
    }

    /// Reads a record and checks its signature and time.
    ///
    /// # Errors
    /// When it is no record, not signed by its node, or not good at `now_unix_s`.
    pub fn read(
        bytes: &[u8],
        network: &NetworkId,
        now_unix_s: u64,
    ) -> Result<Self, NodeRecordError> {
        let malformed = || NodeRecordError::Malformed { length: bytes.len() };
        if bytes.len() > NODE_RECORD_MAX_BYTES {
            return Err(malformed());
        }
        let (signed, signature) =
            bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or_else(malformed)?;
        match signed.first() {
            Some(&NODE_RECORD_VERSION) => {}
            Some(&theirs) => return Err(NodeRecordError::Version { theirs }),
            None => return Err(malformed()),
        }
        let facts = read_fields(signed).ok_or_else(malformed)?;
        check_addresses(&facts)?;
        if facts.expires_at_unix_s <= now_unix_s {
            let ago_s = now_unix_s - facts.expires_at_unix_s;
            return Err(NodeRecordError::Expired { ago_s });
        }
        if facts.expires_at_unix_s - now_unix_s > NODE_RECORD_LIFETIME_MAX_S {
            return Err(NodeRecordError::TooLong);
        }
        let signed = [network.as_str().as_bytes(), signed];
        identity::verify(&facts.peer, DOMAIN, &signed, signature)?;
        Ok(Self { facts, bytes: bytes.to_vec() })
    }

    /// What it says.
    #[must_use]
    pub fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    /// Who it is of.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.facts.peer
    }

    /// The record as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn check_addresses(facts: &NodeFacts) -> Result<(), NodeRecordError> {
    let count = facts.addresses.len();
    let is_needed = facts.is_reachable && count == 0;
    if is_needed || count > ADDRESSES_MAX || !facts.addresses.iter().all(address::is_dialable) {
        return Err(NodeRecordError::Addresses);
    }
    Ok(())
}

/// Everything before the signature.
fn fields(facts: &NodeFacts) -> Vec<u8> {
    let mut bytes = vec![NODE_RECORD_VERSION];
    bytes.extend_from_slice(facts.peer.as_bytes());
    bytes.extend_from_slice(&facts.sequence.to_le_bytes());
    bytes.extend_from_slice(&facts.expires_at_unix_s.to_le_bytes());
    bytes.push(if facts.is_reachable { REACHABLE } else { 0 });
    // At most ADDRESSES_MAX by the check before.
    bytes.push(facts.addresses.len() as u8);
    for address in &facts.addresses {
        address::write(address, &mut bytes);
    }
    bytes
}

fn read_fields(mut bytes: &[u8]) -> Option<NodeFacts> {
    take::<1>(&mut bytes)?;
    let peer = PeerId(take(&mut bytes)?);
    let sequence = u64::from_le_bytes(take(&mut bytes)?);
    let expires_at_unix_s = u64::from_le_bytes(take(&mut bytes)?);
    let is_reachable = match take::<1>(&mut bytes)?[0] {
        0 => false,
        REACHABLE => true,
        _ => return None,
    };
    let count = usize::from(take::<1>(&mut bytes)?[0]);
    if count > ADDRESSES_MAX {
        return None;
    }
    let addresses = (0..count).map(|_| address::read(&mut bytes)).collect::<Option<Vec<_>>>()?;
    let facts = NodeFacts { peer, sequence, expires_at_unix_s, is_reachable, addresses };
    bytes.is_empty().then_some(facts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn facts() -> NodeFacts {
        let addresses = ["192.0.2.7:4001", "[2001:db8::1]:4001"];
        NodeFacts {
            peer: identity().peer_id(),
            sequence: 7,
            expires_at_unix_s: NOW + 3600,
            is_reachable: true,
            addresses: addresses.map(|text| text.parse().expect("address")).to_vec(),
        }
    }

    fn identity() -> Identity {
        Identity::from_seed([9; 32])
    }

    fn network() -> NetworkId {
        NetworkId::default()
    }

    #[test]
    fn a_record_reads_back_in_its_own_network_and_time() {
        let record = NodeRecord::sign(&identity(), &network(), facts()).expect("signs");
        let bytes = record.as_bytes();
        assert_eq!(NodeRecord::read(bytes, &network(), NOW), Ok(record.clone()));
        let other = NetworkId::new("other").expect("a name");
        let forged = NodeRecord::read(bytes, &other, NOW);
        assert!(matches!(forged, Err(NodeRecordError::Forged(_))), "{forged:?}");
        let late = NodeRecord::read(bytes, &network(), NOW + 3605);
        assert_eq!(late, Err(NodeRecordError::Expired { ago_s: 5 }));
        let early = NodeRecord::read(bytes, &network(), NOW - 2 * NODE_RECORD_LIFETIME_MAX_S);
        assert_eq!(early, Err(NodeRecordError::TooLong));
    }

    #[test]
    fn nobody_is_sent_to_an_address_that_is_none() {
        for useless in ["0.0.0.0:4001", "192.0.2.7:0", "224.0.0.1:1"] {
            let addresses = vec![useless.parse().expect("address")];
            let made =
                NodeRecord::sign(&identity(), &network(), NodeFacts { addresses, ..facts() });
            assert_eq!(made, Err(NodeRecordError::Addresses), "{useless}");
        }
        let none = NodeFacts { addresses: Vec::new(), ..facts() };
        let made = NodeRecord::sign(&identity(), &network(), none);
        assert_eq!(made, Err(NodeRecordError::Addresses));
    }

    #[test]
    fn the_longest_record_is_within_its_bound() {
        let longest = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let addresses = vec![longest.parse().expect("address"); ADDRESSES_MAX];
        let record = NodeRecord::sign(&identity(), &network(), NodeFacts { addresses, ..facts() });
        assert_eq!(record.expect("signs").as_bytes().len(), NODE_RECORD_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(place in 0_usize..400, bits in 1_u8..) {
            let record = NodeRecord::sign(&identity(), &network(), facts()).expect("signs");
            let mut bytes = record.as_bytes().to_vec();
            let place = place % bytes.len();
            bytes[place] ^= bits;
            prop_assert!(NodeRecord::read(&bytes, &network(), NOW).is_err());
        }

        #[test]
        fn fields_from_anyone_read_as_they_would_be_written(
            bytes in proptest::collection::vec(any::<u8>(), 0..260)
        ) {
            let _ = NodeRecord::read(&bytes, &network(), NOW);
            if let Some(facts) = read_fields(&bytes) {
                prop_assert_eq!(&fields(&facts)[1..], &bytes[1..]);
            }
        }
    }
}
