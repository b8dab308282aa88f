//! What the formats with blocks of 32 values share: reading input quads, and the folds.
//!
//! Called by `nibbles` and `q8_0`. Canonical dot: `sum = fma(d * scale, dot, sum)` with the exact
//! integer `dot` of weights (offset taken off) and inputs; with a minimum `m`, then
//! `sum = fma(m, scale * x_sum, sum)`.

use super::offset::Offset;
use crate::kernel::cpu::{activation::Block32, lanes::Lanes};

/// The reference: weights as integers.
pub(super) fn fold(d: f32, weights: impl Iterator<Item = i32>, x: &Block32, sum: f32) -> f32 {
    let dot: i32 = weights.zip(x.q).map(|(w, x)| w * i32::from(x)).sum();
    (d * x.scale).mul_add(dot as f32, sum)
}

/// What a minimum is multiplied with: the sum of the inputs.
#[inline(always)]
pub(super) fn scaled_sum(x: &Block32) -> f32 {
    x.scale * (-x.negative_sum) as f32
}

/// Four inputs as one number, from value `4 * index` on.
///
/// # Safety
///
/// `x` is readable and has that many values.
#[inline(always)]
pub(super) unsafe fn quad<const N: usize>(x: &[i8; N], index: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { x.as_ptr().add(4 * index).cast::<i32>().read_unaligned() }
}

/// Eight unpacked quads times `T` inputs, offset taken off.
///
/// # Safety
///
/// As `Block::fold_group`.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes, const T: usize>(
    x: *const Block32,
    offset: Offset,
    quads: &[L::Bytes; 8],
) -> [L::Int; T] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut dots = [L::splat_int(0); T];
        for (t, dot) in dots.iter_mut().enumerate() {
            *dot = offset.start::<L>((*x.add(t)).negative_sum);
        }
        for (i, w) in quads.iter().enumerate() {
            for (t, dot) in dots.iter_mut().enumerate() {
                *dot = offset.dot::<L>(*dot, *w, quad(&(*x.add(t)).q, i));
            }
        }
        dots
    }
}

/// The end of the fold: scales the integer dots.
///
/// # Safety
///
/// As `Block::fold_group`.
#[inline(always)]
pub(super) unsafe fn fold_dots<L: Lanes, const T: usize>(
    d: L::Float,
    dots: [L::Int; T],
    x: *const Block32,
    sums: &mut [L::Float; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        for t in 0..T {
            let scale = L::mul(d, L::splat((*x.add(t)).scale));
            sums[t] = L::mul_add(scale, L::to_float(dots[t]), sums[t]);
        }
    }
}

/// The end of the fold of formats with a minimum.
///
/// # Safety
///
/// As `Block::fold_group`.
#[inline(always)]
pub(super) unsafe fn fold_minima<L: Lanes, const T: usize>(
    m: L::Float,
    x: *const Block32,
    sums: &mut [L::Float; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        for (t, sum) in sums.iter_mut().enumerate() {
            *sum = L::mul_add(m, L::splat(scaled_sum(&*x.add(t))), *sum);
        }
    }
}
