//! The selective scan: each channel's state from position to position, and what is read from it.
//!
//! Called by `network::state_space`. A block's part of a slot is `[state][16]`. Mamba 1 is the case
//! of one channel per head with a decay per state entry, Mamba 2 that of wider heads with one
//! decay. Canonical order and source: see `state_space`.

use super::{Columns, LANES, Lanes, Run, Task, before, dispatch, load, store};
use crate::{
    kernel::cpu::{
        attention::SequencePlan,
        numeric::{exp_lanes, silu_lanes},
        shared::SharedMut,
    },
    kv::{StatePages, stretches},
};

/// Sizes of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanShape {
    /// Channels.
    pub inner: usize,
    /// Heads: channels of one have the same time step.
    pub n_heads: usize,
    /// Groups: heads of one have the same B and C.
    pub n_groups: usize,
    /// State entries per channel.
    pub state: usize,
}

impl ScanShape {
    /// Channels of one group.
    pub fn group_width(&self) -> usize {
        self.inner / self.n_groups
    }

    /// Channels of one head.
    pub fn head_dim(&self) -> usize {
        self.inner / self.n_heads
    }

    fn group_blocks(&self) -> usize {
        self.group_width().div_ceil(LANES)
    }

    fn n_blocks(&self) -> usize {
        self.n_groups * self.group_blocks()
    }

    /// Group, first channel and number of channels of a block.
    fn block(&self, block: usize) -> (usize, usize, usize) {
        let (group, within) = (block / self.group_blocks(), block % self.group_blocks() * LANES);
        let n = (self.group_width() - within).min(LANES);
        (group, group * self.group_width() + within, n)
    }

    /// Values of a slot that belong to the scan.
    pub fn state_length(&self) -> usize {
        self.n_blocks() * self.state * LANES
    }
}

/// The selective scan of every channel.
#[derive(Debug)]
pub struct Scan {
    shape: ScanShape,
    /// A, per block: one vector per state entry, or one for all.
    decay: Vec<[f32; LANES]>,
    /// D, per block.
    skip: Vec<[f32; LANES]>,
}

/// What a scan reads, per row.
#[derive(Clone, Copy, Debug)]
pub struct ScanInput<'a> {
    /// The channels.
    pub x: Columns<'a>,
    /// B, what goes into the state, `[groups][state]`.
    pub into_state: Columns<'a>,
    /// C, what comes out of it, `[groups][state]`.
    pub out_of_state: Columns<'a>,
    /// z, what gates the results.
    pub gate: Columns<'a>,
    /// The time steps of the heads.
    pub steps: &'a [f32],
}

impl Scan {
    /// Of A, `[heads][state]` or `[heads]`, and D, `[heads]`.
    pub fn new(shape: ScanShape, decay: &[f32], skip: &[f32]) -> Self {
        let n_entries = decay.len() / shape.n_heads;
        let mut by_block = Self {
            shape,
            decay: vec![[0f32; LANES]; shape.n_blocks() * n_entries],
            skip: vec![[0f32; LANES]; shape.n_blocks()],
        };
        for block in 0..shape.n_blocks() {
            let (_, channel, n) = shape.block(block);
            for lane in 0..n {
                let head = (channel + lane) / shape.head_dim();
                by_block.skip[block][lane] = skip[head];
                for entry in 0..n_entries {
                    by_block.decay[block * n_entries + entry][lane] =
                        decay[head * n_entries + entry];
                }
            }
        }
        by_block
    }

    /// The sizes.
    pub fn shape(&self) -> &ScanShape {
        &self.shape
    }

    /// Scans all rows into `y`, `[rows, inner]`; the scan's part of a slot begins at `start`.
    pub fn run(&self, run: &Run<'_>, start: usize, input: &ScanInput<'_>, y: &mut [f32]) {
        let (y, shape) = (SharedMut::new(y), &self.shape);
        run.for_blocks(shape.n_blocks(), shape.inner * shape.state, &|sequence, block| {
            let start = start + block * shape.state * LANES;
            let (y, states) = (&y, run.states);
            let task = ScanTask { scan: self, sequence, block, input, y, states, start };
            // SAFETY: as for the convolution.
            unsafe { dispatch(run.level, &task) };
        });
    }
}

struct ScanTask<'a> {
    scan: &'a Scan,
    sequence: &'a SequencePlan,
    block: usize,
    input: &'a ScanInput<'a>,
    y: &'a SharedMut<'a, f32>,
    states: &'a StatePages,
    start: usize,
}

impl Task for ScanTask<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self) {
        let (scan, input) = (self.scan, self.input);
        let shape = &scan.shape;
        let (group, channel, n) = shape.block(self.block);
        let n_entries = scan.decay.len() / shape.n_blocks();
        let decay = &scan.decay[self.block * n_entries..(self.block + 1) * n_entries];
        let mut heads = [0; LANES];
        for (lane, head) in heads.iter_mut().enumerate() {
            *head = (channel + lane.min(n - 1)) / shape.head_dim();
        }
        let SequencePlan { pages, first_position, first_row, n_rows } = self.sequence;
        for stretch in stretches(pages, *first_position, *n_rows) {
            // SAFETY: the caller's promise.
            unsafe {
                let state = before(self.states, &stretch, self.start, shape.state);
                for row in first_row + stretch.rows.start..first_row + stretch.rows.end {
                    let mut steps = [0f32; LANES];
                    for (step, head) in steps.iter_mut().zip(&heads) {
                        *step = input.steps[row * shape.n_heads + head];
                    }
                    let into = input.into_state.at(row, group * shape.state, shape.state);
                    let out = input.out_of_state.at(row, group * shape.state, shape.state);
                    let x = load::<L>(input.x.at(row, channel, n));
                    let sum = advance::<L>(decay, (load::<L>(&steps), x), (into, out), state);
                    let sum = L::mul_add(load::<L>(&scan.skip[self.block]), x, sum);
                    let gate = silu_lanes::<L>(load::<L>(input.gate.at(row, channel, n)));
                    let at = row * shape.inner + channel;
                    store::<L>(self.y.part(at..at + n), L::mul(sum, gate));
                }
            }
        }
    }
}

/// One position of 16 channels: moves the state on and gives the sum over its entries.
#[inline(always)]
unsafe fn advance<L: Lanes>(
    decay: &[[f32; LANES]],
    (step, x): (L::Float, L::Float),
    (into, out): (&[f32], &[f32]),
    state: &mut [[f32; LANES]],
) -> L::Float {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let input = L::mul(step, x);
        let mut sum = L::splat(0.0);
        let mut factor = exp_lanes::<L>(L::mul(step, load::<L>(&decay[0])));
        for (n, ((h, into), out)) in state.iter_mut().zip(into).zip(out).enumerate() {
            if n > 0 && decay.len() > 1 {
                factor = exp_lanes::<L>(L::mul(step, load::<L>(&decay[n])));
            }
            let new = L::mul_add(factor, load::<L>(h), L::mul(input, L::splat(*into)));
            store::<L>(h, new);
            sum = L::mul_add(new, L::splat(*out), sum);
        }
        sum
    }
}
