//! What the float formats share: the canonical dot over blocks of 32 values.
//!
//! Called by `f32`, `f16` and `bf16`. Within a block one chain of fused multiply-adds from zero in
//! ascending order, then the block's result is added to the sum. A row that ends inside a block
//! continues with zeros.

use super::Block;
use crate::kernel::cpu::{
    activation::FloatBlock,
    lanes::{LANES, Lanes},
};

/// The reference, from the dequantised values.
pub(super) fn fold<B: Block>(block: &[u8], x: &FloatBlock, sum: f32) -> f32 {
    let mut w = [0f32; 32];
    B::dequantise(block, &mut w);
    sum + w.iter().zip(&x.0).fold(0.0, |part, (w, x)| w.mul_add(*x, part))
}

/// Value by value, the 16 rows side by side; `SIZE` bytes each.
pub(super) fn interleave<const SIZE: usize>(blocks: &[&[u8]; LANES], out: &mut [u8]) {
    for (row, block) in blocks.iter().enumerate() {
        let values = block.as_chunks::<SIZE>().0;
        for i in 0..32 {
            let at = (i * LANES + row) * SIZE;
            let value = values.get(i).copied().unwrap_or([0; SIZE]);
            out[at..at + SIZE].copy_from_slice(&value);
        }
    }
}

/// The dot of 16 float blocks; `load` gives value `i` of all rows.
///
/// # Safety
///
/// As [`Block::fold_group`]; `load` must be callable for 0..32.
#[inline(always)]
pub(super) unsafe fn fold_group<L: Lanes, const T: usize>(
    x: *const FloatBlock,
    sums: &mut [L::Float; T],
    load: impl Fn(usize) -> L::Float,
) {
    // SAFETY: the caller vouches for the instruction set and the inputs.
    unsafe {
        let mut parts = [L::splat(0.0); T];
        for i in 0..32 {
            let w = load(i);
            for (t, part) in parts.iter_mut().enumerate() {
                *part = L::mul_add(w, L::splat((*x.add(t)).0[i]), *part);
            }
        }
        for t in 0..T {
            sums[t] = L::add(sums[t], parts[t]);
        }
    }
}
