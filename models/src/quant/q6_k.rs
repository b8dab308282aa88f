//! Q6_K: 256 values of 6 bits; 16 scales of 8 bits. Called through `quant`.
//!
//! ```text
//! file, 210 bytes: low nibbles, 128 | high 2 bits, 64 | scales i8 x 16 | d f16
//!   half h of 128 values, l in 0..32, k in 0..4: value 128h + 32k + l has
//!   low  = nibble (k / 2) of byte 64h + 32 (k % 2) + l
//!   high = bits 2k, 2k + 1 of high byte 32h + l
//!   value = d * s_j * (q - 32), j = value / 16
//! interleaved, 3360 bytes: d f16 x 16 | for each j: 16 s | for each j, 3 x 64 bytes:
//!   two vectors of 16 rows x 4 bytes, low nibbles quad 2i and 2i + 1; one with the high bits of
//!   quads 0..4 at bits 0, 2, 4, 6
//! ```
//!
//! Canonical dot: `sum = fma(d * scale, sum_j(s_j * (dot_j - 32 * x_sum_j)), sum)`.

use super::{Block, f16_at};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q6K;

const GROUP_HEAD_BYTES: usize = 32 + 16 * LANES;

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

impl Block for Q6K {
    const TYPE: TensorType = TensorType::Q6_K;
    const VALUES: usize = 256;
    const BYTES: usize = 210;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 16 * 3 * 64;
    const ACTIVATION: ActivationKind = ActivationKind::Blocks256;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 208);
        for (i, (out, q)) in out.iter_mut().zip(unpack(block)).enumerate() {
            let scale = f32::from(block[192 + i / 16].cast_signed());
            *out = d * scale * (f32::from(q) - 32.0);
        }
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        let x_block = &x.q[b * 256..(b + 1) * 256];
        let q = unpack(block);
        let mut dots = 0i32;
        for j in 0..16 {
            let dot: i32 = (q[j * 16..(j + 1) * 16].iter().zip(&x_block[j * 16..]))
                .map(|(q, x)| (i32::from(*q) - 32) * i32::from(*x))
                .sum();
            dots += i32::from(block[192 + j].cast_signed()) * dot;
        }
        (f16_at(block, 208) * x.scales[b]).mul_add(dots as f32, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        for (row, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
            out[2 * row..2 * row + 2].copy_from_slice(&block[208..210]);
            for (j, q) in unpack(block).as_chunks::<16>().0.iter().enumerate() {
                out[32 + j * LANES + row] = block[192 + j];
                let at = GROUP_HEAD_BYTES + j * 192 + row * 4;
                for l in 0..4 {
                    out[at + l] = q[l] & 15 | q[l + 4] << 4;
                    out[at + 64 + l] = q[l + 8] & 15 | q[l + 12] << 4;
                    out[at + 128 + l] =
                        q[l] >> 4 | q[l + 4] >> 4 << 2 | q[l + 8] >> 4 << 4 | q[l + 12] >> 4 << 6;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        b: usize,
        x: &[RowView<'_>; T],
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let mut total = [L::splat_int(0); T];
            for j in 0..16 {
                let at = group.add(GROUP_HEAD_BYTES + j * 192);
                let (low01, low23) = (L::load_bytes(at), L::load_bytes(at.add(64)));
                let high = L::load_bytes(at.add(128));
                let quads = [
                    L::or(L::shift_right::<0>(low01, 15), L::shift_left::<4>(high, 0x30)),
                    L::or(L::shift_right::<4>(low01, 15), L::shift_left::<2>(high, 0x30)),
                    L::or(L::shift_right::<0>(low23, 15), L::shift_right::<0>(high, 0x30)),
                    L::or(L::shift_right::<4>(low23, 15), L::shift_right::<2>(high, 0x30)),
                ];
                let scale = L::load_i8(group.add(32 + j * LANES));
                for t in 0..T {
                    let x_sum = *x[t].sums16.get_unchecked(b * 16 + j);
                    let mut dot = L::splat_int(-32 * x_sum);
                    for (i, w) in quads.iter().enumerate() {
                        dot = L::dot(dot, *w, quad(&x[t], b * 64 + j * 4 + i));
                    }
                    total[t] = L::add_int(total[t], L::mul_int(scale, dot));
                }
            }
            let d = L::load_f16(group);
            for t in 0..T {
                let scale = L::mul(d, L::splat(*x[t].scales.get_unchecked(b)));
                sums[t] = L::mul_add(scale, L::to_float(total[t]), sums[t]);
            }
        }
    }
}
