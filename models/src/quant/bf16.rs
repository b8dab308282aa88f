//! BF16: the upper half of 32-bit floats. Called through `quant`.
//!
//! ```text
//! file: bf16 little endian | ..      interleaved: for each value of the block, 16 rows x bf16
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

pub(super) struct Bf16;

impl Block for Bf16 {
    type Input = FloatBlock;
    const TYPE: TensorType = TensorType::BF16;
    const BYTES: usize = 64;
    const GROUP_BYTES: usize = 32 * LANES * 2;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<2>().0) {
            *out = f32::from_le_bytes([0, 0, bytes[0], bytes[1]]);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        block.as_chunks::<2>().0.iter().all(|bytes| u16::from_le_bytes(*bytes) & 0x7f80 != 0x7f80)
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
        unsafe { floats::fold_group::<L, T>(x, sums, |i| L::load_bf16(group.add(i * 32))) }
    }
}
