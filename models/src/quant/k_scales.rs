//! The parts that Q4_K and Q5_K share: packed 6-bit scales and minima, and their dot.
//!
//! Called by `q4_k` and `q5_k`.
//!
//! ```text
//! 12 bytes hold 8 scales s and 8 minima m of 6 bits:
//! byte 0..4:  s0..s3 low 6 bits, bits 4..5 of s4..s7 in the top 2
//! byte 4..8:  m0..m3 low 6 bits, bits 4..5 of m4..m7 in the top 2
//! byte 8..12: bits 0..3 of s4..s7 low, bits 0..3 of m4..m7 high
//! ```
//!
//! Canonical dot of a block of 256: with `dot_j` and `x_sum_j` per 32 values,
//! `sum = fma(d * scale, sum_j(s_j * dot_j), sum)`, then
//! `sum = fma(-(dmin * scale), sum_j(m_j * x_sum_j), sum)`.

use super::f16_at;
use crate::kernel::cpu::{
    activation::RowView,
    lanes::{LANES, Lanes},
};

/// A block of 256 values, unpacked.
pub(super) struct Unpacked {
    pub(super) d: f32,
    pub(super) d_min: f32,
    pub(super) scales: [u8; 8],
    pub(super) minima: [u8; 8],
    pub(super) q: [u8; 256],
}

/// Scales and minima from the 12 bytes.
pub(super) fn unpack_scales(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scales[j] = packed[j] & 63;
        minima[j] = packed[j + 4] & 63;
        scales[j + 4] = (packed[j + 8] & 15) | ((packed[j] >> 6) << 4);
        minima[j + 4] = (packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4);
    }
    (scales, minima)
}

impl Unpacked {
    /// Head of a block; the caller fills `q`.
    pub(super) fn head(block: &[u8]) -> Self {
        let (scales, minima) = unpack_scales(&block[4..16]);
        Self { d: f16_at(block, 0), d_min: f16_at(block, 2), scales, minima, q: [0; 256] }
    }

    pub(super) fn dequantise(&self, out: &mut [f32]) {
        for (j, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let scale = self.d * f32::from(self.scales[j]);
            let minimum = self.d_min * f32::from(self.minima[j]);
            for (out, q) in out.iter_mut().zip(&self.q[j * 32..]) {
                *out = scale * f32::from(*q) - minimum;
            }
        }
    }

    pub(super) fn fold(&self, b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        let x_block = &x.q[b * 256..(b + 1) * 256];
        let (mut dots, mut minima) = (0i32, 0i32);
        for j in 0..8 {
            let dot: i32 = (self.q[j * 32..(j + 1) * 32].iter().zip(&x_block[j * 32..]))
                .map(|(q, x)| i32::from(*q) * i32::from(*x))
                .sum();
            dots += i32::from(self.scales[j]) * dot;
            minima += i32::from(self.minima[j]) * x.sums32[b * 8 + j];
        }
        let scale = x.scales[b];
        let sum = (self.d * scale).mul_add(dots as f32, sum);
        (-(self.d_min * scale)).mul_add(minima as f32, sum)
    }
}

/// Bytes of the head of 16 interleaved blocks: `d f16 x 16 | dmin f16 x 16 | for each j: 16 s |`
/// `for each j: 16 m`.
pub(super) const GROUP_HEAD_BYTES: usize = 32 + 32 + 128 + 128;

/// Interleaves the head of one row's block.
pub(super) fn interleave_head(block: &[u8], row: usize, out: &mut [u8]) {
    let (scales, minima) = unpack_scales(&block[4..16]);
    out[2 * row..2 * row + 2].copy_from_slice(&block[..2]);
    out[32 + 2 * row..34 + 2 * row].copy_from_slice(&block[2..4]);
    for j in 0..8 {
        out[64 + j * LANES + row] = scales[j];
        out[192 + j * LANES + row] = minima[j];
    }
}

/// Folds 16 interleaved blocks, given `dot(j, t)`, the integer dots of 32 values.
///
/// # Safety
///
/// As [`super::Block::fold_group`].
#[inline(always)]
pub(super) unsafe fn fold_group<L: Lanes, const T: usize>(
    group: *const u8,
    b: usize,
    x: &[RowView<'_>; T],
    sums: &mut [L::Float; T],
    dots_of: impl Fn(usize) -> [L::Int; T],
) {
    // SAFETY: the offsets follow `GROUP_HEAD_BYTES`; the caller vouches for the rest.
    unsafe {
        let mut dots = [L::splat_int(0); T];
        let mut minima = [L::splat_int(0); T];
        for j in 0..8 {
            let scale = L::load_u8(group.add(64 + j * LANES));
            let minimum = L::load_u8(group.add(192 + j * LANES));
            let part = dots_of(j);
            for t in 0..T {
                dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
                let x_sum = L::splat_int(*x[t].sums32.get_unchecked(b * 8 + j));
                minima[t] = L::add_int(minima[t], L::mul_int(minimum, x_sum));
            }
        }
        let d = L::load_f16(group);
        let d_min = L::load_f16(group.add(32));
        for t in 0..T {
            let scale = *x[t].scales.get_unchecked(b);
            let sum = L::mul_add(L::mul(d, L::splat(scale)), L::to_float(dots[t]), sums[t]);
            // -(a * b) and a * -b have the same bits.
            let minus = L::mul(d_min, L::splat(-scale));
            sums[t] = L::mul_add(minus, L::to_float(minima[t]), sum);
        }
    }
}
