//! Attention and head of a decoder, each one operation, and what all blocks share: norm, quantise,
//! multiply, add to the residual.
//!
//! Called by the Flex operations of `backend`; other blocks: `feed_forward`, `mixture`, `latent`.
//! Nothing between the parts of a block leaves the workspace, whose memory is kept from call to
//! call. Still allocated per call: the logits that are given away.
//!
//! Shapes: the residual stream `x` is `[rows, hidden]` and changed in place. Canonical: each part
//! is as its own file says; the order of parts is the order of the code.

mod state_space;

pub use state_space::{CpuSelection, CpuStateSpace, StateSpaceScratch};

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations, for_rows},
    attention::{self, AttentionScratch, AttentionShape, BatchPlan},
    attention_rows::{self, RowPreparation},
    elementwise, half_float,
    linear::{self, Repack, Weight, WeightError, WeightLoader},
    memory::Arena,
    norm::Norm,
    schedule::Store,
    shared::SharedMut,
};
use crate::{
    gguf::{Gguf, TensorInfo},
    kv::KvPages,
};

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

/// Memory of one block at a time. What a buffer is for depends on the block.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) input: Activations,
    pub(super) inner: Activations,
    pub(super) wide: Vec<f32>,
    pub(super) narrow: Vec<f32>,
    pub(super) rows: Vec<f32>,
    pub(super) sum: Vec<f32>,
    pub(super) attention: AttentionScratch,
    pub(super) state_space: StateSpaceScratch,
}

/// Grows the buffer when needed; what is in it does not matter.
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
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

    /// The workspace, for one block at a time.
    pub(super) fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Normalises the rows of `x` into the workspace's input, in the forms that `weights` want.
    pub(super) fn normalise(
        &self,
        x: &[f32],
        norm: &Norm,
        kinds: &[ActivationKind],
        to: &mut Activations,
    ) {
        let width = norm.gain.len();
        let n_rows = x.len() / width;
        to.prepare(kinds, n_rows, width);
        let writer = to.writer(kinds, self.level);
        for_rows(n_rows, &self.pool, &|row| {
            ROW.with_borrow_mut(|normed| {
                let normed = room(normed, width);
                let x = &x[row * width..(row + 1) * width];
                norm.apply(self.level, x, normed);
                // SAFETY: every row is written by one call.
                unsafe { writer.write(row, normed) };
            });
        });
    }
}

thread_local! {
    static ROW: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What some weights want the rows that they share to be, each form once.
pub(crate) fn kinds<'a>(weights: impl IntoIterator<Item = &'a Weight>) -> Vec<ActivationKind> {
    let mut kinds: Vec<_> = weights.into_iter().map(Weight::activation).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Weights that multiply the same rows, results side by side.
#[derive(Debug)]
pub struct CpuLinear {
    pub(crate) weights: Vec<Weight>,
    pub(super) kinds: Vec<ActivationKind>,
    pub(super) width: usize,
}

impl CpuLinear {
    /// Of these weights, which have the same number of inputs.
    pub fn new(weights: Vec<Weight>) -> Self {
        let kinds = kinds(&weights);
        let width = weights.iter().map(Weight::n).sum();
        Self { weights, kinds, width }
    }

    /// Inputs.
    pub(super) fn k(&self) -> usize {
        self.weights.first().map_or(0, Weight::k)
    }

    /// The products of all rows, `[rows, width]`.
    pub(super) fn multiply(&self, input: &Activations, out: &mut [f32], pool: &Pool) {
        linear::multiply(&self.weights, input, (out, self.width), Store::Set, pool);
    }
}

/// The end of a block: `x + norm(weight * input + bias)`, norm and bias only where there are some.
#[derive(Debug)]
pub struct CpuOutput {
    /// The projection back to the residual stream.
    pub linear: CpuLinear,
    /// Added to its products.
    pub bias: Option<Vec<f32>>,
    /// Applied before the addition to the stream.
    pub norm: Option<Norm>,
}

impl CpuOutput {
    /// Changes the rows `x`, and rounds them to f16 when `round` says so.
    pub(super) fn add(
        &self,
        input: &Activations,
        x: &mut [f32],
        (round, scratch): (bool, &mut Vec<f32>),
        (level, pool): (Level, &Pool),
    ) {
        let width = self.linear.width;
        if self.bias.is_none() && self.norm.is_none() {
            let store = if round { Store::AddRounded } else { Store::Add };
            return linear::multiply(&self.linear.weights, input, (x, width), store, pool);
        }
        let products = room(scratch, input.n_rows() * width);
        self.linear.multiply(input, products, pool);
        let (x, products) = (SharedMut::new(x), SharedMut::new(products));
        for_rows(input.n_rows(), pool, &|row| {
            let at = row * width..(row + 1) * width;
            // SAFETY: every row is one call's.
            let (x, product) = unsafe { (x.part(at.clone()), products.part(at)) };
            if let Some(bias) = &self.bias {
                product.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
            add_to_stream(product, self.norm.as_ref(), x, round, level);
        });
    }
}

/// `x + norm(y)`, one row, rounded to f16 when `round` says so.
pub(super) fn add_to_stream(
    y: &mut [f32],
    norm: Option<&Norm>,
    x: &mut [f32],
    round: bool,
    level: Level,
) {
    ROW.with_borrow_mut(|normed| {
        let mut y = &*y;
        if let Some(norm) = norm {
            let normed = room(normed, y.len());
            norm.apply(level, y, normed);
            y = normed;
        }
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    });
    if round {
        half_float::round(x);
    }
}

/// Pre-norm attention: `x + output(attend(query_key_value(norm(x))))`.
#[derive(Debug)]
pub struct CpuAttention {
    /// The norm.
    pub norm: Norm,
    /// Projections to queries, keys and values.
    pub query_key_value: CpuLinear,
    /// What happens to them before attention.
    pub preparation: RowPreparation,
    /// Projection back.
    pub output: CpuOutput,
    /// Sizes.
    pub shape: AttentionShape,
    /// Keys and values of earlier positions.
    pub pages: Mutex<KvPages>,
}

impl CpuAttention {
    /// Changes the rows `x`.
    pub fn run(&self, x: &mut [f32], plan: &BatchPlan, context: &CpuContext) {
        let CpuContext { level, pool, .. } = context;
        let mut workspace = context.workspace();
        let Workspace { input, wide, narrow, rows, attention, .. } = &mut *workspace;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let (shape, qkv) = (&self.shape, &self.query_key_value);
        context.normalise(x, &self.norm, &qkv.kinds, input);
        let wide = room(wide, plan.n_rows * qkv.width);
        qkv.multiply(input, wide, pool);
        attention_rows::prepare(&self.preparation, (shape, plan), wide, &pages, (*level, pool));
        let attended = room(narrow, plan.n_rows * shape.out_width());
        let out = (&mut *attended, attention);
        attention::attend((shape, plan), (wide, qkv.width), &pages, out, (*level, pool));
        let back = &self.output.linear;
        input.fill(&back.kinds, (attended, back.k()), (*level, pool));
        self.output.add(input, x, (false, rows), (*level, pool));
    }
}

/// The end of a network: `output(norm(x))`.
#[derive(Debug)]
pub struct CpuHead {
    /// The norm.
    pub norm: Norm,
    /// The projection to logits.
    pub output: CpuLinear,
    /// What logits are bounded to, softly.
    pub soft_cap: Option<f32>,
}

impl CpuHead {
    /// The logits of the rows `x`.
    pub fn run(&self, x: &[f32], context: &CpuContext) -> Vec<f32> {
        let mut workspace = context.workspace();
        let input = &mut workspace.input;
        context.normalise(x, &self.norm, &self.output.kinds, input);
        let mut logits = vec![0f32; input.n_rows() * self.output.width];
        self.output.multiply(input, &mut logits, &context.pool);
        if let Some(cap) = self.soft_cap {
            elementwise::soft_cap(context.level, cap, &mut logits);
        }
        logits
    }
}
