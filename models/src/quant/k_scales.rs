//! What the formats with blocks of 256 values share: packed 6-bit scales and minima, and the folds.
//!
//! Called by `q4_k`, `q5_k` (8 scales and 8 minima) and `q6_k` (16 signed scales).
//!
//! ```text
//! 12 bytes hold 8 scales s and 8 minima m of 6 bits:
//! byte 0..4:  s0..s3 low 6 bits, bits 4..5 of s4..s7 in the top 2
//! byte 4..8:  m0..m3 low 6 bits, bits 4..5 of m4..m7 in the top 2
//! byte 8..12: bits 0..3 of s4..s7 low, bits 0..3 of m4..m7 high
//! ```
//!
//! Canonical dot of a block of 256 with minima: with `dot_j` and `x_sum_j` per 32 values,
//! `sum = fma(d * scale, sum_j(s_j * dot_j), sum)`, then
//! `sum = fma(-(dmin * scale), sum_j(m_j * x_sum_j), sum)`.

use super::{blocks32::quad, f16_at, finite_f16, interleave_f16};
use crate::kernel::cpu::{
    activation::Block256,
    lanes::{LANES, Lanes},
};

/// A block of 256 values, unpacked.
pub(super) struct Unpacked {
    d: f32,
    d_min: f32,
    scales: [u8; 8],
    minima: [u8; 8],
    pub(super) q: [u8; 256],
}

/// Scales and minima from the 12 bytes.
fn unpack_scales(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
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

    pub(super) fn fold(&self, x: &Block256, sum: f32) -> f32 {
        let (mut dots, mut minima) = (0i32, 0i32);
        for j in 0..8 {
            let part = j * 32..(j + 1) * 32;
            let values = self.q[part.clone()].iter().zip(&x.q[part.clone()]);
            let dot: i32 = values.map(|(q, x)| i32::from(*q) * i32::from(*x)).sum();
            let x_sum: i32 = x.q[part].iter().map(|x| i32::from(*x)).sum();
            dots += i32::from(self.scales[j]) * dot;
            minima += i32::from(self.minima[j]) * x_sum;
        }
        let sum = (self.d * x.scale).mul_add(dots as f32, sum);
        (-(self.d_min * x.scale)).mul_add(minima as f32, sum)
    }
}

/// Whether `d` and `dmin` at the start of a block are finite.
pub(super) fn is_finite(block: &[u8]) -> bool {
    finite_f16(block, 0) && finite_f16(block, 2)
}

/// Bytes of the head of 16 interleaved blocks: `d f16 x 16 | dmin f16 x 16 | for each j: 16 s |`
/// `m of j in 0..4: 16 rows x 4 bytes | m of j in 4..8`.
pub(super) const GROUP_HEAD_BYTES: usize = 32 + 32 + 128 + 128;

/// Interleaves the heads of 16 blocks.
pub(super) fn interleave_heads(blocks: &[&[u8]; LANES], out: &mut [u8]) {
    interleave_f16(blocks, 0, out);
    interleave_f16(blocks, 2, &mut out[32..]);
    for (row, block) in blocks.iter().enumerate() {
        let (scales, minima) = block.get(4..16).map_or(([0; 8], [0; 8]), unpack_scales);
        for (j, scale) in scales.iter().enumerate() {
            out[64 + j * LANES + row] = *scale;
        }
        out[192 + 4 * row..196 + 4 * row].copy_from_slice(&minima[..4]);
        out[256 + 4 * row..260 + 4 * row].copy_from_slice(&minima[4..]);
    }
}

/// `sum_j(m_j * x_sum_j)` of 16 rows; `minima` points to the two vectors of 4 minima.
///
/// # Safety
///
/// As `Block::fold_group`.
#[inline(always)]
unsafe fn minima_sum<L: Lanes>(minima: *const u8, x: &Block256) -> L::Int {
    // SAFETY: the caller's promise.
    unsafe {
        let (first, last) = (L::load_bytes(minima), L::load_bytes(minima.add(64)));
        let dot = |sums: &[i8; 8]| {
            L::dot(L::dot(L::splat_int(0), first, quad(sums, 0)), last, quad(sums, 1))
        };
        L::add_int(L::shift_int(dot(&x.sums32[0]), 7), dot(&x.sums32[1]))
    }
}

/// The end of the fold: `dots` are `sum_j(s_j * dot_j)`.
///
/// # Safety
///
/// As `Block::fold_group`; `minima` as for [`minima_sum`].
#[inline(always)]
unsafe fn fold_dots<L: Lanes, const T: usize>(
    (d, d_min, minima): (L::Float, L::Float, *const u8),
    dots: &[L::Int; T],
    x: *const Block256,
    sums: &mut [L::Float; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        for t in 0..T {
            let x = &*x.add(t);
            let sum = L::mul_add(L::mul(d, L::splat(x.scale)), L::to_float(dots[t]), sums[t]);
            // -(a * b) and a * -b have the same bits.
            let minus = L::mul(d_min, L::splat(-x.scale));
            sums[t] = L::mul_add(minus, L::to_float(minima_sum::<L>(minima, x)), sum);
        }
    }
}

/// Folds 16 interleaved blocks. `quads(i, q)` gives quad `q` of the 32 values `2i` and of the 32
/// values `2i + 1`.
///
/// # Safety
///
/// As `Block::fold_group`.
#[inline(always)]
pub(super) unsafe fn fold_group<L: Lanes, const T: usize>(
    group: *const u8,
    x: *const Block256,
    sums: &mut [L::Float; T],
    quads: impl Fn(usize, usize) -> [L::Bytes; 2],
) {
    // SAFETY: the offsets follow `GROUP_HEAD_BYTES`; the caller vouches for the rest.
    unsafe {
        let mut dots = [L::splat_int(0); T];
        for i in 0..4 {
            let mut parts = [[L::splat_int(0); T]; 2];
            for q in 0..8 {
                let w = quads(i, q);
                for t in 0..T {
                    let x = &(*x.add(t)).q;
                    parts[0][t] = L::dot(parts[0][t], w[0], quad(x, 16 * i + q));
                    parts[1][t] = L::dot(parts[1][t], w[1], quad(x, 16 * i + 8 + q));
                }
            }
            for (half, part) in parts.into_iter().enumerate() {
                let scale = L::load_u8(group.add(64 + (2 * i + half) * LANES));
                for t in 0..T {
                    dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
                }
            }
        }
        let (d, d_min) = (L::load_f16(group), L::load_f16(group.add(32)));
        fold_dots::<L, T>((d, d_min, group.add(192)), &dots, x, sums);
    }
}

/// Bytes of a panel with minima: `d f32 x 16 | dmin f32 x 16 | for each j: s i32 x 16 | minima as
/// in the head | 64 quads`.
pub(super) const PANEL_BYTES: usize = 64 + 64 + 8 * 64 + 128 + 64 * 64;
const PANEL_QUADS: usize = PANEL_BYTES - 64 * 64;

/// Writes a panel; `quads` as for [`fold_group`].
///
/// # Safety
///
/// As `Block::unpack`.
#[inline(always)]
pub(super) unsafe fn unpack<L: Lanes>(
    group: *const u8,
    panel: *mut u8,
    quads: impl Fn(usize, usize) -> [L::Bytes; 2],
) {
    // SAFETY: the offsets follow `PANEL_BYTES`; the caller vouches for the rest.
    unsafe {
        L::store(panel.cast(), L::load_f16(group));
        L::store(panel.add(64).cast(), L::load_f16(group.add(32)));
        for j in 0..8 {
            L::store_int(panel.add(128 + 64 * j), L::load_u8(group.add(64 + j * LANES)));
        }
        L::store_bytes(panel.add(640), L::load_bytes(group.add(192)));
        L::store_bytes(panel.add(704), L::load_bytes(group.add(256)));
        for i in 0..4 {
            for q in 0..8 {
                let w = quads(i, q);
                let at = panel.add(PANEL_QUADS + (16 * i + q) * 64);
                L::store_bytes(at, w[0]);
                L::store_bytes(at.add(8 * 64), w[1]);
            }
        }
    }
}

/// The fold of a panel.
///
/// # Safety
///
/// As `Block::fold_panel`.
#[inline(always)]
pub(super) unsafe fn fold_panel<L: Lanes, const T: usize>(
    panel: *const u8,
    x: *const Block256,
    sums: &mut [L::Float; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let quads = panel.add(PANEL_QUADS);
        let dots = scaled_dots::<L, T, 8>(panel.add(128), quads, x, |_, _| L::splat_int(0));
        let (d, d_min) = (L::load_f32(panel.cast()), L::load_f32(panel.add(64).cast()));
        fold_dots::<L, T>((d, d_min, panel.add(640)), &dots, x, sums);
    }
}

/// `sum_j(s_j * dot_j)` of a panel with `N` scales, i32 x 16 each at `scales`, and 64 quads.
/// `start(t, j)` is where the dot of part `j` with input `t` starts.
///
/// # Safety
///
/// As `Block::fold_panel`.
#[inline(always)]
pub(super) unsafe fn scaled_dots<L: Lanes, const T: usize, const N: usize>(
    scales: *const u8,
    quads: *const u8,
    x: *const Block256,
    start: impl Fn(usize, usize) -> L::Int,
) -> [L::Int; T] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut dots = [L::splat_int(0); T];
        let per_part = 64 / N;
        for j in 0..N {
            let mut part: [L::Int; T] = std::array::from_fn(|t| start(t, j));
            for i in 0..per_part {
                let at = j * per_part + i;
                let w = L::load_bytes(quads.add(at * 64));
                for t in 0..T {
                    part[t] = L::dot(part[t], w, quad(&(*x.add(t)).q, at));
                }
            }
            let scale = L::load_int(scales.add(64 * j));
            for t in 0..T {
                dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
            }
        }
        dots
    }
}
