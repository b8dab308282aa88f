//! F32: plain 32-bit floats. Called through `quant`.
//!
//! ```text
//! file: f32 little endian | ..      interleaved: for each value of the block, 16 rows x f32
//! ```
//!
//! Canonical dot of all float formats: blocks of 32 values; within a block one chain of fused
//! multiply-adds from zero in ascending order, then the block's result is added to the sum. A row
//! that ends inside a block continues with zeros.

use super::Block;
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
    },
};

pub(super) struct F32;

impl Block for F32 {
    const TYPE: TensorType = TensorType::F32;
    const VALUES: usize = 32;
    const BYTES: usize = 128;
    const GROUP_BYTES: usize = 32 * LANES * 4;
    const ACTIVATION: ActivationKind = ActivationKind::Float;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<4>().0) {
            *out = f32::from_le_bytes(*bytes);
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        fold_values::<Self>(block, b, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_values::<4>(blocks, out);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        b: usize,
        x: &[RowView<'_>; T],
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: value i of the block starts at i * 64 bytes; the caller vouches for the rest.
        unsafe { fold_group_values::<L, T>(b, x, sums, |i| L::load_f32(group.add(i * 64))) }
    }
}

/// The canonical dot of a float block, from its dequantised values.
pub(super) fn fold_values<B: Block>(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
    let mut w = [0f32; 32];
    B::dequantise(block, &mut w);
    let x = &x.values[b * 32..(b + 1) * 32];
    sum + w.iter().zip(x).fold(0.0, |part, (w, x)| w.mul_add(*x, part))
}

/// Value by value, the 16 rows side by side; `SIZE` bytes each.
pub(super) fn interleave_values<const SIZE: usize>(blocks: &[&[u8]; LANES], out: &mut [u8]) {
    for (row, block) in blocks.iter().enumerate() {
        for (i, value) in block.as_chunks::<SIZE>().0.iter().enumerate() {
            let at = (i * LANES + row) * SIZE;
            out[at..at + SIZE].copy_from_slice(value);
        }
    }
}

/// The canonical dot of 16 float blocks; `load` gives value `i` of all rows.
///
/// # Safety
///
/// As [`Block::fold_group`]; `load` must be callable for 0..32.
#[inline(always)]
pub(super) unsafe fn fold_group_values<L: Lanes, const T: usize>(
    b: usize,
    x: &[RowView<'_>; T],
    sums: &mut [L::Float; T],
    load: impl Fn(usize) -> L::Float,
) {
    // SAFETY: the caller vouches for the instruction set and that block b exists in every row.
    unsafe {
        let mut parts = [L::splat(0.0); T];
        for i in 0..32 {
            let w = load(i);
            for t in 0..T {
                let value = *x[t].values.get_unchecked(b * 32 + i);
                parts[t] = L::mul_add(w, L::splat(value), parts[t]);
            }
        }
        for t in 0..T {
            sums[t] = L::add(sums[t], parts[t]);
        }
    }
}
