//! Q4_K: 256 values of 4 bits; 8 scales and 8 minima of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 144 bytes: d f16 | dmin f16 | scales and minima, 12 (see k_scales) | nibbles, 128
//!   nibbles byte 32i + l: low = value 64i + l, high = value 64i + 32 + l
//!   value = d * s_j * q - dmin * m_j, j = value / 32
//! interleaved, 2368 bytes: see parts; packed are the nibbles
//! ```

use super::{
    k_scales,
    parts::{Parts, PartsBlock, Scales},
};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Q4K = PartsBlock<Layout, 2>;

pub(super) struct Layout;

impl Parts<2> for Layout {
    const TYPE: TensorType = TensorType::Q4_K;
    const BYTES: usize = 144;
    const PARTS: usize = 8;
    const D: usize = 0;
    const D_MIN: Option<usize> = Some(2);
    const PACKED: (usize, usize) = (16, 32);

    fn scales(block: &[u8]) -> Scales {
        k_scales::unpack(&block[4..16])
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (i, high, l) = (value / 64, value / 32 % 2, value % 32);
        block[16 + 32 * i + l] >> (4 * high) & 15
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, i: usize, q: usize) -> [L::Bytes; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let nibbles = stream::<L>(packed.add((8 * i + q) * 64));
            [L::shift_right(nibbles, 0, 15), L::shift_right(nibbles, 4, 15)]
        }
    }
}
