//! Causal grouped-query attention over pages, in fixed tiles with an online softmax.
//!
//! Called by `network` and `latent` once the rows' own keys and values are in the pages (see
//! `attention_rows`).
//!
//! Canonical (per row and query head): tiles of 32 positions from position 0 (see
//! `attention_tile`), merged in order within spans of 16 tiles; spans are merged in order. So a
//! long context can be split over threads at the borders of spans, and every tile and span merges
//! to the same bits wherever it was computed.
//!
//! Shapes: queries `[rows, n_heads * key_dim]`, rows at any distance; output
//! `[rows, n_heads * value_dim]`. Source: FlashAttention (arXiv 2205.14135), tiling only; sliding
//! windows as Mistral (arXiv 2310.06825).

use std::{cell::RefCell, ops::Range, sync::Arc};

use super::{
    Level, Pool,
    attention_tile::{self, Elements, TILE, Tile},
    shared::SharedMut,
};
use crate::kv::KvPages;

/// Tiles per span.
const SPAN_TILES: usize = 16;
/// Rows of one sequence that share the tiles brought to f32.
const ROWS_PER_TASK: usize = 16;
/// Up to this many rows, the spans of a sequence are tasks of their own.
const ROWS_TO_SPLIT: usize = 4;
/// From this many queries on, a tile is brought to f32 once for all of them.
const QUERIES_TO_WIDEN: usize = 16;
/// Multiply-adds below which attention stays on the calling thread.
const SERIAL_WORK: usize = 1 << 18;

/// One sequence's rows in a batch.
#[derive(Clone, Debug)]
pub struct SequencePlan {
    /// Its pages in order; there may be more than its positions need.
    pub pages: Arc<[u32]>,
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
    /// Rotation tables, each with one row per batch row, see `rope`.
    pub rotations: Vec<Vec<f32>>,
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
    /// Values of a key (and of a query) per head.
    pub key_dim: usize,
    /// Values of a value per head.
    pub value_dim: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// What scores are bounded to, softly.
    pub soft_cap: Option<f32>,
    /// How many positions, its own included, a row sees; all when there is no window.
    pub window: Option<usize>,
}

impl AttentionShape {
    /// Length of a row's queries.
    pub fn query_width(&self) -> usize {
        self.n_heads * self.key_dim
    }

    /// Length of a row's queries, keys and values side by side.
    pub fn qkv_width(&self) -> usize {
        self.query_width() + self.n_kv_heads * (self.key_dim + self.value_dim)
    }

    /// Length of an output row.
    pub fn out_width(&self) -> usize {
        self.n_heads * self.value_dim
    }

    fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Length of a state.
    fn state(&self) -> usize {
        self.value_dim.next_multiple_of(16) + 2
    }

    /// The first position that the row at this one sees.
    fn first_visible(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Memory that is kept between calls.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// What there is to do.
    tasks: Vec<Task>,
    /// States of tasks that do not see all spans.
    states: Vec<f32>,
}

/// Computes every row's result; see the top of the file. Query rows are `stride` apart.
pub fn attend(
    (shape, plan): (&AttentionShape, &BatchPlan),
    (queries, stride): (&[f32], usize),
    pages: &KvPages,
    (out, scratch): (&mut [f32], &mut AttentionScratch),
    (level, pool): (Level, &Pool),
) {
    assert!(queries.len() >= plan.n_rows * stride, "one query row per batch row");
    assert_eq!(out.len(), plan.n_rows * shape.out_width(), "one output row per batch row");
    let AttentionScratch { tasks, states } = scratch;
    let n_states = list_tasks(shape, plan, tasks);
    let work: usize = tasks.iter().map(Task::n_scores).sum();
    if states.len() < n_states * shape.state() {
        states.resize(n_states * shape.state(), 0.0);
    }
    let call = Call { shape, plan, queries, stride, pages, level };
    let shared = (SharedMut::new(out), SharedMut::new(states));
    let run = |i: usize| {
        TILES.with_borrow_mut(|tiles| {
            // SAFETY: every task writes its own rows and heads, or its own states.
            unsafe { call.run(&tasks[i], tiles, &shared) };
        });
    };
    if work * shape.group() * shape.key_dim * 2 < SERIAL_WORK {
        (0..tasks.len()).for_each(run);
    } else {
        pool.run(tasks.len(), &run);
    }
    call.merge(tasks, &shared);
}

/// Some rows of a sequence, one key-value head, some spans.
#[derive(Debug)]
struct Task {
    /// Which sequence of the batch.
    sequence: usize,
    rows: Range<usize>,
    kv_head: usize,
    spans: Range<usize>,
    /// Where its states go when it does not see all spans.
    states_at: Option<usize>,
    /// In the first of several tasks that share rows and head: how many they are.
    n_merged: usize,
}

impl Task {
    /// Query-key products of one head.
    fn n_scores(&self) -> usize {
        self.rows.len() * self.spans.len() * SPAN_TILES * TILE
    }
}

/// Lists the tasks of a batch; gives how many states they leave behind.
fn list_tasks(shape: &AttentionShape, plan: &BatchPlan, tasks: &mut Vec<Task>) -> usize {
    tasks.clear();
    let mut n_states = 0;
    for (index, sequence) in plan.sequences.iter().enumerate() {
        for first in (0..sequence.n_rows).step_by(ROWS_PER_TASK) {
            let rows = first..(first + ROWS_PER_TASK).min(sequence.n_rows);
            let first_position = sequence.first_position as usize;
            let n_spans = (first_position + rows.end).div_ceil(SPAN_TILES * TILE);
            let first_visible = shape.first_visible(first_position + rows.start);
            let first_span = first_visible / (SPAN_TILES * TILE);
            for kv_head in 0..shape.n_kv_heads {
                let task = |spans, states_at, n_merged| Task {
                    sequence: index,
                    rows: rows.clone(),
                    kv_head,
                    spans,
                    states_at,
                    n_merged,
                };
                if rows.len() > ROWS_TO_SPLIT || n_spans - first_span == 1 {
                    tasks.push(task(first_span..n_spans, None, 0));
                    continue;
                }
                for span in first_span..n_spans {
                    let n_merged = if span == first_span { n_spans - first_span } else { 0 };
                    tasks.push(task(span..span + 1, Some(n_states), n_merged));
                    n_states += rows.len() * shape.group();
                }
            }
        }
    }
    n_states
}

/// Memory of one thread's tasks, kept between calls.
#[derive(Default)]
struct Tiles {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Per row and head: merged spans, and the span at work.
    states: Vec<f32>,
    span: Vec<f32>,
}

thread_local! {
    static TILES: RefCell<Tiles> = RefCell::default();
}

fn clear_states(states: &mut Vec<f32>, n: usize, size: usize) {
    states.clear();
    states.resize(n * size, 0.0);
    for state in states.chunks_exact_mut(size) {
        state[size - 2] = f32::NEG_INFINITY;
    }
}

struct Call<'a> {
    shape: &'a AttentionShape,
    plan: &'a BatchPlan,
    queries: &'a [f32],
    stride: usize,
    pages: &'a KvPages,
    level: Level,
}

impl Call<'_> {
    unsafe fn run(
        &self,
        task: &Task,
        tiles: &mut Tiles,
        (out, states): &(SharedMut<'_, f32>, SharedMut<'_, f32>),
    ) {
        let (shape, size) = (self.shape, self.shape.state());
        let n_states = task.rows.len() * shape.group();
        tiles.keys.resize(shape.key_dim * TILE, 0.0);
        tiles.values.clear();
        tiles.values.resize((size - 2) * TILE, 0.0);
        for span in task.spans.clone() {
            clear_states(&mut tiles.span, n_states, size);
            self.span(task, span, tiles);
            if span == task.spans.start {
                // Not merged: a row that sees none of this span has no maximum yet.
                std::mem::swap(&mut tiles.states, &mut tiles.span);
            } else {
                attention_tile::merge_states(self.level, size, &mut tiles.states, &tiles.span);
            }
        }
        if let Some(at) = task.states_at {
            // SAFETY: the caller's promise.
            let to = unsafe { states.part(at * size..(at + n_states) * size) };
            to.copy_from_slice(&tiles.states);
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.write(task, &tiles.states, out) };
        }
    }

    /// All tiles of one span, for every row that sees them.
    fn span(&self, task: &Task, span: usize, tiles: &mut Tiles) {
        let (shape, size, group) = (self.shape, self.shape.state(), self.shape.group());
        let key_dim = shape.key_dim;
        let sequence = &self.plan.sequences[task.sequence];
        let first = sequence.first_position as usize;
        let end = (first + task.rows.end).div_ceil(TILE).min((span + 1) * SPAN_TILES);
        let start = shape.first_visible(first + task.rows.start) / TILE;
        for tile in start.max(span * SPAN_TILES)..end {
            let page = (sequence.pages[tile], task.kv_head);
            let next = (sequence.pages[(tile + 1).min(end - 1)], task.kv_head);
            let few = task.rows.len() * group < QUERIES_TO_WIDEN;
            let halves = self.pages.tile(page).filter(|_| few);
            if halves.is_none() {
                self.pages.load_tile(page, &mut tiles.keys, &mut tiles.values, self.level);
                self.pages.prefetch_tile(next);
            }
            let visible_to = |row: usize| {
                let from = shape.first_visible(first + row).saturating_sub(tile * TILE);
                [from, (first + row + 1).saturating_sub(tile * TILE).min(TILE)]
            };
            let mut row = task.rows.start;
            while row < task.rows.end {
                let visible = visible_to(row);
                // Rows that see all of the tile go together, others alone.
                let whole = (row..task.rows.end).take_while(|row| visible_to(*row) == [0, TILE]);
                let n = whole.count().max(1);
                if visible[0] < visible[1] {
                    let heads = |row: usize| {
                        let at = (sequence.first_row + row) * self.stride
                            + task.kv_head * group * key_dim;
                        self.queries[at..at + group * key_dim].chunks_exact(key_dim)
                    };
                    let mut queries = (row..row + n).flat_map(heads);
                    let elements = match halves {
                        Some([keys, values]) => Elements::F16(keys, values),
                        None => Elements::F32(&tiles.keys, &tiles.values),
                    };
                    let tile = Tile {
                        elements,
                        visible,
                        scale: shape.scale,
                        soft_cap: shape.soft_cap,
                        next: self.pages.addresses(next),
                    };
                    let at = (row - task.rows.start) * group * size;
                    let states = &mut tiles.span[at..at + n * group * size];
                    for states in states.chunks_mut(16 * size) {
                        let mut some: [&[f32]; 16] = [&[]; 16];
                        let n = states.len() / size;
                        some[..n].fill_with(|| queries.next().unwrap_or_default());
                        attention_tile::attend(self.level, &tile, &some[..n], states);
                    }
                }
                row += n;
            }
        }
    }

    /// Divides by the sums and writes the rows of a task.
    unsafe fn write(&self, task: &Task, states: &[f32], out: &SharedMut<'_, f32>) {
        let (shape, group) = (self.shape, self.shape.group());
        let first_row = self.plan.sequences[task.sequence].first_row;
        let mut states = states.chunks_exact(shape.state());
        for row in task.rows.clone() {
            for (head, state) in (0..group).zip(&mut states) {
                let at = (first_row + row) * shape.out_width()
                    + (task.kv_head * group + head) * shape.value_dim;
                let inverse = 1.0 / state[state.len() - 1];
                // SAFETY: the caller's promise.
                let out = unsafe { out.part(at..at + shape.value_dim) };
                for (out, value) in out.iter_mut().zip(state) {
                    *out = value * inverse;
                }
            }
        }
    }

    /// Merges the states of tasks that saw one span each, in order.
    fn merge(&self, tasks: &[Task], (out, states): &(SharedMut<'_, f32>, SharedMut<'_, f32>)) {
        let size = self.shape.state();
        for task in tasks {
            let Some(at) = task.states_at.filter(|_| task.n_merged > 0) else { continue };
            let n = task.rows.len() * self.shape.group();
            // SAFETY: the tasks are done, and this is the only user of these parts.
            unsafe {
                let merged = states.part(at * size..(at + n) * size);
                for span in 1..task.n_merged {
                    let from = at + span * n;
                    let from = states.part(from * size..(from + n) * size);
                    attention_tile::merge_states(self.level, size, merged, from);
                }
                self.write(task, merged, out);
            }
        }
    }
}
