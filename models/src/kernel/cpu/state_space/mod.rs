//! The recurrence of state-space layers: time steps, causal convolution and selective scan.
//!
//! Called by `network::state_space`. Blocks of 16 channels side by side, a lane is one channel, so
//! no operation mixes lanes. Threads take blocks of sequences, never parts of a row's sum.
//!
//! Canonical, per channel and row, in the order of positions:
//!
//! ```text
//! convolution: y = silu(sum over taps, oldest first, of weight * value, fused, from 0, + bias)
//! time step:   step = softplus(value + bias)
//! scan:        h[n] = exp(step * A[n]) * h[n] + (step * x) * B[n]      fused multiply-add
//!              y = (D * x + sum over n, ascending, of h[n] * C[n], fused, from 0) * silu(z)
//! ```
//!
//! Shapes: rows of a batch follow each other in [`Columns`]. A slot of the state pages holds, per
//! block of channels, the last `kernel - 1` inputs of the convolution, then per block `[state][16]`
//! of the scan. Blocks never cross a group; lanes behind a group's last channel are zero.
//! Source: Mamba (arXiv 2312.00752), Mamba 2 (arXiv 2405.21060). Absent on purpose: the chunked
//! matrix form of Mamba 2, whose sums depend on the chunks.

mod convolution;
mod scan;

pub use convolution::{Convolution, convolution_state_length};
pub use scan::{Scan, ScanInput, ScanShape};

use super::{
    Level, Pool,
    activation::for_rows,
    attention::{BatchPlan, SequencePlan},
    lanes::{LANES, Lanes, portable::Portable},
    numeric::softplus_lanes,
    shared::SharedMut,
};
use crate::kv::{StatePages, Stretch};

/// Values to compute below which an operation stays on the calling thread.
const SERIAL_WORK: usize = 1 << 14;
/// Ranges per thread.
const PARTS: usize = 4;

/// Some columns of rows that lie `stride` values apart, from the column `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The rows.
    pub values: &'a [f32],
    /// Values from row to row.
    pub stride: usize,
    /// The first column.
    pub first: usize,
}

impl<'a> Columns<'a> {
    /// `n` values of a row from a column on.
    #[inline(always)]
    pub fn at(self, row: usize, column: usize, n: usize) -> &'a [f32] {
        &self.values[row * self.stride + self.first + column..][..n]
    }
}

/// `n` vectors of the slot of a stretch's page, from value `start` on, with the state before the
/// stretch in them.
///
/// # Safety
///
/// Nobody else uses this part of the page, or writes that of the page before, while the answer
/// lives.
#[expect(clippy::mut_from_ref, reason = "threads use different parts")]
unsafe fn before<'a>(
    states: &'a StatePages,
    stretch: &Stretch,
    start: usize,
    n: usize,
) -> &'a mut [[f32; LANES]] {
    let range = start..start + n * LANES;
    let to = states.values(stretch.page, range.clone());
    // SAFETY: the caller's promise; another page lies elsewhere.
    unsafe {
        match stretch.from {
            None => to.write_bytes(0, n * LANES),
            Some(page) if page != stretch.page => {
                let from = states.values(page, range);
                std::ptr::copy_nonoverlapping(from, to, n * LANES);
            }
            Some(_) => {}
        }
        std::slice::from_raw_parts_mut(to.cast(), n)
    }
}

/// Work that is written once and compiled per instruction set.
trait Task {
    /// # Safety
    ///
    /// Needs the instruction set of `L`, and what the task's caller promises.
    unsafe fn run<L: Lanes>(&self);
}

/// # Safety
///
/// What the task's caller promises.
unsafe fn dispatch<T: Task>(level: Level, task: &T) {
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it; the rest is the
        // caller's promise.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => unsafe { avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => unsafe { avx512(task) },
        // SAFETY: plain code; the rest is the caller's promise.
        _ => unsafe { task.run::<Portable>() },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<T: Task>(task: &T) {
    // SAFETY: the instruction set is there; the rest is the caller's promise.
    unsafe { task.run::<super::lanes::avx2::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<T: Task>(task: &T) {
    // SAFETY: the instruction set is there; the rest is the caller's promise.
    unsafe { task.run::<super::lanes::avx512::Avx512>() }
}

/// Up to 16 values, zeros behind them.
#[inline(always)]
unsafe fn load<L: Lanes>(from: &[f32]) -> L::Float {
    let mut padded = [0f32; LANES];
    let from = match from.first_chunk() {
        Some(whole) => whole,
        None => {
            padded[..from.len()].copy_from_slice(from);
            &padded
        }
    };
    // SAFETY: 16 values; the caller vouches for the instruction set.
    unsafe { L::load_f32(from.as_ptr().cast()) }
}

/// Writes as many of the lanes as there is room for, up to 16.
#[inline(always)]
unsafe fn store<L: Lanes>(to: &mut [f32], values: L::Float) {
    let mut padded = [0f32; LANES];
    // SAFETY: room for 16 values; the caller vouches for the instruction set.
    unsafe {
        match to.first_chunk_mut::<LANES>() {
            Some(whole) => L::store(whole.as_mut_ptr(), values),
            None => {
                L::store(padded.as_mut_ptr(), values);
                to.copy_from_slice(&padded[..to.len()]);
            }
        }
    }
}

/// A batch to compute, and how.
#[derive(Debug)]
pub struct Run<'a> {
    /// The sequences.
    pub plan: &'a BatchPlan,
    /// Their states.
    pub states: &'a StatePages,
    /// Instruction set.
    pub level: Level,
    /// Threads.
    pub pool: &'a Pool,
}

impl Run<'_> {
    /// Calls `task` for every block of every sequence, on all threads when it is worth it.
    fn for_blocks(
        &self,
        n_blocks: usize,
        row_work: usize,
        task: &(dyn Fn(&SequencePlan, usize) + Sync),
    ) {
        let n_tasks = self.plan.sequences.len() * n_blocks;
        let run = |range: std::ops::Range<usize>| {
            for i in range {
                task(&self.plan.sequences[i / n_blocks], i % n_blocks);
            }
        };
        if self.plan.n_rows * row_work < SERIAL_WORK {
            run(0..n_tasks);
        } else {
            self.pool.split(n_tasks, PARTS, &run);
        }
    }
}

struct StepTask<'a> {
    row: SharedMut<'a, f32>,
    bias: &'a [f32],
}

impl Task for StepTask<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self) {
        // SAFETY: the caller gives the row to this task only.
        unsafe {
            let row = self.row.part(0..self.bias.len());
            for (values, bias) in row.chunks_mut(LANES).zip(self.bias.chunks(LANES)) {
                let step = L::add(load::<L>(values), load::<L>(bias));
                store::<L>(values, softplus_lanes::<L>(step));
            }
        }
    }
}

/// Turns rows, each as long as the bias, into time steps.
pub fn time_steps(rows: &mut [f32], bias: &[f32], (level, pool): (Level, &Pool)) {
    let n_rows = rows.len() / bias.len();
    let rows = SharedMut::new(rows);
    for_rows(n_rows, pool, &|row| {
        // SAFETY: every row is one call's.
        unsafe {
            let row = SharedMut::new(rows.part(row * bias.len()..(row + 1) * bias.len()));
            dispatch(level, &StepTask { row, bias });
        }
    });
}
