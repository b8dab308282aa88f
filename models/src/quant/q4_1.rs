//! Q4_1: 32 values of 4 bits with scale and minimum. Called through `quant`.
//!
//! ```text
//! file, 20 bytes: d f16 | m f16 | nibbles, 16: low of byte l = value l, high = value 16 + l
//!   value = d * q + m
//! interleaved, 320 bytes: see nibbles
//! ```

use super::{
    nibbles::{NibbleBlock, Nibbles},
    offset::Offset,
};
use crate::gguf::TensorType;

pub(super) type Q4_1 = NibbleBlock<Layout>;

pub(super) struct Layout;

impl Nibbles for Layout {
    const TYPE: TensorType = TensorType::Q4_1;
    const MINIMUM: Option<usize> = Some(2);
    const NIBBLES: usize = 4;
    const OFFSET: Offset = Offset::Zero;
}
