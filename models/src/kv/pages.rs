//! The pages of one layer.
//!
//! Called by attention through `backend`: [`KvPages::append`] writes a row's keys and values,
//! [`KvPages::load_tile`] brings one page of one head to f32. Layout: see `kv`.
//! Errors: only of the system, when there is no memory; `shard` checks page numbers before.

use memmap2::{MmapMut, MmapRaw};

use super::PAGE_TOKENS;
use crate::kernel::cpu::{
    Level, half_float,
    lanes::{LANES, prefetch},
};

const TOKENS: usize = PAGE_TOKENS as usize;

/// The element type of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats, for comparisons with references.
    F32,
}

impl KvType {
    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Sizes of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Pages.
    pub n_pages: u32,
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvPages {
    shape: KvShape,
    keys: Elements,
    values: Elements,
}

/// Zeroed memory straight from the system: pages that no sequence uses cost nothing.
#[derive(Debug)]
struct Elements {
    kind: KvType,
    memory: MmapRaw,
}

impl Elements {
    fn new(kind: KvType, shape: KvShape) -> std::io::Result<Self> {
        let values = [shape.n_pages as usize, shape.n_kv_heads, shape.head_dim, TOKENS];
        let bytes = values.iter().try_fold(kind.bytes(), |bytes, n| bytes.checked_mul(*n));
        let bytes = bytes.filter(|bytes| *bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { kind, memory: MmapRaw::from(MmapMut::map_anon(bytes.max(1))?) })
    }

    /// Element `at` as `T`, which has the size of an element.
    fn at<T>(&self, at: usize) -> *mut T {
        debug_assert_eq!(size_of::<T>(), self.kind.bytes(), "elements of another type");
        assert!((at + 1) * size_of::<T>() <= self.memory.len(), "outside of the pages");
        // SAFETY: inside of the mapping, which starts at a page of the system.
        unsafe { self.memory.as_mut_ptr().cast::<T>().add(at) }
    }

    fn slice<T>(&self, range: std::ops::Range<usize>) -> &[T] {
        let (first, _) = (self.at::<T>(range.start), self.at::<T>(range.end - 1));
        // SAFETY: first and last element are inside; any bits are a valid u16 or f32.
        unsafe { std::slice::from_raw_parts(first, range.len()) }
    }

    /// # Safety
    ///
    /// Nobody else uses these elements meanwhile.
    unsafe fn write(&self, start: usize, step: usize, row: &[f32]) {
        // SAFETY: the caller's promise; `at` checks the bounds.
        unsafe {
            match self.kind {
                KvType::F16 => {
                    let mut narrow = [0u16; 64];
                    for (c, chunk) in row.chunks(64).enumerate() {
                        let narrow = &mut narrow[..chunk.len()];
                        half_float::narrow(chunk, narrow);
                        for (i, value) in narrow.iter().enumerate() {
                            self.at::<u16>(start + (c * 64 + i) * step).write(*value);
                        }
                    }
                }
                KvType::F32 => {
                    for (i, value) in row.iter().enumerate() {
                        self.at::<f32>(start + i * step).write(*value);
                    }
                }
            }
        }
    }

    fn read(&self, start: usize, to: &mut [f32], level: Level) {
        let range = start..start + to.len();
        match self.kind {
            KvType::F16 => half_float::widen(level, self.slice::<u16>(range), to),
            KvType::F32 => to.copy_from_slice(self.slice::<f32>(range)),
        }
    }
}

impl KvPages {
    /// Empty pages; fails when the system has no such room.
    pub fn new(kind: KvType, shape: KvShape) -> std::io::Result<Self> {
        let (keys, values) = (Elements::new(kind, shape)?, Elements::new(kind, shape)?);
        Ok(Self { shape, keys, values })
    }

    /// The sizes.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    fn head_start(&self, page: u32, head: usize) -> usize {
        (page as usize * self.shape.n_kv_heads + head) * self.shape.head_dim * TOKENS
    }

    /// Writes keys and values, `[n_kv_heads * head_dim]` each, at a slot of a page.
    ///
    /// # Safety
    ///
    /// Nobody else uses this slot meanwhile.
    pub unsafe fn append(&self, page: u32, slot: usize, keys: &[f32], values: &[f32]) {
        assert!(slot < TOKENS, "a page has {TOKENS} slots");
        let head_dim = self.shape.head_dim;
        for head in 0..self.shape.n_kv_heads {
            let start = self.head_start(page, head);
            let part = head * head_dim..(head + 1) * head_dim;
            // SAFETY: the caller's promise.
            unsafe {
                self.keys.write(start + slot, TOKENS, &keys[part.clone()]);
                self.values.write(start + slot * head_dim, 1, &values[part]);
            }
        }
    }

    /// Asks for one head of a page, which is read soon.
    pub fn prefetch_tile(&self, tile: (u32, usize)) {
        for (first, part) in self.addresses(tile).into_iter().zip([&self.keys, &self.values]) {
            let bytes = self.shape.head_dim * TOKENS * part.kind.bytes();
            (0..bytes).step_by(64).for_each(|line| prefetch(first.wrapping_add(line)));
        }
    }

    /// Where keys and values of one head of a page lie, to be asked for early.
    pub fn addresses(&self, (page, head): (u32, usize)) -> [*const u8; 2] {
        let start = self.head_start(page, head);
        [&self.keys, &self.values]
            .map(|part| part.memory.as_ptr().wrapping_add(start * part.kind.bytes()))
    }

    /// One head of a page as it lies there, when it is f16 and rows are whole vectors.
    pub fn tile(&self, (page, head): (u32, usize)) -> Option<[&[u16]; 2]> {
        let head_dim = self.shape.head_dim;
        if self.keys.kind != KvType::F16 || !head_dim.is_multiple_of(LANES) {
            return None;
        }
        let start = self.head_start(page, head);
        let range = start..start + head_dim * TOKENS;
        Some([self.keys.slice(range.clone()), self.values.slice(range)])
    }

    /// Reads one head of a page: keys `[head_dim][TOKENS]`, values `[TOKENS][padded]`.
    pub fn load_tile(
        &self,
        (page, head): (u32, usize),
        keys: &mut [f32],
        values: &mut [f32],
        level: Level,
    ) {
        let start = self.head_start(page, head);
        self.keys.read(start, keys, level);
        let padded = values.len() / TOKENS;
        if padded == self.shape.head_dim {
            self.values.read(start, values, level);
        } else {
            for (slot, row) in values.chunks_exact_mut(padded).enumerate() {
                let at = start + slot * self.shape.head_dim;
                self.values.read(at, &mut row[..self.shape.head_dim], level);
            }
        }
    }
}
