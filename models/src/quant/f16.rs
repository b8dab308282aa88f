//! F16: IEEE half floats. Called through `quant`.
//!
//! ```text
//! file: f16 little endian | ..      interleaved: for each value of the block, 16 rows x f16
//! ```
//!
//! Canonical dot: see `f32`. Subnormals are kept.

use super::{
    Block, f16_at,
    f32::{fold_group_values, fold_values, interleave_values},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
    },
};

pub(super) struct F16;

impl Block for F16 {
    const TYPE: TensorType = TensorType::F16;
    const VALUES: usize = 32;
    const BYTES: usize = 64;
    const GROUP_BYTES: usize = 32 * LANES * 2;
    const ACTIVATION: ActivationKind = ActivationKind::Float;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        for (i, out) in out.iter_mut().enumerate().take(block.len() / 2) {
            *out = f16_at(block, 2 * i);
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
        unsafe { fold_group_values::<L, T>(b, x, sums, |i| L::load_f16(group.add(i * 32))) }
    }
}
