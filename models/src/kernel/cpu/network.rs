//! The blocks of a decoder, each one operation: norm, quantise, multiply, add to the residual.
//!
//! Called by the Flex operations of `backend`. Nothing between the parts of a block leaves the
//! workspace, whose memory is kept from call to call. Still allocated per call: attention's list of
//! tasks, and the logits that are given away.
//!
//! Shapes: the residual stream `x` is `[rows, hidden]` and changed in place. Canonical: each part
//! is as its own file says; the order of parts is the order of the code.

mod state_space;

pub use state_space::{CpuSelection, CpuStateSpace, StateSpaceScratch};

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations, for_rows},
    attention::{self, AttentionScratch, AttentionShape, BatchPlan},
    elementwise,
    lanes::LANES,
    linear::{self, Repack, Weight, WeightError, WeightLoader},
    memory::Arena,
    norm,
    schedule::Store,
    shared::SharedMut,
};
use crate::{
    gguf::{Gguf, TensorInfo},
    kv::KvPages,
};

/// Groups whose gate and up values are computed before they are brought together.
const GATE_GROUPS: usize = 16;

/// How many bytes of weights are loaded; clones count together.
#[derive(Clone, Debug, Default)]
pub struct LoadProgress(Arc<AtomicU64>);

impl LoadProgress {
    /// Bytes so far, as in the file.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// How the kernels run, and the memory they use again and again.
#[derive(Debug)]
pub struct CpuContext {
    /// Instruction set.
    pub level: Level,
    /// Threads.
    pub pool: Pool,
    /// Whether weights are repacked when loaded.
    pub repack: Repack,
    progress: LoadProgress,
    arena: Mutex<Arena>,
    workspace: Mutex<Workspace>,
}

#[derive(Debug, Default)]
struct Workspace {
    input: Activations,
    wide: Vec<f32>,
    narrow: Vec<f32>,
    attention: AttentionScratch,
    state_space: StateSpaceScratch,
}

/// Grows the buffer when needed; what is in it does not matter.
fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

impl CpuContext {
    /// A context without weights.
    pub fn new(level: Level, pool: Pool, repack: Repack) -> Self {
        Self {
            level,
            pool,
            repack,
            progress: LoadProgress::default(),
            arena: Mutex::default(),
            workspace: Mutex::default(),
        }
    }

    /// Counts loaded weights there.
    pub fn with_progress(self, progress: LoadProgress) -> Self {
        Self { progress, ..self }
    }

    /// Loads a weight.
    pub fn weight(&self, gguf: &Gguf, info: &TensorInfo) -> Result<Weight, WeightError> {
        let loader = WeightLoader {
            gguf,
            level: self.level,
            pool: &self.pool,
            repack: self.repack,
            arena: &self.arena,
        };
        let weight = Weight::load(&loader, info)?;
        self.progress.add(info.n_bytes);
        Ok(weight)
    }

    /// Normalises the rows of `x` into the workspace's input, in the forms that `weights` want.
    fn normalise(&self, x: &[f32], norm: &CpuNorm, kinds: &[ActivationKind], to: &mut Activations) {
        let width = norm.gain.len();
        let n_rows = x.len() / width;
        to.prepare(kinds, n_rows, width);
        let writer = to.writer(kinds, self.level);
        for_rows(n_rows, &self.pool, &|row| {
            ROW.with_borrow_mut(|normed| {
                let normed = room(normed, width);
                let x = &x[row * width..(row + 1) * width];
                norm::rms_norm(self.level, x, &norm.gain, norm.epsilon, normed);
                // SAFETY: every row is written by one call.
                unsafe { writer.write(row, normed) };
            });
        });
    }
}

thread_local! {
    static ROW: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
    static GATE: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Gain and epsilon of a root-mean-square norm.
#[derive(Debug)]
pub struct CpuNorm {
    /// One factor per value.
    pub gain: Vec<f32>,
    /// What is added to the mean of squares.
    pub epsilon: f32,
}

/// Weights that multiply the same rows, results side by side.
#[derive(Debug)]
pub struct CpuLinear {
    weights: Vec<Weight>,
    kinds: Vec<ActivationKind>,
    width: usize,
}

impl CpuLinear {
    /// Of these weights, which have the same number of inputs.
    pub fn new(weights: Vec<Weight>) -> Self {
        let mut kinds: Vec<_> = weights.iter().map(Weight::activation).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let width = weights.iter().map(Weight::n).sum();
        Self { weights, kinds, width }
    }

    /// Inputs.
    fn k(&self) -> usize {
        self.weights.first().map_or(0, Weight::k)
    }
}

/// Pre-norm attention: `x + output(attend(query_key_value(norm(x))))`.
#[derive(Debug)]
pub struct CpuAttention {
    /// The norm.
    pub norm: CpuNorm,
    /// Projections to queries, keys and values.
    pub query_key_value: CpuLinear,
    /// Projection back.
    pub output: CpuLinear,
    /// Sizes.
    pub shape: AttentionShape,
    /// Keys and values of earlier positions.
    pub pages: Mutex<KvPages>,
}

impl CpuAttention {
    /// Changes the rows `x`.
    pub fn run(&self, x: &mut [f32], plan: &BatchPlan, context: &CpuContext) {
        let CpuContext { level, pool, .. } = context;
        let mut workspace = context.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let Workspace { input, wide, narrow, attention, .. } = &mut *workspace;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let (qkv, back) = (&self.query_key_value, &self.output);
        context.normalise(x, &self.norm, &qkv.kinds, input);
        let wide = room(wide, plan.n_rows * qkv.width);
        linear::multiply(&qkv.weights, input, (wide, qkv.width), Store::Set, pool);
        let attended = room(narrow, plan.n_rows * self.shape.out_width());
        attention::attention(
            (&self.shape, plan),
            wide,
            &pages,
            (attended, attention),
            (*level, pool),
        );
        input.fill(&back.kinds, (attended, back.k()), (*level, pool));
        linear::multiply(&back.weights, input, (x, back.width), Store::Add, pool);
    }
}

/// Pre-norm gated feed-forward: `x + down(silu(gate(norm(x))) * up(norm(x)))`.
#[derive(Debug)]
pub struct CpuFeedForward {
    /// The norm.
    pub norm: CpuNorm,
    /// The gate and up projections.
    pub gate_up: CpuLinear,
    /// Projection back.
    pub down: CpuLinear,
}

impl CpuFeedForward {
    /// Changes the rows `x`, and rounds them to f16 when `round` says so.
    pub fn run(&self, x: &mut [f32], round: bool, context: &CpuContext) {
        let CpuContext { level, pool, .. } = context;
        let mut workspace = context.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let Workspace { input, wide, .. } = &mut *workspace;
        let n_rows = x.len() / self.norm.gain.len();
        context.normalise(x, &self.norm, &self.gate_up.kinds, input);
        let width = self.down.k();
        let gated = room(wide, n_rows * width);
        self.gated(input, gated, (*level, pool));
        input.fill(&self.down.kinds, (gated, width), (*level, pool));
        let store = if round { Store::AddRounded } else { Store::Add };
        linear::multiply(&self.down.weights, input, (x, self.down.width), store, pool);
    }

    /// `silu(gate) * up`, column by column of both projections at a time.
    fn gated(&self, input: &Activations, out: &mut [f32], (level, pool): (Level, &Pool)) {
        let [gate, up] = &self.gate_up.weights[..] else {
            unreachable!("a gated unit has two projections");
        };
        let (n_rows, width) = (input.n_rows(), gate.n());
        let out = SharedMut::new(out);
        linear::split(gate.n_groups(), input, pool, &|range| {
            for first in range.clone().step_by(GATE_GROUPS) {
                let groups = first..(first + GATE_GROUPS).min(range.end);
                let columns = first * LANES..(groups.end * LANES).min(width);
                let stride = 2 * columns.len();
                GATE.with_borrow_mut(|both| {
                    let both = room(both, n_rows * stride);
                    let gates = both.as_mut_ptr();
                    // SAFETY: the buffer has 2 * columns values in every row.
                    unsafe {
                        let ups = gates.add(columns.len());
                        gate.multiply_groups(groups.clone(), input, (gates, stride), Store::Set);
                        up.multiply_groups(groups.clone(), input, (ups, stride), Store::Set);
                    }
                    for (row, both) in both.chunks_exact(stride).enumerate() {
                        let at = row * width;
                        // SAFETY: different ranges write different columns.
                        let out = unsafe { out.part(at + columns.start..at + columns.end) };
                        let (gate, up) = both.split_at(columns.len());
                        elementwise::swiglu(level, gate, up, out);
                    }
                });
            }
        });
    }
}

/// The end of a network: `output(norm(x))`.
#[derive(Debug)]
pub struct CpuHead {
    /// The norm.
    pub norm: CpuNorm,
    /// The projection to logits.
    pub output: CpuLinear,
}

impl CpuHead {
    /// The logits of the rows `x`.
    pub fn run(&self, x: &[f32], context: &CpuContext) -> Vec<f32> {
        let mut workspace = context.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let input = &mut workspace.input;
        context.normalise(x, &self.norm, &self.output.kinds, input);
        let width = self.output.width;
        let mut logits = vec![0f32; input.n_rows() * width];
        let to = (&mut logits[..], width);
        linear::multiply(&self.output.weights, input, to, Store::Set, &context.pool);
        logits
    }
}
