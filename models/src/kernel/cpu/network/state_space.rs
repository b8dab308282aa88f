//! The state-space block (Mamba 1 and 2) as one operation.
//!
//! Called by the Flex operations of `backend`. `x + output(scan(convolve(input(norm(x)))))`; what
//! the scan reads besides its channels, the two generations compute differently:
//!
//! ```text
//! Mamba 1: input -> x, z     B, C and the inputs of the time steps are a projection of convolved x
//! Mamba 2: input -> z, (x, B, C), steps      x, B and C are convolved; a norm follows the gate
//! ```
//!
//! Shapes: the stream is `[rows, hidden]`. Canonical: each part is as its own file says; the order
//! of parts is the order of the code.

use std::sync::{Mutex, PoisonError};

use super::{CpuContext, CpuLinear, ROW, Workspace, room};
use crate::{
    kernel::cpu::{
        activation::{Activations, for_rows},
        attention::BatchPlan,
        linear,
        norm::{Norm, rms_norm},
        schedule::Store,
        shared::SharedMut,
        state_space::{Columns, Convolution, Run, Scan, ScanInput, time_steps},
    },
    kv::{StatePages, continues, stretches},
};

/// Where B, C and the time steps come from.
#[derive(Debug)]
pub enum CpuSelection {
    /// See the top of the file.
    Mamba1 {
        /// From the channels to the inputs of the time steps, B and C.
        project: CpuLinear,
        /// From those inputs to the time steps of the channels.
        steps: CpuLinear,
        /// For each of the three parts, as long as the longest of them.
        norm: Option<Norm>,
    },
    /// See the top of the file.
    Mamba2 {
        /// After the gate, group by group.
        norm: Norm,
    },
}

/// The block.
#[derive(Debug)]
pub struct CpuStateSpace {
    /// The norm before it.
    pub norm: Norm,
    /// The first projection.
    pub input: CpuLinear,
    /// The convolution.
    pub convolution: Convolution,
    /// Where B, C and the time steps come from.
    pub selection: CpuSelection,
    /// What is added to the time steps, per head.
    pub step_bias: Vec<f32>,
    /// The scan.
    pub scan: Scan,
    /// Projection back.
    pub output: CpuLinear,
    /// States of earlier positions.
    pub states: Mutex<StatePages>,
}

/// Memory that is kept between calls.
#[derive(Debug, Default)]
pub struct StateSpaceScratch {
    convolved: Vec<f32>,
    selected: Vec<f32>,
    steps: Vec<f32>,
}

impl CpuStateSpace {
    /// Whether a sequence's rows from `first_position` on can be computed.
    pub fn continues(&self, pages: &[u32], first_position: u32) -> Result<(), String> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        continues(pages, first_position, |page| states.held(page))
    }

    /// Changes the rows `x`, and rounds them to f16 when `round` says so.
    pub fn run(&self, x: &mut [f32], plan: &BatchPlan, round: bool, context: &CpuContext) {
        let CpuContext { level, pool, .. } = context;
        let how = (*level, pool);
        let mut workspace = context.workspace();
        let Workspace { input, wide, narrow, state_space, .. } = &mut *workspace;
        let StateSpaceScratch { convolved, selected, steps } = state_space;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        // Until the end the slots are neither the old states nor the new ones.
        Self::hold(plan, &mut states, |_| 0);
        let run = Run { plan, states: &states, level: *level, pool };

        let (n_rows, shape) = (plan.n_rows, *self.scan.shape());
        context.normalise(x, &self.norm, &self.input.kinds, input);
        let wide = room(wide, n_rows * self.input.width);
        self.input.multiply(input, wide, pool);
        let wide = |first| Columns { values: &*wide, stride: self.input.width, first };

        let n_channels = self.convolution.n_channels();
        let convolved = room(convolved, n_rows * n_channels);
        let is_mamba2 = matches!(self.selection, CpuSelection::Mamba2 { .. });
        let channels = wide(if is_mamba2 { shape.inner } else { 0 });
        self.convolution.run(&run, channels, convolved);

        let steps = room(steps, n_rows * shape.n_heads);
        let (into_state, out_of_state) = match &self.selection {
            CpuSelection::Mamba1 { project, steps: to_steps, norm } => {
                input.fill(&project.kinds, (convolved, n_channels), how);
                let selected = room(selected, n_rows * project.width);
                project.multiply(input, selected, pool);
                select(selected, to_steps, (shape.state, norm.as_ref()), input, context);
                to_steps.multiply(input, steps, pool);
                let part = |first| Columns { values: &*selected, stride: project.width, first };
                (part(to_steps.k()), part(to_steps.k() + shape.state))
            }
            CpuSelection::Mamba2 { .. } => {
                let from = wide(shape.inner + n_channels);
                for (row, steps) in steps.chunks_exact_mut(shape.n_heads).enumerate() {
                    steps.copy_from_slice(from.at(row, 0, shape.n_heads));
                }
                let part = |first| Columns { values: &*convolved, stride: n_channels, first };
                (part(shape.inner), part(shape.inner + shape.n_groups * shape.state))
            }
        };
        time_steps(steps, &self.step_bias, how);
        let gated = room(narrow, n_rows * shape.inner);
        let scanned = ScanInput {
            x: Columns { values: convolved, stride: n_channels, first: 0 },
            into_state,
            out_of_state,
            gate: wide(if is_mamba2 { 0 } else { shape.inner }),
            steps,
        };
        let start = self.convolution.state_length();
        self.scan.run(&run, start, &scanned, gated);
        self.back(gated, input, context);
        let store = if round { Store::AddRounded } else { Store::Add };
        linear::multiply(&self.output.weights, input, (x, self.output.width), store, pool);
        Self::hold(plan, &mut states, |end| end);
    }

    /// Says which positions the slots hold behind each stretch, given its end.
    fn hold(plan: &BatchPlan, states: &mut StatePages, held: impl Fn(u32) -> u32) {
        for sequence in &plan.sequences {
            for stretch in stretches(&sequence.pages, sequence.first_position, sequence.n_rows) {
                states.hold(stretch.page, held(stretch.end));
            }
        }
    }

    /// Makes the scan's results the inputs of the projection back.
    fn back(&self, gated: &[f32], input: &mut Activations, context: &CpuContext) {
        let (width, kinds) = (self.output.k(), &self.output.kinds);
        let CpuSelection::Mamba2 { norm: Norm { gain, epsilon, .. } } = &self.selection else {
            input.fill(kinds, (gated, width), (context.level, &context.pool));
            return;
        };
        let group_width = self.scan.shape().group_width();
        let n_rows = gated.len() / width;
        input.prepare(kinds, n_rows, width);
        let writer = input.writer(kinds, context.level);
        for_rows(n_rows, &context.pool, &|row| {
            ROW.with_borrow_mut(|normed| {
                let normed = room(normed, width);
                let groups = gated[row * width..(row + 1) * width].chunks_exact(group_width);
                let gains = gain.chunks_exact(group_width);
                for ((x, gain), y) in groups.zip(gains).zip(normed.chunks_exact_mut(group_width)) {
                    rms_norm(context.level, x, gain, *epsilon, y);
                }
                // SAFETY: every row is written by one call.
                unsafe { writer.write(row, normed) };
            });
        });
    }
}

/// Makes the leading values of each row the inputs of the time steps; they and the two parts of
/// `state` values behind them are normalised, if there is a norm.
fn select(
    selected: &mut [f32],
    to_steps: &CpuLinear,
    (state, norm): (usize, Option<&Norm>),
    input: &mut Activations,
    context: &CpuContext,
) {
    let rank = to_steps.k();
    let width = rank + 2 * state;
    let n_rows = selected.len() / width;
    input.prepare(&to_steps.kinds, n_rows, rank);
    let writer = input.writer(&to_steps.kinds, context.level);
    let selected = SharedMut::new(selected);
    for_rows(n_rows, &context.pool, &|row| {
        // SAFETY: every row is one call's.
        let row_values = unsafe { selected.part(row * width..(row + 1) * width) };
        if let Some(Norm { gain, epsilon, .. }) = norm {
            ROW.with_borrow_mut(|normed| {
                let normed = room(normed, width);
                for part in [0..rank, rank..rank + state, rank + state..width] {
                    let (x, gain) = (&row_values[part.clone()], &gain[..part.len()]);
                    rms_norm(context.level, x, gain, *epsilon, &mut normed[part]);
                }
                row_values.copy_from_slice(normed);
            });
        }
        // SAFETY: as above.
        unsafe { writer.write(row, &row_values[..rank]) };
    });
}
