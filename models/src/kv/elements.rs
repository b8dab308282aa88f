//! How the numbers of one head of a page are stored: 32 positions of `dim` numbers.
//!
//! Called by `pages`, which knows where they lie. A position is written alone, and all are read
//! together, as f32.
//! Errors: none; the callers answer for the memory.

use super::PAGE_TOKENS;
use crate::kernel::cpu::{Level, half_float};

pub(super) const TOKENS: usize = PAGE_TOKENS as usize;

/// The element type of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 32-bit floats, for comparisons with references.
    F32,
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
        let bytes = match self.kind {
            KvType::F16 => 2,
            KvType::F32 => 4,
        };
        self.dim.saturating_mul(TOKENS * bytes)
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
        // SAFETY: the caller's promise; any bits are a u16 or an f32.
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
