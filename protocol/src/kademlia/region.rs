//! How large "near a key" is: the distance within which about twenty nodes stand.
//!
//! A record is stored with everybody in its region and looked for anywhere in it, so that nodes
//! ground to stand nearest to the key hide nothing: they are few among many or the region holds all
//! of them and the others too. Points are hashes, so one region is as populated as another, and
//! what is seen elsewhere tells how large one must be.
//! Units: the 64 most significant bits of a distance. Errors: none.
//! Source: region-based storage of 2025's SR-DHT-Store; the estimate is ours.

use std::collections::VecDeque;

/// Lookups remembered.
const SAMPLES_MAX: usize = 15;

/// An estimate from several places of the key space.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    samples: VecDeque<u64>,
}

impl Region {
    /// A lookup ended with this distance to the last of a bucket of nearest nodes.
    pub(crate) fn learn(&mut self, distance: u64) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(distance);
    }

    /// The radius, given the same distance around this node itself; everything where fewer nodes
    /// than a bucket are known. The median, so that one crowded place misleads nobody.
    pub(crate) fn radius(&self, around_self: Option<u64>) -> u64 {
        let Some(around_self) = around_self else { return u64::MAX };
        let mut all: Vec<u64> = self.samples.iter().copied().chain([around_self]).collect();
        all.sort_unstable();
        // Of an even number the larger one of the middle: asking one too many costs little.
        all[all.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_crowded_place_does_not_shrink_the_region() {
        let mut region = Region::default();
        assert_eq!(region.radius(None), u64::MAX);
        assert_eq!(region.radius(Some(100)), 100);
        for distance in [1, 110, 90, 105] {
            region.learn(distance);
        }
        assert_eq!(region.radius(Some(100)), 100);
        for _ in 0..SAMPLES_MAX {
            region.learn(50);
        }
        assert_eq!(region.radius(Some(100)), 50);
    }
}
