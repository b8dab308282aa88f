//! The block formats of weights: what their bytes mean and how they multiply.
//!
//! Called by `backend` (linear layers, embedding rows) and tests. One format per file; a new one
//! adds its file and one line in [`FORMATS`], nothing else changes.
//!
//! Each format gives: the file layout (byte diagram at its top), `dequantise`, the canonical
//! scalar `fold` of one block into a running sum, and an interleaved layout of 16 rows with the
//! same fold in SIMD lanes. Both folds must give the same bits (tested for every format).
//!
//! Errors: [`UnsupportedType`] names the type.
//! Absent on purpose: quantising weights; tests make random blocks.

mod bf16;
mod f16;
mod f32;
mod k_scales;
mod q4_0;
mod q4_k;
mod q5_0;
mod q5_k;
mod q6_k;
mod q8_0;

use std::marker::PhantomData;

use crate::{
    gguf::TensorType,
    kernel::cpu::{
        Level,
        activation::{ActivationKind, RowView},
        lanes::{LANES, Lanes},
        linear::{self, GroupKernel},
    },
};

/// One block format, as its file defines it.
pub trait Block: Send + Sync + 'static {
    /// The type in GGUF files.
    const TYPE: TensorType;
    /// Values per block.
    const VALUES: usize;
    /// Bytes per block in the file.
    const BYTES: usize;
    /// Bytes of 16 interleaved blocks.
    const GROUP_BYTES: usize;
    /// The form of the input rows.
    const ACTIVATION: ActivationKind;

    /// The values of one block; `block` and `out` may be shorter at the end of a float row.
    fn dequantise(block: &[u8], out: &mut [f32]);

    /// The reference: `sum` plus the product of block `b` of a row with the input `x`.
    fn fold(block: &[u8], b: usize, x: &RowView<'_>, sum: f32) -> f32;

    /// Lays 16 blocks (rows beyond the end are empty slices) out side by side in `out`, which is
    /// zero before.
    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]);

    /// As [`Block::fold`] for 16 rows and `T` inputs at once.
    ///
    /// # Safety
    ///
    /// Needs the instruction set of `L`, `GROUP_BYTES` readable bytes at `group`, and inputs that
    /// have block `b`.
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        b: usize,
        x: &[RowView<'_>; T],
        sums: &mut [L::Float; T],
    );
}

/// A format behind a reference, so that weights of any format are one type.
pub trait Format: Send + Sync {
    /// The type in GGUF files.
    fn tensor_type(&self) -> TensorType;
    /// The form of the input rows.
    fn activation(&self) -> ActivationKind;
    /// The values of one row.
    fn dequantise(&self, row: &[u8], out: &mut [f32]);
    /// The product of one row and one input: the scalar reference.
    fn dot(&self, row: &[u8], x: &RowView<'_>) -> f32;
    /// Number of blocks in a row of `length` values.
    fn n_blocks(&self, length: usize) -> usize;
    /// Bytes of one interleaved block of 16 rows.
    fn group_bytes(&self) -> usize;
    /// Interleaves block `b` of 16 rows.
    fn interleave(&self, rows: &[&[u8]; LANES], b: usize, out: &mut [u8]);
    /// The interleaved kernel of this level; none for the scalar level.
    fn kernel(&self, level: Level) -> Option<GroupKernel>;
}

struct Adapter<B>(PhantomData<B>);

/// Every format that can be computed with.
static FORMATS: [&dyn Format; 9] = [
    &Adapter::<f32::F32>(PhantomData),
    &Adapter::<f16::F16>(PhantomData),
    &Adapter::<bf16::Bf16>(PhantomData),
    &Adapter::<q8_0::Q8_0>(PhantomData),
    &Adapter::<q4_0::Q4_0>(PhantomData),
    &Adapter::<q5_0::Q5_0>(PhantomData),
    &Adapter::<q4_k::Q4K>(PhantomData),
    &Adapter::<q5_k::Q5K>(PhantomData),
    &Adapter::<q6_k::Q6K>(PhantomData),
];

/// The type is a known one, but nothing here computes with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is not supported yet; supported are {list}", list = supported())]
pub struct UnsupportedType(pub TensorType);

fn supported() -> String {
    FORMATS.iter().map(|f| f.tensor_type().name()).collect::<Vec<_>>().join(", ")
}

/// The format of a tensor type.
pub fn format(kind: TensorType) -> Result<&'static dyn Format, UnsupportedType> {
    FORMATS.iter().copied().find(|f| f.tensor_type() == kind).ok_or(UnsupportedType(kind))
}

/// All formats, for tests.
pub fn all() -> &'static [&'static dyn Format] {
    &FORMATS
}

impl<B: Block> Adapter<B> {
    fn block(row: &[u8], b: usize) -> &[u8] {
        &row[(b * B::BYTES).min(row.len())..((b + 1) * B::BYTES).min(row.len())]
    }
}

impl<B: Block> Format for Adapter<B> {
    fn tensor_type(&self) -> TensorType {
        B::TYPE
    }

    fn activation(&self) -> ActivationKind {
        B::ACTIVATION
    }

    fn dequantise(&self, row: &[u8], out: &mut [f32]) {
        for (b, out) in out.chunks_mut(B::VALUES).enumerate() {
            B::dequantise(Self::block(row, b), out);
        }
    }

    fn dot(&self, row: &[u8], x: &RowView<'_>) -> f32 {
        let n_blocks = row.len().div_ceil(B::BYTES);
        (0..n_blocks).fold(0.0, |sum, b| B::fold(Self::block(row, b), b, x, sum))
    }

    fn n_blocks(&self, length: usize) -> usize {
        length.div_ceil(B::VALUES)
    }

    fn group_bytes(&self) -> usize {
        B::GROUP_BYTES
    }

    fn interleave(&self, rows: &[&[u8]; LANES], b: usize, out: &mut [u8]) {
        B::interleave(&rows.map(|row| Self::block(row, b)), out);
    }

    fn kernel(&self, level: Level) -> Option<GroupKernel> {
        linear::kernel::<B>(level)
    }
}

/// A little-endian f16 in a block.
fn f16_at(block: &[u8], at: usize) -> f32 {
    crate::kernel::cpu::half_float::to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}
