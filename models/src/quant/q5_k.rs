//! Q5_K: 256 values of 5 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 176 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | fifth bits, 32 |
//!   nibbles, 128
//!   nibbles as in Q4_K; bit j of fifth byte l belongs to value 32j + l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2880 bytes: see parts; packed are, for each 4 of l: fifth
//!   byte l and nibbles byte l; then the other nibbles
//! ```

use super::{
    k_scales,
    nibbles::move_bit,
    parts::{Parts, PartsBlock, Scales, beside_first, place_beside_first},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Q5K = PartsBlock<Layout, 2>;

pub(super) struct Layout;

impl Parts<2> for Layout {
    const TYPE: TensorType = TensorType::Q5_K;
    const BYTES: usize = 176;
    const PARTS: usize = 8;
    const D: usize = 0;
    const D_MIN: Option<usize> = Some(2);
    const PACKED: (usize, usize) = (16, 40);

    fn scales(block: &[u8]) -> Scales {
        k_scales::unpack(&block[4..16])
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (j, l) = (value / 32, value % 32);
        let nibble = block[48 + 32 * (j / 2) + l] >> (4 * (j % 2)) & 15;
        nibble | (block[16 + l] >> j & 1) << 4
    }

    fn word(at: usize) -> usize {
        beside_first(at)
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, i: usize, q: usize) -> [L::Bytes; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let fifth = L::load_bytes(packed.add(128 * q));
            let nibbles = stream::<L>(packed.add(64 * place_beside_first(i, q)));
            let j = 2 * i as u32;
            [
                L::or(L::shift_right(nibbles, 0, 15), move_bit::<L>(fifth, j, 4)),
                L::or(L::shift_right(nibbles, 4, 15), move_bit::<L>(fifth, j + 1, 4)),
            ]
        }
    }
}
