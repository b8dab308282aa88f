//! Q5_1: 32 values of 5 bits with scale and minimum. Called through `quant`.
//!
//! ```text
//! file, 24 bytes: d f16 | m f16 | fifth bits u32, bit i of value i | nibbles, 16: low of byte l =
//!   value l, high = value 16 + l
//!   value = d * q + m
//! interleaved, 384 bytes: see nibbles
//! ```

use super::{
    nibbles::{NibbleBlock, Nibbles},
    offset::Offset,
};
use crate::gguf::TensorType;

pub(super) type Q5_1 = NibbleBlock<Layout>;

pub(super) struct Layout;

impl Nibbles for Layout {
    const TYPE: TensorType = TensorType::Q5_1;
    const MINIMUM: Option<usize> = Some(2);
    const FIFTH: Option<usize> = Some(4);
    const NIBBLES: usize = 8;
    const OFFSET: Offset = Offset::Zero;
}
