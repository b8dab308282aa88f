//! [`SwarmOps`] on burn's CPU back end: tensors in, canonical kernels, tensors out.
//!
//! Called through burn's dispatch by the functions of `backend`. Inputs that nobody else holds are
//! changed in place; outputs are new tensors.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::TensorData;
use burn_flex::{Flex, FlexTensor};

use super::{CpuLinear, CpuNorm, EmbeddingTable, SwarmOps};
use crate::{
    kernel::cpu::{
        Level, Pool,
        activation::Activations,
        attention::{self, AttentionShape, BatchPlan},
        elementwise, half_float, norm,
    },
    kv::KvPages,
};

/// From this many rows on, row-wise operations use all threads.
const ROWS_FOR_THREADS: usize = 8;

/// How the CPU kernels run.
#[derive(Debug)]
pub struct CpuContext {
    /// Instruction set.
    pub level: Level,
    /// Threads.
    pub pool: Pool,
}

/// Arguments of the attention operation.
#[derive(Clone, Debug)]
pub struct AttentionCall {
    /// Sizes of the layer.
    pub shape: AttentionShape,
    /// The batch.
    pub plan: Arc<BatchPlan>,
    /// The layer's pages.
    pub pages: Arc<Mutex<KvPages>>,
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
    if x.is_contiguous() && x.layout().start_offset() == 0 { x } else { x.to_contiguous() }
}

fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("activations are contiguous f32 tensors")
}

fn tensor(values: Vec<f32>, width: usize) -> FlexTensor {
    let n_rows = values.len() / width;
    FlexTensor::from_data(TensorData::new(values, [n_rows, width]))
}

impl SwarmOps for Flex {
    fn q_linear(x: FlexTensor, linear: Arc<CpuLinear>) -> FlexTensor {
        let x = contiguous(x);
        let x = values(&x);
        let CpuContext { level, pool } = &*linear.context;
        let k = linear.weights[0].k();
        let stride: usize = linear.weights.iter().map(|w| w.n()).sum();
        let mut out = vec![0f32; x.len() / k * stride];
        let mut prepared: Vec<(_, Activations)> = Vec::with_capacity(1);
        let mut column = 0;
        for weight in &linear.weights {
            let kind = weight.activation();
            if !prepared.iter().any(|(other, _)| *other == kind) {
                prepared.push((kind, Activations::new(kind, x, k, *level, pool)));
            }
            let rows = prepared.iter().find(|(other, _)| *other == kind);
            let (_, rows) = rows.expect("it was prepared just now");
            weight.multiply(rows, &mut out, (stride, column), pool);
            column += weight.n();
        }
        tensor(out, stride)
    }

    fn rms_norm(x: FlexTensor, norm: Arc<CpuNorm>) -> FlexTensor {
        let x = contiguous(x);
        let x = values(&x);
        let mut out = vec![0f32; x.len()];
        norm::rms_norm(norm.context.level, x, &norm.gain, norm.epsilon, &mut out);
        tensor(out, norm.gain.len())
    }

    fn attention(qkv: FlexTensor, call: AttentionCall) -> FlexTensor {
        let mut qkv = contiguous(qkv);
        let qkv = qkv.storage_mut::<f32>();
        let mut out = vec![0f32; call.plan.n_rows * call.shape.out_width()];
        let mut pages = call.pages.lock().unwrap_or_else(PoisonError::into_inner);
        attention::attention(
            (&call.shape, &call.plan),
            qkv,
            &mut pages,
            &mut out,
            (call.context.level, &call.context.pool),
        );
        tensor(out, call.shape.out_width())
    }

    fn swiglu(gate_up: FlexTensor, context: Arc<CpuContext>) -> FlexTensor {
        let gate_up = contiguous(gate_up);
        let width = gate_up.layout().shape()[1] / 2;
        let gate_up = values(&gate_up);
        let mut out = vec![0f32; gate_up.len() / 2];
        let rows: Vec<_> = (gate_up.chunks_exact(2 * width))
            .zip(out.chunks_exact_mut(width))
            .map(Mutex::new)
            .collect();
        let run = |row: usize| {
            let mut row = rows[row].lock().unwrap_or_else(PoisonError::into_inner);
            let (gate_up, out) = &mut *row;
            elementwise::swiglu(context.level, gate_up, width, out);
        };
        if rows.len() < ROWS_FOR_THREADS {
            (0..rows.len()).for_each(run);
        } else {
            context.pool.run(rows.len(), &run);
        }
        drop(rows);
        tensor(out, width)
    }

    fn residual_add(
        a: FlexTensor,
        b: FlexTensor,
        round: bool,
        context: Arc<CpuContext>,
    ) -> FlexTensor {
        let (a, b) = (contiguous(a), contiguous(b));
        let width = a.layout().shape()[1];
        let mut out = vec![0f32; values(&a).len()];
        elementwise::add(context.level, values(&a), values(&b), &mut out);
        if round {
            half_float::round(&mut out);
        }
        tensor(out, width)
    }

    fn embed_rows(_anchor: FlexTensor, rows: EmbeddingRows) -> FlexTensor {
        tensor(rows.values(), rows.table.width())
    }
}
