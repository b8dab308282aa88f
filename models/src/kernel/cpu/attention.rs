//! Causal grouped-query attention over pages, in fixed tiles with an online softmax.
//!
//! Called by the Flex `attention` operation. In place: rotates queries and keys, appends keys and
//! values to the pages, then computes every row's result.
//!
//! Canonical (per row and query head): tiles of 32 positions from position 0. Scores: two fused
//! chains over even and odd dimensions, added, times the scale. The tile's own maximum, weights
//! `exp(s - max)`, their sum, and weighted values (one fused chain over ascending positions) make
//! a partial result; partial results are merged in tile order. A tile computed elsewhere would
//! therefore merge to the same bits.
//!
//! Shapes: `qkv` `[rows, (n_heads + 2 * n_kv_heads) * head_dim]`; output
//! `[rows, n_heads * head_dim]`. Source: FlashAttention (arXiv 2205.14135), tiling only.
//! Absent on purpose: sliding windows, soft caps, splitting one row's context over threads.

use std::cell::RefCell;

use super::{
    Level, Pool,
    level::schedules,
    numeric::{exp, sum_lanes},
    rope,
};
use crate::kv::{KvPages, PAGE_TOKENS};

const TILE: usize = PAGE_TOKENS as usize;
/// Rows of one sequence that share the tiles brought to f32.
const ROWS_PER_TASK: usize = 16;
/// Multiply-adds below which attention stays on the calling thread.
const SERIAL_WORK: usize = 1 << 19;

/// One sequence's rows in a batch.
#[derive(Clone, Debug)]
pub struct SequencePlan {
    /// Its pages in order.
    pub pages: Vec<u32>,
    /// Position of its first row.
    pub first_position: u32,
    /// Its first row in the batch.
    pub first_row: usize,
    /// Number of its rows.
    pub n_rows: usize,
}

/// A batch as attention sees it.
#[derive(Clone, Debug, Default)]
pub struct BatchPlan {
    /// The sequences; their rows follow each other.
    pub sequences: Vec<SequencePlan>,
    /// Rotation table, one row per batch row, see `rope`.
    pub rotation: Vec<f32>,
    /// All rows.
    pub n_rows: usize,
}

/// Sizes of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// What scores are multiplied with.
    pub scale: f32,
}

impl AttentionShape {
    /// Length of a row of `qkv`.
    pub fn qkv_width(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Length of an output row.
    pub fn out_width(&self) -> usize {
        self.n_heads * self.head_dim
    }
}

/// Rotates, appends and attends; see the top of the file.
pub fn attention(
    (shape, plan): (&AttentionShape, &BatchPlan),
    qkv: &mut [f32],
    pages: &mut KvPages,
    out: &mut [f32],
    (level, pool): (Level, &Pool),
) {
    rotate_and_append(shape, plan, qkv, pages);
    let pages = &*pages;
    let qkv = &*qkv;
    let mut tasks = Vec::new();
    let mut work = 0;
    for sequence in &plan.sequences {
        work += (sequence.first_position as usize + sequence.n_rows) * sequence.n_rows;
        for first in (0..sequence.n_rows).step_by(ROWS_PER_TASK) {
            let rows = first..(first + ROWS_PER_TASK).min(sequence.n_rows);
            tasks.extend((0..shape.n_kv_heads).map(|head| (sequence, rows.clone(), head)));
        }
    }
    assert_eq!(out.len(), plan.n_rows * shape.out_width(), "one output row per batch row");
    let out = OutPointer(out.as_mut_ptr());
    let run = |i: usize| {
        let (sequence, rows, kv_head) = &tasks[i];
        SCRATCH.with_borrow_mut(|scratch| {
            let task = Task { shape, sequence, rows: rows.clone(), kv_head: *kv_head, level };
            task.run(qkv, pages, scratch);
            task.write(scratch, out.get());
        });
    };
    if work * shape.out_width() * 2 < SERIAL_WORK {
        (0..tasks.len()).for_each(run);
    } else {
        pool.run(tasks.len(), &run);
    }
}

fn rotate_and_append(
    shape: &AttentionShape,
    plan: &BatchPlan,
    qkv: &mut [f32],
    pages: &mut KvPages,
) {
    let table_width = plan.rotation.len() / plan.n_rows.max(1);
    let (n_heads, n_kv_heads, head_dim) = (shape.n_heads, shape.n_kv_heads, shape.head_dim);
    for sequence in &plan.sequences {
        for i in 0..sequence.n_rows {
            let row = sequence.first_row + i;
            let qkv = &mut qkv[row * shape.qkv_width()..(row + 1) * shape.qkv_width()];
            let table = &plan.rotation[row * table_width..(row + 1) * table_width];
            let rotated = table_width;
            for head in qkv[..(n_heads + n_kv_heads) * head_dim].chunks_exact_mut(head_dim) {
                rope::rotate(&mut head[..rotated], table);
            }
            let (keys, values) = qkv[n_heads * head_dim..].split_at(n_kv_heads * head_dim);
            let position = sequence.first_position as usize + i;
            pages.append(sequence.pages[position / TILE], position % TILE, keys, values);
        }
    }
}

/// Memory of one thread's tasks, kept between calls.
#[derive(Default)]
struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Per row and head: `padded` weighted values, maximum, sum.
    states: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

struct Task<'a> {
    shape: &'a AttentionShape,
    sequence: &'a SequencePlan,
    rows: std::ops::Range<usize>,
    kv_head: usize,
    level: Level,
}

impl Task<'_> {
    fn padded(&self) -> usize {
        self.shape.head_dim.next_multiple_of(16)
    }

    fn group(&self) -> usize {
        self.shape.n_heads / self.shape.n_kv_heads
    }

    fn run(&self, qkv: &[f32], pages: &KvPages, scratch: &mut Scratch) {
        let (padded, group, head_dim) = (self.padded(), self.group(), self.shape.head_dim);
        scratch.keys.resize(head_dim * TILE, 0.0);
        scratch.values.clear();
        scratch.values.resize(padded * TILE, 0.0);
        scratch.states.clear();
        scratch.states.resize(self.rows.len() * group * (padded + 2), 0.0);
        for state in scratch.states.chunks_exact_mut(padded + 2) {
            state[padded] = f32::NEG_INFINITY;
        }
        let first = self.sequence.first_position as usize;
        let end = first + self.rows.end;
        for tile in 0..end.div_ceil(TILE) {
            let page = (self.sequence.pages[tile], self.kv_head);
            pages.load_tile(page, &mut scratch.keys, &mut scratch.values, self.level);
            for (i, row) in self.rows.clone().enumerate() {
                let visible = (first + row + 1).saturating_sub(tile * TILE).min(TILE);
                if visible == 0 {
                    continue;
                }
                for head in 0..group {
                    let at = (self.sequence.first_row + row) * self.shape.qkv_width()
                        + (self.kv_head * group + head) * head_dim;
                    let state = (i * group + head) * (padded + 2);
                    attend_tile(
                        self.level,
                        &qkv[at..at + head_dim],
                        (&scratch.keys, &scratch.values),
                        (visible, self.shape.scale),
                        &mut scratch.states[state..state + padded + 2],
                    );
                }
            }
        }
    }

    fn write(&self, scratch: &Scratch, out: *mut f32) {
        let (padded, group, head_dim) = (self.padded(), self.group(), self.shape.head_dim);
        for (i, row) in self.rows.clone().enumerate() {
            for head in 0..group {
                let state = &scratch.states[(i * group + head) * (padded + 2)..][..padded + 2];
                let inverse = 1.0 / state[padded + 1];
                let at = (self.sequence.first_row + row) * self.shape.out_width()
                    + (self.kv_head * group + head) * head_dim;
                for (d, value) in state[..head_dim].iter().enumerate() {
                    // SAFETY: the output has this row and head, and no other task writes them.
                    unsafe { *out.add(at + d) = value * inverse };
                }
            }
        }
    }
}

schedules! {
    /// Merges one tile into a state (`padded` values, maximum, sum).
    pub fn attend_tile(
        q: &[f32],
        keys_values: (&[f32], &[f32]),
        visible_scale: (usize, f32),
        state: &mut [f32],
    ) {
        let (keys, values) = keys_values;
        let (visible, scale) = visible_scale;
        let (mut even, mut odd) = ([0f32; TILE], [0f32; TILE]);
        for (q, keys) in q.as_chunks::<2>().0.iter().zip(keys.as_chunks::<{ 2 * TILE }>().0) {
            for j in 0..TILE {
                even[j] = keys[j].mul_add(q[0], even[j]);
                odd[j] = keys[TILE + j].mul_add(q[1], odd[j]);
            }
        }
        let mut weights = [f32::NEG_INFINITY; TILE];
        for j in 0..TILE {
            // Slots beyond the row's own position hold other or no tokens: they must not count.
            let score = (even[j] + odd[j]) * scale;
            weights[j] = if j < visible { score } else { f32::NEG_INFINITY };
        }
        let mut largest = weights[0];
        for weight in &weights[1..] {
            largest = if *weight > largest { *weight } else { largest };
        }
        for weight in &mut weights {
            *weight = exp(*weight - largest);
        }
        let mut lanes = [0f32; 16];
        for j in 0..16 {
            lanes[j] = weights[j] + weights[j + 16];
        }
        let sum = sum_lanes(lanes);

        let padded = state.len() - 2;
        let (total, rest) = state.split_at_mut(padded);
        let maximum = if rest[0] > largest { rest[0] } else { largest };
        let (before, now) = (exp(rest[0] - maximum), exp(largest - maximum));
        rest[0] = maximum;
        rest[1] = sum.mul_add(now, rest[1] * before);
        let weights = &weights[..visible];
        if padded.is_multiple_of(64) {
            merge_values::<64>(weights, values, (before, now), total);
        } else {
            merge_values::<16>(weights, values, (before, now), total);
        }
    }
}

#[inline(always)]
fn merge_values<const WIDTH: usize>(
    weights: &[f32],
    values: &[f32],
    (before, now): (f32, f32),
    total: &mut [f32],
) {
    let padded = total.len();
    for (c, total) in total.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        let mut part = [0f32; WIDTH];
        for (j, weight) in weights.iter().enumerate() {
            let values = &values[j * padded + c * WIDTH..][..WIDTH];
            for i in 0..WIDTH {
                part[i] = values[i].mul_add(*weight, part[i]);
            }
        }
        for i in 0..WIDTH {
            total[i] = part[i].mul_add(now, total[i] * before);
        }
    }
}

/// A pointer that tasks share to write different rows and heads.
struct OutPointer(*mut f32);

// SAFETY: every task writes its own rows and heads only.
unsafe impl Sync for OutPointer {}

impl OutPointer {
    fn get(&self) -> *mut f32 {
        self.0
    }
}
