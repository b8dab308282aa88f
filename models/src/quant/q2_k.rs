//! Q2_K: 256 values of 2 bits; 16 scales and 16 minima of 4 bits. Called through `quant`.
//!
//! ```text
//! file, 84 bytes: scales, 16: low nibble of byte j = s_j, high = m_j | values, 64 | d f16 |
//!   dmin f16
//!   half h of 128 values, l in 0..32, k in 0..4: value 128h + 32k + l is in bits 2k, 2k + 1 of
//!   value byte 32h + l
//!   value = d * s_j * q - dmin * m_j, j = value / 16
//! interleaved, 1600 bytes: see parts; packed are the values
//! ```

use super::parts::{Parts, PartsBlock, Scales};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Q2K = PartsBlock<Layout, 4>;

pub(super) struct Layout;

/// Bits 2k, 2k + 1 of every byte, k in 0..4.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn bit_pairs<L: Lanes>(bytes: L::Bytes) -> [L::Bytes; 4] {
    let pair = |k: u32| {
        // SAFETY: the caller's promise.
        unsafe { L::shift_right(bytes, 2 * k, 3) }
    };
    [pair(0), pair(1), pair(2), pair(3)]
}

impl Parts<4> for Layout {
    const TYPE: TensorType = TensorType::Q2_K;
    const BYTES: usize = 84;
    const PARTS: usize = 16;
    const D: usize = 80;
    const D_MIN: Option<usize> = Some(82);
    const PACKED: (usize, usize) = (16, 16);

    fn scales(block: &[u8]) -> Scales {
        Scales {
            scales: std::array::from_fn(|j| (block[j] & 15).cast_signed()),
            minima: std::array::from_fn(|j| block[j] >> 4),
        }
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (half, k, l) = (value / 128, value / 32 % 4, value % 32);
        block[16 + 32 * half + l] >> (2 * k) & 3
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, half: usize, q: usize) -> [L::Bytes; 4] {
        // SAFETY: the caller's promise.
        unsafe { bit_pairs::<L>(stream::<L>(packed.add((8 * half + q) * 64))) }
    }
}
