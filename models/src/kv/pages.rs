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
    /// Values of a key per head.
    pub key_dim: usize,
    /// Values of a value per head.
    pub value_dim: usize,
    /// Whether values are the keys' first numbers, and not kept themselves.
    pub is_latent: bool,
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvPages {
    shape: KvShape,
    keys: Elements,
    values: Option<Elements>,
}

/// Zeroed memory straight from the system: pages that no sequence uses cost nothing.
#[derive(Debug)]
struct Elements {
    kind: KvType,
    memory: MmapRaw,
}

impl Elements {
    fn new(kind: KvType, shape: KvShape, head_dim: usize) -> std::io::Result<Self> {
        let values = [shape.n_pages as usize, shape.n_kv_heads, head_dim, TOKENS];
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
        let keys = Elements::new(kind, shape, shape.key_dim)?;
        let values = match shape.is_latent {
            true => None,
            false => Some(Elements::new(kind, shape, shape.value_dim)?),
        };
        Ok(Self { shape, keys, values })
    }

    /// The sizes.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// Which tile, in the order of memory, is a page's part of a head.
    fn tile_index(&self, (page, head): (u32, usize)) -> usize {
        page as usize * self.shape.n_kv_heads + head
    }

    /// Writes keys `[n_kv_heads * key_dim]` and values `[n_kv_heads * value_dim]` (latent pages
    /// ignore them) at a slot of a page.
    ///
    /// # Safety
    ///
    /// Nobody else uses this slot meanwhile.
    pub unsafe fn append(&self, page: u32, slot: usize, keys: &[f32], values: &[f32]) {
        assert!(slot < TOKENS, "a page has {TOKENS} slots");
        let KvShape { n_kv_heads, key_dim, value_dim, .. } = self.shape;
        for head in 0..n_kv_heads {
            let tile = self.tile_index((page, head)) * TOKENS;
            let keys = &keys[head * key_dim..(head + 1) * key_dim];
            // SAFETY: the caller's promise.
            unsafe { self.keys.write(tile * key_dim + slot, TOKENS, keys) };
            if let Some(elements) = &self.values {
                let values = &values[head * value_dim..(head + 1) * value_dim];
                // SAFETY: as above.
                unsafe { elements.write((tile + slot) * value_dim, 1, values) };
            }
        }
    }

    /// Asks for one head of a page, which is read soon.
    pub fn prefetch_tile(&self, tile: (u32, usize)) {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        let [keys, values] = self.addresses(tile);
        let ask = |first: *const u8, head_dim: usize, elements: &Elements| {
            let bytes = head_dim * TOKENS * elements.kind.bytes();
            (0..bytes).step_by(64).for_each(|line| prefetch(first.wrapping_add(line)));
        };
        ask(keys, key_dim, &self.keys);
        if let Some(elements) = &self.values {
            ask(values, value_dim, elements);
        }
    }

    /// Where keys and values of one head of a page lie, to be asked for early.
    pub fn addresses(&self, tile: (u32, usize)) -> [*const u8; 2] {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        let index = self.tile_index(tile) * TOKENS;
        let address = |elements: &Elements, head_dim: usize| -> *const u8 {
            let bytes = index * head_dim * elements.kind.bytes();
            elements.memory.as_ptr().wrapping_add(bytes)
        };
        let keys = address(&self.keys, key_dim);
        [keys, self.values.as_ref().map_or(keys, |values| address(values, value_dim))]
    }

    /// One head of a page as it lies there, when it is f16 and rows are whole vectors.
    pub fn tile(&self, tile: (u32, usize)) -> Option<[&[u16]; 2]> {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        let values = self.values.as_ref()?;
        if self.keys.kind != KvType::F16 || !value_dim.is_multiple_of(LANES) {
            return None;
        }
        let index = self.tile_index(tile) * TOKENS;
        let range = |head_dim: usize| index * head_dim..(index + TOKENS) * head_dim;
        Some([self.keys.slice(range(key_dim)), values.slice(range(value_dim))])
    }

    /// Reads one head of a page: keys `[key_dim][TOKENS]`, values `[TOKENS][padded]`.
    pub fn load_tile(
        &self,
        tile: (u32, usize),
        keys: &mut [f32],
        values: &mut [f32],
        level: Level,
    ) {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        let index = self.tile_index(tile) * TOKENS;
        self.keys.read(index * key_dim, keys, level);
        let padded = values.len() / TOKENS;
        if let Some(elements) = self.values.as_ref().filter(|_| padded == value_dim) {
            return elements.read(index * value_dim, values, level);
        }
        for (slot, row) in values.chunks_exact_mut(padded).enumerate() {
            let row = &mut row[..value_dim];
            match &self.values {
                Some(elements) => elements.read((index + slot) * value_dim, row, level),
                None => {
                    for (value, keys) in row.iter_mut().zip(keys.chunks_exact(TOKENS)) {
                        *value = keys[slot];
                    }
                }
            }
        }
    }
}
