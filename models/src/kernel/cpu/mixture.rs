//! A mixture of experts: every row goes through a few of many feed-forward units.
//!
//! Called by the Flex operations of `backend`. Each expert runs once per batch, on the rows that
//! chose it, from its weights as they are stored. Canonical: a row's experts are added in ascending
//! order, `sum = fma(weight, expert(x), sum)` from zero; then the shared expert, then the residual.
//!
//! Shapes: the residual stream `x` is `[rows, hidden]` and changed in place.
//! Source: arXiv 2401.04088, shared experts arXiv 2401.06066.

use super::{
    Level, Pool,
    activation::Activations,
    feed_forward::CpuUnit,
    level::schedules,
    network::{CpuContext, CpuLinear, Workspace, add_to_stream, room},
    norm::Norm,
    numeric::sigmoid,
    routing::Routing,
};

/// One expert: a unit and the projection back.
#[derive(Debug)]
pub struct CpuExpert {
    /// The projections up.
    pub unit: CpuUnit,
    /// The projection back.
    pub down: CpuLinear,
}

impl CpuExpert {
    /// The expert's values of some rows, `[rows, hidden]`.
    fn run(
        &self,
        (x, hidden): (&[f32], usize),
        (input, wide): (&mut Activations, &mut Vec<f32>),
        out: &mut [f32],
        how: (Level, &Pool),
    ) {
        input.fill(&self.unit.kinds, (x, hidden), how);
        let width = self.unit.width();
        let values = room(wide, input.n_rows() * width);
        self.unit.run(input, values, how);
        input.fill(&self.down.kinds, (values, width), how);
        self.down.multiply(input, out, how.1);
    }
}

/// The expert that every row goes to.
#[derive(Debug)]
pub struct CpuSharedExpert {
    /// The expert.
    pub expert: CpuExpert,
    /// One output per row: the expert's values are multiplied with its sigmoid.
    pub gate: Option<CpuLinear>,
}

/// Pre-norm mixture: `x + sum(weight * expert(norm(x)))`.
#[derive(Debug)]
pub struct CpuMixture {
    /// The norm.
    pub norm: Norm,
    /// One logit per expert.
    pub router: CpuLinear,
    /// Logits to experts.
    pub routing: Routing,
    /// All experts.
    pub experts: Vec<CpuExpert>,
    /// The one for all rows.
    pub shared: Option<CpuSharedExpert>,
    /// Applied before the addition to the stream.
    pub post_norm: Option<Norm>,
}

impl CpuMixture {
    /// Changes the rows `x`, and rounds them to f16 when `round` says so.
    pub fn run(&self, x: &mut [f32], round: bool, context: &CpuContext) {
        let how = (context.level, &context.pool);
        let hidden = self.norm.gain.len();
        let n_rows = x.len() / hidden;
        let mut workspace = context.workspace();
        let Workspace { input, inner, wide, narrow, rows, sum, .. } = &mut *workspace;
        let sum = room(sum, x.len());
        sum.fill(0.0);
        // The normalised rows, then the rows of one expert.
        let rows = room(rows, 2 * x.len());
        let (normed, gathered) = rows.split_at_mut(x.len());
        self.norm.apply(context.level, x, normed);
        input.fill(&self.router.kinds, (normed, hidden), how);
        let logits = room(narrow, n_rows * self.router.width);
        self.router.multiply(input, logits, how.1);
        let choices: Vec<_> =
            logits.chunks_exact(self.router.width).map(|row| self.routing.choose(row)).collect();
        for (index, expert) in self.experts.iter().enumerate() {
            let mut chosen = Vec::new();
            for (row, choice) in choices.iter().enumerate() {
                chosen.extend(choice.iter().filter(|(e, _)| *e == index).map(|(_, w)| (row, *w)));
            }
            if chosen.is_empty() {
                continue;
            }
            let gathered = &mut gathered[..chosen.len() * hidden];
            for ((row, _), to) in chosen.iter().zip(gathered.chunks_exact_mut(hidden)) {
                to.copy_from_slice(&normed[row * hidden..(row + 1) * hidden]);
            }
            let out = room(narrow, gathered.len());
            expert.run((gathered, hidden), (inner, wide), out, how);
            for ((row, weight), out) in chosen.iter().zip(out.chunks_exact(hidden)) {
                let sum = &mut sum[row * hidden..(row + 1) * hidden];
                add_weighted(context.level, *weight, out, sum);
            }
        }
        if let Some(shared) = &self.shared {
            let out = room(narrow, n_rows * hidden);
            shared.expert.run((normed, hidden), (inner, wide), out, how);
            let mut gates = vec![0f32; n_rows];
            if let Some(gate) = &shared.gate {
                inner.fill(&gate.kinds, (normed, hidden), how);
                gate.multiply(inner, &mut gates, how.1);
            }
            for (row, out) in out.chunks_exact(hidden).enumerate() {
                let weight = if shared.gate.is_some() { sigmoid(gates[row]) } else { 1.0 };
                let sum = &mut sum[row * hidden..(row + 1) * hidden];
                add_weighted(context.level, weight, out, sum);
            }
        }
        for (x, sum) in x.chunks_exact_mut(hidden).zip(sum.chunks_exact_mut(hidden)) {
            add_to_stream(sum, self.post_norm.as_ref(), x, round, context.level);
        }
    }
}

schedules! {
    /// `sum = fma(weight, value, sum)`.
    fn add_weighted(weight: f32, values: &[f32], sum: &mut [f32]) {
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum = weight.mul_add(*value, *sum);
        }
    }
}
