//! The causal convolution over the last positions of each channel, then silu.
//!
//! Called by `network::state_space`. A block's part of a slot is its last `kernel - 1` inputs,
//! `[kernel - 1][16]`, oldest first. Canonical order and source: see `state_space`.

use super::{Columns, LANES, Lanes, Run, Task, before, dispatch, load, store};
use crate::{
    kernel::cpu::{attention::SequencePlan, numeric::silu_lanes, shared::SharedMut},
    kv::{StatePages, stretches},
};

/// A causal convolution of every channel with its own weights, then silu.
#[derive(Debug)]
pub struct Convolution {
    n_channels: usize,
    kernel: usize,
    /// Per block and tap.
    weights: Vec<[f32; LANES]>,
    bias: Vec<[f32; LANES]>,
}

/// Values of a slot that belong to a convolution.
pub fn convolution_state_length(n_channels: usize, kernel: usize) -> usize {
    n_channels.div_ceil(LANES) * (kernel - 1) * LANES
}

impl Convolution {
    /// Of weights `[channels][kernel]`, oldest tap first.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let n_channels = bias.len();
        let kernel = weights.len() / n_channels;
        let n_blocks = n_channels.div_ceil(LANES);
        let mut by_tap = vec![[0f32; LANES]; n_blocks * kernel];
        for (channel, weights) in weights.chunks_exact(kernel).enumerate() {
            for (tap, weight) in weights.iter().enumerate() {
                by_tap[channel / LANES * kernel + tap][channel % LANES] = *weight;
            }
        }
        Self { n_channels, kernel, weights: by_tap, bias: blocks(bias) }
    }

    /// Channels.
    pub fn n_channels(&self) -> usize {
        self.n_channels
    }

    /// Values of a slot that belong to the convolution.
    pub fn state_length(&self) -> usize {
        convolution_state_length(self.n_channels, self.kernel)
    }

    /// Convolves the channels of `x` into `y`, `[rows, channels]`, and keeps the last inputs.
    pub fn run(&self, run: &Run<'_>, x: Columns<'_>, y: &mut [f32]) {
        let y = SharedMut::new(y);
        run.for_blocks(self.bias.len(), self.n_channels, &|sequence, block| {
            let (y, states) = (&y, run.states);
            let task = ConvolutionTask { convolution: self, sequence, block, x, y, states };
            // SAFETY: every task has its own channels and sequence, so its own parts of rows and
            // slots; `shard` checked that a page written here belongs to one sequence.
            unsafe { dispatch(run.level, &task) };
        });
    }
}

/// Vectors of 16, zeros behind the end.
fn blocks(values: &[f32]) -> Vec<[f32; LANES]> {
    let mut blocks = vec![[0f32; LANES]; values.len().div_ceil(LANES)];
    for (block, values) in blocks.iter_mut().zip(values.chunks(LANES)) {
        block[..values.len()].copy_from_slice(values);
    }
    blocks
}

struct ConvolutionTask<'a> {
    convolution: &'a Convolution,
    sequence: &'a SequencePlan,
    block: usize,
    x: Columns<'a>,
    y: &'a SharedMut<'a, f32>,
    states: &'a StatePages,
}

impl Task for ConvolutionTask<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self) {
        let Self { sequence, block, .. } = *self;
        let Convolution { n_channels, kernel, weights, bias } = self.convolution;
        let (history, channel) = (kernel - 1, block * LANES);
        let n = (n_channels - channel).min(LANES);
        let weights = &weights[block * kernel..(block + 1) * kernel];
        let SequencePlan { pages, first_position, first_row, n_rows } = sequence;
        for stretch in stretches(pages, *first_position, *n_rows) {
            let (first, n_rows) = (first_row + stretch.rows.start, stretch.rows.len());
            // SAFETY: the caller's promise.
            unsafe {
                let state = before(self.states, &stretch, block * history * LANES, history);
                for row in 0..n_rows {
                    let mut sum = L::splat(0.0);
                    for (tap, weight) in weights.iter().enumerate() {
                        let value = match state.get(row + tap) {
                            Some(earlier) => load::<L>(earlier),
                            None => load::<L>(self.x.at(first + row + tap - history, channel, n)),
                        };
                        sum = L::mul_add(load::<L>(weight), value, sum);
                    }
                    let at = (first + row) * n_channels + channel;
                    let sum = L::add(sum, load::<L>(&bias[block]));
                    store::<L>(self.y.part(at..at + n), silu_lanes::<L>(sum));
                }
                for j in 0..history {
                    // Ascending, so that an earlier input is read before it is replaced.
                    let at = n_rows + j;
                    let value = match state.get(at) {
                        Some(earlier) => load::<L>(earlier),
                        None => load::<L>(self.x.at(first + at - history, channel, n)),
                    };
                    store::<L>(&mut state[j], value);
                }
            }
        }
    }
}
