//! F32: plain 32-bit floats. Called through `quant`.
//!
//! ```text
//! file: f32 little endian | ..      interleaved: for each value of the block, 16 rows x f32
//! ```
//!
//! Canonical dot: see `floats`.

use super::{Block, floats};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::FloatBlock,
        lanes::{LANES, Lanes},
    },
};

pub(super) struct F32;

impl Block for F32 {
    type Input = FloatBlock;
    const TYPE: TensorType = TensorType::F32;
    const BYTES: usize = 128;
    const GROUP_BYTES: usize = 32 * LANES * 4;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<4>().0) {
            *out = f32::from_le_bytes(*bytes);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        block.as_chunks::<4>().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
    }

    fn fold(block: &[u8], x: &FloatBlock, sum: f32) -> f32 {
        floats::fold::<Self>(block, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        floats::interleave::<4>(blocks, out);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const FloatBlock,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: value i of the block starts at i * 64 bytes; the caller vouches for the rest.
        unsafe { floats::fold_group::<L, T>(x, sums, |i| L::load_f32(group.add(i * 64))) }
    }
}
