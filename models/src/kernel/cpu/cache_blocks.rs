//! Numbers of the cache in 8 bits: blocks of up to 32 neighbours of one head and position, with one
//! f16 scale each.
//!
//! Called by the cache's pages, and by the plain back end, which rounds through it. A last block
//! may be short.
//! Canonical: `scale = f16(max|x| / 127)`, `q = round(x / scale)`, ties to even, -127 to 127; a
//! value is `scale * q`, which is exact in f32, so it has the same bits at every level. What is not
//! a number counts as zero: the residual stream around the layer still carries it.

use half::f16;

use super::{half_float, level::schedules};

/// Values that share a scale.
pub const BLOCK: usize = 32;
/// Positions side by side in a page of keys.
const TOKENS: usize = crate::kv::PAGE_TOKENS as usize;

/// Quantises up to [`BLOCK`] values into as many bytes; gives the bits of their scale.
pub fn quantise(x: &[f32], q: &mut [i8]) -> u16 {
    let largest = x.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let scale = f16::from_f32((largest / 127.0).min(65504.0));
    let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
    for (x, q) in x.iter().zip(q) {
        let scaled = x * inverse;
        let scaled = if scaled.is_nan() { 0.0 } else { scaled.clamp(-127.0, 127.0) };
        // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even; the low byte of the bits
        // is then that integer.
        *q = (scaled + 12_582_912.0).to_bits() as i8;
    }
    scale.to_bits()
}

/// Rounds each value to what the cache keeps of it; `x` is heads of `dim` values.
pub fn round(x: &mut [f32], dim: usize) {
    let mut q = [0i8; BLOCK];
    for block in x.chunks_mut(dim).flat_map(|head| head.chunks_mut(BLOCK)) {
        let scale = half_float::to_f32(quantise(block, &mut q));
        for (x, q) in block.iter_mut().zip(q) {
            *x = scale * f32::from(q);
        }
    }
}

schedules! {
    /// Keys `[dim][TOKENS]` of scales `[blocks][TOKENS]`.
    pub fn keys(q: &[i8], scales: &[u16], to: &mut [f32]) {
        let blocks = q.chunks(BLOCK * TOKENS).zip(to.chunks_mut(BLOCK * TOKENS));
        for ((q, to), bits) in blocks.zip(scales.as_chunks::<TOKENS>().0) {
            let scales = bits.map(half_float::to_f32);
            for (q, to) in q.as_chunks::<TOKENS>().0.iter().zip(to.as_chunks_mut::<TOKENS>().0) {
                for ((q, scale), to) in q.iter().zip(&scales).zip(to) {
                    *to = scale * f32::from(*q);
                }
            }
        }
    }
}

schedules! {
    /// Values `[TOKENS][dim]` of scales `[TOKENS][blocks]`; rows of `to` may be longer.
    pub fn values(q: &[i8], scales: &[u16], to: &mut [f32]) {
        let (dim, padded) = (q.len() / TOKENS, to.len() / TOKENS);
        let rows = q.chunks_exact(dim).zip(to.chunks_exact_mut(padded));
        for ((q, to), bits) in rows.zip(scales.chunks_exact(dim.div_ceil(BLOCK))) {
            for ((q, to), bits) in q.chunks(BLOCK).zip(to[..dim].chunks_mut(BLOCK)).zip(bits) {
                let scale = half_float::to_f32(*bits);
                for (q, to) in q.iter().zip(to) {
                    *to = scale * f32::from(*q);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_error_is_half_a_step_at_most(
            x in proptest::collection::vec(-1000f32..1000.0, 1..100),
            scale in -20i32..10,
        ) {
            let x: Vec<f32> = x.iter().map(|x| x * 2f32.powi(scale)).collect();
            let mut rounded = x.clone();
            round(&mut rounded, x.len());
            for (x, rounded) in x.chunks(BLOCK).zip(rounded.chunks(BLOCK)) {
                let largest = x.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                // Half a step of the scale, and what f16 takes off the largest or adds to steps.
                let bound = largest / 127.0 * 0.5 * 1.07 + 127.0 * 2f32.powi(-25);
                for (x, rounded) in x.iter().zip(rounded) {
                    prop_assert!((x - rounded).abs() <= bound, "{x} became {rounded}");
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite() {
        for x in [0.0, -0.0, 1e-30, 3e-8, 1e9, f32::MAX, f32::INFINITY, f32::NAN] {
            let mut row = [1.0, x, -x];
            round(&mut row, 3);
            assert!(row.iter().all(|x| x.is_finite()), "{x}: {row:?}");
        }
        let mut row = [f32::NAN, 2.0];
        round(&mut row, 2);
        assert!(row[0] == 0.0 && (row[1] - 2.0).abs() < 1e-3, "{row:?}");
    }
}
