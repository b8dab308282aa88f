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
    numeric::{exp, exp_lanes, sum_lanes},
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
    let mut weights = [[0f32; TILE]; H];
    let mut sums = [0f32; H];
    // The exponents of what came before and of this tile, per query.
    let mut exponents = [0f32; LANES];
    // SAFETY: the caller's promise.
    unsafe {
        let scores = scores::<L, H>(tile, queries);
        for (h, scores) in scores.into_iter().enumerate() {
            let (largest, sum) = softmax::<L>(scores, tile.visible, &mut weights[h]);
            let rest = &mut states[h * (padded + 2) + padded..][..2];
            let maximum = if rest[0] > largest { rest[0] } else { largest };
            (exponents[h], exponents[QUERIES + h]) = (rest[0] - maximum, largest - maximum);
            (rest[0], sums[h]) = (maximum, sum);
        }
        let factors = exp_lanes::<L>(L::load_f32(exponents.as_ptr().cast()));
        L::store(exponents.as_mut_ptr(), factors);
    }
    let factors: [(f32, f32); H] = std::array::from_fn(|h| (exponents[h], exponents[QUERIES + h]));
    for (h, (before, now)) in factors.into_iter().enumerate() {
        let total = &mut states[h * (padded + 2) + padded + 1];
        *total = sums[h].mul_add(now, *total * before);
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
) -> [[L::Float; 2]; H] {
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
        std::array::from_fn(|h| [0, 1].map(|i| L::mul(L::add(even[h][i], odd[h][i]), scale)))
    }
}

/// Writes the weights `exp(s - max)`; gives the maximum and the sum of weights.
#[inline(always)]
unsafe fn softmax<L: Lanes>(
    mut scores: [L::Float; 2],
    visible: usize,
    weights: &mut [f32; TILE],
) -> (f32, f32) {
    // SAFETY: the caller vouches for the instruction set; `weights` has 32 values.
    unsafe {
        let at = weights.as_mut_ptr();
        if visible < TILE {
            L::store(at, scores[0]);
            L::store(at.add(LANES), scores[1]);
            // Slots beyond the row's own position hold other or no tokens: they must not count.
            weights[visible..].fill(f32::NEG_INFINITY);
            scores = [L::load_f32(at.cast()), L::load_f32(at.add(LANES).cast())];
        }
        let mut largest = [0f32; LANES];
        let larger = L::where_less(scores[0], scores[1], scores[1], scores[0]);
        L::store(largest.as_mut_ptr(), larger);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                let (a, b) = (largest[i], largest[i + half]);
                largest[i] = if b > a { b } else { a };
            }
        }
        let minus = L::splat(-largest[0]);
        let [first, second] = scores.map(|score| exp_lanes::<L>(L::add(score, minus)));
        L::store(at, first);
        L::store(at.add(LANES), second);
        let mut lanes = [0f32; LANES];
        L::store(lanes.as_mut_ptr(), L::add(first, second));
        (largest[0], sum_lanes(lanes))
    }
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
