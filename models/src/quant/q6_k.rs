//! Q6_K: 256 values of 6 bits; 16 scales of 8 bits. Called through `quant`.
//!
//! ```text
//! file, 210 bytes: low nibbles, 128 | high 2 bits, 64 | scales i8 x 16 | d f16
//!   half h of 128 values, l in 0..32, k in 0..4: value 128h + 32k + l has
//!   low  = nibble (k / 2) of byte 64h + 32 (k % 2) + l
//!   high = bits 2k, 2k + 1 of high byte 32h + l
//!   value = d * s_j * (q - 32), j = value / 16
//! interleaved, 3360 bytes: see parts; packed are, for each h and each 4 of l: 64h + l,
//!   64h + 32 + l and the high bytes 32h + l, so that they are read in order
//! ```

use super::{
    offset::Offset,
    parts::{Parts, PartsBlock, Scales},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Q6K = PartsBlock<Layout, 4>;

pub(super) struct Layout;

impl Parts<4> for Layout {
    const TYPE: TensorType = TensorType::Q6_K;
    const BYTES: usize = 210;
    const PARTS: usize = 16;
    const D: usize = 208;
    const OFFSET: Offset = Offset::Power(5);
    const PACKED: (usize, usize) = (0, 48);

    fn scales(block: &[u8]) -> Scales {
        let scales = std::array::from_fn(|j| block[192 + j].cast_signed());
        Scales { scales, ..Scales::default() }
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (half, k, l) = (value / 128, value / 32 % 4, value % 32);
        let low = block[64 * half + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15;
        let high = block[128 + 32 * half + l] >> (2 * k) & 3;
        low | high << 4
    }

    fn word(at: usize) -> usize {
        let (half, q) = (at / 24, at / 3 % 8);
        [16 * half + q, 16 * half + 8 + q, 32 + 8 * half + q][at % 3]
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, half: usize, q: usize) -> [L::Bytes; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let at = packed.add(3 * 64 * (8 * half + q));
            let (first, second) = (stream::<L>(at), stream::<L>(at.add(64)));
            let high = stream::<L>(at.add(128));
            [
                L::or(L::shift_right(first, 0, 15), L::shift_left(high, 4, 0x30)),
                L::or(L::shift_right(second, 0, 15), L::shift_left(high, 2, 0x30)),
                L::or(L::shift_right(first, 4, 15), L::shift_right(high, 0, 0x30)),
                L::or(L::shift_right(second, 4, 15), L::shift_right(high, 2, 0x30)),
            ]
        }
    }
}
