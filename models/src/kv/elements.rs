//! How the numbers of one head of a page are stored: 32 positions of `dim` numbers.
//!
//! Floats lie in their [`Order`]. Of 8-bit numbers the bytes do, behind them the scales, `[blocks]
//! [TOKENS]` with keys and `[TOKENS][blocks]` with values; see `kernel::cpu::cache_blocks`.
//!
//! Called by `pages`, which knows where they lie. A position is written alone, and all are read
//! together, as f32.
//! Errors: none; the callers answer for the memory.

use std::{fmt, str::FromStr};

use super::PAGE_TOKENS;
use crate::kernel::cpu::{
    Level,
    cache_blocks::{self, BLOCK},
    half_float,
};

pub(super) const TOKENS: usize = PAGE_TOKENS as usize;

/// The element type of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats, for comparisons with references.
    F32,
    /// 8 bits per value and a 16-bit scale per 32 of them: a position's memory is nearly halved
    /// for a small error.
    Q8_0,
}

impl KvType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F16, Self::F32, Self::Q8_0];
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8_0 => "q8_0",
        })
    }
}

impl FromStr for KvType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| format!("{text:?} is no type of the cache: use f16, q8_0 or f32"))
    }
}

/// In which order numbers follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `[dim][TOKENS]`, so that scores of 32 positions are computed side by side.
    Keys,
    /// `[TOKENS][dim]`.
    Values,
}

/// The numbers of one head of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements {
    pub(super) kind: KvType,
    pub(super) order: Order,
    pub(super) dim: usize,
}

impl Elements {
    /// Bytes of all positions; a size beyond all memory stays there.
    pub(super) fn bytes(self) -> usize {
        let of_numbers = |bytes: usize| self.dim.saturating_mul(TOKENS * bytes);
        match self.kind {
            KvType::F16 => of_numbers(2),
            KvType::F32 => of_numbers(4),
            KvType::Q8_0 => of_numbers(1).saturating_add(self.n_blocks() * TOKENS * 2),
        }
    }

    /// Scales of a position.
    fn n_blocks(self) -> usize {
        self.dim.div_ceil(BLOCK)
    }

    /// Where the first number of a position is, and how far the next ones are.
    fn place(self, slot: usize) -> (usize, usize) {
        match self.order {
            Order::Keys => (slot, TOKENS),
            Order::Values => (slot * self.dim, 1),
        }
    }

    /// Writes one position.
    ///
    /// # Safety
    ///
    /// There are [`Elements::bytes`] at `to`, aligned to 4, and nobody else uses this position
    /// meanwhile.
    pub(super) unsafe fn write(self, to: *mut u8, slot: usize, row: &[f32]) {
        assert!(slot < TOKENS && row.len() == self.dim, "a position of these elements");
        let (start, step) = self.place(slot);
        // SAFETY: the caller's promise; the last number is at `dim * TOKENS - 1` at most.
        unsafe {
            match self.kind {
                KvType::F16 => {
                    let mut narrow = [0u16; 64];
                    for (c, chunk) in row.chunks(64).enumerate() {
                        let narrow = &mut narrow[..chunk.len()];
                        half_float::narrow(chunk, narrow);
                        for (i, value) in narrow.iter().enumerate() {
                            to.cast::<u16>().add(start + (c * 64 + i) * step).write(*value);
                        }
                    }
                }
                KvType::F32 => {
                    for (i, value) in row.iter().enumerate() {
                        to.cast::<f32>().add(start + i * step).write(*value);
                    }
                }
                KvType::Q8_0 => {
                    let scales = to.add(self.dim * TOKENS).cast::<u16>();
                    let mut bytes = [0i8; BLOCK];
                    for (b, block) in row.chunks(BLOCK).enumerate() {
                        let scale = cache_blocks::quantise(block, &mut bytes);
                        for (i, byte) in bytes[..block.len()].iter().enumerate() {
                            to.cast::<i8>().add(start + (b * BLOCK + i) * step).write(*byte);
                        }
                        let at = match self.order {
                            Order::Keys => b * TOKENS + slot,
                            Order::Values => slot * self.n_blocks() + b,
                        };
                        scales.add(at).write(scale);
                    }
                }
            }
        }
    }

    /// Reads all positions; rows of values may be longer than `dim`, what is behind stays.
    ///
    /// # Safety
    ///
    /// There are [`Elements::bytes`] at `from`, aligned to 4, and nobody writes them meanwhile.
    pub(super) unsafe fn read(self, from: *const u8, to: &mut [f32], level: Level) {
        let n = self.dim * TOKENS;
        // SAFETY: the caller's promise; any bits are an integer or an f32.
        unsafe {
            match self.kind {
                KvType::F16 => {
                    let from = std::slice::from_raw_parts(from.cast::<u16>(), n);
                    self.rows(from, to, |from, to| half_float::widen(level, from, to));
                }
                KvType::F32 => {
                    let from = std::slice::from_raw_parts(from.cast::<f32>(), n);
                    self.rows(from, to, |from, to| to.copy_from_slice(from));
                }
                KvType::Q8_0 => {
                    let scales = from.add(n).cast::<u16>();
                    let scales = std::slice::from_raw_parts(scales, self.n_blocks() * TOKENS);
                    let from = std::slice::from_raw_parts(from.cast::<i8>(), n);
                    match self.order {
                        Order::Keys => cache_blocks::keys(level, from, scales, to),
                        Order::Values => cache_blocks::values(level, from, scales, to),
                    }
                }
            }
        }
    }

    /// Brings numbers over, all at once where rows are as long as they are there.
    fn rows<T>(self, from: &[T], to: &mut [f32], bring: impl Fn(&[T], &mut [f32])) {
        if to.len() == from.len() {
            return bring(from, to);
        }
        let padded = to.len() / TOKENS;
        for (from, to) in from.chunks_exact(self.dim).zip(to.chunks_exact_mut(padded)) {
            bring(from, &mut to[..self.dim]);
        }
    }
}
