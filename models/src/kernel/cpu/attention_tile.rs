//! One tile of attention: queries times 32 keys, softmax weights, weighted values.
//!
//! Called by `attention`. Up to four queries share every key and value that is loaded; what each
//! gets is the same as alone.
//!
//! Shapes: keys `[head_dim][32]`, values `[32][padded]` (`padded` = head_dim rounded up to 16),
//! f32; a state is `padded` weighted values, then the maximum, then the sum of weights.

use super::{
    Level,
    lanes::{LANES, Lanes},
    numeric::{exp, sum_lanes},
};
use crate::kv::PAGE_TOKENS;

/// Positions per tile.
pub const TILE: usize = PAGE_TOKENS as usize;
/// Queries that are computed together.
pub const QUERIES: usize = 4;

/// Keys and values of one tile, and how scores are scaled.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// `[head_dim][32]`.
    pub keys: &'a [f32],
    /// `[32][padded]`.
    pub values: &'a [f32],
    /// Positions of the tile that the queries see, at least 1.
    pub visible: usize,
    /// What scores are multiplied with.
    pub scale: f32,
}

impl Tile<'_> {
    fn padded(&self) -> usize {
        self.values.len() / TILE
    }
}

/// Merges the tile into the states of some queries, which follow each other in `states`.
pub fn attend(level: Level, tile: &Tile<'_>, queries: &[&[f32]], states: &mut [f32]) {
    let size = tile.padded() + 2;
    assert_eq!(states.len(), queries.len() * size, "one state per query");
    assert!(tile.visible >= 1 && tile.visible <= TILE, "visible positions");
    let (fours, rest) = queries.as_chunks::<QUERIES>();
    let (four_states, rest_states) = states.split_at_mut(fours.len() * QUERIES * size);
    for (queries, states) in fours.iter().zip(four_states.chunks_exact_mut(QUERIES * size)) {
        attend_some(level, tile, queries, states);
    }
    for (query, states) in rest.iter().zip(rest_states.chunks_exact_mut(size)) {
        attend_some(level, tile, std::array::from_ref(query), states);
    }
}

fn attend_some<const H: usize>(
    level: Level,
    tile: &Tile<'_>,
    queries: &[&[f32]; H],
    states: &mut [f32],
) {
    for query in queries {
        assert_eq!(query.len() * TILE, tile.keys.len(), "queries as long as keys");
    }
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => unsafe { avx2(tile, queries, states) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => unsafe { avx512(tile, queries, states) },
        // SAFETY: plain code.
        _ => unsafe { body::<super::lanes::portable::Portable, H>(tile, queries, states) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<const H: usize>(tile: &Tile<'_>, queries: &[&[f32]; H], states: &mut [f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx2::Avx2, H>(tile, queries, states) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<const H: usize>(tile: &Tile<'_>, queries: &[&[f32]; H], states: &mut [f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx512::Avx512, H>(tile, queries, states) }
}

/// # Safety
///
/// Needs the instruction set of `L`; sizes as `attend` checks them.
#[inline(always)]
unsafe fn body<L: Lanes, const H: usize>(
    tile: &Tile<'_>,
    queries: &[&[f32]; H],
    states: &mut [f32],
) {
    let padded = tile.padded();
    // SAFETY: the caller's promise.
    let mut weights = unsafe { scores::<L, H>(tile, queries) };
    let mut factors = [(0f32, 0f32); H];
    for (h, weights) in weights.iter_mut().enumerate() {
        let rest = &mut states[h * (padded + 2) + padded..][..2];
        let (largest, sum) = softmax(weights, tile.visible);
        let maximum = if rest[0] > largest { rest[0] } else { largest };
        let (before, now) = (exp(rest[0] - maximum), exp(largest - maximum));
        rest[0] = maximum;
        rest[1] = sum.mul_add(now, rest[1] * before);
        factors[h] = (before, now);
    }
    // SAFETY: the caller's promise; columns in whole vectors, two at a time where possible.
    unsafe {
        let mut column = 0;
        while column + 2 * LANES <= padded {
            merge::<L, H, 2>(tile, &weights, &factors, states, column);
            column += 2 * LANES;
        }
        if column < padded {
            merge::<L, H, 1>(tile, &weights, &factors, states, column);
        }
    }
}

/// Scores of 32 positions: two fused chains over even and odd dimensions, added, times the scale.
#[inline(always)]
unsafe fn scores<L: Lanes, const H: usize>(
    tile: &Tile<'_>,
    queries: &[&[f32]; H],
) -> [[f32; TILE]; H] {
    let pairs = tile.keys.len() / (2 * TILE);
    let keys = tile.keys.as_ptr();
    // SAFETY: pair d is inside of keys and queries; see `attend`.
    unsafe {
        let mut even = [[L::splat(0.0); 2]; H];
        let mut odd = [[L::splat(0.0); 2]; H];
        for d in 0..pairs {
            let key = |i: usize| L::load_f32(keys.add(d * 2 * TILE + i * LANES).cast());
            let keys = [key(0), key(1), key(2), key(3)];
            for h in 0..H {
                let q = queries[h].as_ptr().add(2 * d);
                let (first, second) = (L::splat(*q), L::splat(*q.add(1)));
                for i in 0..2 {
                    even[h][i] = L::mul_add(keys[i], first, even[h][i]);
                    odd[h][i] = L::mul_add(keys[2 + i], second, odd[h][i]);
                }
            }
        }
        let scale = L::splat(tile.scale);
        let mut scores = [[0f32; TILE]; H];
        for h in 0..H {
            for i in 0..2 {
                let score = L::mul(L::add(even[h][i], odd[h][i]), scale);
                L::store(scores[h].as_mut_ptr().add(i * LANES), score);
            }
        }
        scores
    }
}

/// Turns scores into weights `exp(s - max)`; gives the maximum and the sum of weights.
#[inline(always)]
fn softmax(scores: &mut [f32; TILE], visible: usize) -> (f32, f32) {
    for (j, score) in scores.iter_mut().enumerate() {
        // Slots beyond the row's own position hold other or no tokens: they must not count.
        *score = if j < visible { *score } else { f32::NEG_INFINITY };
    }
    let mut largest: [f32; 16] =
        std::array::from_fn(
            |i| {
                if scores[i + 16] > scores[i] { scores[i + 16] } else { scores[i] }
            },
        );
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            largest[i] =
                if largest[i + half] > largest[i] { largest[i + half] } else { largest[i] };
        }
    }
    for score in scores.iter_mut() {
        *score = exp(*score - largest[0]);
    }
    (largest[0], sum_lanes(std::array::from_fn(|i| scores[i] + scores[i + 16])))
}

/// Adds the weighted values of `W` vectors of columns: one fused chain over ascending positions,
/// merged with what earlier tiles gave.
#[inline(always)]
unsafe fn merge<L: Lanes, const H: usize, const W: usize>(
    tile: &Tile<'_>,
    weights: &[[f32; TILE]; H],
    factors: &[(f32, f32); H],
    states: &mut [f32],
    column: usize,
) {
    let padded = tile.padded();
    // SAFETY: columns are inside of values and states; see `attend`.
    unsafe {
        let mut parts = [[L::splat(0.0); W]; H];
        let values = tile.values.as_ptr().add(column);
        for j in 0..tile.visible {
            let value: [L::Float; W] =
                std::array::from_fn(|i| L::load_f32(values.add(j * padded + i * LANES).cast()));
            for h in 0..H {
                let weight = L::splat(*weights[h].get_unchecked(j));
                for i in 0..W {
                    parts[h][i] = L::mul_add(value[i], weight, parts[h][i]);
                }
            }
        }
        for h in 0..H {
            let (before, now) = (L::splat(factors[h].0), L::splat(factors[h].1));
            for i in 0..W {
                let at = states.as_mut_ptr().add(h * (padded + 2) + column + i * LANES);
                let total = L::mul(L::load_f32(at.cast()), before);
                L::store(at, L::mul_add(parts[h][i], now, total));
            }
        }
    }
}

/// Merges a state into an earlier one, in the order of positions.
pub fn merge_states(into: &mut [f32], from: &[f32]) {
    let padded = into.len() - 2;
    let maximum = if into[padded] > from[padded] { into[padded] } else { from[padded] };
    let (before, now) = (exp(into[padded] - maximum), exp(from[padded] - maximum));
    for (into, from) in into[..padded].iter_mut().zip(&from[..padded]) {
        *into = from.mul_add(now, *into * before);
    }
    into[padded] = maximum;
    into[padded + 1] = from[padded + 1].mul_add(now, into[padded + 1] * before);
}
