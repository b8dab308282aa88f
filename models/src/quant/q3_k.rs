//! Q3_K: 256 values of 3 bits; 16 scales of 6 bits. Called through `quant`.
//!
//! ```text
//! file, 110 bytes: third bits, 32 | low 2 bits, 64 | scales, 12 | d f16
//!   half h of 128 values, l in 0..32, k in 0..4: value 128h + 32k + l has
//!   low   = bits 2k, 2k + 1 of low byte 32h + l
//!   third = bit 4h + k of third byte l
//!   s_j + 32: low 4 bits = nibble j / 8 of scale byte j % 8,
//!             high 2 bits = bits 2(j / 4), 2(j / 4) + 1 of scale byte 8 + j % 4
//!   value = d * s_j * (q - 4), j = value / 16
//! interleaved, 1824 bytes: see parts; packed are, for each 4 of l: third
//!   byte l and low byte l; then the low bytes of half 1
//! ```

use super::{
    nibbles::move_bit,
    offset::Offset,
    parts::{Parts, PartsBlock, Scales, beside_first, place_beside_first},
    q2_k::bit_pairs,
};
use crate::{
    gguf::TensorType,
    kernel::cpu::lanes::{Lanes, stream},
};

pub(super) type Q3K = PartsBlock<Layout, 4>;

pub(super) struct Layout;

impl Parts<4> for Layout {
    const TYPE: TensorType = TensorType::Q3_K;
    const BYTES: usize = 110;
    const PARTS: usize = 16;
    const D: usize = 108;
    const OFFSET: Offset = Offset::Power(2);
    const PACKED: (usize, usize) = (0, 24);

    fn scales(block: &[u8]) -> Scales {
        let packed = &block[96..108];
        let scales = std::array::from_fn(|j| {
            let low = packed[j % 8] >> (4 * (j / 8)) & 15;
            let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
            (low | high << 4).cast_signed() - 32
        });
        Scales { scales, ..Scales::default() }
    }

    fn byte(block: &[u8], value: usize) -> u8 {
        let (half, k, l) = (value / 128, value / 32 % 4, value % 32);
        let low = block[32 + 32 * half + l] >> (2 * k) & 3;
        let third = block[l] >> (4 * half + k) & 1;
        low | third << 2
    }

    fn word(at: usize) -> usize {
        beside_first(at)
    }

    #[inline(always)]
    unsafe fn quads<L: Lanes>(packed: *const u8, half: usize, q: usize) -> [L::Bytes; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let third = L::load_bytes(packed.add(128 * q));
            let low = bit_pairs::<L>(stream::<L>(packed.add(64 * place_beside_first(half, q))));
            let quad = |k: usize| L::or(low[k], move_bit::<L>(third, (4 * half + k) as u32, 2));
            [quad(0), quad(1), quad(2), quad(3)]
        }
    }
}
