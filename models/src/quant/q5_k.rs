//! Q5_K: 256 values of 5 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 176 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | fifth bits, 32 |
//!   nibbles, 128
//!   nibbles byte 32i + l: low = value 64i + l, high = value 64i + 32 + l
//!   fifth bit of value 32j + l: bit j of byte l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2880 bytes: head (see k_scales) | for each j, 5 x 64 bytes:
//!   four vectors of 16 rows x 4 bytes, low nibbles quad 2i, high nibbles quad 2i + 1; one with
//!   the fifth bits of quads 0..8 at bits 0..8
//! ```

use super::{
    Block,
    k_scales::{self, GROUP_HEAD_BYTES, Unpacked},
    q5_0::with_fifth_bits,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q5K;

fn unpack(block: &[u8]) -> Unpacked {
    let mut unpacked = Unpacked::head(block);
    let (fifth, nibbles) = block[16..].split_at(32);
    for (i, q) in unpacked.q.iter_mut().enumerate() {
        let (j, l) = (i / 32, i % 32);
        let nibble = nibbles[32 * (j / 2) + l] >> (4 * (j % 2)) & 15;
        *q = nibble | (fifth[l] >> j & 1) << 4;
    }
    unpacked
}

impl Block for Q5K {
    const TYPE: TensorType = TensorType::Q5_K;
    const VALUES: usize = 256;
    const BYTES: usize = 176;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 8 * 5 * 64;
    const ACTIVATION: ActivationKind = ActivationKind::Blocks256;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        unpack(block).dequantise(out);
    }

    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32 {
        unpack(block).fold(b, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        for (row, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
            k_scales::interleave_head(block, row, out);
            for (j, q) in unpack(block).q.as_chunks::<32>().0.iter().enumerate() {
                let at = GROUP_HEAD_BYTES + j * 320 + row * 4;
                for (i, q) in q.iter().enumerate() {
                    let (quad, l) = (i / 4, i % 4);
                    out[at + 64 * (quad / 2) + l] |= (q & 15) << (4 * (quad % 2));
                    out[at + 256 + l] |= q >> 4 << quad;
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
            k_scales::fold_group::<L, T>(group, b, x, sums, |j| {
                let at = group.add(GROUP_HEAD_BYTES + j * 320);
                let low: [L::Bytes; 4] = std::array::from_fn(|i| L::load_bytes(at.add(64 * i)));
                let quads = with_fifth_bits::<L>(&low, L::load_bytes(at.add(256)));
                let mut dots = [L::splat_int(0); T];
                for (i, w) in quads.iter().enumerate() {
                    for t in 0..T {
                        dots[t] = L::dot(dots[t], *w, quad(&x[t], b * 64 + j * 8 + i));
                    }
                }
                dots
            });
        }
    }
}
