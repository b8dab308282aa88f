//! Q5_0: 32 values of 5 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 22 bytes: d f16 | fifth bits u32, bit i of value i | nibbles, 16: low of byte l = value l,
//!   high = value 16 + l
//!   value = d * (q - 16)
//! interleaved, 352 bytes: d f16 x 16 | 5 vectors of 16 rows x 4 bytes: four with low nibbles quad
//!   i, high nibbles quad 4 + i; one with the fifth bits of quads 0..8 at bits 0..8
//! ```
//!
//! Canonical dot: see `blocks32`.

use super::{
    Block, blocks32, f16_at, finite_f16, interleave_f16, interleave_words, q4_0::nibble_quad,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block32,
        lanes::{LANES, Lanes},
    },
};

pub(super) struct Q5_0;

/// The offset is 2 to this power.
const OFFSET: u32 = 4;

/// The values of fifth bits at byte `fifth` and nibbles at byte `nibbles` of a block.
pub(super) fn unpack(block: &[u8], fifth: usize, nibbles: usize) -> [u8; 32] {
    let bits = u32::from_le_bytes([0, 1, 2, 3].map(|i| block[fifth + i]));
    std::array::from_fn(|i| {
        let nibble = block[nibbles + i % 16] >> (4 * (i / 16)) & 15;
        nibble | ((bits >> i & 1) << 4) as u8
    })
}

/// Lays the fifth bits at byte `at` out: byte l of a row has at bit j that of value 4j + l.
pub(super) fn interleave_fifth_bits(blocks: &[&[u8]; LANES], at: usize, out: &mut [u8]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<4>().0) {
        let bits =
            block.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        *out = std::array::from_fn(|l| {
            (0..8).fold(0, |byte, j| byte | ((bits >> (4 * j + l) & 1) << j) as u8)
        });
    }
}

/// Quad `i` of 16 rows, from four vectors of nibbles and one of fifth bits.
#[inline(always)]
pub(super) unsafe fn five_bit_quad<L: Lanes>(nibbles: *const u8, i: usize) -> L::Bytes {
    // SAFETY: 320 bytes are readable there.
    unsafe {
        let fifth = L::load_bytes(nibbles.add(256));
        L::or(nibble_quad::<L>(nibbles, i), fifth_bit::<L>(fifth, i as u32))
    }
}

/// Bit `i` of every byte, moved to bit 4.
#[inline(always)]
pub(super) unsafe fn fifth_bit<L: Lanes>(bits: L::Bytes, i: u32) -> L::Bytes {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { if i <= 4 { L::shift_left(bits, 4 - i, 16) } else { L::shift_right(bits, i - 4, 16) } }
}

impl Block for Q5_0 {
    type Input = Block32;
    const TYPE: TensorType = TensorType::Q5_0;
    const BYTES: usize = 22;
    const GROUP_BYTES: usize = 32 + 5 * 64;
    const PANEL_BYTES: usize = blocks32::PANEL_BYTES;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(unpack(block, 2, 6)) {
            *out = d * (f32::from(q) - 16.0);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, 0)
    }

    fn fold(block: &[u8], x: &Block32, sum: f32) -> f32 {
        let weights = unpack(block, 2, 6).into_iter().map(|q| i32::from(q) - 16);
        blocks32::fold(f16_at(block, 0), weights, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_f16(blocks, 0, &mut out[..32]);
        interleave_words::<4>(blocks, 6, &mut out[32..]);
        interleave_fifth_bits(blocks, 2, &mut out[32 + 256..]);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block32,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let dots = blocks32::dots::<L, T>(x, OFFSET, |i| five_bit_quad::<L>(group.add(32), i));
            blocks32::fold_dots::<L, T>(L::load_f16(group), dots, x, sums);
        }
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: as above.
        unsafe {
            let quad_of = |i| five_bit_quad::<L>(group.add(32), i);
            blocks32::write_panel::<L>(L::load_f16(group), quad_of, panel);
        }
    }

    #[inline(always)]
    unsafe fn fold_panel<L: Lanes, const T: usize>(
        panel: *const u8,
        x: *const Block32,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the caller's promise.
        unsafe { blocks32::fold_panel::<L, T>(panel, OFFSET, x, sums) };
    }
}
