//! Q8_0: 32 signed bytes with one scale. Called through `quant`.
//!
//! ```text
//! file, 34 bytes:         d f16 | q i8 x 32                          value = d * q
//! interleaved, 544 bytes: d f16 x 16 | for each of 8 quads: 16 rows x 4 bytes (q + 128)
//! ```
//!
//! Canonical dot: `sum = fma(d * scale, dot(q, x), sum)`, the integer dot exact.

use super::{Block, f16_at};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q8_0;

impl Block for Q8_0 {
    const TYPE: TensorType = TensorType::Q8_0;
    const VALUES: usize = 32;
    const BYTES: usize = 34;
    const GROUP_BYTES: usize = 32 + 8 * 64;
    const ACTIVATION: ActivationKind = ActivationKind::Blocks32;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(&block[2..]) {
            *out = d * f32::from(q.cast_signed());
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        let x_block = &x.q[b * 32..(b + 1) * 32];
        let dot: i32 = (block[2..].iter().zip(x_block))
            .map(|(q, x)| i32::from(q.cast_signed()) * i32::from(*x))
            .sum();
        (f16_at(block, 0) * x.scales[b]).mul_add(dot as f32, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        for (row, block) in blocks.iter().enumerate() {
            for i in 0..8 {
                let at = 32 + i * 64 + row * 4;
                let quad = block.get(2 + 4 * i..6 + 4 * i).unwrap_or(&[0; 4]);
                for (out, q) in out[at..at + 4].iter_mut().zip(quad) {
                    *out = q ^ 0x80;
                }
            }
            if let Some(d) = block.get(..2) {
                out[2 * row..2 * row + 2].copy_from_slice(d);
            }
        }
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        b: usize,
        x: &[RowView<'_>; T],
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let mut dots: [L::Int; T] =
                std::array::from_fn(|t| L::biased_start(*x[t].sums32.get_unchecked(b)));
            for i in 0..8 {
                let w = L::load_bytes(group.add(32 + i * 64));
                for t in 0..T {
                    dots[t] = L::dot_biased(dots[t], w, quad(&x[t], b * 8 + i));
                }
            }
            let d = L::load_f16(group);
            for t in 0..T {
                let scale = L::mul(d, L::splat(*x[t].scales.get_unchecked(b)));
                sums[t] = L::mul_add(scale, L::to_float(dots[t]), sums[t]);
            }
        }
    }
}
