//! The block formats of weights: what their bytes mean and how they multiply.
//!
//! Called by `backend` (linear layers, embedding rows) and tests. One format per file; a new one
//! adds its file and one line in [`FORMATS`], nothing else changes. What several formats share is
//! in `floats`, `blocks32`, `nibbles` (32 values), `parts` and `k_scales` (256 values).
//!
//! Each format gives: the file layout (byte diagram at its top), `dequantise`, the canonical
//! scalar `fold` of one block into a running sum, and an interleaved layout of 16 rows with the
//! same fold in SIMD lanes. Formats of less than 8 bits can also be unpacked once into a panel of
//! bytes, which many input rows then share. All folds must give the same bits (tested for every
//! format).
//!
//! Errors: [`UnsupportedType`] names the type, [`BadScale`] the block.
//! Absent on purpose: quantising weights; tests make random blocks.

mod bf16;
mod blocks32;
mod f16;
mod f32;
mod floats;
mod iq4_nl;
mod iq4_xs;
mod k_scales;
mod nibbles;
mod offset;
mod parts;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

use std::marker::PhantomData;

use crate::{
    gguf::TensorType,
    kernel::cpu::{
        Level,
        activation::{ActivationKind, Activations, InputBlock},
        lanes::{LANES, Lanes},
        schedule::{self, GroupKernel},
    },
};

/// One block format, as its file defines it.
pub trait Block: Send + Sync + 'static {
    /// The form of the input rows.
    type Input: InputBlock;
    /// The type in GGUF files.
    const TYPE: TensorType;
    /// Values per block.
    const VALUES: usize = Self::Input::VALUES;
    /// Bytes per block in the file.
    const BYTES: usize;
    /// Bytes of 16 interleaved blocks.
    const GROUP_BYTES: usize;
    /// Bytes of 16 unpacked blocks; 0 when the interleaved form needs no unpacking.
    const PANEL_BYTES: usize = 0;

    /// The values of one block; `block` and `out` may be shorter at the end of a float row.
    fn dequantise(block: &[u8], out: &mut [f32]);

    /// Whether every float of the block (scales, minima, values) is finite.
    fn is_finite(block: &[u8]) -> bool;

    /// The reference: `sum` plus the product of a block with a block of the input.
    fn fold(block: &[u8], x: &Self::Input, sum: f32) -> f32;

    /// Lays 16 blocks (rows beyond the end are empty slices) out side by side in `out`, which holds
    /// any bytes before.
    fn interleave(blocks: &[&[u8]; LANES], out: &mut [u8]);

    /// As [`Block::fold`] for 16 rows and the `T` input blocks from `x` on.
    ///
    /// # Safety
    ///
    /// Needs the instruction set of `L`, `GROUP_BYTES` readable bytes at `group`, and `T` blocks.
    unsafe fn fold_group<L: Lanes, const T: usize>(
        group: *const u8,
        x: *const Self::Input,
        sums: &mut [L::Float; T],
    );

    /// Unpacks an interleaved block into a panel.
    ///
    /// # Safety
    ///
    /// As [`Block::fold_group`], with `PANEL_BYTES` writable bytes at `panel`.
    unsafe fn unpack<L: Lanes>(group: *const u8, panel: *mut u8) {
        let _ = (group, panel);
    }

    /// As [`Block::fold_group`] with a panel.
    ///
    /// # Safety
    ///
    /// As [`Block::fold_group`], with what [`Block::unpack`] wrote at `panel`.
    #[inline(always)]
    unsafe fn fold_panel<L: Lanes, const T: usize>(
        panel: *const u8,
        x: *const Self::Input,
        sums: &mut [L::Float; T],
    ) {
        // SAFETY: without a panel form, this is the interleaved block.
        unsafe { Self::fold_group::<L, T>(panel, x, sums) };
    }
}

/// A format behind a reference, so that weights of any format are one type.
pub trait Format: Send + Sync {
    /// The type in GGUF files.
    fn tensor_type(&self) -> TensorType;
    /// The form of the input rows.
    fn activation(&self) -> ActivationKind;
    /// The values of one row.
    fn dequantise(&self, row: &[u8], out: &mut [f32]);
    /// Checks the floats of one row.
    fn check(&self, row: &[u8]) -> Result<(), BadScale>;
    /// The product of one row and one input row: the scalar reference.
    fn dot(&self, row: &[u8], x: &Activations, input_row: usize) -> f32;
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
static FORMATS: [&dyn Format; 15] = [
    &Adapter::<f32::F32>(PhantomData),
    &Adapter::<f16::F16>(PhantomData),
    &Adapter::<bf16::Bf16>(PhantomData),
    &Adapter::<q8_0::Q8_0>(PhantomData),
    &Adapter::<q4_0::Q4_0>(PhantomData),
    &Adapter::<q4_1::Q4_1>(PhantomData),
    &Adapter::<q5_0::Q5_0>(PhantomData),
    &Adapter::<q5_1::Q5_1>(PhantomData),
    &Adapter::<iq4_nl::Iq4Nl>(PhantomData),
    &Adapter::<q2_k::Q2K>(PhantomData),
    &Adapter::<q3_k::Q3K>(PhantomData),
    &Adapter::<q4_k::Q4K>(PhantomData),
    &Adapter::<q5_k::Q5K>(PhantomData),
    &Adapter::<q6_k::Q6K>(PhantomData),
    &Adapter::<iq4_xs::Iq4Xs>(PhantomData),
];

/// The type is a known one, but nothing here computes with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is not supported yet; supported are {list}", list = supported())]
pub struct UnsupportedType(pub TensorType);

/// A block holds a scale (or, in float formats, a value) that is not a finite number.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("block {block} of a row has a scale that is not a finite number: the file is damaged")]
pub struct BadScale {
    /// Which block of the row.
    pub block: usize,
}

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

/// The types of Q8_0 and Q4_K, for a schedule of one's own: `benches/price.rs`.
pub fn types() -> (PhantomData<impl Block>, PhantomData<impl Block>) {
    (PhantomData::<q8_0::Q8_0>, PhantomData::<q4_k::Q4K>)
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
        B::Input::KIND
    }

    fn dequantise(&self, row: &[u8], out: &mut [f32]) {
        for (b, out) in out.chunks_mut(B::VALUES).enumerate() {
            B::dequantise(Self::block(row, b), out);
        }
    }

    fn check(&self, row: &[u8]) -> Result<(), BadScale> {
        match row.chunks(B::BYTES).position(|block| !B::is_finite(block)) {
            Some(block) => Err(BadScale { block }),
            None => Ok(()),
        }
    }

    fn dot(&self, row: &[u8], x: &Activations, input_row: usize) -> f32 {
        let n_rows = x.n_rows();
        let blocks = B::Input::of(x);
        let n_blocks = row.len().div_ceil(B::BYTES);
        (0..n_blocks)
            .fold(0.0, |sum, b| B::fold(Self::block(row, b), &blocks[b * n_rows + input_row], sum))
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
        schedule::kernel::<B>(level)
    }
}

/// A little-endian f16 in a block.
fn f16_at(block: &[u8], at: usize) -> f32 {
    crate::kernel::cpu::half_float::to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Writes `n` 4-byte words of each row, from byte `at` of its block on, as `n` vectors of 16 rows.
/// Rows beyond the end become zeros.
#[inline(always)]
fn interleave_words(blocks: &[&[u8]; LANES], at: usize, n: usize, out: &mut [u8]) {
    let out = &mut out.as_chunks_mut::<64>().0[..n];
    for (row, block) in blocks.iter().enumerate() {
        match block.get(at..at + 4 * n) {
            Some(words) => {
                for (word, out) in words.as_chunks::<4>().0.iter().zip(&mut *out) {
                    out[4 * row..4 * row + 4].copy_from_slice(word);
                }
            }
            None => out.iter_mut().for_each(|out| out[4 * row..4 * row + 4].fill(0)),
        }
    }
}

/// Writes the f16 at byte `at` of each row's block side by side.
#[inline(always)]
fn interleave_f16(blocks: &[&[u8]; LANES], at: usize, out: &mut [u8]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = block.get(at..at + 2).map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
    }
}

/// Whether the f16 at byte `at` of a block is finite.
fn finite_f16(block: &[u8], at: usize) -> bool {
    block[at + 1] & 0x7c != 0x7c
}
