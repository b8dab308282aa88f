//! The element types of tensors that GGUF files can name, with their block sizes.
//!
//! Called by the reader (to check tensor sizes) and by `quant` (which says which it can compute).
//! All published types are listed, so that an unsupported one is refused by its name.
//! Source: enum `ggml_type` of ggml.h and the block structs of ggml-common.h.

/// An element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorType(u32);

/// `(id, name, values per block, bytes per block)`.
const TYPES: [(u32, &str, u64, u64); 35] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
    (42, "Q2_0", 128, 34),
];

impl TensorType {
    /// 32-bit float.
    pub const F32: Self = Self(0);
    /// 16-bit float, five exponent bits.
    pub const F16: Self = Self(1);
    /// 4 bits, blocks of 32, one scale.
    pub const Q4_0: Self = Self(2);
    /// 4 bits, blocks of 32, scale and minimum.
    pub const Q4_1: Self = Self(3);
    /// 5 bits, blocks of 32, one scale.
    pub const Q5_0: Self = Self(6);
    /// 5 bits, blocks of 32, scale and minimum.
    pub const Q5_1: Self = Self(7);
    /// 8 bits, blocks of 32, one scale.
    pub const Q8_0: Self = Self(8);
    /// 2 bits, blocks of 256, sixteen scales and minima.
    pub const Q2_K: Self = Self(10);
    /// 3 bits, blocks of 256, sixteen scales.
    pub const Q3_K: Self = Self(11);
    /// 4 bits, blocks of 256, eight scales and minima.
    pub const Q4_K: Self = Self(12);
    /// 5 bits, blocks of 256, eight scales and minima.
    pub const Q5_K: Self = Self(13);
    /// 6 bits, blocks of 256, sixteen scales.
    pub const Q6_K: Self = Self(14);
    /// 4 bits that are indices of a table, blocks of 32, one scale.
    pub const IQ4_NL: Self = Self(20);
    /// 4 bits that are indices of a table, blocks of 256, eight scales.
    pub const IQ4_XS: Self = Self(23);
    /// 16-bit float, eight exponent bits.
    pub const BF16: Self = Self(30);

    /// The type with this number, if there is one.
    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().any(|t| t.0 == id).then_some(Self(id))
    }

    /// The number in the file.
    pub fn id(self) -> u32 {
        self.0
    }

    fn row(self) -> &'static (u32, &'static str, u64, u64) {
        TYPES.iter().find(|t| t.0 == self.0).expect("only listed ids are constructed")
    }

    /// The usual name, for example `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// How many values one block holds.
    pub fn block_values(self) -> u64 {
        self.row().2
    }

    /// How many bytes one block takes.
    pub fn block_bytes(self) -> u64 {
        self.row().3
    }

    /// Bytes of one row of `values` values; `None` when they are no whole number of blocks.
    pub fn row_bytes(self, values: u64) -> Option<u64> {
        if !values.is_multiple_of(self.block_values()) {
            return None;
        }
        (values / self.block_values()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
