//! F16: IEEE half floats. Called through `quant`.
//!
//! ```text
//! file: f16 little endian | ..      interleaved: for each value of the block, 16 rows x f16
//! ```
//!
//! Canonical dot: see `floats`. Subnormals are kept.

use super::{Block, f16_at, finite_f16, floats};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::FloatBlock,
        lanes::{LANES, Lanes},
    },
};

pub(super) struct F16;

impl Block for F16 {
    type Input = FloatBlock;
    const TYPE: TensorType = TensorType::F16;
    const BYTES: usize = 64;
    const GROUP_BYTES: usize = 32 * LANES * 2;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<2>().0) {
            *out = f16_at(bytes, 0);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        block.as_chunks::<2>().0.iter().all(|bytes| finite_f16(bytes, 0))
    }

    fn fold(block: &[u8], x: &FloatBlock, sum: f32) -> f32 {
        floats::fold::<Self>(block, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        floats::interleave::<2>(blocks, out);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const FloatBlock,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: value i of the block starts at i * 32 bytes; the caller vouches for the rest.
        unsafe { floats::fold_group::<L, T>(x, sums, |i| L::load_f16(group.add(i * 32))) }
    }
}
