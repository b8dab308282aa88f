//! IQ4_XS: 256 values of 4 bits, indices of a table; 8 scales of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 136 bytes: d f16 | high scale bits u16 | low scale bits, 4 | nibbles, 128
//!   nibble byte 16j + l, l in 0..16: low = value 32j + l, high = value 32j + 16 + l
//!   s_j + 32: low 4 bits = nibble j % 2 of low scale byte j / 2,
//!             high 2 bits = bits 2j, 2j + 1 of the high scale bits
//!   value = d * s_j * table[q], j = value / 32; the table is that of IQ4_NL
//! interleaved, 2208 bytes: see parts; packed are, for each half i of the parts and each 4 of
//!   l: nibble bytes 16j + l, j in 4i..4i + 4
//! ```

use super::{
    iq4_nl::TABLE,
    offset::Offset,
    parts::{Parts, PartsBlock, Scales},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Iq4Xs = PartsBlock<Layout, 4>;

pub(super) struct Layout;

impl Parts<4> for Layout {
    const TYPE: TensorType = TensorType::IQ4_XS;
    const BYTES: usize = 136;
    const PARTS: usize = 8;
    const D: usize = 0;
    const OFFSET: Offset = Offset::Half;
    const PACKED: (usize, usize) = (8, 32);

    fn scales(block: &[u8]) -> Scales {
        let Scales { mut scales, minima } = Scales::default();
        for j in 0..8 {
            let low = block[4 + j / 2] >> (4 * (j % 2)) & 15;
            let high = block[2 + j / 4] >> (2 * (j % 4)) & 3;
            scales[j] = (low | high << 4).cast_signed() - 32;
        }
        Scales { scales, minima }
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (j, high, l) = (value / 32, value / 16 % 2, value % 16);
        TABLE[usize::from(block[8 + 16 * j + l] >> (4 * high) & 15)]
    }

    /// Four parts are read side by side.
    fn word(at: usize) -> usize {
        at / 16 * 16 + at % 4 * 4 + at / 4 % 4
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, i: usize, q: usize) -> [L::Bytes; 4] {
        let quad = |k: usize| {
            // SAFETY: the caller's promise; 32 values take four vectors.
            unsafe {
                let nibbles = stream::<L>(packed.add(64 * (16 * i + 4 * (q % 4) + k)));
                L::look_up(L::shift_right(nibbles, 4 * (q as u32 / 4), 15), &TABLE)
            }
        };
        [quad(0), quad(1), quad(2), quad(3)]
    }
}
