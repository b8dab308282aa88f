//! An allocator that counts: how often it was asked, how much is held and how much was at most.
//!
//! A test makes it its process's `#[global_allocator]`.
#![allow(dead_code, reason = "each test uses some of the counters")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The system's allocator, with counters.
pub(crate) struct CountingAllocator {
    allocations: AtomicUsize,
    live_bytes: AtomicUsize,
    peak_bytes: AtomicUsize,
}

impl CountingAllocator {
    pub(crate) const fn new() -> CountingAllocator {
        CountingAllocator {
            allocations: AtomicUsize::new(0),
            live_bytes: AtomicUsize::new(0),
            peak_bytes: AtomicUsize::new(0),
        }
    }

    /// How often memory was asked for, growth included.
    pub(crate) fn allocations(&self) -> usize {
        self.allocations.load(Relaxed)
    }

    /// The most that was held at once since [`CountingAllocator::restart_peak`].
    pub(crate) fn peak_bytes(&self) -> usize {
        self.peak_bytes.load(Relaxed)
    }

    /// Begins a new peak from what is held now.
    pub(crate) fn restart_peak(&self) {
        self.peak_bytes.store(self.live_bytes.load(Relaxed), Relaxed);
    }

    fn gained(&self, bytes: usize) {
        self.allocations.fetch_add(1, Relaxed);
        let live = self.live_bytes.fetch_add(bytes, Relaxed) + bytes;
        self.peak_bytes.fetch_max(live, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.gained(layout.size());
        // SAFETY: the caller's promise about `layout` is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.gained(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live_bytes.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Both may be held while the content moves.
        self.gained(bytes);
        self.live_bytes.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
