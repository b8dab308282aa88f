//! The state-space block (Mamba 1 and 2) composed of burn's own tensor operations.
//!
//! Called by `backend::state_space` when the engine is not the canonical CPU. One position after
//! the other; the same function as `kernel::cpu::network`, within a tolerance.
//! Shapes: the stream is `[rows, hidden]`; a page's state is the last inputs of the convolution,
//! `[kernel - 1, channels]`, and the scan's `[inner, state]`. Absent on purpose: speed.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{PlainNorm, linear, round, weight};
use crate::{
    backend::{
        BlockError,
        state_space::{SelectionParts, StateSpaceParts},
    },
    gguf::Gguf,
    kernel::cpu::{
        attention::{BatchPlan, SequencePlan},
        state_space::ScanShape,
    },
    kv::{Stretch, continues, stretches},
};

#[derive(Debug)]
enum Selection {
    Mamba1 { project: Tensor<2>, steps: Tensor<2>, epsilon: Option<f32> },
    Mamba2 { norm: PlainNorm },
}

/// The state after some positions.
#[derive(Clone, Debug)]
struct State {
    positions: u32,
    inputs: Tensor<2>,
    entries: Tensor<2>,
}

/// The block.
#[derive(Debug)]
pub struct PlainStateSpace {
    norm: PlainNorm,
    input: Tensor<2>,
    /// `[kernel, channels]`.
    convolution: Tensor<2>,
    convolution_bias: Tensor<2>,
    selection: Selection,
    step_bias: Tensor<2>,
    shape: ScanShape,
    /// `[inner, state]` or `[inner, 1]`.
    decay: Tensor<2>,
    /// `[1, inner]`.
    skip: Tensor<2>,
    output: Tensor<2>,
    states: HashMap<u32, State>,
    device: Device,
}

/// What the scan reads of some rows; steps and channels are `[rows, inner]`, the parts of the
/// state `[rows, groups * state]`.
struct ScanRows {
    x: Tensor<2>,
    steps: Tensor<2>,
    into_state: Tensor<2>,
    out_of_state: Tensor<2>,
}

fn softplus(x: Tensor<2>) -> Tensor<2> {
    let rest = (x.clone().abs() * -1.0).exp().log1p();
    activation::relu(x) + rest
}

fn normalised(x: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let mean = (x.clone() * x.clone()).mean_dim(1);
    x / (mean + epsilon).sqrt()
}

/// Repeats each column `n` times.
fn repeat_columns(x: Tensor<2>, n: usize) -> Tensor<2> {
    let [rows, columns] = x.dims();
    x.reshape([rows, columns, 1]).repeat_dim(2, n).reshape([rows, columns * n])
}

impl PlainStateSpace {
    pub(in crate::backend) fn load(
        gguf: &Gguf,
        parts: StateSpaceParts<'_>,
        device: &Device,
    ) -> Result<Self, BlockError> {
        let matrix = |values: Vec<f32>, rows: usize| {
            let columns = values.len() / rows;
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device)
        };
        let shape = parts.shape;
        let head_dim = shape.head_dim();
        let selection = match &parts.selection {
            SelectionParts::Mamba1 { project, steps, epsilon } => Selection::Mamba1 {
                project: weight(gguf, project, device)?,
                steps: weight(gguf, steps, device)?,
                epsilon: *epsilon,
            },
            SelectionParts::Mamba2 { norm } => {
                Selection::Mamba2 { norm: PlainNorm::new(norm, device) }
            }
        };
        let decay = matrix(parts.decay, shape.n_heads);
        let n_channels = parts.convolution_bias.len();
        // The device's own tensors: the arena only counts them.
        let kernel = parts.convolution.len() / n_channels;
        let values = (kernel - 1) * n_channels + shape.inner * shape.state;
        parts.cache.arena.reserve(values * size_of::<f32>());
        Ok(Self {
            norm: PlainNorm::new(&parts.norm, device),
            input: weight(gguf, parts.input, device)?,
            convolution: matrix(parts.convolution, n_channels).transpose(),
            convolution_bias: matrix(parts.convolution_bias, 1),
            selection,
            step_bias: matrix(parts.step_bias, 1),
            shape,
            decay: repeat_columns(decay.transpose(), head_dim).transpose(),
            skip: repeat_columns(matrix(parts.skip, 1), head_dim),
            output: weight(gguf, parts.output, device)?,
            states: HashMap::new(),
            device: device.clone(),
        })
    }

    pub(in crate::backend) fn continues(
        &self,
        pages: &[u32],
        first_position: u32,
    ) -> Result<(), String> {
        let held = |page| self.states.get(&page).map_or(0, |state| state.positions);
        continues(pages, first_position, held)
    }

    pub(in crate::backend) fn copy_page(&mut self, from: u32, to: u32) {
        match self.states.get(&from).cloned() {
            Some(state) => self.states.insert(to, state),
            None => self.states.remove(&to),
        };
    }

    pub(in crate::backend) fn forward(
        &mut self,
        x: Tensor<2>,
        plan: &BatchPlan,
        rounded: bool,
    ) -> Tensor<2> {
        let projected = linear(self.norm.forward(x.clone()), &self.input);
        let mut parts = Vec::new();
        for SequencePlan { pages, first_position, first_row, n_rows } in &plan.sequences {
            for stretch in stretches(pages, *first_position, *n_rows) {
                let rows = first_row + stretch.rows.start..first_row + stretch.rows.end;
                parts.push(self.stretch(projected.clone().slice([rows]), &stretch));
            }
        }
        let sum = x + linear(Tensor::cat(parts, 0), &self.output);
        if rounded { round(sum, &self.device) } else { sum }
    }

    /// The inputs of the projection back for the rows of one stretch.
    fn stretch(&mut self, projected: Tensor<2>, stretch: &Stretch) -> Tensor<2> {
        let inner = self.shape.inner;
        let [kernel, n_channels] = self.convolution.dims();
        let State { inputs, entries, .. } = stretch
            .from
            .and_then(|page| self.states.get(&page).cloned())
            .unwrap_or_else(|| self.empty_state());
        let columns = |first, n| projected.clone().narrow(1, first, n);
        let (channels, gate) = match &self.selection {
            Selection::Mamba1 { .. } => (columns(0, inner), columns(inner, inner)),
            Selection::Mamba2 { .. } => (columns(inner, n_channels), columns(0, inner)),
        };
        let seen = Tensor::cat(vec![inputs, channels], 0);
        let inputs = seen.clone().narrow(0, stretch.rows.len(), kernel - 1);
        let rows = self.select(self.convolve(seen), &projected);
        let (scanned, entries) = self.scan(&rows, entries);
        self.states.insert(stretch.page, State { positions: stretch.end, inputs, entries });
        let gated = scanned * activation::silu(gate);
        match &self.selection {
            Selection::Mamba1 { .. } => gated,
            Selection::Mamba2 { norm } => self.group_norm(gated, norm),
        }
    }

    fn empty_state(&self) -> State {
        let [kernel, n_channels] = self.convolution.dims();
        State {
            positions: 0,
            inputs: Tensor::zeros([kernel - 1, n_channels], &self.device),
            entries: Tensor::zeros([self.shape.inner, self.shape.state], &self.device),
        }
    }

    /// Of the inputs `[kernel - 1 + rows, channels]`.
    fn convolve(&self, seen: Tensor<2>) -> Tensor<2> {
        let kernel = self.convolution.dims()[0];
        let n_rows = seen.dims()[0] + 1 - kernel;
        let mut sum = self.convolution_bias.clone();
        for tap in 0..kernel {
            let weight = self.convolution.clone().narrow(0, tap, 1);
            sum = sum + seen.clone().narrow(0, tap, n_rows) * weight;
        }
        activation::silu(sum)
    }

    fn select(&self, convolved: Tensor<2>, projected: &Tensor<2>) -> ScanRows {
        let ScanShape { inner, n_heads, n_groups, state } = self.shape;
        let columns = |from: &Tensor<2>, first, n| from.clone().narrow(1, first, n);
        let (x, steps, into_state, out_of_state) = match &self.selection {
            Selection::Mamba1 { project, steps, epsilon } => {
                let selected = linear(convolved.clone(), project);
                let rank = steps.dims()[1];
                let part = |first, n| {
                    let part = columns(&selected, first, n);
                    epsilon.map_or(part.clone(), |epsilon| normalised(part, epsilon))
                };
                let steps = linear(part(0, rank), steps);
                (convolved, steps, part(rank, state), part(rank + state, state))
            }
            Selection::Mamba2 { .. } => {
                let n_channels = convolved.dims()[1];
                let steps = columns(projected, inner + n_channels, n_heads);
                let part = |first, n| columns(&convolved, first, n);
                let width = n_groups * state;
                (part(0, inner), steps, part(inner, width), part(inner + width, width))
            }
        };
        let steps = softplus(steps + self.step_bias.clone());
        let steps = repeat_columns(steps, self.shape.head_dim());
        ScanRows { x, steps, into_state, out_of_state }
    }

    /// The results of all rows before the gate, and the state behind them.
    fn scan(&self, rows: &ScanRows, mut entries: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let ScanShape { inner, n_groups, state, .. } = self.shape;
        let row = |from: &Tensor<2>, row| from.clone().narrow(0, row, 1);
        // Every channel's values of its group, `[inner, state]`.
        let of_group = |from: Tensor<2>| {
            let groups = from.reshape([n_groups, 1, state]);
            groups.repeat_dim(1, inner / n_groups).reshape([inner, state])
        };
        let mut results = Vec::new();
        for i in 0..rows.x.dims()[0] {
            let (x, step) = (row(&rows.x, i), row(&rows.steps, i));
            let decay = (step.clone().transpose() * self.decay.clone()).exp();
            let input = (step * x.clone()).transpose();
            entries = entries * decay + of_group(row(&rows.into_state, i)) * input;
            let read = (entries.clone() * of_group(row(&rows.out_of_state, i))).sum_dim(1);
            results.push(read.transpose() + x * self.skip.clone());
        }
        (Tensor::cat(results, 0), entries)
    }

    fn group_norm(&self, x: Tensor<2>, norm: &PlainNorm) -> Tensor<2> {
        let [n_rows, inner] = x.dims();
        let groups = x.reshape([n_rows * self.shape.n_groups, self.shape.group_width()]);
        normalised(groups, norm.epsilon).reshape([n_rows, inner]) * norm.gain.clone()
    }
}
