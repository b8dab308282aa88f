//! What goes into a shard and comes out of it: rows of sequences, in batch order.
//!
//! Part of `shard.rs`, which checks them. Shapes: hidden rows are little-endian f32 or f16, one
//! behind the other; logits are `[rows, vocab]`. Errors: none.

use std::sync::Arc;

use bytes::Bytes;

use crate::{kernel::cpu::half_float, sampler::LogProbabilities};

/// The rows of one sequence in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceRows {
    /// All its pages in order, from position 0 on.
    pub pages: Arc<[u32]>,
    /// Position of its first row; all earlier positions were computed before.
    pub first_position: u32,
    /// Number of rows.
    pub n_rows: u32,
    /// Which rows' logits are wanted; of meaning on the last shard only.
    pub logits: LogitsWanted,
}

/// Which logits a sequence wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None, while a prompt is not read to its end.
    None,
    /// The last row's.
    Last,
    /// Every row's.
    All,
    /// None, but every row behind the final norm.
    Normed,
    /// None, but how likely the rows made these tokens.
    Scores(ScoredTokens),
}

/// Tokens that are there already, of which it is asked how likely they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoredTokens {
    /// The token behind each row, from the first row on; not more than there are rows.
    pub tokens: Arc<[u32]>,
    /// So many of the likeliest are told beside each.
    pub n_top: u8,
}

/// What goes into a shard.
#[derive(Clone, Debug)]
pub enum ShardInput {
    /// Token ids, for a shard with layer 0.
    Tokens(Vec<u32>),
    /// Rows of the residual stream, for the others.
    Hidden(HiddenRows),
}

/// Element type of hidden rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BorderType {
    /// f32, little endian.
    F32,
    /// f16, little endian.
    F16,
}

impl BorderType {
    /// Bytes per value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Rows of the residual stream between two shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenRows {
    /// Element type: that of the run profile.
    pub dtype: BorderType,
    /// Number of rows.
    pub n_rows: u32,
    /// Values per row.
    pub hidden: u32,
    /// The rows, little endian.
    pub bytes: Bytes,
}

/// Logits of the wanted rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// Number of rows.
    pub n_rows: u32,
    /// Values per row.
    pub vocab: u32,
    /// The rows.
    pub values: Vec<f32>,
    /// Rows behind the final norm, `hidden` values each, of the sequences that want those.
    pub normed: Vec<f32>,
    /// How likely tokens were, of the sequences that want that.
    pub scores: Vec<LogProbabilities>,
}

/// What comes out of a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum ShardOutput {
    /// All rows, for the next shard.
    Hidden(HiddenRows),
    /// The wanted rows' logits, from the last shard.
    Logits(Logits),
}

/// The values of rows.
pub(crate) fn floats(rows: &HiddenRows) -> Vec<f32> {
    match rows.dtype {
        BorderType::F32 => {
            rows.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
        BorderType::F16 => (rows.bytes.as_chunks().0.iter())
            .map(|b| half_float::to_f32(u16::from_le_bytes(*b)))
            .collect(),
    }
}

/// Values as bytes of a border.
pub(crate) fn border_bytes(values: &[f32], dtype: BorderType) -> Vec<u8> {
    match dtype {
        BorderType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        BorderType::F16 => {
            let mut narrow = vec![0u16; values.len()];
            half_float::narrow(values, &mut narrow);
            narrow.iter().flat_map(|v| v.to_le_bytes()).collect()
        }
    }
}
