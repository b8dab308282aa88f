//! The cache memory of one shard: pages, each one contiguous block with the parts of all layers.
//!
//! Made by `shard`. While layers are loaded, each reserves its part of every page
//! ([`KvArena::reserve`]); then the memory is mapped once ([`KvArena::map`]), zeroed, and taken
//! from the system only where it is touched. A page is copied with one `memcpy`.
//!
//! Units: bytes. Parts begin at multiples of 64, and pages have such a size.
//! Errors: of the system, when it refuses the mapping. Using a part before that panics.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use memmap2::{MmapOptions, MmapRaw};

/// Where parts begin: cache lines.
const ALIGNMENT: usize = 64;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// More than this is a mistake, not a cache: no machine has it.
const MAX_BYTES: u64 = 1 << 42;

/// What a part of so many bytes takes of a page. Sizes beyond all memory stay there, where
/// [`KvArena::map`] refuses them.
pub fn part_bytes(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
}

/// All pages of a shard.
#[derive(Debug)]
pub struct KvArena {
    n_pages: u32,
    reserved: AtomicUsize,
    mapping: OnceLock<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    memory: MmapRaw,
    /// Where page 0 begins.
    start: usize,
    page_bytes: usize,
}

impl KvArena {
    /// An arena of so many pages, which have no parts yet.
    pub fn new(n_pages: u32) -> Self {
        Self { n_pages, reserved: AtomicUsize::new(0), mapping: OnceLock::new() }
    }

    /// How many pages there are.
    pub fn n_pages(&self) -> u32 {
        self.n_pages
    }

    /// What is reserved of every page.
    pub fn page_bytes(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    /// A part of every page. What is reserved after the mapping cannot be used.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> PagePart {
        let add = |reserved: usize| Some(reserved.saturating_add(part_bytes(bytes)));
        let updated = self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let (Ok(start) | Err(start)) = updated;
        PagePart { arena: self.clone(), start, bytes }
    }

    /// Maps the memory of all pages, once.
    pub fn map(&self) -> io::Result<()> {
        let page_bytes = self.page_bytes();
        let bytes = (page_bytes as u64).checked_mul(u64::from(self.n_pages));
        let bytes = bytes.filter(|bytes| *bytes <= MAX_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let size = bytes.checked_add(HUGE_PAGE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        // Not counted against the system's memory before it is used: most of it never is.
        let map = MmapOptions::new().len(size).no_reserve_swap().map_anon()?;
        #[cfg(target_os = "linux")]
        // Only speed is at stake: without huge pages the memory works as well.
        drop(map.advise(memmap2::Advice::HugePage));
        let start = map.as_ptr().align_offset(HUGE_PAGE_BYTES).min(HUGE_PAGE_BYTES);
        let mapping = Mapping { memory: MmapRaw::from(map), start, page_bytes };
        self.mapping.set(mapping).map_err(|_| io::ErrorKind::AlreadyExists.into())
    }

    fn mapping(&self) -> &Mapping {
        self.mapping.get().expect("pages are used after they were mapped")
    }

    /// Where some bytes of a page lie.
    fn at(&self, page: u32, range: Range<usize>) -> *mut u8 {
        let mapping = self.mapping();
        assert!(page < self.n_pages, "page {page} does not exist");
        assert!(range.start <= range.end && range.end <= mapping.page_bytes, "outside of the page");
        let at = mapping.start + page as usize * mapping.page_bytes + range.start;
        // SAFETY: inside of the mapping, which has `n_pages * page_bytes` from `start` on.
        unsafe { mapping.memory.as_mut_ptr().add(at) }
    }

    /// Copies a page over another, all layers' parts at once.
    ///
    /// # Safety
    ///
    /// Nobody writes the one or uses the other meanwhile.
    pub unsafe fn copy_page(&self, from: u32, to: u32) {
        let bytes = self.mapping().page_bytes;
        let (from, to) = (self.at(from, 0..bytes), self.at(to, 0..bytes));
        // SAFETY: two pages, or the same one; the caller's promise.
        unsafe { std::ptr::copy(from, to, bytes) };
    }
}

/// One layer's part of every page.
#[derive(Clone, Debug)]
pub struct PagePart {
    arena: Arc<KvArena>,
    start: usize,
    bytes: usize,
}

impl PagePart {
    /// Where some bytes of this part of a page lie; parts begin at multiples of 64.
    pub fn at(&self, page: u32, range: Range<usize>) -> *mut u8 {
        assert!(range.end <= self.bytes, "outside of the part");
        self.arena.at(page, self.start + range.start..self.start + range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_page_lie_apart_and_are_copied_together() {
        let arena = Arc::new(KvArena::new(3));
        let parts = [1, 100, 64].map(|bytes| arena.reserve(bytes));
        assert_eq!((arena.page_bytes(), arena.n_pages()), (64 + 128 + 64, 3));
        arena.map().unwrap();
        let bytes = |part: &PagePart, page| {
            // SAFETY: the whole part; this thread alone has the arena.
            unsafe { std::slice::from_raw_parts_mut(part.at(page, 0..part.bytes), part.bytes) }
        };
        for page in 0..3 {
            for (i, part) in parts.iter().enumerate() {
                assert!(bytes(part, page).iter().all(|byte| *byte == 0));
                bytes(part, page).fill(10 * page as u8 + i as u8 + 1);
                assert_eq!(part.at(page, 0..0).addr() % ALIGNMENT, 0);
            }
        }
        // SAFETY: nobody else has the arena.
        unsafe { arena.copy_page(2, 0) };
        for (page, tens) in [(0, 20), (1, 10), (2, 20)] {
            for (i, part) in parts.iter().enumerate() {
                assert!(bytes(part, page).iter().all(|byte| *byte == tens + i as u8 + 1));
            }
        }
    }

    #[test]
    fn sizes_that_no_machine_has_are_refused() {
        for (n_pages, sizes) in [(u32::MAX, [1 << 12, 1]), (2, [usize::MAX, usize::MAX])] {
            let arena = Arc::new(KvArena::new(n_pages));
            let _parts = sizes.map(|bytes| arena.reserve(bytes));
            assert_eq!(arena.map().unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
