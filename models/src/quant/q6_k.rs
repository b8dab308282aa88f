//! Q6_K: 256 values of 6 bits; 16 scales of 8 bits. Called through `quant`.
//!
//! ```text
//! file, 210 bytes: low nibbles, 128 | high 2 bits, 64 | scales i8 x 16 | d f16
//!   half h of 128 values, l in 0..32, k in 0..4: value 128h + 32k + l has
//!   low  = nibble (k / 2) of byte 64h + 32 (k % 2) + l
//!   high = bits 2k, 2k + 1 of high byte 32h + l
//!   value = d * s_j * (q - 32), j = value / 16
//! interleaved, 3360 bytes: d f16 x 16 | for each j: 16 s | low and high bytes in the file's order,
//!   each 4 of them of 16 rows side by side
//! ```
//!
//! Canonical dot: `sum = fma(d * scale, sum_j(s_j * (dot_j - 32 * x_sum_j)), sum)`.

use super::{
    Block, blocks32::quad, f16_at, finite_f16, interleave_f16, interleave_words,
    k_scales::scaled_dots,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block256,
        lanes::{LANES, Lanes, stream},
    },
};

pub(super) struct Q6K;

const GROUP_HEAD_BYTES: usize = 32 + 16 * LANES;
const PANEL_QUADS: usize = 64 + 16 * 64;
/// The offset is 2 to this power.
const OFFSET: u32 = 5;

fn unpack(block: &[u8]) -> [u8; 256] {
    let mut q = [0; 256];
    for (i, q) in q.iter_mut().enumerate() {
        let (half, k, l) = (i / 128, i / 32 % 4, i % 32);
        let low = block[64 * half + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15;
        let high = block[128 + 32 * half + l] >> (2 * k) & 3;
        *q = low | high << 4;
    }
    q
}

/// Quad `q` in 0..8 of each of the four 32 values of a half.
#[inline(always)]
unsafe fn quads<L: Lanes>(group: *const u8, half: usize, q: usize) -> [L::Bytes; 4] {
    // SAFETY: the offsets follow the byte diagram.
    unsafe {
        let vector = |i: usize| stream::<L>(group.add(GROUP_HEAD_BYTES + i * 64));
        let (first, second) = (vector(16 * half + q), vector(16 * half + 8 + q));
        let high = vector(32 + 8 * half + q);
        [
            L::or(L::shift_right(first, 0, 15), L::shift_left(high, 4, 0x30)),
            L::or(L::shift_right(second, 0, 15), L::shift_left(high, 2, 0x30)),
            L::or(L::shift_right(first, 4, 15), L::shift_right(high, 0, 0x30)),
            L::or(L::shift_right(second, 4, 15), L::shift_right(high, 2, 0x30)),
        ]
    }
}

/// The end of the fold: `dots` are `sum_j(s_j * dot_j)`, offset taken off.
#[inline(always)]
unsafe fn fold_dots<L: Lanes, const T: usize>(
    d: L::Float,
    dots: &[L::Int; T],
    x: *const Block256,
    sums: &mut [L::Float; T],
) {
    // SAFETY: as `Block::fold_group`.
    unsafe {
        for t in 0..T {
            let scale = L::mul(d, L::splat((*x.add(t)).scale));
            sums[t] = L::mul_add(scale, L::to_float(dots[t]), sums[t]);
        }
    }
}

/// Minus the offset times the sum of inputs of part `j`.
#[inline(always)]
unsafe fn start<L: Lanes>(x: *const Block256, t: usize, j: usize) -> L::Int {
    // SAFETY: as `Block::fold_group`.
    unsafe { L::shift_int(L::splat_int((*x.add(t)).negative_sums[j]), OFFSET) }
}

impl Block for Q6K {
    type Input = Block256;
    const TYPE: TensorType = TensorType::Q6_K;
    const BYTES: usize = 210;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 48 * 64;
    const PANEL_BYTES: usize = PANEL_QUADS + 64 * 64;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 208);
        for (i, (out, q)) in out.iter_mut().zip(unpack(block)).enumerate() {
            let scale = f32::from(block[192 + i / 16].cast_signed());
            *out = d * scale * (f32::from(q) - 32.0);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, 208)
    }

    fn fold(block: &[u8], x: &Block256, sum: f32) -> f32 {
        let q = unpack(block);
        let mut dots = 0i32;
        for j in 0..16 {
            let values = q[j * 16..(j + 1) * 16].iter().zip(&x.q[j * 16..]);
            let dot: i32 = values.map(|(q, x)| (i32::from(*q) - 32) * i32::from(*x)).sum();
            dots += i32::from(block[192 + j].cast_signed()) * dot;
        }
        (f16_at(block, 208) * x.scale).mul_add(dots as f32, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_f16(blocks, 208, out);
        for (row, block) in blocks.iter().enumerate() {
            for j in 0..16 {
                out[32 + j * LANES + row] = block.get(192 + j).copied().unwrap_or(0);
            }
        }
        interleave_words::<48>(blocks, 0, &mut out[GROUP_HEAD_BYTES..]);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let mut dots = [L::splat_int(0); T];
            for part in 0..4 {
                let (half, second) = (part / 2, part % 2);
                let j = |k: usize| 8 * half + 2 * k + second;
                let mut parts: [[L::Int; T]; 4] =
                    std::array::from_fn(|k| std::array::from_fn(|t| start::<L>(x, t, j(k))));
                for q in 4 * second..4 * second + 4 {
                    let w = quads::<L>(group, half, q);
                    for k in 0..4 {
                        for t in 0..T {
                            let x = quad(&(*x.add(t)).q, 32 * half + 8 * k + q);
                            parts[k][t] = L::dot(parts[k][t], w[k], x);
                        }
                    }
                }
                for (k, part) in parts.into_iter().enumerate() {
                    let scale = L::load_i8(group.add(32 + j(k) * LANES));
                    for t in 0..T {
                        dots[t] = L::add_int(dots[t], L::mul_int(scale, part[t]));
                    }
                }
            }
            fold_dots::<L, T>(L::load_f16(group), &dots, x, sums);
        }
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: as above.
        unsafe {
            L::store(panel.cast(), L::load_f16(group));
            for j in 0..16 {
                L::store_int(panel.add(64 + 64 * j), L::load_i8(group.add(32 + j * LANES)));
            }
            for half in 0..2 {
                for q in 0..8 {
                    for (k, w) in quads::<L>(group, half, q).into_iter().enumerate() {
                        let at = 32 * half + 8 * k + q;
                        L::store_bytes(panel.add(PANEL_QUADS + 64 * at), w);
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
        // SAFETY: the caller's promise.
        unsafe {
            let (scales, quads) = (panel.add(64), panel.add(PANEL_QUADS));
            let dots = scaled_dots::<L, T, 16>(scales, quads, x, |t, j| start::<L>(x, t, j));
            fold_dots::<L, T>(L::load_f32(panel), &dots, x, sums);
        }
    }
}
