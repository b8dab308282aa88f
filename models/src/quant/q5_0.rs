//! Q5_0: 32 values of 5 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 22 bytes: d f16 | fifth bits u32, bit i of value i | nibbles, 16: low of byte l = value l,
//!   high = value 16 + l
//!   value = d * (q - 16)
//! interleaved, 352 bytes: d f16 x 16 | 5 vectors of 16 rows x 4 bytes: four with low nibbles quad
//!   2i, high nibbles quad 2i + 1; one with the fifth bits of quads 0..8 at bits 0..8
//! ```
//!
//! Canonical dot: `sum = fma(d * scale, dot(q, x) - 16 * x_sum, sum)`, the integers exact.

use super::{Block, f16_at};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q5_0;

fn unpack(block: &[u8]) -> [u8; 32] {
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    std::array::from_fn(|i| {
        let nibble = block[6 + i % 16] >> (4 * (i / 16)) & 15;
        nibble | ((fifth >> i & 1) << 4) as u8
    })
}

impl Block for Q5_0 {
    const TYPE: TensorType = TensorType::Q5_0;
    const VALUES: usize = 32;
    const BYTES: usize = 22;
    const GROUP_BYTES: usize = 32 + 5 * 64;
    const ACTIVATION: ActivationKind = ActivationKind::Blocks32;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(unpack(block)) {
            *out = d * (f32::from(q) - 16.0);
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        let dot: i32 = (unpack(block).iter().zip(&x.q[b * 32..]))
            .map(|(q, x)| (i32::from(*q) - 16) * i32::from(*x))
            .sum();
        (f16_at(block, 0) * x.scales[b]).mul_add(dot as f32, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        for (row, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
            out[2 * row..2 * row + 2].copy_from_slice(&block[..2]);
            let at = 32 + row * 4;
            for (i, q) in unpack(block).iter().enumerate() {
                let (quad, l) = (i / 4, i % 4);
                out[at + 64 * (quad / 2) + l] |= (q & 15) << (4 * (quad % 2));
                out[at + 256 + l] |= q >> 4 << quad;
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
            let at = group.add(32);
            let low: [L::Bytes; 4] = std::array::from_fn(|i| L::load_bytes(at.add(64 * i)));
            let quads = with_fifth_bits::<L>(&low, L::load_bytes(at.add(256)));
            let mut dots: [L::Int; T] =
                std::array::from_fn(|t| L::splat_int(-16 * *x[t].sums32.get_unchecked(b)));
            for (i, w) in quads.iter().enumerate() {
                for t in 0..T {
                    dots[t] = L::dot(dots[t], *w, quad(&x[t], b * 8 + i));
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

/// Eight quads of 5-bit values from four vectors of nibble pairs and one of fifth bits.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn with_fifth_bits<L: Lanes>(
    low: &[L::Bytes; 4],
    fifth: L::Bytes,
) -> [L::Bytes; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let even = |i: usize| L::shift_right::<0>(low[i], 15);
        let odd = |i: usize| L::shift_right::<4>(low[i], 15);
        [
            L::or(even(0), L::shift_left::<4>(fifth, 16)),
            L::or(odd(0), L::shift_left::<3>(fifth, 16)),
            L::or(even(1), L::shift_left::<2>(fifth, 16)),
            L::or(odd(1), L::shift_left::<1>(fifth, 16)),
            L::or(even(2), L::shift_left::<0>(fifth, 16)),
            L::or(odd(2), L::shift_right::<1>(fifth, 16)),
            L::or(even(3), L::shift_right::<2>(fifth, 16)),
            L::or(odd(3), L::shift_right::<3>(fifth, 16)),
        ]
    }
}
