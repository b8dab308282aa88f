//! Every block composed of burn's own tensor operations, for devices without kernels of ours.
//!
//! Called by `backend` when the engine is not the canonical CPU. Weights are dequantised once and
//! uploaded; sums run in the device's order, so results equal the canonical ones within a
//! tolerance (see the tests in `tests/plain.rs`), and repeat exactly on the same device.
//! Absent on purpose: speed.

pub(super) mod state_space;

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};

use super::{AttentionParts, BlockError, NormParts};
use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::{AttentionShape, BatchPlan, SequencePlan},
        half_float,
    },
    kv::{KvShape, KvType, PAGE_TOKENS},
    quant,
};

/// A dequantised weight on the device, `[n, k]`.
fn weight(gguf: &Gguf, info: &TensorInfo, device: &Device) -> Result<Tensor<2>, BlockError> {
    let unsupported = |source| BlockError::Weight { name: info.name.clone(), source };
    let format = quant::format(info.kind).map_err(|error| unsupported(error.into()))?;
    let (n, k) = (info.n_rows() as usize, info.row_values() as usize);
    let mut values = vec![0f32; n * k];
    let bytes = gguf.tensor_bytes(info);
    for (row, out) in bytes.chunks_exact(bytes.len() / n).zip(values.chunks_exact_mut(k)) {
        format.dequantise(row, out);
    }
    gguf.source().forget(info.start, info.n_bytes);
    Ok(Tensor::from_data(TensorData::new(values, [n, k]), device))
}

/// Several weights side by side, `[sum n, k]`.
fn weights(gguf: &Gguf, infos: &[&TensorInfo], device: &Device) -> Result<Tensor<2>, BlockError> {
    let tensors: Result<Vec<_>, _> = infos.iter().map(|info| weight(gguf, info, device)).collect();
    Ok(Tensor::cat(tensors?, 0))
}

fn linear(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    x.matmul(weight.clone().transpose())
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

fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let width = gate_up.dims()[1] / 2;
    let up = gate_up.clone().narrow(1, width, width);
    activation::silu(gate_up.narrow(1, 0, width)) * up
}

/// A root-mean-square norm.
#[derive(Debug)]
struct PlainNorm {
    gain: Tensor<1>,
    epsilon: f32,
}

impl PlainNorm {
    fn new(parts: &NormParts, device: &Device) -> Self {
        Self { gain: Tensor::from_floats(&parts.gain[..], device), epsilon: parts.epsilon }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mean = (x.clone() * x.clone()).mean_dim(1);
        x / (mean + self.epsilon).sqrt() * self.gain.clone().unsqueeze()
    }
}

/// Pre-norm attention.
#[derive(Debug)]
pub struct PlainAttention {
    norm: PlainNorm,
    query_key_value: Tensor<2>,
    output: Tensor<2>,
    shape: AttentionShape,
    pages: PlainPages,
}

impl PlainAttention {
    pub(super) fn load(
        gguf: &Gguf,
        parts: AttentionParts<'_>,
        kv_shape: KvShape,
        device: &Device,
    ) -> Result<Self, BlockError> {
        Ok(Self {
            norm: PlainNorm::new(&parts.norm, device),
            query_key_value: weights(gguf, &parts.query_key_value, device)?,
            output: weight(gguf, parts.output, device)?,
            shape: parts.shape,
            pages: PlainPages::new(parts.kv, kv_shape, device),
        })
    }

    pub(super) fn forward(&mut self, x: Tensor<2>, plan: &BatchPlan) -> Tensor<2> {
        let qkv = linear(self.norm.forward(x.clone()), &self.query_key_value);
        let attended = self.pages.attention(&self.shape, plan, qkv);
        x + linear(attended, &self.output)
    }
}

/// Pre-norm gated feed-forward.
#[derive(Debug)]
pub struct PlainFeedForward {
    norm: PlainNorm,
    gate_up: Tensor<2>,
    down: Tensor<2>,
    device: Device,
}

impl PlainFeedForward {
    pub(super) fn load(
        gguf: &Gguf,
        norm: NormParts,
        [gate, up, down]: [&TensorInfo; 3],
        device: &Device,
    ) -> Result<Self, BlockError> {
        Ok(Self {
            norm: PlainNorm::new(&norm, device),
            gate_up: weights(gguf, &[gate, up], device)?,
            down: weight(gguf, down, device)?,
            device: device.clone(),
        })
    }

    pub(super) fn forward(&self, x: Tensor<2>, rounded: bool) -> Tensor<2> {
        let gated = swiglu(linear(self.norm.forward(x.clone()), &self.gate_up));
        let sum = x + linear(gated, &self.down);
        if rounded { round(sum, &self.device) } else { sum }
    }
}

/// The final norm and the projection to logits.
#[derive(Debug)]
pub struct PlainHead {
    norm: PlainNorm,
    output: Tensor<2>,
}

impl PlainHead {
    pub(super) fn load(
        gguf: &Gguf,
        norm: NormParts,
        output: &TensorInfo,
        device: &Device,
    ) -> Result<Self, BlockError> {
        Ok(Self { norm: PlainNorm::new(&norm, device), output: weight(gguf, output, device)? })
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(self.norm.forward(x), &self.output)
    }
}

/// Keys and values of one layer, `[n_pages * PAGE_TOKENS, n_kv_heads, head_dim]` each.
#[derive(Debug)]
struct PlainPages {
    keys: Tensor<3>,
    values: Tensor<3>,
    kind: KvType,
    device: Device,
}

impl PlainPages {
    fn new(kind: KvType, shape: KvShape, device: &Device) -> Self {
        let slots = (shape.n_pages * PAGE_TOKENS) as usize;
        let empty = Tensor::zeros([slots, shape.n_kv_heads, shape.head_dim], device);
        Self { keys: empty.clone(), values: empty, kind, device: device.clone() }
    }

    /// Rotates, appends and attends, sequence by sequence.
    fn attention(&mut self, shape: &AttentionShape, plan: &BatchPlan, qkv: Tensor<2>) -> Tensor<2> {
        let (n_heads, n_kv, dim) = (shape.n_heads, shape.n_kv_heads, shape.head_dim);
        let rows = plan.n_rows;
        let part = |start: usize, heads: usize| {
            qkv.clone().narrow(1, start * dim, heads * dim).reshape([rows, heads, dim])
        };
        let queries = self.rotate(part(0, n_heads), plan);
        let mut keys = self.rotate(part(n_heads, n_kv), plan);
        let mut values = part(n_heads + n_kv, n_kv);
        if self.kind == KvType::F16 {
            keys = round(keys, &self.device);
            values = round(values, &self.device);
        }
        let mut results = Vec::with_capacity(plan.sequences.len());
        for sequence in &plan.sequences {
            let rows = sequence.first_row..sequence.first_row + sequence.n_rows;
            self.append(sequence, (keys.clone(), values.clone()));
            let queries = queries.clone().slice([rows]);
            results.push(self.attend(shape, sequence, queries));
        }
        Tensor::cat(results, 0)
    }

    /// Rotates the pairs (2i, 2i + 1) of heads, `[rows, heads, head_dim]`.
    fn rotate(&self, x: Tensor<3>, plan: &BatchPlan) -> Tensor<3> {
        let [rows, heads, dim] = x.dims();
        let pairs = plan.rotation.len() / rows / 2;
        let table = TensorData::new(plan.rotation.clone(), [rows, 1, 2, pairs]);
        let table = Tensor::<4>::from_data(table, &self.device);
        let angle = |i: usize| table.clone().narrow(2, i, 1).reshape([rows, 1, pairs, 1]);
        let (cosine, sine) = (angle(0), angle(1));
        let turned = x.clone().narrow(2, 0, 2 * pairs).reshape([rows, heads, pairs, 2]);
        let even = turned.clone().narrow(3, 0, 1);
        let odd = turned.narrow(3, 1, 1);
        let first = even.clone() * cosine.clone() - odd.clone() * sine.clone();
        let second = even * sine + odd * cosine;
        let turned = Tensor::cat(vec![first, second], 3).reshape([rows, heads, 2 * pairs]);
        if 2 * pairs == dim {
            return turned;
        }
        Tensor::cat(vec![turned, x.narrow(2, 2 * pairs, dim - 2 * pairs)], 2)
    }

    fn append(&mut self, sequence: &SequencePlan, (keys, values): (Tensor<3>, Tensor<3>)) {
        let tokens = PAGE_TOKENS as usize;
        let mut row = 0;
        while row < sequence.n_rows {
            let position = sequence.first_position as usize + row;
            let n = (tokens - position % tokens).min(sequence.n_rows - row);
            let slot = sequence.pages[position / tokens] as usize * tokens + position % tokens;
            let from = sequence.first_row + row;
            let (to, from) = (slot..slot + n, from..from + n);
            let part = keys.clone().slice([from.clone()]);
            self.keys = self.keys.clone().slice_assign([to.clone()], part);
            let part = values.clone().slice([from]);
            self.values = self.values.clone().slice_assign([to], part);
            row += n;
        }
    }

    fn attend(
        &self,
        shape: &AttentionShape,
        sequence: &SequencePlan,
        queries: Tensor<3>,
    ) -> Tensor<2> {
        let (n_kv, dim) = (shape.n_kv_heads, shape.head_dim);
        let group = shape.n_heads / n_kv;
        let (rows, first) = (sequence.n_rows, sequence.first_position as usize);
        let length = first + rows;
        let tokens = PAGE_TOKENS as usize;
        let slots: Vec<i32> = (0..length)
            .map(|p| (sequence.pages[p / tokens] as usize * tokens + p % tokens) as i32)
            .collect();
        let slots = Tensor::<1, Int>::from_data(TensorData::new(slots, [length]), &self.device);
        let gathered = |from: &Tensor<3>| from.clone().select(0, slots.clone()).swap_dims(0, 1);
        let queries = queries.reshape([rows, n_kv, group, dim]).swap_dims(0, 1).reshape([
            n_kv,
            rows * group,
            dim,
        ]);
        let scores = queries.matmul(gathered(&self.keys).swap_dims(1, 2)) * shape.scale;
        let mask: Vec<f32> = (0..rows * group)
            .flat_map(|i| {
                let last = first + i / group;
                (0..length).map(move |p| if p <= last { 0.0 } else { -1e30 })
            })
            .collect();
        let mask = TensorData::new(mask, [1, rows * group, length]);
        let scores = scores + Tensor::<3>::from_data(mask, &self.device);
        activation::softmax(scores, 2)
            .matmul(gathered(&self.values))
            .reshape([n_kv, rows, group, dim])
            .swap_dims(0, 1)
            .reshape([rows, shape.n_heads * dim])
    }
}
