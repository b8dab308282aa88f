//! Nodes sorted by their point, to know what no node knows: who is nearest, who is in a range.

use swarmllm_protocol::kademlia::DhtKey;

/// Number of a node in the world.
pub(crate) type NodeId = u32;

/// See the head of this file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ring {
    points: Vec<(DhtKey, NodeId)>,
}

impl Ring {
    pub(crate) fn new(points: impl Iterator<Item = (DhtKey, NodeId)>) -> Self {
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        Self { points }
    }

    /// Those that share the first `bits` bits with a key.
    pub(crate) fn range(&self, key: &DhtKey, bits: usize) -> &[(DhtKey, NodeId)] {
        let (mut low, mut high) = (*key, *key);
        for (place, (low, high)) in low.0.iter_mut().zip(&mut high.0).enumerate() {
            let kept = bits.saturating_sub(place * 8).min(8);
            let mask = (0xff_u16 << (8 - kept)) as u8;
            *low &= mask;
            *high |= !mask;
        }
        let from = self.points.partition_point(|(point, _)| *point < low);
        let to = self.points.partition_point(|(point, _)| *point <= high);
        &self.points[from..to]
    }

    /// The nearest ones, nearest first.
    pub(crate) fn nearest(&self, key: &DhtKey, count: usize) -> Vec<NodeId> {
        let mut bits = 0;
        while bits < 255 && self.range(key, bits + 1).len() >= count {
            bits += 1;
        }
        let mut near: Vec<_> =
            self.range(key, bits).iter().map(|(point, id)| (point.distance(key), *id)).collect();
        near.sort_unstable();
        near.into_iter().take(count).map(|(_, id)| id).collect()
    }
}

/// A key that shares `bits` bits with this one and differs in the next.
pub(crate) fn sibling(key: &DhtKey, bits: usize) -> DhtKey {
    let mut other = *key;
    other.0[bits / 8] ^= 0x80 >> (bits % 8);
    other
}
