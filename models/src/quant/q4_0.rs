//! Q4_0: 32 values of 4 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 18 bytes: d f16 | nibbles, 16: low of byte l = value l, high = value 16 + l
//!   value = d * (q - 8)
//! interleaved, 288 bytes: see nibbles
//! ```

use super::{
    nibbles::{NibbleBlock, Nibbles},
    offset::Offset,
};
use crate::gguf::TensorType;

pub(super) type Q4_0 = NibbleBlock<Layout>;

pub(super) struct Layout;

impl Nibbles for Layout {
    const TYPE: TensorType = TensorType::Q4_0;
    const NIBBLES: usize = 2;
    const OFFSET: Offset = Offset::Power(3);
}
