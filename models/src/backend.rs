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

mod blocks;
mod device;
mod flex;
pub mod parts;
mod plain;
mod state_space;

use std::sync::Arc;

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::{Device, Tensor, TensorData},
};

pub use blocks::{Attention, FeedForward, Head, LatentAttention, Mixture};
pub use device::{DeviceChoice, DeviceError};
pub use flex::{AttentionCall, EmbeddingRows, FeedForwardCall, HeadCall, LatentCall, MixtureCall};
pub use state_space::{SelectionParts, StateSpace, StateSpaceCall, StateSpaceParts};

use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        linear::{WeightError, check_rows},
        network::CpuContext,
    },
    quant,
};

/// The operations of the canonical CPU arithmetic. The stream is changed in place when nobody else
/// holds it.
#[backend_extension(Flex)]
pub trait SwarmOps: Backend {
    /// Adds attention to the residual stream.
    fn attention(x: FloatTensor<Self>, call: AttentionCall) -> FloatTensor<Self>;
    /// Adds latent attention to the residual stream.
    fn latent_attention(x: FloatTensor<Self>, call: LatentCall) -> FloatTensor<Self>;
    /// Adds the mixture of experts to the residual stream.
    fn mixture(x: FloatTensor<Self>, call: MixtureCall) -> FloatTensor<Self>;
    /// Adds the feed-forward to the residual stream.
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

    /// Whether layers keep their pages in the arena; else the device has tensors of its own.
    pub fn uses_arena(&self) -> bool {
        self.cpu.is_some()
    }

    /// A tensor of rows.
    pub fn rows(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        let n_rows = values.len() / width;
        Tensor::from_data(TensorData::new(values, [n_rows, width]), &self.device)
    }

    /// The embeddings of tokens, dequantised from the rows of a table, times the table's scale.
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
    scale: Option<f32>,
}

impl EmbeddingTable {
    /// The table in this tensor, checked; its values are multiplied with `scale`.
    pub fn new(
        engine: &Engine,
        gguf: &Gguf,
        info: &TensorInfo,
        scale: Option<f32>,
    ) -> Result<Self, BlockError> {
        let failed = |source| BlockError::Weight { name: info.name.clone(), source };
        let format = quant::format(info.kind).map_err(|error| failed(error.into()))?;
        let pool = engine.cpu.as_ref().map(|context| &context.pool);
        check_rows(format, gguf.tensor_bytes(info), info.n_rows() as usize, pool)
            .map_err(failed)?;
        gguf.source().forget(info.start, info.n_bytes);
        Ok(Self { gguf: gguf.clone(), info: Arc::new(info.clone()), scale })
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
        if let Some(scale) = self.scale {
            out.iter_mut().for_each(|value| *value *= scale);
        }
    }
}
