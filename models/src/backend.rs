//! The layers' operations on burn tensors, per device.
//!
//! Called by `layer`. Model code holds [`Tensor`]s and calls the functions below; each goes either
//! to [`SwarmOps`], our extension of burn's CPU back end (the canonical arithmetic of
//! `kernel::cpu`), or to `plain`, the same operation composed of burn's own tensor operations,
//! which runs on every device burn has. The device of an [`Engine`] decides.
//!
//! Weights and cache pages are ordinary shared arguments, only activations are tensors: so weights
//! stay quantised, and on the CPU in the layout of their kernels.
//!
//! Shapes: activations `[rows, width]`, f32. Errors: building blocks return theirs; operations
//! trust the shapes that `shard` checked. Absent on purpose: autodiff, fusion, our own GPU kernels.

mod device;
mod flex;
mod plain;

use std::sync::{Arc, Mutex};

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::{Device, Tensor, TensorData},
};

pub use device::{DeviceChoice, DeviceError};
pub use flex::{AttentionCall, CpuContext, EmbeddingRows};

use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::{AttentionShape, BatchPlan},
        linear::{Weight, WeightError},
    },
    kv::{KvPages, KvShape, KvType},
    quant,
};

/// The operations of the canonical CPU arithmetic.
#[backend_extension(Flex)]
pub trait SwarmOps: Backend {
    /// Several weights times the same rows, results side by side: `[rows, k]` to `[rows, sum n]`.
    fn q_linear(x: FloatTensor<Self>, weights: Arc<CpuLinear>) -> FloatTensor<Self>;
    /// Root-mean-square norm of rows.
    fn rms_norm(x: FloatTensor<Self>, norm: Arc<CpuNorm>) -> FloatTensor<Self>;
    /// Rotates, appends to the pages and attends: `[rows, q + k + v]` to `[rows, q]`.
    fn attention(qkv: FloatTensor<Self>, call: AttentionCall) -> FloatTensor<Self>;
    /// `silu(gate) * up`: `[rows, 2 * width]` to `[rows, width]`.
    fn swiglu(gate_up: FloatTensor<Self>, context: Arc<CpuContext>) -> FloatTensor<Self>;
    /// `a + b`, rounded to f16 when `round` says so.
    fn residual_add(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        round: bool,
        context: Arc<CpuContext>,
    ) -> FloatTensor<Self>;
    /// The embeddings of some tokens; `anchor` only says on which back end.
    fn embed_rows(anchor: FloatTensor<Self>, rows: EmbeddingRows) -> FloatTensor<Self>;
}

/// Weights of one fused linear operation on the CPU.
#[derive(Debug)]
pub struct CpuLinear {
    pub(crate) weights: Vec<Weight>,
    pub(crate) context: Arc<CpuContext>,
}

/// Gain and epsilon of a norm on the CPU.
#[derive(Debug)]
pub struct CpuNorm {
    pub(crate) gain: Vec<f32>,
    pub(crate) epsilon: f32,
    pub(crate) context: Arc<CpuContext>,
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

    /// `a + b`, the new residual stream, rounded to f16 at a layer border when `round` says so.
    pub fn residual_add(&self, a: Tensor<2>, b: Tensor<2>, round: bool) -> Tensor<2> {
        let Some(context) = &self.cpu else {
            return plain::residual_add(a, b, round, &self.device);
        };
        Tensor::from_dispatch(Dispatch::residual_add(
            a.into_dispatch(),
            b.into_dispatch(),
            round,
            context.clone(),
        ))
    }

    /// `silu(gate) * up`.
    pub fn swiglu(&self, gate_up: Tensor<2>) -> Tensor<2> {
        let Some(context) = &self.cpu else { return plain::swiglu(gate_up) };
        Tensor::from_dispatch(Dispatch::swiglu(gate_up.into_dispatch(), context.clone()))
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
    pub fn new(gguf: &Gguf, info: &TensorInfo) -> Result<Self, WeightError> {
        quant::format(info.kind)?;
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

/// One or more weights that multiply the same rows.
#[derive(Clone, Debug)]
pub enum Linear {
    /// In the layout of the CPU kernels.
    Cpu(Arc<CpuLinear>),
    /// Dequantised on the device, `[sum n, k]`.
    Plain(Box<Tensor<2>>),
}

impl Linear {
    /// Prepares tensors of the same row length.
    pub fn load(engine: &Engine, gguf: &Gguf, infos: &[&TensorInfo]) -> Result<Self, WeightError> {
        if let Some(context) = &engine.cpu {
            let weights: Result<_, _> = infos
                .iter()
                .map(|info| Weight::load(gguf, info, context.level, &context.pool))
                .collect();
            let context = context.clone();
            return Ok(Self::Cpu(Arc::new(CpuLinear { weights: weights?, context })));
        }
        let tensors: Result<Vec<_>, WeightError> =
            infos.iter().map(|info| plain::weight(gguf, info, &engine.device)).collect();
        Ok(Self::Plain(Box::new(Tensor::cat(tensors?, 0))))
    }

    /// Multiplies rows.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Cpu(weights) => {
                Tensor::from_dispatch(Dispatch::q_linear(x.into_dispatch(), weights.clone()))
            }
            Self::Plain(weight) => x.matmul(Tensor::clone(weight).transpose()),
        }
    }
}

/// A root-mean-square norm.
#[derive(Clone, Debug)]
pub enum Norm {
    /// For the CPU kernels.
    Cpu(Arc<CpuNorm>),
    /// On the device.
    Plain(Box<Tensor<1>>, f32),
}

impl Norm {
    /// A norm with this gain.
    pub fn new(engine: &Engine, gain: Vec<f32>, epsilon: f32) -> Self {
        match &engine.cpu {
            Some(context) => {
                Self::Cpu(Arc::new(CpuNorm { gain, epsilon, context: context.clone() }))
            }
            None => {
                let gain = Tensor::from_floats(&gain[..], &engine.device);
                Self::Plain(Box::new(gain), epsilon)
            }
        }
    }

    /// Normalises rows.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Cpu(norm) => {
                Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), norm.clone()))
            }
            Self::Plain(gain, epsilon) => plain::rms_norm(x, gain, *epsilon),
        }
    }
}

/// The keys and values of one layer, wherever they live.
#[derive(Clone, Debug)]
pub enum KvCache {
    /// Pages for the CPU kernels.
    Cpu(Arc<Mutex<KvPages>>, Arc<CpuContext>),
    /// Tensors on the device.
    Plain(Arc<Mutex<plain::PlainPages>>),
}

impl KvCache {
    /// Empty pages of one layer.
    pub fn new(engine: &Engine, kind: KvType, shape: KvShape) -> std::io::Result<Self> {
        Ok(match &engine.cpu {
            Some(context) => {
                Self::Cpu(Arc::new(Mutex::new(KvPages::new(kind, shape)?)), context.clone())
            }
            None => {
                let pages = plain::PlainPages::new(kind, shape, &engine.device);
                Self::Plain(Arc::new(Mutex::new(pages)))
            }
        })
    }

    /// Rotates, appends and attends.
    pub fn attention(
        &self,
        shape: AttentionShape,
        plan: &Arc<BatchPlan>,
        qkv: Tensor<2>,
    ) -> Tensor<2> {
        match self {
            Self::Cpu(pages, context) => {
                let call = AttentionCall {
                    shape,
                    plan: plan.clone(),
                    pages: pages.clone(),
                    context: context.clone(),
                };
                Tensor::from_dispatch(Dispatch::attention(qkv.into_dispatch(), call))
            }
            Self::Plain(pages) => {
                let mut pages = pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                pages.attention(&shape, plan, qkv)
            }
        }
    }
}
