//! Q4_K: 256 values of 4 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 144 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | nibbles, 128
//!   nibbles byte 32i + l: low = value 64i + l, high = value 64i + 32 + l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2368 bytes: head (see k_scales) | for each j, for each of 4 quad pairs:
//!   16 rows x 4 bytes, low nibbles quad 2i, high nibbles quad 2i + 1 of the 32 values
//! ```

use super::{
    Block,
    k_scales::{self, GROUP_HEAD_BYTES, Unpacked},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::quad,
    },
};

pub(super) struct Q4K;

fn unpack(block: &[u8]) -> Unpacked {
    let mut unpacked = Unpacked::head(block);
    for (i, nibbles) in block[16..].as_chunks::<32>().0.iter().enumerate() {
        for (l, byte) in nibbles.iter().enumerate() {
            unpacked.q[64 * i + l] = byte & 15;
            unpacked.q[64 * i + 32 + l] = byte >> 4;
        }
    }
    unpacked
}

impl Block for Q4K {
    const TYPE: TensorType = TensorType::Q4_K;
    const VALUES: usize = 256;
    const BYTES: usize = 144;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 8 * 4 * 64;
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
            let q = unpack(block).q;
            for (pair, values) in q.as_chunks::<8>().0.iter().enumerate() {
                let at = GROUP_HEAD_BYTES + pair * 64 + row * 4;
                for l in 0..4 {
                    out[at + l] = values[l] | (values[l + 4] << 4);
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
                let mut dots = [L::splat_int(0); T];
                for i in 0..4 {
                    let packed = L::load_bytes(group.add(GROUP_HEAD_BYTES + (j * 4 + i) * 64));
                    let even = L::shift_right::<0>(packed, 15);
                    let odd = L::shift_right::<4>(packed, 15);
                    for t in 0..T {
                        let at = b * 64 + j * 8 + i * 2;
                        dots[t] = L::dot(dots[t], even, quad(&x[t], at));
                        dots[t] = L::dot(dots[t], odd, quad(&x[t], at + 1));
                    }
                }
                dots
            });
        }
    }
}
