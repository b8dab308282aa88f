//! One tile of attention: queries times 32 keys, softmax weights, weighted values.
//!
//! Called by `attention`. Up to eight queries share every key and value that is loaded; what each
//! gets is the same as alone.
//!
//! Shapes: keys `[key_dim][32]`, values `[32][padded]` (`padded` = value_dim rounded up to 16),
//! f32, or f16 widened while they are read; a state is `padded` weighted values, then the maximum,
//! then the sum of weights.

use super::{
    Level,
    elementwise::cap_lanes,
    lanes::{LANES, Lanes, prefetch},
    numeric::exp_lanes,
};
use crate::kv::PAGE_TOKENS;

/// Positions per tile.
pub const TILE: usize = PAGE_TOKENS as usize;
/// Queries that are computed together.
const QUERIES: usize = 8;

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
    /// Keys `[key_dim][32]` and values `[32][padded]`.
    pub elements: Elements<'a>,
    /// First position of the tile that the queries see, and the one behind the last; at least one.
    pub visible: [usize; 2],
    /// What scores are multiplied with.
    pub scale: f32,
    /// What scores are bounded to, softly.
    pub soft_cap: Option<f32>,
    /// Where the f16 keys and values that are read next lie: asked for line by line while these
    /// are read. Any address.
    pub next: [*const u8; 2],
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

    /// Asks for element `at` of what is read next, unless it was asked for already.
    #[inline(always)]
    fn ahead(next: *const u8, at: usize) {
        let _ = (next, at);
    }
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

    #[inline(always)]
    fn ahead(next: *const u8, at: usize) {
        prefetch(next.wrapping_add(at * size_of::<Self>()));
    }
}

/// Merges the tile into the states of some queries, which follow each other in `states`.
pub fn attend(level: Level, tile: &Tile<'_>, queries: &[&[f32]], states: &mut [f32]) {
    let size = tile.padded() + 2;
    assert_eq!(states.len(), queries.len() * size, "one state per query");
    let [from, to] = tile.visible;
    assert!(from < to && to <= TILE, "visible positions");
    let (queries, states) = attend_chunks::<QUERIES>(level, tile, queries, states);
    let (queries, states) = attend_chunks::<4>(level, tile, queries, states);
    attend_chunks::<1>(level, tile, queries, states);
}

/// Attends whole chunks of queries, and gives back the rest.
fn attend_chunks<'q, 's, const H: usize>(
    level: Level,
    tile: &Tile<'_>,
    queries: &'q [&'q [f32]],
    states: &'s mut [f32],
) -> (&'q [&'q [f32]], &'s mut [f32]) {
    let size = tile.padded() + 2;
    let (chunks, rest) = queries.as_chunks::<H>();
    let (chunk_states, rest_states) = states.split_at_mut(chunks.len() * H * size);
    for (queries, states) in chunks.iter().zip(chunk_states.chunks_exact_mut(H * size)) {
        attend_some(level, tile, queries, states);
    }
    (rest, rest_states)
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
    // SAFETY: the caller's promise.
    let factors = unsafe {
        let mut scores = scores::<L, E, H>(tile, keys, queries);
        if let Some(cap) = tile.soft_cap {
            for scores in &mut scores {
                for score in scores {
                    *score = cap_lanes::<L>(*score, cap, 1.0 / cap);
                }
            }
        }
        softmax::<L, H>(scores, tile.visible, &mut weights, (states, padded))
    };
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
    // SAFETY: the caller's promise.
    unsafe {
        let mut scores = [[L::splat(0.0); 2]; H];
        if H > 4 {
            // As many sums as there are registers.
            some_scores::<L, E, H, 1>(tile, keys, queries, 0, &mut scores);
            some_scores::<L, E, H, 1>(tile, keys, queries, 1, &mut scores);
        } else {
            some_scores::<L, E, H, 2>(tile, keys, queries, 0, &mut scores);
        }
        scores
    }
}

/// `N` vectors of scores, from vector `first` on.
#[inline(always)]
unsafe fn some_scores<L: Lanes, E: Element, const H: usize, const N: usize>(
    tile: &Tile<'_>,
    keys: *const E,
    queries: &[&[f32]; H],
    first: usize,
    scores: &mut [[L::Float; 2]; H],
) {
    let pairs = tile.lengths()[0] / (2 * TILE);
    // SAFETY: pair d is inside of keys and queries; see `attend`.
    unsafe {
        let mut even = [[L::splat(0.0); N]; H];
        let mut odd = [[L::splat(0.0); N]; H];
        for d in 0..pairs {
            let at = d * 2 * TILE;
            let mut pair = [[L::splat(0.0); N]; 2];
            for (which, keys_of) in pair.iter_mut().enumerate() {
                for (i, key) in keys_of.iter_mut().enumerate() {
                    *key = E::load::<L>(keys.add(at + which * TILE + (first + i) * LANES));
                }
            }
            if first == 0 {
                E::ahead(tile.next[0], at);
                E::ahead(tile.next[0], at + TILE);
            }
            for h in 0..H {
                let q = queries[h].as_ptr().add(2 * d);
                let (one, two) = (L::splat(*q), L::splat(*q.add(1)));
                for i in 0..N {
                    even[h][i] = L::mul_add(pair[0][i], one, even[h][i]);
                    odd[h][i] = L::mul_add(pair[1][i], two, odd[h][i]);
                }
            }
        }
        let scale = L::splat(tile.scale);
        for h in 0..H {
            for i in 0..N {
                scores[h][first + i] = L::mul(L::add(even[h][i], odd[h][i]), scale);
            }
        }
    }
}

/// Writes the weights `exp(s - max)` and brings maximum and sum of every state up to date; gives
/// what earlier weights are multiplied with.
#[inline(always)]
unsafe fn softmax<L: Lanes, const H: usize>(
    mut scores: [[L::Float; 2]; H],
    [from, to]: [usize; 2],
    weights: &mut [[f32; TILE]; H],
    (states, padded): (&mut [f32], usize),
) -> [f32; H] {
    let mut factors = [1f32; H];
    // SAFETY: the caller vouches for the instruction set; `weights` has rows of 32 values.
    unsafe {
        if to - from < TILE {
            for (scores, weights) in scores.iter_mut().zip(&mut *weights) {
                let at = weights.as_mut_ptr();
                L::store(at, scores[0]);
                L::store(at.add(LANES), scores[1]);
                // Slots beyond the row's own position hold other or no tokens: they must not count.
                weights[..from].fill(f32::NEG_INFINITY);
                weights[to..].fill(f32::NEG_INFINITY);
                *scores = [L::load_f32(at.cast()), L::load_f32(at.add(LANES).cast())];
            }
        }
        for h in 0..H {
            let [first, second] = scores[h];
            let largest = L::largest(L::where_less(first, second, second, first));
            let maximum = &mut states[h * (padded + 2) + padded];
            if largest > *maximum {
                factors[h] = exp::<L>(*maximum - largest);
                *maximum = largest;
            }
            let minus = L::splat(-*maximum);
            scores[h] = [L::add(first, minus), L::add(second, minus)];
        }
        for h in 0..H {
            scores[h] = [exp_lanes::<L>(scores[h][0]), exp_lanes::<L>(scores[h][1])];
            L::store(weights[h].as_mut_ptr(), scores[h][0]);
            L::store(weights[h].as_mut_ptr().add(LANES), scores[h][1]);
        }
        for h in 0..H {
            let total = &mut states[h * (padded + 2) + padded + 1];
            *total = total.mul_add(factors[h], L::sum(L::add(scores[h][0], scores[h][1])));
        }
    }
    factors
}

/// `e^x` of one number.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
unsafe fn exp<L: Lanes>(x: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    // SAFETY: the caller's promise.
    unsafe { L::store(lanes.as_mut_ptr(), exp_lanes::<L>(L::splat(x))) };
    lanes[0]
}

/// Adds the weighted values of `W` vectors of columns: one fused chain over ascending positions,
/// merged with what earlier tiles gave.
#[inline(always)]
unsafe fn merge<L: Lanes, E: Element, const H: usize, const W: usize>(
    (tile, values): (&Tile<'_>, *const E),
    weights: &[[f32; TILE]; H],
    factors: &[f32; H],
    states: &mut [f32],
    column: usize,
) {
    let padded = tile.padded();
    // SAFETY: columns are inside of values and states; see `attend`.
    unsafe {
        let mut parts = [[L::splat(0.0); W]; H];
        let values = values.add(column);
        let [mut j, end] = tile.visible;
        while j + 4 <= end {
            for j in j..j + 4 {
                accumulate::<L, E, H, W>(values.add(j * padded), weights, j, &mut parts);
                E::ahead(tile.next[1], j * padded + column);
            }
            j += 4;
        }
        while j < end {
            accumulate::<L, E, H, W>(values.add(j * padded), weights, j, &mut parts);
            j += 1;
        }
        for (h, parts) in parts.into_iter().enumerate() {
            let factor = L::splat(factors[h]);
            for (i, part) in parts.into_iter().enumerate() {
                let at = states.as_mut_ptr().add(h * (padded + 2) + column + i * LANES);
                L::store(at, L::mul_add(L::load_f32(at.cast()), factor, part));
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
        if from[padded] == f32::NEG_INFINITY {
            // These positions are behind the window.
            continue;
        }
        if into[padded] == f32::NEG_INFINITY {
            into.copy_from_slice(from);
            continue;
        }
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
