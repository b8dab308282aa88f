//! The blocks of a network on burn tensors, per device.
//!
//! Called by `layer`. Model code holds [`Tensor`]s of the residual stream and hands them to the
//! blocks below; each goes either to [`SwarmOps`], our extension of burn's CPU back end (one
//! operation per block, canonical arithmetic of `kernel::cpu`), or to `plain`, the same block
//! composed of burn's own tensor operations, which runs on every device burn has. The device of an
//! [`Engine`] decides.
//!
//! Weights and cache pages are ordinary shared arguments, only the residual stream is a tensor: so
//! weights stay quantised, and on the CPU in the layout of their kernels.
//!
//! Shapes: the stream is `[rows, hidden]`, f32. Errors: loading a block gives [`BlockError`];
//! operations trust the shapes that `shard` checked. Absent on purpose: autodiff, fusion, our own
//! GPU kernels.

mod device;
mod flex;
mod plain;
mod state_space;

use std::sync::{Arc, Mutex};

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::{Device, Tensor, TensorData},
};

pub use device::{DeviceChoice, DeviceError};
pub use flex::{AttentionCall, EmbeddingRows, FeedForwardCall, HeadCall};
pub use state_space::{SelectionParts, StateSpace, StateSpaceCall, StateSpaceParts};

use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::{AttentionShape, BatchPlan},
        linear::WeightError,
        network::{CpuAttention, CpuContext, CpuFeedForward, CpuHead, CpuLinear, CpuNorm},
    },
    kv::{KvPages, KvShape, KvType},
    quant,
};

/// The operations of the canonical CPU arithmetic. The stream is changed in place when nobody else
/// holds it.
#[backend_extension(Flex)]
pub trait SwarmOps: Backend {
    /// Adds attention to the residual stream.
    fn attention(x: FloatTensor<Self>, call: AttentionCall) -> FloatTensor<Self>;
    /// Adds the gated feed-forward to the residual stream.
    fn feed_forward(x: FloatTensor<Self>, call: FeedForwardCall) -> FloatTensor<Self>;
    /// Moves the states of sequences on and adds what is read from them to the residual stream.
    fn state_space(x: FloatTensor<Self>, call: StateSpaceCall) -> FloatTensor<Self>;
    /// The logits of the residual stream.
    fn head(x: FloatTensor<Self>, call: HeadCall) -> FloatTensor<Self>;
    /// The embeddings of some tokens; `anchor` only says on which back end.
    fn embed_rows(anchor: FloatTensor<Self>, rows: EmbeddingRows) -> FloatTensor<Self>;
}

/// A part of a block cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A tensor's weights cannot be used.
    #[error("the tensor {name:?}: {source}")]
    Weight {
        /// The tensor.
        name: String,
        /// Why.
        source: WeightError,
    },
    /// The system has no room for the cache.
    #[error("no memory for {pages} cache pages: {source}; ask for fewer")]
    Cache {
        /// Pages asked for.
        pages: u32,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Where operations run, and how.
#[derive(Clone, Debug)]
pub struct Engine {
    device: Device,
    /// Present on the canonical CPU back end; the plain operations run without it.
    cpu: Option<Arc<CpuContext>>,
}

impl Engine {
    /// The canonical CPU engine.
    pub fn cpu(context: CpuContext) -> Self {
        Self { device: Device::flex(), cpu: Some(Arc::new(context)) }
    }

    /// Plain operations on a device; with the CPU choice this is burn's own CPU arithmetic, for
    /// tests.
    pub fn plain(choice: DeviceChoice) -> Result<Self, DeviceError> {
        Ok(Self { device: device::open(choice)?, cpu: None })
    }

    /// A tensor of rows.
    pub fn rows(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        let n_rows = values.len() / width;
        Tensor::from_data(TensorData::new(values, [n_rows, width]), &self.device)
    }

    /// The embeddings of tokens, dequantised from the rows of a table.
    pub fn embed(&self, table: &EmbeddingTable, tokens: &[u32]) -> Tensor<2> {
        let rows = EmbeddingRows { table: table.clone(), tokens: tokens.into() };
        if self.cpu.is_some() {
            let anchor = Tensor::<1>::zeros([1], &self.device).into_dispatch();
            return Tensor::from_dispatch(Dispatch::embed_rows(anchor, rows));
        }
        self.rows(rows.values(), table.width())
    }
}

/// A table of embeddings in the file; rows are read when wanted.
#[derive(Clone, Debug)]
pub struct EmbeddingTable {
    gguf: Gguf,
    info: Arc<TensorInfo>,
}

impl EmbeddingTable {
    /// The table in this tensor.
    pub fn new(gguf: &Gguf, info: &TensorInfo) -> Result<Self, BlockError> {
        let unsupported = |source| BlockError::Weight { name: info.name.clone(), source };
        quant::format(info.kind).map_err(|error| unsupported(error.into()))?;
        Ok(Self { gguf: gguf.clone(), info: Arc::new(info.clone()) })
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.info.row_values() as usize
    }

    /// Dequantises one row.
    pub(crate) fn read(&self, row: u32, out: &mut [f32]) {
        let row_bytes = self.info.n_bytes / self.info.n_rows() as usize;
        let bytes = self.gguf.tensor_bytes(&self.info);
        let format = quant::format(self.info.kind).expect("checked when the table was made");
        format.dequantise(&bytes[row as usize * row_bytes..][..row_bytes], out);
    }
}

/// What a norm is made of.
#[derive(Clone, Debug)]
pub struct NormParts {
    /// One factor per value.
    pub gain: Vec<f32>,
    /// What is added to the mean of squares.
    pub epsilon: f32,
}

impl From<NormParts> for CpuNorm {
    fn from(NormParts { gain, epsilon }: NormParts) -> Self {
        Self { gain, epsilon }
    }
}

fn cpu_linear(
    context: &CpuContext,
    gguf: &Gguf,
    infos: &[&TensorInfo],
) -> Result<CpuLinear, BlockError> {
    let load = |info: &&TensorInfo| {
        let failed = |source| BlockError::Weight { name: info.name.clone(), source };
        context.weight(gguf, info).map_err(failed)
    };
    Ok(CpuLinear::new(infos.iter().map(load).collect::<Result<_, _>>()?))
}

/// Pre-norm attention with its residual addition.
#[derive(Clone, Debug)]
pub enum Attention {
    /// For the CPU kernels.
    Cpu(Arc<CpuAttention>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<Mutex<plain::PlainAttention>>),
}

/// What attention is made of.
#[derive(Debug)]
pub struct AttentionParts<'a> {
    /// The norm before it.
    pub norm: NormParts,
    /// Projections to queries, keys and values.
    pub query_key_value: [&'a TensorInfo; 3],
    /// Projection back.
    pub output: &'a TensorInfo,
    /// Sizes.
    pub shape: AttentionShape,
    /// Type of the cache.
    pub kv: KvType,
    /// Pages of the cache.
    pub kv_pages: u32,
}

impl Attention {
    /// Loads the weights and makes empty pages.
    pub fn load(
        engine: &Engine,
        gguf: &Gguf,
        parts: AttentionParts<'_>,
    ) -> Result<Self, BlockError> {
        let AttentionShape { n_kv_heads, head_dim, .. } = parts.shape;
        let kv_shape = KvShape { n_pages: parts.kv_pages, n_kv_heads, head_dim };
        let Some(context) = &engine.cpu else {
            let block = plain::PlainAttention::load(gguf, parts, kv_shape, &engine.device)?;
            return Ok(Self::Plain(Arc::new(Mutex::new(block))));
        };
        let pages = KvPages::new(parts.kv, kv_shape)
            .map_err(|source| BlockError::Cache { pages: parts.kv_pages, source })?;
        let block = CpuAttention {
            norm: parts.norm.into(),
            query_key_value: cpu_linear(context, gguf, &parts.query_key_value)?,
            output: cpu_linear(context, gguf, &[parts.output])?,
            shape: parts.shape,
            pages: Mutex::new(pages),
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds what each row attends to.
    pub fn forward(&self, x: Tensor<2>, plan: &Arc<BatchPlan>) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, plan, context) = (block.clone(), plan.clone(), context.clone());
                let call = AttentionCall { block, plan, context };
                Tensor::from_dispatch(Dispatch::attention(x.into_dispatch(), call))
            }
            Self::Plain(block) => {
                let mut block = block.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                block.forward(x, plan)
            }
        }
    }
}

/// Pre-norm gated feed-forward with its residual addition.
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// For the CPU kernels.
    Cpu(Arc<CpuFeedForward>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<plain::PlainFeedForward>),
}

impl FeedForward {
    /// Loads norm, gate and up, and down.
    pub fn load(
        engine: &Engine,
        gguf: &Gguf,
        norm: NormParts,
        [gate, up, down]: [&TensorInfo; 3],
    ) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let tensors = [gate, up, down];
            let block = plain::PlainFeedForward::load(gguf, norm, tensors, &engine.device)?;
            return Ok(Self::Plain(Arc::new(block)));
        };
        let block = CpuFeedForward {
            norm: norm.into(),
            gate_up: cpu_linear(context, gguf, &[gate, up])?,
            down: cpu_linear(context, gguf, &[down])?,
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds the transformed rows; the result is rounded to f16 when `round` says so.
    pub fn forward(&self, x: Tensor<2>, round: bool) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, context) = (block.clone(), context.clone());
                let call = FeedForwardCall { block, round, context };
                Tensor::from_dispatch(Dispatch::feed_forward(x.into_dispatch(), call))
            }
            Self::Plain(block) => block.forward(x, round),
        }
    }
}

/// The final norm and the projection to logits.
#[derive(Clone, Debug)]
pub enum Head {
    /// For the CPU kernels.
    Cpu(Arc<CpuHead>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<plain::PlainHead>),
}

impl Head {
    /// Loads norm and projection.
    pub fn load(
        engine: &Engine,
        gguf: &Gguf,
        norm: NormParts,
        output: &TensorInfo,
    ) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainHead::load(gguf, norm, output, &engine.device)?;
            return Ok(Self::Plain(Arc::new(block)));
        };
        let block = CpuHead { norm: norm.into(), output: cpu_linear(context, gguf, &[output])? };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// The logits of rows.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let call = HeadCall { block: block.clone(), context: context.clone() };
                Tensor::from_dispatch(Dispatch::head(x.into_dispatch(), call))
            }
            Self::Plain(block) => block.forward(x),
        }
    }
}
