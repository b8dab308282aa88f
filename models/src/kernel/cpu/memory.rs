//! Memory for weights: large mappings that the system may back with huge pages.
//!
//! Called by `linear` when weights are repacked. Regions are cut one after the other from mappings
//! of at least [`CHUNK_BYTES`], so that small tensors share huge pages too; memory that nobody has
//! written costs nothing. A mapping goes when its last region does.
//! Errors: the system's, when it refuses a mapping.

use std::sync::Arc;

use memmap2::{MmapMut, MmapRaw};

const CHUNK_BYTES: usize = 64 << 20;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Regions start at cache lines, which vector loads then never cross.
const ALIGNMENT: usize = 64;

/// Hands out regions.
#[derive(Debug, Default)]
pub struct Arena {
    chunk: Option<Arc<MmapRaw>>,
    used: usize,
}

/// Zeroed memory of one owner.
#[derive(Debug)]
pub struct Region {
    chunk: Arc<MmapRaw>,
    start: usize,
    length: usize,
}

impl Arena {
    /// A region of this many bytes.
    pub fn take(&mut self, bytes: usize) -> std::io::Result<Region> {
        let fits = |chunk: &MmapRaw| self.used.checked_add(bytes).is_some_and(|n| n <= chunk.len());
        let chunk = match self.chunk.take().filter(|chunk| fits(chunk)) {
            Some(chunk) => chunk,
            None => {
                let size = bytes.max(CHUNK_BYTES).saturating_add(HUGE_PAGE_BYTES);
                let map = MmapMut::map_anon(size)?;
                #[cfg(target_os = "linux")]
                // Only speed is at stake: without huge pages the memory works as well.
                drop(map.advise(memmap2::Advice::HugePage));
                self.used = map.as_ptr().align_offset(HUGE_PAGE_BYTES).min(HUGE_PAGE_BYTES);
                Arc::new(MmapRaw::from(map))
            }
        };
        let region = Region { chunk: chunk.clone(), start: self.used, length: bytes };
        self.used = (self.used + bytes).next_multiple_of(ALIGNMENT);
        self.chunk = Some(chunk);
        Ok(region)
    }
}

impl Region {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range lies in the mapping and belongs to this region alone.
        unsafe { std::slice::from_raw_parts(self.chunk.as_ptr().add(self.start), self.length) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe {
            std::slice::from_raw_parts_mut(self.chunk.as_mut_ptr().add(self.start), self.length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap() {
        let mut arena = Arena::default();
        let sizes = [1, 100, 70 << 20, 3, 64 << 20, 5];
        let mut regions: Vec<Region> = sizes.map(|n| arena.take(n).unwrap()).into();
        for (i, region) in regions.iter_mut().enumerate() {
            let bytes = region.bytes_mut();
            assert_eq!((bytes.len(), bytes[0]), (sizes[i], 0));
            bytes[0] = i as u8 + 1;
            *bytes.last_mut().unwrap() = i as u8 + 1;
        }
        for (i, region) in regions.iter().enumerate() {
            let bytes = region.bytes();
            assert_eq!((bytes[0], *bytes.last().unwrap()), (i as u8 + 1, i as u8 + 1));
            assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
        assert!(arena.take(usize::MAX).is_err());
    }
}
