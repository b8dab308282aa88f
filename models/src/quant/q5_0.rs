//! Q5_0: 32 values of 5 bits with one scale. Called through `quant`.
//!
//! ```text
//! file, 22 bytes: d f16 | fifth bits u32, bit i of value i | nibbles, 16: low of byte l = value l,
//!   high = value 16 + l
//!   value = d * (q - 16)
//! interleaved, 352 bytes: see nibbles
//! ```

use super::{
    nibbles::{NibbleBlock, Nibbles},
    offset::Offset,
};
use crate::gguf::TensorType;

pub(super) type Q5_0 = NibbleBlock<Layout>;

pub(super) struct Layout;

impl Nibbles for Layout {
    const TYPE: TensorType = TensorType::Q5_0;
    const FIFTH: Option<usize> = Some(2);
    const NIBBLES: usize = 6;
    const OFFSET: Offset = Offset::Power(4);
}
