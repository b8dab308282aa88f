//! What happens to the rows of queries, keys and values before attention: biases, norms of heads,
//! rotation, and keys and values appended to the pages.
//!
//! Called by `network` and `latent`. Rows are changed in place.
//! Shapes: rows `[queries | keys | values]` as [`AttentionShape`] says.

use super::{
    Level, Pool,
    activation::for_rows,
    attention::{AttentionShape, BatchPlan, SequencePlan},
    attention_tile::TILE,
    norm::Norm,
    rope::{self, Pairs},
    shared::SharedMut,
};
use crate::kv::KvPages;

/// Which rotation a layer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Which of the batch's tables.
    pub table: usize,
    /// Which values are turned together.
    pub pairs: Pairs,
}

/// How rows are made ready.
#[derive(Clone, Debug)]
pub struct RowPreparation {
    /// Added to each row.
    pub bias: Option<Vec<f32>>,
    /// Applied to each query head.
    pub query_norm: Option<Norm>,
    /// Applied to each key head.
    pub key_norm: Option<Norm>,
    /// How queries and keys turn.
    pub rotation: Rotation,
}

/// One row of a table, `table_row` of `n_rows`.
pub(super) fn table_row(table: &[f32], row: usize, n_rows: usize) -> &[f32] {
    let width = table.len() / n_rows.max(1);
    &table[row * width..(row + 1) * width]
}

/// Puts a row's keys and values into its page.
pub(super) fn append(
    sequence: &SequencePlan,
    row: usize,
    (keys, values): (&[f32], &[f32]),
    pages: &KvPages,
) {
    let position = sequence.first_position as usize + row;
    let page = sequence.pages[position / TILE];
    // SAFETY: `shard` checked that a page written here belongs to one sequence, and every position
    // of it is one call's.
    unsafe { pages.append(page, position % TILE, keys, values) };
}

/// Makes all rows ready; see the top of the file.
pub fn prepare(
    preparation: &RowPreparation,
    (shape, plan): (&AttentionShape, &BatchPlan),
    qkv: &mut [f32],
    pages: &KvPages,
    (level, pool): (Level, &Pool),
) {
    assert_eq!(qkv.len(), plan.n_rows * shape.qkv_width(), "one row per batch row");
    let Rotation { table, pairs } = preparation.rotation;
    let (table, width) = (&plan.rotations[table], shape.qkv_width());
    let shared = SharedMut::new(qkv);
    for sequence in &plan.sequences {
        for_rows(sequence.n_rows, pool, &|i| {
            let row = sequence.first_row + i;
            // SAFETY: every row is one call's.
            let qkv = unsafe { shared.part(row * width..(row + 1) * width) };
            if let Some(bias) = &preparation.bias {
                qkv.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
            let rotated_width = shape.query_width() + shape.n_kv_heads * shape.key_dim;
            let (rotated, values) = qkv.split_at_mut(rotated_width);
            let (queries, keys) = rotated.split_at_mut(shape.query_width());
            norm_heads(preparation.query_norm.as_ref(), queries, level);
            norm_heads(preparation.key_norm.as_ref(), keys, level);
            let turned = table_row(table, row, plan.n_rows);
            rope::rotate_heads(level, rotated, shape.key_dim, pairs, turned);
            append(sequence, i, (&rotated[shape.query_width()..], values), pages);
        });
    }
}

/// Normalises heads in place.
fn norm_heads(norm: Option<&Norm>, heads: &mut [f32], level: Level) {
    let Some(norm) = norm else { return };
    HEAD.with_borrow_mut(|from| {
        for head in heads.chunks_exact_mut(norm.gain.len()) {
            from.clear();
            from.extend_from_slice(head);
            norm.apply(level, from, head);
        }
    });
}

thread_local! {
    static HEAD: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}
