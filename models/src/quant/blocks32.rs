//! What the formats with blocks of 32 values share: reading input quads, and the fold.
//!
//! Called by `q8_0`, `q4_0`, `q5_0` and their kin. Canonical dot: `sum = fma(d * scale, dot, sum)`
//! with the exact integer `dot` of weights (offset taken off) and inputs.

use crate::kernel::cpu::{activation::Block32, lanes::Lanes};

/// The reference: weights as integers.
pub(super) fn fold(d: f32, weights: impl Iterator<Item = i32>, x: &Block32, sum: f32) -> f32 {
    let dot: i32 = weights.zip(x.q).map(|(w, x)| w * i32::from(x)).sum();
    (d * x.scale).mul_add(dot as f32, sum)
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

/// Eight unpacked quads at `quads`, bytes `value + 2^SHIFT`, times `T` inputs.
///
/// # Safety
///
/// As `Block::fold_group`; 512 bytes are readable at `quads`.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes, const T: usize>(
    x: *const Block32,
    shift: u32,
    quad_of: impl Fn(usize) -> L::Bytes,
) -> [L::Int; T] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut dots: [L::Int; T] =
            std::array::from_fn(|t| L::shift_int(L::splat_int((*x.add(t)).negative_sum), shift));
        for i in 0..8 {
            let w = quad_of(i);
            for t in 0..T {
                dots[t] = L::dot(dots[t], w, quad(&(*x.add(t)).q, i));
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

/// Bytes of a panel: `d f32 x 16 | 8 quads of 16 rows x 4 bytes`.
pub(super) const PANEL_BYTES: usize = 64 + 8 * 64;

/// Writes a panel.
///
/// # Safety
///
/// As `Block::unpack`.
#[inline(always)]
pub(super) unsafe fn write_panel<L: Lanes>(
    d: L::Float,
    quad_of: impl Fn(usize) -> L::Bytes,
    panel: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        L::store(panel.cast(), d);
        for i in 0..8 {
            L::store_bytes(panel.add(64 + 64 * i), quad_of(i));
        }
    }
}

/// The fold of a panel whose bytes are `value + 2^shift`.
///
/// # Safety
///
/// As `Block::fold_panel`.
#[inline(always)]
pub(super) unsafe fn fold_panel<L: Lanes, const T: usize>(
    panel: *const u8,
    shift: u32,
    x: *const Block32,
    sums: &mut [L::Float; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let dots = dots::<L, T>(x, shift, |i| L::load_bytes(panel.add(64 + 64 * i)));
        fold_dots::<L, T>(L::load_f32(panel), dots, x, sums);
    }
}
