//! [`SwarmOps`] on burn's CPU back end: the residual stream in, a canonical block, the stream out.
//!
//! Called through burn's dispatch by the blocks of `backend`. A stream that nobody else holds is
//! changed in place.

use std::sync::Arc;

use burn::tensor::TensorData;
use burn_flex::{Flex, FlexTensor};

use super::{EmbeddingTable, StateSpaceCall, SwarmOps};
use crate::kernel::cpu::{
    attention::BatchPlan,
    feed_forward::CpuFeedForward,
    latent::CpuLatentAttention,
    mixture::CpuMixture,
    network::{CpuAttention, CpuContext, CpuHead},
};

/// Arguments of the attention operation.
#[derive(Clone, Debug)]
pub struct AttentionCall {
    /// The block.
    pub block: Arc<CpuAttention>,
    /// The batch.
    pub plan: Arc<BatchPlan>,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// Arguments of the latent attention operation.
#[derive(Clone, Debug)]
pub struct LatentCall {
    /// The block.
    pub block: Arc<CpuLatentAttention>,
    /// The batch.
    pub plan: Arc<BatchPlan>,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// Arguments of the mixture operation.
#[derive(Clone, Debug)]
pub struct MixtureCall {
    /// The block.
    pub block: Arc<CpuMixture>,
    /// Whether the result is rounded to f16.
    pub round: bool,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// Arguments of the feed-forward operation.
#[derive(Clone, Debug)]
pub struct FeedForwardCall {
    /// The block.
    pub block: Arc<CpuFeedForward>,
    /// Whether the result is rounded to f16.
    pub round: bool,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// Arguments of the output operation.
#[derive(Clone, Debug)]
pub struct HeadCall {
    /// The block.
    pub block: Arc<CpuHead>,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// Arguments of the embedding operation.
#[derive(Clone, Debug)]
pub struct EmbeddingRows {
    /// The table.
    pub table: EmbeddingTable,
    /// Row numbers below the table's length.
    pub tokens: Arc<[u32]>,
}

impl EmbeddingRows {
    /// The rows, one after the other.
    pub fn values(&self) -> Vec<f32> {
        let width = self.table.width();
        let mut values = vec![0f32; self.tokens.len() * width];
        for (token, row) in self.tokens.iter().zip(values.chunks_exact_mut(width)) {
            self.table.read(*token, row);
        }
        values
    }
}

/// The tensor's values in row order, copied only when they lie otherwise.
fn contiguous(x: FlexTensor) -> FlexTensor {
    let whole = x.layout().num_elements() * size_of::<f32>() == x.bytes().len();
    if whole && x.is_contiguous() && x.layout().start_offset() == 0 { x } else { x.to_contiguous() }
}

fn tensor(values: Vec<f32>, width: usize) -> FlexTensor {
    let n_rows = values.len() / width;
    FlexTensor::from_data(TensorData::new(values, [n_rows, width]))
}

impl SwarmOps for Flex {
    fn attention(x: FlexTensor, call: AttentionCall) -> FlexTensor {
        let mut x = contiguous(x);
        call.block.run(x.storage_mut::<f32>(), &call.plan, &call.context);
        x
    }

    fn latent_attention(x: FlexTensor, call: LatentCall) -> FlexTensor {
        let mut x = contiguous(x);
        call.block.run(x.storage_mut::<f32>(), &call.plan, &call.context);
        x
    }

    fn mixture(x: FlexTensor, call: MixtureCall) -> FlexTensor {
        let mut x = contiguous(x);
        call.block.run(x.storage_mut::<f32>(), call.round, &call.context);
        x
    }

    fn feed_forward(x: FlexTensor, call: FeedForwardCall) -> FlexTensor {
        let mut x = contiguous(x);
        call.block.run(x.storage_mut::<f32>(), call.round, &call.context);
        x
    }

    fn state_space(x: FlexTensor, call: StateSpaceCall) -> FlexTensor {
        let mut x = contiguous(x);
        call.block.run(x.storage_mut::<f32>(), &call.plan, call.round, &call.context);
        x
    }

    fn head(x: FlexTensor, call: HeadCall) -> FlexTensor {
        let x = contiguous(x);
        let n_rows = x.layout().shape()[0];
        let logits = call.block.run(x.storage::<f32>(), &call.context);
        let width = logits.len() / n_rows;
        tensor(logits, width)
    }

    fn embed_rows(_anchor: FlexTensor, rows: EmbeddingRows) -> FlexTensor {
        tensor(rows.values(), rows.table.width())
    }
}
