//! Every block composed of burn's own tensor operations, for devices without kernels of ours.
//!
//! Called by `blocks` when the engine is not the canonical CPU. Weights are dequantised once and
//! uploaded; sums run in the device's order, so results equal the canonical ones within a
//! tolerance (see the tests in `tests/plain.rs`), and repeat exactly on the same device.
//! Absent on purpose: speed.

mod attention;
mod latent;
mod mixture;
pub(super) mod state_space;

pub(super) use attention::PlainAttention;
pub(super) use latent::PlainLatentAttention;
pub(super) use mixture::PlainMixture;

use burn::tensor::{DType, Device, Tensor, TensorData, activation};

use super::{
    BlockError,
    parts::{FeedForwardParts, HeadParts, OutputParts, ProjectionParts, UnitParts},
};
use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{elementwise::Activation, half_float, linear::check_rows, norm::Norm},
    quant,
};

/// A dequantised weight on the device, `[n, k]`.
fn weight(gguf: &Gguf, info: &TensorInfo, device: &Device) -> Result<Tensor<2>, BlockError> {
    let failed = |source| BlockError::Weight { name: info.name.clone(), source };
    let format = quant::format(info.kind).map_err(|error| failed(error.into()))?;
    let (n, k) = (info.n_rows() as usize, info.row_values() as usize);
    let bytes = gguf.tensor_bytes(info);
    check_rows(format, bytes, n, None).map_err(failed)?;
    let mut values = vec![0f32; n * k];
    for (row, out) in bytes.chunks_exact(bytes.len() / n).zip(values.chunks_exact_mut(k)) {
        format.dequantise(row, out);
    }
    gguf.source().forget(info.start, info.n_bytes);
    Ok(Tensor::from_data(TensorData::new(values, [n, k]), device))
}

/// Several weights side by side, `[sum n, k]`.
fn weights(gguf: &Gguf, infos: &[TensorInfo], device: &Device) -> Result<Tensor<2>, BlockError> {
    let tensors: Result<Vec<_>, _> = infos.iter().map(|info| weight(gguf, info, device)).collect();
    Ok(Tensor::cat(tensors?, 0))
}

fn linear(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    x.matmul(weight.clone().transpose())
}

fn vector(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
}

/// Rounds to f16 values: on the device where it has f16, else by way of the host.
fn round<const D: usize>(x: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.supports_dtype(DType::F16) {
        return x.cast(DType::F16).cast(DType::F32);
    }
    let shape = x.dims();
    let mut values = x.into_data().try_to_vec::<f32>().expect("activations are f32");
    half_float::round(&mut values);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn activate(x: Tensor<2>, function: Activation) -> Tensor<2> {
    match function {
        Activation::Silu => activation::silu(x),
        Activation::Gelu => activation::gelu_approximate(x),
    }
}

/// `cap * tanh(x / cap)`.
fn soft_cap<const D: usize>(x: Tensor<D>, cap: Option<f32>) -> Tensor<D> {
    match cap {
        Some(cap) => (x / cap).tanh() * cap,
        None => x,
    }
}

/// A norm over the last dimension.
#[derive(Debug)]
struct PlainNorm {
    gain: Tensor<2>,
    bias: Option<Tensor<2>>,
    epsilon: f32,
}

impl PlainNorm {
    fn new(parts: &Norm, device: &Device) -> Self {
        let bias = parts.bias.as_ref().map(|bias| vector(bias, device));
        Self { gain: vector(&parts.gain, device), bias, epsilon: parts.epsilon }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = if self.bias.is_some() { x.clone() - x.mean_dim(1) } else { x };
        let mean = (x.clone() * x.clone()).mean_dim(1);
        let scaled = x / (mean + self.epsilon).sqrt() * self.gain.clone();
        match &self.bias {
            Some(bias) => scaled + bias.clone(),
            None => scaled,
        }
    }
}

/// A projection with its bias.
#[derive(Debug)]
struct PlainProjection {
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
}

impl PlainProjection {
    fn load(gguf: &Gguf, parts: &ProjectionParts, device: &Device) -> Result<Self, BlockError> {
        let bias = parts.bias.as_ref().map(|bias| vector(bias, device));
        Ok(Self { weight: weight(gguf, &parts.weight, device)?, bias })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let products = linear(x, &self.weight);
        match &self.bias {
            Some(bias) => products + bias.clone(),
            None => products,
        }
    }
}

/// The end of a block.
#[derive(Debug)]
struct PlainOutput {
    projection: PlainProjection,
    norm: Option<PlainNorm>,
    device: Device,
}

impl PlainOutput {
    fn load(gguf: &Gguf, parts: &OutputParts, device: &Device) -> Result<Self, BlockError> {
        Ok(Self {
            projection: PlainProjection::load(gguf, &parts.projection, device)?,
            norm: parts.norm.as_ref().map(|norm| PlainNorm::new(norm, device)),
            device: device.clone(),
        })
    }

    fn add(&self, x: Tensor<2>, y: Tensor<2>, rounded: bool) -> Tensor<2> {
        let y = self.projection.forward(y);
        let sum = x + self.norm.as_ref().map_or(y.clone(), |norm| norm.forward(y));
        if rounded { round(sum, &self.device) } else { sum }
    }
}

/// The projections up of a feed-forward block.
#[derive(Debug)]
struct PlainUnit {
    gate: Option<PlainProjection>,
    up: PlainProjection,
    activation: Activation,
}

impl PlainUnit {
    fn load(gguf: &Gguf, parts: &UnitParts, device: &Device) -> Result<Self, BlockError> {
        let load = |parts: &ProjectionParts| PlainProjection::load(gguf, parts, device);
        Ok(Self {
            gate: parts.gate.as_ref().map(load).transpose()?,
            up: load(&parts.up)?,
            activation: parts.activation,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.gate {
            Some(gate) => activate(gate.forward(x.clone()), self.activation) * self.up.forward(x),
            None => activate(self.up.forward(x), self.activation),
        }
    }
}

/// Pre-norm feed-forward.
#[derive(Debug)]
pub struct PlainFeedForward {
    norm: PlainNorm,
    unit: PlainUnit,
    output: PlainOutput,
}

impl PlainFeedForward {
    pub(super) fn load(
        gguf: &Gguf,
        parts: FeedForwardParts,
        device: &Device,
    ) -> Result<Self, BlockError> {
        Ok(Self {
            norm: PlainNorm::new(&parts.norm, device),
            unit: PlainUnit::load(gguf, &parts.unit, device)?,
            output: PlainOutput::load(gguf, &parts.output, device)?,
        })
    }

    pub(super) fn forward(&self, x: Tensor<2>, rounded: bool) -> Tensor<2> {
        let values = self.unit.forward(self.norm.forward(x.clone()));
        self.output.add(x, values, rounded)
    }
}

/// The final norm and the projection to logits.
#[derive(Debug)]
pub struct PlainHead {
    norm: PlainNorm,
    output: Tensor<2>,
    soft_cap: Option<f32>,
}

impl PlainHead {
    pub(super) fn load(gguf: &Gguf, parts: HeadParts, device: &Device) -> Result<Self, BlockError> {
        let norm = PlainNorm::new(&parts.norm, device);
        let output = weight(gguf, &parts.output, device)?;
        Ok(Self { norm, output, soft_cap: parts.soft_cap })
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        soft_cap(linear(self.norm.forward(x), &self.output), self.soft_cap)
    }
}
