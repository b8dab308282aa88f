//! Q4_0: 32 values of 4 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 18 bytes: d f16 | nibbles, 16: low of byte l = value l, high = value 16 + l
//!   value = d * (q - 8)
//! interleaved, 288 bytes: d f16 x 16 | 4 vectors of 16 rows x 4 bytes: low nibbles quad i, high
//!   nibbles quad 4 + i
//! ```
//!
//! Canonical dot: see `blocks32`.

use super::{Block, blocks32, f16_at, finite_f16, interleave_f16, interleave_words};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block32,
        lanes::{LANES, Lanes, stream},
    },
};

pub(super) struct Q4_0;

/// The offset is 2 to this power.
const OFFSET: u32 = 3;

fn unpack(block: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| block[2 + i % 16] >> (4 * (i / 16)) & 15)
}

/// Quad `i` of 16 rows, from the four vectors at `nibbles`.
#[inline(always)]
pub(super) unsafe fn nibble_quad<L: Lanes>(nibbles: *const u8, i: usize) -> L::Bytes {
    // SAFETY: 256 bytes are readable there.
    unsafe { L::shift_right(stream::<L>(nibbles.add(i % 4 * 64)), 4 * (i as u32 / 4), 15) }
}

impl Block for Q4_0 {
    type Input = Block32;
    const TYPE: TensorType = TensorType::Q4_0;
    const BYTES: usize = 18;
    const GROUP_BYTES: usize = 32 + 4 * 64;
    const PANEL_BYTES: usize = blocks32::PANEL_BYTES;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(unpack(block)) {
            *out = d * (f32::from(q) - 8.0);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, 0)
    }

    fn fold(block: &[u8], x: &Block32, sum: f32) -> f32 {
        let weights = unpack(block).into_iter().map(|q| i32::from(q) - 8);
        blocks32::fold(f16_at(block, 0), weights, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        let (d, nibbles) = out.split_at_mut(32);
        interleave_f16(blocks, 0, d);
        interleave_words::<4>(blocks, 2, nibbles);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block32,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let dots = blocks32::dots::<L, T>(x, OFFSET, |i| nibble_quad::<L>(group.add(32), i));
            blocks32::fold_dots::<L, T>(L::load_f16(group), dots, x, sums);
        }
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: as above.
        unsafe {
            let quad_of = |i| nibble_quad::<L>(group.add(32), i);
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
