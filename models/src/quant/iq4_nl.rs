//! IQ4_NL: 32 values of 4 bits, indices of a table, with one scale. Called through `quant`.
//!
//! ```text
//! file, 18 bytes: d f16 | nibbles, 16: low of byte l = value l, high = value 16 + l
//!   value = d * table[q]
//! interleaved, 288 bytes: see nibbles
//! ```
//!
//! Source of the table: `kvalues_iq4nl` of ggml-common.h.

use super::{
    nibbles::{NibbleBlock, Nibbles},
    offset::Offset,
};
use crate::gguf::TensorType;

pub(super) type Iq4Nl = NibbleBlock<Layout>;

pub(super) struct Layout;

/// The table plus 128: it uses all eight bits. Also that of `iq4_xs`.
pub(super) const TABLE: [u8; 16] =
    [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

impl Nibbles for Layout {
    const TYPE: TensorType = TensorType::IQ4_NL;
    const NIBBLES: usize = 2;
    const TABLE: Option<&'static [u8; 16]> = Some(&TABLE);
    const OFFSET: Offset = Offset::Half;
}
