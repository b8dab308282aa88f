//! Points of the key space and how far apart they are.
//!
//! Used by every part of this folder. A node's point is a hash of its peer id, so nobody chooses
//! it freely; a record's point is a hash of what the record is about.
//! Layout: 32 bytes, most significant first. Distance is the exclusive or of two points, read as a
//! number (Maymounkov and Mazieres 2002). Units: bits. Errors: none.
//! Absent on purpose: addresses; a point says nothing of where its node is.

use std::fmt;

use crate::ids::PeerId;

const NODE_CONTEXT: &str = "swarmllm/1 dht node key";

/// A point of the key space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhtKey(pub [u8; 32]);

impl DhtKey {
    /// Where a node stands.
    #[must_use]
    pub fn of_peer(peer: &PeerId) -> Self {
        Self(blake3::derive_key(NODE_CONTEXT, peer.as_bytes()))
    }

    /// How far two points are apart.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut bytes = [0; 32];
        for (out, (ours, theirs)) in bytes.iter_mut().zip(self.0.iter().zip(other.0)) {
            *out = ours ^ theirs;
        }
        Distance(bytes)
    }
}

impl fmt::Debug for DhtKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DhtKey({})", data_encoding::HEXLOWER.encode(&self.0[..6]))
    }
}

/// How far two points are apart. Smaller is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 32]);

impl Distance {
    /// Bits that both points begin with; 256 for a point and itself.
    #[must_use]
    pub fn common_bits(&self) -> u16 {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        // At most 32 bytes of 8 bits.
        let bits = zeros * 8 + self.0.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
        bits as u16
    }

    /// The 64 most significant bits, as precise as an estimate of a region needs.
    #[must_use]
    pub fn high(&self) -> u64 {
        let mut high = [0; 8];
        high.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(high)
    }
}

/// Which bucket of a table a point belongs to: the number of bits that it shares with the table's
/// own point, and below that the `split_bits - 1` bits that follow the first different one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketIndex(pub u16);

impl BucketIndex {
    /// The bucket of a point this far away; `None` for the table's own point.
    #[must_use]
    pub fn of(distance: &Distance, split_bits: u8) -> Option<Self> {
        let common = distance.common_bits();
        if common >= 256 {
            return None;
        }
        let below = u16::from(split_bits.clamp(1, 5) - 1);
        let following = (0..below).fold(0, |bits, step| {
            let place = usize::from(common + 1 + step);
            let byte = distance.0.get(place / 8).copied().unwrap_or(0);
            (bits << 1) | u16::from((byte >> (7 - place % 8)) & 1)
        });
        Some(Self((common << below) | following))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_named_by_the_first_bits_that_differ() {
        let own = DhtKey([0; 32]);
        let mut other = [0; 32];
        other[1] = 0b0001_0110;
        let distance = own.distance(&DhtKey(other));
        assert_eq!(distance.common_bits(), 11);
        assert_eq!(BucketIndex::of(&distance, 1), Some(BucketIndex(11)));
        assert_eq!(BucketIndex::of(&distance, 3), Some(BucketIndex((11 << 2) | 0b01)));
        assert_eq!(BucketIndex::of(&own.distance(&own), 1), None);
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let (a, b, c) = (DhtKey(a), DhtKey(b), DhtKey(c));
            prop_assert_eq!(a.distance(&b), b.distance(&a));
            prop_assert_eq!(a.distance(&b).common_bits() == 256, a == b);
            // Exclusive or obeys more than the triangle inequality: the two nearer ones of three
            // points share at least as many bits as either shares with the third.
            let bits = a.distance(&c).common_bits();
            prop_assert!(bits >= a.distance(&b).common_bits().min(b.distance(&c).common_bits()));
        }
    }
}
