//! BF16: the upper half of 32-bit floats. Called through `quant`.
//!
//! ```text
//! file: bf16 little endian | ..      interleaved: for each value of the block, 16 rows x bf16
//! ```
//!
//! Canonical dot: see `f32`.

use super::{
    Block,
    f32::{fold_group_values, fold_values, interleave_values},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
    },
};

pub(super) struct Bf16;

impl Block for Bf16 {
    const TYPE: TensorType = TensorType::BF16;
    const VALUES: usize = 32;
    const BYTES: usize = 64;
    const GROUP_BYTES: usize = 32 * LANES * 2;
    const ACTIVATION: ActivationKind = ActivationKind::Float;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (out, bytes) in out.iter_mut().zip(block.as_chunks::<2>().0) {
            *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        fold_values::<Self>(block, b, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_values::<2>(blocks, out);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        b: usize,
        x: &[RowView<'_>; T],
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: value i of the block starts at i * 32 bytes; the caller vouches for the rest.
        unsafe { fold_group_values::<L, T>(b, x, sums, |i| L::load_bf16(group.add(i * 32))) }
    }
}
