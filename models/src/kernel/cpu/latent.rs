//! Multi-head latent attention: keys and values of all heads come from one short vector per
//! position, and only that vector (with the rotated part of the key) is kept.
//!
//! Called by the Flex operations of `backend`. Each head's key projection is applied to its query
//! instead ("absorbed"), so that attention runs over the latent vectors themselves: one key-value
//! head, whose values are the first numbers of its keys.
//!
//! Shapes: a query head `[content | rotated]`; a key `[latent | rotated]`. The residual stream `x`
//! is `[rows, hidden]` and changed in place. Source: DeepSeek-V2 (arXiv 2405.04434).

use std::sync::{Mutex, PoisonError};

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations, for_rows},
    attention::{self, AttentionShape, BatchPlan},
    attention_rows::{Rotation, append, table_row},
    linear,
    network::{CpuContext, CpuLinear, CpuOutput, Workspace, room},
    norm::Norm,
    rope,
    schedule::Store,
    shared::SharedMut,
};
use crate::kv::KvPages;

/// The projection to queries, by way of a short vector in larger models.
#[derive(Debug)]
pub struct CpuCompression {
    /// To the short vector.
    pub down: CpuLinear,
    /// Its norm.
    pub norm: Norm,
}

/// Pre-norm latent attention with its residual addition.
#[derive(Debug)]
pub struct CpuLatentAttention {
    /// The norm.
    pub norm: Norm,
    /// What the projections of the normalised rows want them to be.
    pub kinds: Vec<ActivationKind>,
    /// What comes before the projection to queries.
    pub query_compression: Option<CpuCompression>,
    /// The projection to queries.
    pub query: CpuLinear,
    /// The projection to latent vector and rotated part of the key.
    pub latent: CpuLinear,
    /// Norm of the latent vector.
    pub latent_norm: Norm,
    /// Per head: the content part of a query to the space of latent vectors.
    pub key_heads: Vec<CpuLinear>,
    /// Per head: an attended latent vector to a value.
    pub value_heads: Vec<CpuLinear>,
    /// Projection back.
    pub output: CpuOutput,
    /// How the rotated parts turn.
    pub rotation: Rotation,
    /// Sizes of the attention over latent vectors.
    pub shape: AttentionShape,
    /// Latent vectors of earlier positions.
    pub pages: Mutex<KvPages>,
}

impl CpuLatentAttention {
    /// Changes the rows `x`.
    pub fn run(&self, x: &mut [f32], plan: &BatchPlan, context: &CpuContext) {
        let how = (context.level, &context.pool);
        let (shape, n_rows) = (&self.shape, plan.n_rows);
        let mut workspace = context.workspace();
        let Workspace { input, inner, wide, narrow, rows, sum, attention, .. } = &mut *workspace;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);

        context.normalise(x, &self.norm, &self.kinds, input);
        let latent = room(narrow, n_rows * self.latent.width);
        self.latent.multiply(input, latent, how.1);
        self.keep(latent, plan, &pages, how);

        let queries = room(wide, n_rows * self.query.width);
        if let Some(compression) = &self.query_compression {
            let short = room(rows, n_rows * compression.down.width);
            compression.down.multiply(input, short, how.1);
            context.normalise(short, &compression.norm, &self.query.kinds, input);
        }
        self.query.multiply(input, queries, how.1);
        let absorbed = room(sum, n_rows * shape.query_width());
        self.absorb((queries, absorbed), plan, (inner, rows), how);

        let attended = room(narrow, n_rows * shape.out_width());
        let out = (&mut *attended, attention);
        attention::attend((shape, plan), (absorbed, shape.query_width()), &pages, out, how);

        let width = self.output.linear.k();
        let value_dim = width / shape.n_heads;
        let values = room(wide, n_rows * width);
        for (head, linear) in self.value_heads.iter().enumerate() {
            let from = (&*attended, shape.out_width(), head * shape.value_dim);
            let to = (&mut values[head * value_dim..], width);
            multiply_head(linear, from, to, (inner, rows), how);
        }
        input.fill(&self.output.linear.kinds, (values, width), how);
        self.output.add(input, x, (false, rows), how);
    }

    /// Normalises latent vectors, turns the rotated parts, and puts both into the pages.
    fn keep(
        &self,
        latent: &mut [f32],
        plan: &BatchPlan,
        pages: &KvPages,
        (level, pool): (Level, &Pool),
    ) {
        let (rank, width) = (self.shape.value_dim, self.latent.width);
        let table = &plan.rotations[self.rotation.table];
        let shared = SharedMut::new(latent);
        for sequence in &plan.sequences {
            for_rows(sequence.n_rows, pool, &|i| {
                let row = sequence.first_row + i;
                // SAFETY: every row is one call's.
                let key = unsafe { shared.part(row * width..(row + 1) * width) };
                let (vector, rotated) = key.split_at_mut(rank);
                let raw = vector.to_vec();
                self.latent_norm.apply(level, &raw, vector);
                let turned = table_row(table, row, plan.n_rows);
                rope::rotate_heads(level, rotated, width - rank, self.rotation.pairs, turned);
                append(sequence, i, (key, &[]), pages);
            });
        }
    }

    /// Queries over latent vectors: every head's content through its key projection, and the
    /// rotated part turned.
    fn absorb(
        &self,
        (queries, absorbed): (&[f32], &mut [f32]),
        plan: &BatchPlan,
        scratch: (&mut Activations, &mut Vec<f32>),
        how: (Level, &Pool),
    ) {
        let (shape, level) = (&self.shape, how.0);
        let (rank, key_dim, width) = (shape.value_dim, shape.key_dim, shape.query_width());
        let head_dim = self.query.width / shape.n_heads;
        let content = head_dim - (key_dim - rank);
        let (inner, rows) = scratch;
        for (head, linear) in self.key_heads.iter().enumerate() {
            let from = (queries, self.query.width, head * head_dim);
            let to = (&mut absorbed[head * key_dim..], width);
            multiply_head(linear, from, to, (inner, rows), how);
        }
        let table = &plan.rotations[self.rotation.table];
        for (row, absorbed) in absorbed.chunks_exact_mut(width).enumerate() {
            let heads = queries[row * self.query.width..].chunks_exact(head_dim);
            for (to, from) in absorbed.chunks_exact_mut(key_dim).zip(heads) {
                to[rank..].copy_from_slice(&from[content..]);
                let turned = table_row(table, row, plan.n_rows);
                let pairs = self.rotation.pairs;
                rope::rotate_heads(level, &mut to[rank..], key_dim - rank, pairs, turned);
            }
        }
    }
}

/// One head's part of rows, which starts at `at` in each, times its own weight.
fn multiply_head(
    linear: &CpuLinear,
    (from, from_stride, at): (&[f32], usize, usize),
    (to, to_stride): (&mut [f32], usize),
    (inner, rows): (&mut Activations, &mut Vec<f32>),
    how: (Level, &Pool),
) {
    let k = linear.k();
    let n_rows = from.len() / from_stride;
    let gathered = room(rows, n_rows * k);
    for (to, from) in gathered.chunks_exact_mut(k).zip(from.chunks_exact(from_stride)) {
        to.copy_from_slice(&from[at..at + k]);
    }
    inner.fill(&linear.kinds, (gathered, k), how);
    linear::multiply(&linear.weights, inner, (to, to_stride), Store::Set, how.1);
}
