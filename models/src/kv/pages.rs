//! The pages of one layer.
//!
//! Called by attention through `backend`: [`KvPages::append`] writes a row's keys and values,
//! [`KvPages::load_tile`] brings one page of one head to f32. Layout: see `kv`.
//! Errors: only of the system, when there is no memory; `shard` checks page numbers before.

use memmap2::MmapMut;

use super::PAGE_TOKENS;
use crate::kernel::cpu::{Level, half_float};

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
    memory: MmapMut,
}

impl Elements {
    fn new(kind: KvType, shape: KvShape) -> std::io::Result<Self> {
        let values = [shape.n_pages as usize, shape.n_kv_heads, shape.head_dim, TOKENS];
        let bytes = values.iter().try_fold(kind.bytes(), |bytes, n| bytes.checked_mul(*n));
        let bytes = bytes.filter(|bytes| *bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { kind, memory: MmapMut::map_anon(bytes.max(1))? })
    }

    fn f16(&self) -> &[u16] {
        // SAFETY: the mapping starts at a page, so it is aligned; any bits are a valid u16.
        unsafe { self.memory.align_to::<u16>().1 }
    }

    fn f16_mut(&mut self) -> &mut [u16] {
        // SAFETY: as above.
        unsafe { self.memory.align_to_mut::<u16>().1 }
    }

    fn f32(&self) -> &[f32] {
        // SAFETY: as above, any bits are a valid f32.
        unsafe { self.memory.align_to::<f32>().1 }
    }

    fn f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { self.memory.align_to_mut::<f32>().1 }
    }

    fn write(&mut self, start: usize, step: usize, row: &[f32]) {
        match self.kind {
            KvType::F16 => {
                let all = self.f16_mut();
                let mut narrow = [0u16; 64];
                for (c, chunk) in row.chunks(64).enumerate() {
                    let narrow = &mut narrow[..chunk.len()];
                    half_float::narrow(chunk, narrow);
                    for (i, value) in narrow.iter().enumerate() {
                        all[start + (c * 64 + i) * step] = *value;
                    }
                }
            }
            KvType::F32 => {
                let all = self.f32_mut();
                for (i, value) in row.iter().enumerate() {
                    all[start + i * step] = *value;
                }
            }
        }
    }

    fn read(&self, start: usize, to: &mut [f32], level: Level) {
        let range = start..start + to.len();
        match self.kind {
            KvType::F16 => half_float::widen(level, &self.f16()[range], to),
            KvType::F32 => to.copy_from_slice(&self.f32()[range]),
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
    pub fn append(&mut self, page: u32, slot: usize, keys: &[f32], values: &[f32]) {
        let head_dim = self.shape.head_dim;
        for head in 0..self.shape.n_kv_heads {
            let start = self.head_start(page, head);
            let part = head * head_dim..(head + 1) * head_dim;
            self.keys.write(start + slot, TOKENS, &keys[part.clone()]);
            self.values.write(start + slot * head_dim, 1, &values[part]);
        }
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
