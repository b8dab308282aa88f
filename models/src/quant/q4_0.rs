//! Q4_0: 32 values of 4 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 18 bytes: d f16 | nibbles, 16: low of byte l = value l, high = value 16 + l
//!   value = d * (q - 8)
//! interleaved, 288 bytes: d f16 x 16 | 4 vectors of 16 rows x 4 bytes, low nibbles quad 2i, high
//!   nibbles quad 2i + 1
//! ```
//!
//! Canonical dot: `sum = fma(d * scale, dot(q, x) - 8 * x_sum, sum)`, the integers exact.

use super::{Block, f16_at};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q4_0;

fn unpack(block: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| block[2 + i % 16] >> (4 * (i / 16)) & 15)
}

impl Block for Q4_0 {
    const TYPE: TensorType = TensorType::Q4_0;
    const VALUES: usize = 32;
    const BYTES: usize = 18;
    const GROUP_BYTES: usize = 32 + 4 * 64;
    const ACTIVATION: ActivationKind = ActivationKind::Blocks32;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(unpack(block)) {
            *out = d * (f32::from(q) - 8.0);
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        let dot: i32 = (unpack(block).iter().zip(&x.q[b * 32..]))
            .map(|(q, x)| (i32::from(*q) - 8) * i32::from(*x))
            .sum();
        (f16_at(block, 0) * x.scales[b]).mul_add(dot as f32, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        for (row, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
            out[2 * row..2 * row + 2].copy_from_slice(&block[..2]);
            for (pair, q) in unpack(block).as_chunks::<8>().0.iter().enumerate() {
                for l in 0..4 {
                    out[32 + pair * 64 + row * 4 + l] = q[l] | q[l + 4] << 4;
                }
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
                std::array::from_fn(|t| L::splat_int(-8 * *x[t].sums32.get_unchecked(b)));
            for i in 0..4 {
                let packed = L::load_bytes(group.add(32 + i * 64));
                let even = L::shift_right::<0>(packed, 15);
                let odd = L::shift_right::<4>(packed, 15);
                for t in 0..T {
                    dots[t] = L::dot(dots[t], even, quad(&x[t], b * 8 + 2 * i));
                    dots[t] = L::dot(dots[t], odd, quad(&x[t], b * 8 + 2 * i + 1));
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
