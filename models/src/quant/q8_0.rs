//! Q8_0: 32 signed bytes with one scale. Called through `quant`.
//!
//! ```text
//! file, 34 bytes:         d f16 | q i8 x 32                          value = d * q
//! interleaved, 544 bytes: d f16 x 16 | for each of 8 quads: 16 rows x 4 bytes (q + 128)
//! ```
//!
//! Canonical dot: see `blocks32`.

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

pub(super) struct Q8_0;

impl Block for Q8_0 {
    type Input = Block32;
    const TYPE: TensorType = TensorType::Q8_0;
    const BYTES: usize = 34;
    const GROUP_BYTES: usize = 32 + 8 * 64;

    fn dequantise(block: &[u8], out: &mut [f32]) {
        let d = f16_at(block, 0);
        for (out, q) in out.iter_mut().zip(&block[2..]) {
            *out = d * f32::from(q.cast_signed());
        }
    }

    fn is_finite(block: &[u8]) -> bool {
        finite_f16(block, 0)
    }

    fn fold(block: &[u8], x: &Block32, sum: f32) -> f32 {
        let weights = block[2..].iter().map(|q| i32::from(q.cast_signed()));
        blocks32::fold(f16_at(block, 0), weights, x, sum)
    }

    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]) {
        let (d, quads) = out.split_at_mut(32);
        interleave_f16(blocks, 0, d);
        interleave_words(blocks, 2, 8, quads);
        quads.iter_mut().for_each(|q| *q ^= 0x80);
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
                *quad = stream::<L>(group.add(32 + i * 64));
            }
            let dots = blocks32::dots::<L, T>(x, Offset::Half, &quads);
            blocks32::fold_dots::<L, T>(L::load_f16(group), dots, x, sums);
        }
    }
}
