//! The feed-forward blocks of a decoder, dense.
//!
//! Called by the Flex operations of `backend` and, for its experts, by `mixture`.
//! Shapes: the residual stream `x` is `[rows, hidden]` and changed in place.
//! Source: gated linear units (arXiv 2002.05202).

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations, for_rows},
    elementwise::{self, Activation},
    lanes::LANES,
    linear::{self, Weight},
    network::{CpuContext, CpuOutput, Workspace, kinds, room},
    norm::Norm,
    schedule::Store,
    shared::SharedMut,
};

/// Groups whose gate and up values are computed before they are brought together.
const GATE_GROUPS: usize = 16;

/// A projection with its bias, if it has one.
#[derive(Debug)]
pub struct CpuProjection {
    /// The weight.
    pub weight: Weight,
    /// Added to its products.
    pub bias: Option<Vec<f32>>,
}

/// `activation(gate(x)) * up(x)`, or `activation(up(x))` without a gate.
#[derive(Debug)]
pub struct CpuUnit {
    /// The projection that goes through the activation.
    pub gate: Option<CpuProjection>,
    /// The other one.
    pub up: CpuProjection,
    /// The function.
    pub activation: Activation,
    /// What the projections want their input to be.
    pub kinds: Vec<ActivationKind>,
}

thread_local! {
    static GATE: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn add_bias(bias: Option<&Vec<f32>>, columns: std::ops::Range<usize>, row: &mut [f32]) {
    if let Some(bias) = bias {
        row.iter_mut().zip(&bias[columns]).for_each(|(x, bias)| *x += bias);
    }
}

impl CpuUnit {
    /// Of these projections.
    pub fn new(gate: Option<CpuProjection>, up: CpuProjection, activation: Activation) -> Self {
        let kinds = kinds(gate.iter().chain([&up]).map(|part| &part.weight));
        Self { gate, up, activation, kinds }
    }

    /// Values per output row.
    pub(super) fn width(&self) -> usize {
        self.up.weight.n()
    }

    /// The unit's values of all rows, `[rows, width]`.
    pub(super) fn run(&self, input: &Activations, out: &mut [f32], (level, pool): (Level, &Pool)) {
        let (n_rows, width) = (input.n_rows(), self.width());
        let Some(gate) = &self.gate else {
            let up = std::slice::from_ref(&self.up.weight);
            linear::multiply(up, input, (out, width), Store::Set, pool);
            let out = SharedMut::new(out);
            return for_rows(n_rows, pool, &|row| {
                // SAFETY: every row is one call's.
                let row = unsafe { out.part(row * width..(row + 1) * width) };
                add_bias(self.up.bias.as_ref(), 0..width, row);
                elementwise::activate(level, self.activation, row);
            });
        };
        let out = SharedMut::new(out);
        linear::split(gate.weight.n_groups(), input, pool, &|range| {
            for first in range.clone().step_by(GATE_GROUPS) {
                let groups = first..(first + GATE_GROUPS).min(range.end);
                let columns = first * LANES..(groups.end * LANES).min(width);
                let stride = 2 * columns.len();
                GATE.with_borrow_mut(|both| {
                    let both = room(both, n_rows * stride);
                    let gates = both.as_mut_ptr();
                    // SAFETY: the buffer has 2 * columns values in every row.
                    unsafe {
                        let ups = (gates.add(columns.len()), stride);
                        let weight = &gate.weight;
                        weight.multiply_groups(groups.clone(), input, (gates, stride), Store::Set);
                        self.up.weight.multiply_groups(groups.clone(), input, ups, Store::Set);
                    }
                    for (row, both) in both.chunks_exact_mut(stride).enumerate() {
                        let at = row * width;
                        // SAFETY: different ranges write different columns.
                        let out = unsafe { out.part(at + columns.start..at + columns.end) };
                        let (gates, ups) = both.split_at_mut(columns.len());
                        add_bias(gate.bias.as_ref(), columns.clone(), gates);
                        add_bias(self.up.bias.as_ref(), columns.clone(), ups);
                        elementwise::gated(level, self.activation, gates, ups);
                        out.copy_from_slice(gates);
                    }
                });
            }
        });
    }
}

/// Pre-norm feed-forward: `x + output(unit(norm(x)))`.
#[derive(Debug)]
pub struct CpuFeedForward {
    /// The norm.
    pub norm: Norm,
    /// The projections up.
    pub unit: CpuUnit,
    /// Projection back.
    pub output: CpuOutput,
}

impl CpuFeedForward {
    /// Changes the rows `x`, and rounds them to f16 when `round` says so.
    pub fn run(&self, x: &mut [f32], round: bool, context: &CpuContext) {
        let how = (context.level, &context.pool);
        let mut workspace = context.workspace();
        let Workspace { input, wide, narrow, .. } = &mut *workspace;
        context.normalise(x, &self.norm, &self.unit.kinds, input);
        let width = self.unit.width();
        let values = room(wide, input.n_rows() * width);
        self.unit.run(input, values, how);
        input.fill(&self.output.linear.kinds, (values, width), how);
        self.output.add(input, x, (round, narrow), how);
    }
}
