//! One tile of attention: queries times 32 keys, softmax weights, weighted values.
//!
//! Called by `attention`. Up to four queries share every key and value that is loaded; what each
//! gets is the same as alone.
//!
//! Shapes: keys `[head_dim][32]`, values `[32][padded]` (`padded` = head_dim rounded up to 16),
//! f32, or f16 widened while they are read; a state is `padded` weighted values, then the maximum,
//! then the sum of weights.

use super::{
    Level,
    lanes::{LANES, Lanes},
    numeric::exp_lanes,
};
use crate::kv::PAGE_TOKENS;

/// Positions per tile.
pub const TILE: usize = PAGE_TOKENS as usize;
/// Queries that are computed together.
pub const QUERIES: usize = 4;

/// Keys and values in either type.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// As f16 bits.
    F16(&'a [u16], &'a [u16]),
    /// As floats.
    F32(&'a [f32], &'a [f32]),
}

/// Keys and values of one tile, and how scores are scaled.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// Keys `[head_dim][32]` and values `[32][padded]`.
    pub elements: Elements<'a>,
    /// Positions of the tile that the queries see, at least 1.
    pub visible: usize,
    /// What scores are multiplied with.
    pub scale: f32,
}

impl Tile<'_> {
    fn lengths(&self) -> [usize; 2] {
        match self.elements {
            Elements::F16(keys, values) => [keys.len(), values.len()],
            Elements::F32(keys, values) => [keys.len(), values.len()],
        }
    }

    fn padded(&self) -> usize {
        self.lengths()[1] / TILE
    }
}

/// The element type that a loop reads.
trait Element: Copy {
    /// 16 of them, widened.
    unsafe fn load<L: Lanes>(from: *const Self) -> L::Float;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L::Float {
        // SAFETY: the caller's promise.
        unsafe { L::load_f32(from.cast()) }
    }
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L::Float {
        // SAFETY: the caller's promise.
        unsafe { L::load_f16(from.cast()) }
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
        assert_eq!(query.len() * TILE, tile.lengths()[0], "queries as long as keys");
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
    // SAFETY: the caller's promise.
    unsafe {
        match tile.elements {
            Elements::F16(keys, values) => {
                typed::<L, u16, H>(tile, (keys.as_ptr(), values.as_ptr()), queries, states);
            }
            Elements::F32(keys, values) => {
                typed::<L, f32, H>(tile, (keys.as_ptr(), values.as_ptr()), queries, states);
            }
        }
    }
}

#[inline(always)]
unsafe fn typed<L: Lanes, E: Element, const H: usize>(
    tile: &Tile<'_>,
    (keys, values): (*const E, *const E),
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
        let scores = scores::<L, E, H>(tile, keys, queries);
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
            merge::<L, E, H, 2>((tile, values), &weights, &factors, states, column);
            column += 2 * LANES;
        }
        if column < padded {
            merge::<L, E, H, 1>((tile, values), &weights, &factors, states, column);
        }
    }
}

/// Scores of 32 positions: two fused chains over even and odd dimensions, added, times the scale.
#[inline(always)]
unsafe fn scores<L: Lanes, E: Element, const H: usize>(
    tile: &Tile<'_>,
    keys: *const E,
    queries: &[&[f32]; H],
) -> [[L::Float; 2]; H] {
    let pairs = tile.lengths()[0] / (2 * TILE);
    // SAFETY: pair d is inside of keys and queries; see `attend`.
    unsafe {
        let mut even = [[L::splat(0.0); 2]; H];
        let mut odd = [[L::splat(0.0); 2]; H];
        for d in 0..pairs {
            let mut pair = [L::splat(0.0); 4];
            for (i, key) in pair.iter_mut().enumerate() {
                *key = E::load::<L>(keys.add(d * 2 * TILE + i * LANES));
            }
            for h in 0..H {
                let q = queries[h].as_ptr().add(2 * d);
                let (first, second) = (L::splat(*q), L::splat(*q.add(1)));
                for i in 0..2 {
                    even[h][i] = L::mul_add(pair[i], first, even[h][i]);
                    odd[h][i] = L::mul_add(pair[2 + i], second, odd[h][i]);
                }
            }
        }
        let scale = L::splat(tile.scale);
        let mut scores = [[scale; 2]; H];
        for h in 0..H {
            for i in 0..2 {
                scores[h][i] = L::mul(L::add(even[h][i], odd[h][i]), scale);
            }
        }
        scores
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
        let largest = L::largest(L::where_less(scores[0], scores[1], scores[1], scores[0]));
        let minus = L::splat(-largest);
        let first = exp_lanes::<L>(L::add(scores[0], minus));
        let second = exp_lanes::<L>(L::add(scores[1], minus));
        L::store(at, first);
        L::store(at.add(LANES), second);
        (largest, L::sum(L::add(first, second)))
    }
}

/// Adds the weighted values of `W` vectors of columns: one fused chain over ascending positions,
/// merged with what earlier tiles gave.
#[inline(always)]
unsafe fn merge<L: Lanes, E: Element, const H: usize, const W: usize>(
    (tile, values): (&Tile<'_>, *const E),
    weights: &[[f32; TILE]; H],
    factors: &[(f32, f32); H],
    states: &mut [f32],
    column: usize,
) {
    let padded = tile.padded();
    // SAFETY: columns are inside of values and states; see `attend`.
    unsafe {
        let mut parts = [[L::splat(0.0); W]; H];
        let values = values.add(column);
        let mut j = 0;
        while j + 4 <= tile.visible {
            for j in j..j + 4 {
                accumulate::<L, E, H, W>(values.add(j * padded), weights, j, &mut parts);
            }
            j += 4;
        }
        while j < tile.visible {
            accumulate::<L, E, H, W>(values.add(j * padded), weights, j, &mut parts);
            j += 1;
        }
        for (h, parts) in parts.into_iter().enumerate() {
            let (before, now) = (L::splat(factors[h].0), L::splat(factors[h].1));
            for (i, part) in parts.into_iter().enumerate() {
                let at = states.as_mut_ptr().add(h * (padded + 2) + column + i * LANES);
                let total = L::mul(L::load_f32(at.cast()), before);
                L::store(at, L::mul_add(part, now, total));
            }
        }
    }
}

/// One step of the chains: position `j`, whose values are at `values`.
#[inline(always)]
unsafe fn accumulate<L: Lanes, E: Element, const H: usize, const W: usize>(
    values: *const E,
    weights: &[[f32; TILE]; H],
    j: usize,
    parts: &mut [[L::Float; W]; H],
) {
    // SAFETY: `W` vectors are readable at `values`, and there is a weight for position `j`.
    unsafe {
        let mut value = [L::splat(0.0); W];
        for (i, value) in value.iter_mut().enumerate() {
            *value = E::load::<L>(values.add(i * LANES));
        }
        for (weights, parts) in weights.iter().zip(parts) {
            let weight = L::splat(*weights.get_unchecked(j));
            for (part, value) in parts.iter_mut().zip(value) {
                *part = L::mul_add(value, weight, *part);
            }
        }
    }
}

/// Merges states into earlier ones, in the order of positions; `size` values each.
pub fn merge_states(level: Level, size: usize, into: &mut [f32], from: &[f32]) {
    assert!(into.len() == from.len() && (size - 2).is_multiple_of(LANES), "states of one shape");
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => unsafe { merge_avx2(size, into, from) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => unsafe { merge_avx512(size, into, from) },
        // SAFETY: plain code.
        _ => unsafe { merge_body::<super::lanes::portable::Portable>(size, into, from) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn merge_avx2(size: usize, into: &mut [f32], from: &[f32]) {
    // SAFETY: the instruction set is there.
    unsafe { merge_body::<super::lanes::avx2::Avx2>(size, into, from) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn merge_avx512(size: usize, into: &mut [f32], from: &[f32]) {
    // SAFETY: the instruction set is there.
    unsafe { merge_body::<super::lanes::avx512::Avx512>(size, into, from) }
}

#[inline(always)]
unsafe fn merge_body<L: Lanes>(size: usize, into: &mut [f32], from: &[f32]) {
    let padded = size - 2;
    for (into, from) in into.chunks_exact_mut(size).zip(from.chunks_exact(size)) {
        let maximum = if into[padded] > from[padded] { into[padded] } else { from[padded] };
        let mut factors = [0f32; LANES];
        (factors[0], factors[1]) = (into[padded] - maximum, from[padded] - maximum);
        // SAFETY: the caller vouches for the instruction set; vectors lie inside of the states.
        unsafe {
            L::store(factors.as_mut_ptr(), exp_lanes::<L>(L::load_f32(factors.as_ptr().cast())));
            let (before, now) = (L::splat(factors[0]), L::splat(factors[1]));
            for column in (0..padded).step_by(LANES) {
                let at = into.as_mut_ptr().add(column);
                let total = L::mul(L::load_f32(at.cast()), before);
                let from = L::load_f32(from.as_ptr().add(column).cast());
                L::store(at, L::mul_add(from, now, total));
            }
        }
        into[padded] = maximum;
        into[padded + 1] = from[padded + 1].mul_add(factors[1], into[padded + 1] * factors[0]);
    }
}
