//! Q4_K: 256 values of 4 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 144 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | nibbles, 128
//!   nibbles byte 32i + l: low = value 64i + l, high = value 64i + 32 + l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2368 bytes: head (see k_scales) | the nibble bytes in the file's order, each 4 of
//!   them of 16 rows side by side
//! ```

use super::{
    Block, interleave_words,
    k_scales::{self, GROUP_HEAD_BYTES, Unpacked},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block256,
        lanes::{LANES, Lanes, stream},
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

/// The quads in low and high nibbles of vector `8i + q`.
#[inline(always)]
unsafe fn quads<L: Lanes>(group: *const u8, i: usize, q: usize) -> [L::Bytes; 2] {
    // SAFETY: the offsets follow the byte diagram.
    unsafe {
        let packed = stream::<L>(group.add(GROUP_HEAD_BYTES + (8 * i + q) * 64));
        [L::shift_right(packed, 0, 15), L::shift_right(packed, 4, 15)]
    }
}

impl Block for Q4K {
    type Input = Block256;
    const TYPE: TensorType = TensorType::Q4_K;
    const BYTES: usize = 144;
    const GROUP_BYTES: usize = GROUP_HEAD_BYTES + 32 * 64;
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
        interleave_words::<32>(blocks, 16, &mut out[GROUP_HEAD_BYTES..]);
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
