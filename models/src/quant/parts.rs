//! What the formats with blocks of 256 values share: parts with scales and minima, and the folds.
//!
//! Called by `q4_k`, `q5_k`, `iq4_xs` (8 parts of 32 values), `q2_k`, `q3_k` and `q6_k` (16 parts
//! of 16), which say where their bytes are.
//!
//! ```text
//! value = d * s_j * (byte - offset) - dmin * m_j, j the value's part; minima only in some
//! interleaved: d f16 x 16 | dmin f16 x 16 | for each j: 16 s i8 | m of each 4 parts: 16 rows x 4
//!   bytes | packed words of 4 bytes in the order of their use, each of 16 rows side by side
//! panel: d f32 x 16 | dmin f32 x 16 | for each j: s i32 x 16 | m as above | 64 quads
//! ```
//!
//! Canonical dot: with `dot_j` (offset taken off) and `x_sum_j` of each part,
//! `sum = fma(d * scale, sum_j(s_j * dot_j), sum)`; with minima, then
//! `sum = fma(-(dmin * scale), sum_j(m_j * x_sum_j), sum)`.

use std::marker::PhantomData;

use super::{
    Block, blocks32::quad, f16_at, finite_f16, interleave_f16, interleave_words, offset::Offset,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block256,
        lanes::{LANES, Lanes, prefetch},
    },
};

/// Scales and minima of the parts.
#[derive(Default)]
pub(super) struct Scales {
    pub(super) scales: [i8; 16],
    pub(super) minima: [u8; 16],
}

/// What a format says about its bytes. Bytes of `SIDE` times 32 values are unpacked together.
pub(super) trait Parts<const SIDE: usize>: Send + Sync + 'static {
    /// The type in GGUF files.
    const TYPE: TensorType;
    /// Bytes per block.
    const BYTES: usize;
    /// Number of parts: 8 or 16.
    const PARTS: usize;
    /// Byte of `d`.
    const D: usize;
    /// Byte of `dmin`.
    const D_MIN: Option<usize> = None;
    /// What is taken off an unpacked byte.
    const OFFSET: Offset = Offset::Zero;
    /// Byte of the packed values, and how many words of 4 bytes they are.
    const PACKED: (usize, usize);

    /// Scales and minima.
    fn scales(block: &[u8]) -> Scales;

    /// The file's packed word that [`Parts::quads`] reads `at`-th: it must read them in order,
    /// since the processor reads ahead of ascending addresses only (half the speed otherwise).
    fn word(at: usize) -> usize {
        at
    }

    /// The unpacked byte of a value.
    fn byte(block: &[u8], value: usize) -> u8;

    /// Quad `q` in 0..8 of each of the 32 values `SIDE * i + k`, k in 0..SIDE, for 16 rows.
    ///
    /// # Safety
    ///
    /// Needs the instruction set of `L`; all packed words of 16 rows are readable at `packed`.
    unsafe fn quads<L: Lanes>(packed: *const u8, i: usize, q: usize) -> [L::Bytes; SIDE];
}

/// [`Parts::word`] of formats with 8 words of high bits before their other words: each lies beside
/// the first word that it completes.
pub(super) fn beside_first(at: usize) -> usize {
    if at < 16 { at / 2 + 8 * (at % 2) } else { at }
}

/// Where [`beside_first`] puts word `q` of the others' eight `i`.
#[inline(always)]
pub(super) fn place_beside_first(i: usize, q: usize) -> usize {
    if i == 0 { 2 * q + 1 } else { 8 + 8 * i + q }
}

/// A format of this layout.
pub(super) struct PartsBlock<F, const SIDE: usize>(PhantomData<F>);

/// `sum_j(m_j * x_sum_j)` of 16 rows.
///
/// # Safety
///
/// As `Block::fold_group`; `N / 4` vectors are readable at `minima`.
#[inline(always)]
unsafe fn minima_sum<L: Lanes, const N: usize>(minima: *const u8, sums: &[[i8; N]; 2]) -> L::Int {
    // SAFETY: the caller's promise.
    unsafe {
        let mut dots = [L::splat_int(0); 2];
        for i in 0..N / 4 {
            let minima = L::load_bytes(minima.add(64 * i));
            dots[0] = L::dot(dots[0], minima, quad(&sums[0], i));
            dots[1] = L::dot(dots[1], minima, quad(&sums[1], i));
        }
        L::add_int(L::shift_int(dots[0], 7), dots[1])
    }
}

impl<F: Parts<SIDE>, const SIDE: usize> PartsBlock<F, SIDE> {
    const HAS_MINIMA: usize = F::D_MIN.is_some() as usize;
    const MINIMA_BYTES: usize = Self::HAS_MINIMA * 16 * F::PARTS;
    const GROUP_SCALES: usize = 32 + 32 * Self::HAS_MINIMA;
    const GROUP_MINIMA: usize = Self::GROUP_SCALES + LANES * F::PARTS;
    const GROUP_PACKED: usize = Self::GROUP_MINIMA + Self::MINIMA_BYTES;
    const PANEL_SCALES: usize = 64 + 64 * Self::HAS_MINIMA;
    const PANEL_MINIMA: usize = Self::PANEL_SCALES + 64 * F::PARTS;
    const PANEL_QUADS: usize = Self::PANEL_MINIMA + Self::MINIMA_BYTES;
    /// Quads of a part.
    const QUADS: usize = 64 / F::PARTS;

    /// Where the dot of part `j` starts.
    #[inline(always)]
    unsafe fn start<L: Lanes>(x: &Block256, j: usize) -> L::Int {
        let sums = &x.negative_sums;
        let negative_sum = if F::PARTS == 8 { sums[2 * j] + sums[2 * j + 1] } else { sums[j] };
        // SAFETY: the caller vouches for the instruction set.
        unsafe { F::OFFSET.start::<L>(negative_sum) }
    }

    /// The start of the fold: `sum_j(m_j * x_sum_j)` of every input.
    #[inline(always)]
    unsafe fn minima_sums<L: Lanes, const T: usize>(
        minima: *const u8,
        x: *const Block256,
    ) -> [L::Int; T] {
        // SAFETY: as `Block::fold_group`; the minima are there for formats with minima.
        unsafe {
            let mut sums = [L::splat_int(0); T];
            if F::D_MIN.is_some() {
                for (t, sum) in sums.iter_mut().enumerate() {
                    let x = &*x.add(t);
                    *sum = if F::PARTS == 8 {
                        minima_sum::<L, 8>(minima, &x.sums32)
                    } else {
                        minima_sum::<L, 16>(minima, &x.sums16)
                    };
                }
            }
            sums
        }
    }

    /// The end of the fold: `dots` are `sum_j(s_j * dot_j)`.
    #[inline(always)]
    unsafe fn fold_dots<L: Lanes, const T: usize>(
        (d, d_min): (L::Float, L::Float),
        (dots, minima): (&[L::Int; T], &[L::Int; T]),
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: as `Block::fold_group`.
        unsafe {
            for t in 0..T {
                let x = &*x.add(t);
                let scale = L::mul(d, L::splat(x.scale));
                sums[t] = L::mul_add(scale, L::to_float(dots[t]), sums[t]);
                if F::D_MIN.is_some() {
                    // -(a * b) and a * -b have the same bits.
                    let minus = L::mul(d_min, L::splat(-x.scale));
                    sums[t] = L::mul_add(minus, L::to_float(minima[t]), sums[t]);
                }
            }
        }
    }
}

impl<F: Parts<SIDE>, const SIDE: usize> Block for PartsBlock<F, SIDE> {
    type Input = Block256;
    const TYPE: TensorType = F::TYPE;
    const BYTES: usize = F::BYTES;
    const GROUP_BYTES: usize = Self::GROUP_PACKED + 64 * F::PACKED.1;
    const PANEL_BYTES: usize = Self::PANEL_QUADS + 64 * 64;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, F::D);
        let d_min = F::D_MIN.map(|at| f16_at(block, at));
        let Scales { scales, minima } = F::scales(block);
        for (i, out) in out.iter_mut().enumerate() {
            let j = i * F::PARTS / 256;
            let weight = i32::from(F::byte(block, i)) - F::OFFSET.value();
            *out = d * f32::from(scales[j]) * weight as f32;
            if let Some(d_min) = d_min {
                *out -= d_min * f32::from(minima[j]);
            }
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, F::D) && F::D_MIN.is_none_or(|at| finite_f16(block, at))
    }

    fn fold(block: &[u8], x: &Block256, sum: f32) -> f32 {
        let Scales { scales, minima } = F::scales(block);
        let (mut dots, mut minima_sum) = (0i32, 0i32);
        for (i, x) in x.q.iter().enumerate() {
            let j = i * F::PARTS / 256;
            let weight = i32::from(F::byte(block, i)) - F::OFFSET.value();
            dots += i32::from(scales[j]) * weight * i32::from(*x);
            minima_sum += i32::from(minima[j]) * i32::from(*x);
        }
        let sum = (f16_at(block, F::D) * x.scale).mul_add(dots as f32, sum);
        F::D_MIN.map_or(sum, |at| (-(f16_at(block, at) * x.scale)).mul_add(minima_sum as f32, sum))
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_f16(blocks, F::D, &mut out[..32]);
        if let Some(at) = F::D_MIN {
            interleave_f16(blocks, at, &mut out[32..64]);
        }
        for (row, block) in blocks.iter().enumerate() {
            let scales = if block.is_empty() { Scales::default() } else { F::scales(block) };
            for (j, scale) in scales.scales[..F::PARTS].iter().enumerate() {
                out[Self::GROUP_SCALES + j * LANES + row] = scale.cast_unsigned();
            }
            let minima = scales.minima.as_chunks::<4>().0;
            for (i, minima) in minima[..Self::MINIMA_BYTES / 64].iter().enumerate() {
                let at = Self::GROUP_MINIMA + 64 * i + 4 * row;
                out[at..at + 4].copy_from_slice(minima);
            }
        }
        for (at, out) in out[Self::GROUP_PACKED..].chunks_exact_mut(64).enumerate() {
            interleave_words(blocks, F::PACKED.0 + 4 * F::word(at), 1, out);
        }
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            // Scales are used between packed words, but asked for in order: see `Parts::word`.
            for line in (0..Self::GROUP_PACKED).step_by(64) {
                prefetch(group.add(line));
            }
            // Without minima, the bytes read as `dmin` are scales, and are not used.
            let head = (L::load_f16(group), L::load_f16(group.add(32)));
            let mut dots = [L::splat_int(0); T];
            let minima = Self::minima_sums::<L, T>(group.add(Self::GROUP_MINIMA), x);
            // All parts `j(k)` of a step are read at once: SIDE chains side by side.
            for step in 0..F::PARTS / SIDE {
                let per_32 = F::PARTS / 8;
                let (i, piece) = (step / per_32, step % per_32);
                let j = |k: usize| (SIDE * i + k) * per_32 + piece;
                let mut parts = [[L::splat_int(0); T]; SIDE];
                for (k, parts) in parts.iter_mut().enumerate() {
                    for (t, part) in parts.iter_mut().enumerate() {
                        *part = Self::start::<L>(&*x.add(t), j(k));
                    }
                }
                for q in Self::QUADS * piece..Self::QUADS * (piece + 1) {
                    let w = F::quads::<L>(group.add(Self::GROUP_PACKED), i, q);
                    for (k, parts) in parts.iter_mut().enumerate() {
                        for (t, part) in parts.iter_mut().enumerate() {
                            let x = quad(&(*x.add(t)).q, 8 * (SIDE * i + k) + q);
                            *part = F::OFFSET.dot::<L>(*part, w[k], x);
                        }
                    }
                }
                for (k, part) in parts.into_iter().enumerate() {
                    let scale = L::load_i8(group.add(Self::GROUP_SCALES + j(k) * LANES));
                    for t in 0..T {
                        dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
                    }
                }
            }
            Self::fold_dots::<L, T>(head, (&dots, &minima), x, sums);
        }
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: as above.
        unsafe {
            L::store(panel.cast(), L::load_f16(group));
            if F::D_MIN.is_some() {
                L::store(panel.add(64).cast(), L::load_f16(group.add(32)));
            }
            for j in 0..F::PARTS {
                let scale = L::load_i8(group.add(Self::GROUP_SCALES + j * LANES));
                L::store_int(panel.add(Self::PANEL_SCALES + 64 * j), scale);
            }
            for at in (0..Self::MINIMA_BYTES).step_by(64) {
                let minima = L::load_bytes(group.add(Self::GROUP_MINIMA + at));
                L::store_bytes(panel.add(Self::PANEL_MINIMA + at), minima);
            }
            for i in 0..8 / SIDE {
                for q in 0..8 {
                    let quads = F::quads::<L>(group.add(Self::GROUP_PACKED), i, q);
                    for (k, w) in quads.into_iter().enumerate() {
                        let at = 8 * (SIDE * i + k) + q;
                        L::store_bytes(panel.add(Self::PANEL_QUADS + 64 * at), w);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn fold_panel<L: Lanes, const T: usize>(
        panel: *const u8,
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: as above.
        unsafe {
            let mut dots = [L::splat_int(0); T];
            for j in 0..F::PARTS {
                let mut part = [L::splat_int(0); T];
                for (t, part) in part.iter_mut().enumerate() {
                    *part = Self::start::<L>(&*x.add(t), j);
                }
                for at in Self::QUADS * j..Self::QUADS * (j + 1) {
                    let w = L::load_bytes(panel.add(Self::PANEL_QUADS + 64 * at));
                    for (t, part) in part.iter_mut().enumerate() {
                        *part = F::OFFSET.dot::<L>(*part, w, quad(&(*x.add(t)).q, at));
                    }
                }
                let scale = L::load_int(panel.add(Self::PANEL_SCALES + 64 * j));
                for t in 0..T {
                    dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
                }
            }
            let head = (L::load_f32(panel), L::load_f32(panel.add(64)));
            let minima = Self::minima_sums::<L, T>(panel.add(Self::PANEL_MINIMA), x);
            Self::fold_dots::<L, T>(head, (&dots, &minima), x, sums);
        }
    }
}
