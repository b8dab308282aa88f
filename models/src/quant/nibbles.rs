//! What the formats of 32 values in nibbles share: everything but a few numbers.
//!
//! Called by `q4_0`, `q4_1`, `q5_0`, `q5_1` and `iq4_nl`, which give the numbers.
//!
//! ```text
//! file: d f16 | m f16, in some | fifth bits u32, in some: bit i of value i | nibbles, 16: low of
//!   byte l = value l, high = value 16 + l
//!   value = d * (q - offset) + m, or d * table[q]
//! interleaved: d f16 x 16 | m f16 x 16 | one vector of 16 rows x 4 bytes with the fifth bits of
//!   quads 0..8 at bits 0..8 | 4 vectors: low nibbles quad i, high nibbles quad 4 + i
//! panel: d f32 x 16 | m f32 x 16 | 8 quads of 16 rows x 4 bytes
//! ```
//!
//! Canonical dot: see `blocks32`.

use std::marker::PhantomData;

use super::{
    Block, blocks32, f16_at, finite_f16, interleave_f16, interleave_words, offset::Offset,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::{
        activation::Block32,
        lanes::{LANES, Lanes, stream},
    },
};

/// The numbers of a format. `d` is at byte 0, the nibbles end the block.
pub(super) trait Nibbles: Send + Sync + 'static {
    /// The type in GGUF files.
    const TYPE: TensorType;
    /// Byte of the minimum.
    const MINIMUM: Option<usize> = None;
    /// Byte of the fifth bits.
    const FIFTH: Option<usize> = None;
    /// Byte of the nibbles.
    const NIBBLES: usize;
    /// What `q` is an index of, if of anything.
    const TABLE: Option<&'static [u8; 16]> = None;
    /// What is taken off `q` or off the table's byte.
    const OFFSET: Offset;
}

/// A format with these numbers.
pub(super) struct NibbleBlock<F>(PhantomData<F>);

/// Quad `i` of 16 rows, from four vectors of nibbles.
///
/// # Safety
///
/// As `Block::fold_group`; 256 bytes are readable at `nibbles`.
#[inline(always)]
unsafe fn nibble_quad<L: Lanes>(nibbles: *const u8, i: usize) -> L::Bytes {
    // SAFETY: the caller's promise.
    unsafe { L::shift_right(stream::<L>(nibbles.add(i % 4 * 64)), 4 * (i as u32 / 4), 15) }
}

/// Bit `from` of every byte, moved to bit `to`.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn move_bit<L: Lanes>(bytes: L::Bytes, from: u32, to: u32) -> L::Bytes {
    let mask = 1 << to;
    // SAFETY: the caller's promise.
    unsafe {
        if from <= to {
            L::shift_left(bytes, to - from, mask)
        } else {
            L::shift_right(bytes, from - to, mask)
        }
    }
}

fn fifth_bits(block: &[u8], at: usize) -> u32 {
    block.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Lays the fifth bits at byte `at` out: byte l of a row has at bit j that of value 4j + l.
fn interleave_fifth_bits(blocks: &[&[u8]; LANES], at: usize, out: &mut [u8]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<4>().0) {
        let bits = fifth_bits(block, at);
        *out = std::array::from_fn(|l| {
            (0..8).fold(0, |byte, j| byte | ((bits >> (4 * j + l) & 1) << j) as u8)
        });
    }
}

impl<F: Nibbles> NibbleBlock<F> {
    const HAS_MINIMUM: usize = F::MINIMUM.is_some() as usize;
    const GROUP_FIFTH: usize = 32 + 32 * Self::HAS_MINIMUM;
    const GROUP_NIBBLES: usize = Self::GROUP_FIFTH + 64 * F::FIFTH.is_some() as usize;
    const PANEL_QUADS: usize = 64 + 64 * Self::HAS_MINIMUM;

    /// The weights, without scale and minimum.
    fn weights(block: &[u8]) -> [i32; 32] {
        let fifth = F::FIFTH.map_or(0, |at| fifth_bits(block, at));
        std::array::from_fn(|i| {
            let nibble = block[F::NIBBLES + i % 16] >> (4 * (i / 16)) & 15;
            let q = nibble | ((fifth >> i & 1) << 4) as u8;
            i32::from(F::TABLE.map_or(q, |table| table[usize::from(q)])) - F::OFFSET.value()
        })
    }

    /// Quad `i` of 16 rows.
    #[inline(always)]
    unsafe fn quad<L: Lanes>(group: *const u8, i: usize) -> L::Bytes {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let fifth = L::load_bytes(group.add(Self::GROUP_FIFTH));
            let mut quad = nibble_quad::<L>(group.add(Self::GROUP_NIBBLES), i);
            if F::FIFTH.is_some() {
                quad = L::or(quad, move_bit::<L>(fifth, i as u32, 4));
            }
            match F::TABLE {
                Some(table) => L::look_up(quad, table),
                None => quad,
            }
        }
    }
}

impl<F: Nibbles> Block for NibbleBlock<F> {
    type Input = Block32;
    const TYPE: TensorType = F::TYPE;
    const BYTES: usize = F::NIBBLES + 16;
    const GROUP_BYTES: usize = Self::GROUP_NIBBLES + 256;
    const PANEL_BYTES: usize = Self::PANEL_QUADS + 8 * 64;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, weight) in out.iter_mut().zip(Self::weights(block)) {
            *out = d * weight as f32;
        }
        if let Some(at) = F::MINIMUM {
            let m = f16_at(block, at);
            out.iter_mut().for_each(|out| *out += m);
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, 0) && F::MINIMUM.is_none_or(|at| finite_f16(block, at))
    }

    fn fold(block: &[u8], x: &Block32, sum: f32) -> f32 {
        let weights = Self::weights(block).into_iter();
        let sum = blocks32::fold(f16_at(block, 0), weights, x, sum);
        F::MINIMUM.map_or(sum, |at| f16_at(block, at).mul_add(blocks32::scaled_sum(x), sum))
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        interleave_f16(blocks, 0, &mut out[..32]);
        if let Some(at) = F::MINIMUM {
            interleave_f16(blocks, at, &mut out[32..64]);
        }
        if let Some(at) = F::FIFTH {
            interleave_fifth_bits(blocks, at, &mut out[Self::GROUP_FIFTH..Self::GROUP_NIBBLES]);
        }
        interleave_words(blocks, F::NIBBLES, 4, &mut out[Self::GROUP_NIBBLES..]);
    }

    #[inline(always)]
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Block32,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: the offsets follow the byte diagram; the caller vouches for the rest.
        unsafe {
            let mut quads = [L::load_bytes(group); 8];
            for (i, quad) in quads.iter_mut().enumerate() {
                *quad = Self::quad::<L>(group, i);
            }
            let dots = blocks32::dots::<L, T>(x, F::OFFSET, &quads);
            blocks32::fold_dots::<L, T>(L::load_f16(group), dots, x, sums);
            if F::MINIMUM.is_some() {
                blocks32::fold_minima::<L, T>(L::load_f16(group.add(32)), x, sums);
            }
        }
    }

    #[inline(always)]
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        // SAFETY: as above.
        unsafe {
            L::store(panel.cast(), L::load_f16(group));
            if F::MINIMUM.is_some() {
                L::store(panel.add(64).cast(), L::load_f16(group.add(32)));
            }
            for i in 0..8 {
                L::store_bytes(panel.add(Self::PANEL_QUADS + 64 * i), Self::quad::<L>(group, i));
            }
        }
    }

    #[inline(always)]
    unsafe fn fold_panel<L: Lanes, const T: usize>(
        panel: *const u8,
        x: *const Block32,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: as above.
        unsafe {
            let mut quads = [L::load_bytes(panel); 8];
            for (i, quad) in quads.iter_mut().enumerate() {
                *quad = L::load_bytes(panel.add(Self::PANEL_QUADS + 64 * i));
            }
            let dots = blocks32::dots::<L, T>(x, F::OFFSET, &quads);
            blocks32::fold_dots::<L, T>(L::load_f32(panel), dots, x, sums);
            if F::MINIMUM.is_some() {
                blocks32::fold_minima::<L, T>(L::load_f32(panel.add(64)), x, sums);
            }
        }
    }
}
