//! Q5_K: 256 values of 5 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 176 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | fifth bits, 32 |
//!   nibbles, 128
//!   nibbles as in Q4_K; bit j of fifth byte l belongs to value 32j + l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2880 bytes: head (see k_scales) | fifth and nibble bytes in the file's order, each
//!   4 of them of 16 rows side by side
//! ```

use super::{
    Block, interleave_words,
    k_scales::{self, GROUP_HEAD_BYTES, Unpacked},
    q5_0::fifth_bit,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block256,
        lanes::{LANES, Lanes, stream},
    },
};

pub(super) struct Q5K;

fn unpack(block: &[u8]) -> Unpacked {
    let mut unpacked = Unpacked::head(block);
    for i in 0..256 {
        let (j, l) = (i / 32, i % 32);
        let nibble = block[48 + 32 * (j / 2) + l] >> (4 * (j % 2)) & 15;
        unpacked.q[i] = nibble | (block[16 + l] >> j & 1) << 4;
    }
    unpacked
}

/// Quad `q` of the 32 values `2i` and of the 32 values `2i + 1`.
#[inline(always)]
unsafe fn quads<L: Lanes>(group: *const u8, i: usize, q: usize) -> [L::Bytes; 2] {
    // SAFETY: the offsets follow the byte diagram.
    unsafe {
        let fifth = L::load_bytes(group.add(GROUP_HEAD_BYTES + q * 64));
        let packed = stream::<L>(group.add(GROUP_HEAD_BYTES + (8 + 8 * i + q) * 64));
        let j = 2 * i as u32;
        [
            L::or(L::shift_right(packed, 0, 15), fifth_bit::<L>(fifth, j)),
            L::or(L::shift_right(packed, 4, 15), fifth_bit::<L>(fifth, j + 1)),
        ]
    }
}

impl Block for Q5K {
    type Input = Block256;
    const TYPE: TensorType = TensorType::Q5_K;
    const BYTES: usize = 176;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 40 * 64;
    const PANEL_BYTES: usize = k_scales::PANEL_BYTES;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        unpack(block).dequantise(out);
    }

    fn is_finite(block: &[u8]) -> bool {
        k_scales::is_finite(block)
    }

    fn fold(block: &[u8], x: &Block256, sum: f32) -> f32 {
        unpack(block).fold(x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        k_scales::interleave_heads(blocks, out);
        interleave_words::<40>(blocks, 16, &mut out[GROUP_HEAD_BYTES..]);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the caller's promise.
        unsafe { k_scales::fold_group::<L, T>(group, x, sums, |i, q| quads::<L>(group, i, q)) };
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { k_scales::unpack::<L>(group, panel, |i, q| quads::<L>(group, i, q)) };
    }

    #[inline(always)]
    unsafe fn fold_panel<L: Lanes, const T: usize>(
        panel: *const u8,
        x: *const Block256,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the caller's promise.
        unsafe { k_scales::fold_panel::<L, T>(panel, x, sums) };
    }
}
