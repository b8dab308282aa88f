//! The keys and values of one layer: its part of every page of the arena.
//!
//! Called by attention through `backend`: [`KvPages::append`] writes a row's keys and values,
//! [`KvPages::load_tile`] brings one page of one head to f32. Layout: see `kv`.
//! Errors: none; `shard` checks page numbers before.

use std::sync::Arc;

use super::{
    arena::{KvArena, PagePart},
    elements::{Elements, KvType, Order, TOKENS},
};
use crate::{
    config::ModelConfig,
    kernel::cpu::{
        Level,
        lanes::{LANES, prefetch},
    },
};

/// Sizes of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Values of a key per head.
    pub key_dim: usize,
    /// Values of a value per head.
    pub value_dim: usize,
    /// Whether values are the keys' first numbers, and not kept themselves.
    pub is_latent: bool,
}

impl KvShape {
    /// That of a model whose layers all have attention.
    pub fn of(config: &ModelConfig) -> Self {
        Self {
            n_kv_heads: config.n_kv_heads as usize,
            key_dim: config.head_dim as usize,
            value_dim: config.value_dim as usize,
            is_latent: config.latent.is_some(),
        }
    }

    fn elements(&self, kind: KvType) -> (Elements, Option<Elements>) {
        let keys = Elements { kind, order: Order::Keys, dim: self.key_dim };
        let values = Elements { kind, order: Order::Values, dim: self.value_dim };
        (keys, (!self.is_latent).then_some(values))
    }

    /// Bytes of a page.
    pub fn page_bytes(&self, kind: KvType) -> usize {
        let (keys, values) = self.elements(kind);
        let head = keys.bytes().saturating_add(values.map_or(0, Elements::bytes));
        head.saturating_mul(self.n_kv_heads)
    }
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvPages {
    shape: KvShape,
    part: PagePart,
    keys: Elements,
    values: Option<Elements>,
    /// Bytes of a head's keys, and of its keys and values.
    key_bytes: usize,
    head_bytes: usize,
}

impl KvPages {
    /// A layer's part of the pages, which it reserves.
    pub fn new(arena: &Arc<KvArena>, kind: KvType, shape: KvShape) -> Self {
        let (keys, values) = shape.elements(kind);
        let key_bytes = keys.bytes();
        let head_bytes = key_bytes.saturating_add(values.map_or(0, Elements::bytes));
        let part = arena.reserve(shape.page_bytes(kind));
        Self { shape, part, keys, values, key_bytes, head_bytes }
    }

    /// The sizes.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// Where one head of a page lies: its keys, then its values.
    fn head(&self, (page, head): (u32, usize)) -> *mut u8 {
        assert!(head < self.shape.n_kv_heads, "head {head} does not exist");
        self.part.at(page, head * self.head_bytes..(head + 1) * self.head_bytes)
    }

    /// Writes keys `[n_kv_heads * key_dim]` and values `[n_kv_heads * value_dim]` (latent pages
    /// ignore them) at a slot of a page.
    ///
    /// # Safety
    ///
    /// Nobody else uses this slot meanwhile.
    pub unsafe fn append(&self, page: u32, slot: usize, keys: &[f32], values: &[f32]) {
        let KvShape { n_kv_heads, key_dim, value_dim, .. } = self.shape;
        for head in 0..n_kv_heads {
            let to = self.head((page, head));
            let keys = &keys[head * key_dim..(head + 1) * key_dim];
            // SAFETY: the caller's promise; keys, and values behind them, lie there.
            unsafe {
                self.keys.write(to, slot, keys);
                if let Some(elements) = self.values {
                    let values = &values[head * value_dim..(head + 1) * value_dim];
                    elements.write(to.add(self.key_bytes), slot, values);
                }
            }
        }
    }

    /// Asks for one head of a page, which is read soon.
    pub fn prefetch_tile(&self, tile: (u32, usize)) {
        let [keys, _] = self.addresses(tile);
        (0..self.head_bytes).step_by(64).for_each(|line| prefetch(keys.wrapping_add(line)));
    }

    /// Where keys and values of one head of a page lie, to be asked for early.
    pub fn addresses(&self, tile: (u32, usize)) -> [*const u8; 2] {
        let keys = self.head(tile).cast_const();
        [keys, self.values.map_or(keys, |_| keys.wrapping_add(self.key_bytes))]
    }

    /// One head of a page as it lies there, when it is f16 and rows are whole vectors.
    pub fn tile(&self, tile: (u32, usize)) -> Option<[&[u16]; 2]> {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        self.values?;
        if self.keys.kind != KvType::F16 || !value_dim.is_multiple_of(LANES) {
            return None;
        }
        let keys = self.head(tile).cast::<u16>().cast_const();
        // SAFETY: keys, and values behind them, lie there; any bits are a u16.
        unsafe {
            Some([
                std::slice::from_raw_parts(keys, key_dim * TOKENS),
                std::slice::from_raw_parts(keys.add(key_dim * TOKENS), value_dim * TOKENS),
            ])
        }
    }

    /// Reads one head of a page: keys `[key_dim][TOKENS]`, values `[TOKENS][padded]`.
    pub fn load_tile(
        &self,
        tile: (u32, usize),
        keys: &mut [f32],
        values: &mut [f32],
        level: Level,
    ) {
        let from = self.head(tile).cast_const();
        // SAFETY: keys, and values behind them, lie there; rows are written before they are read.
        unsafe {
            self.keys.read(from, keys, level);
            if let Some(elements) = self.values {
                return elements.read(from.add(self.key_bytes), values, level);
            }
        }
        let padded = values.len() / TOKENS;
        for (slot, row) in values.chunks_exact_mut(padded).enumerate() {
            let row = &mut row[..self.shape.value_dim];
            for (value, keys) in row.iter_mut().zip(keys.chunks_exact(TOKENS)) {
                *value = keys[slot];
            }
        }
    }
}
