//! Plain attention: projections, biases, norms of heads, rotation, cache, softmax.
//!
//! Called by `blocks`, its cache and rotation by `latent` too.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::{PlainNorm, PlainOutput, linear, round, soft_cap, vector, weights};
use crate::{
    backend::{
        BlockError,
        parts::{AttentionParts, CacheParts},
    },
    gguf::Gguf,
    kernel::cpu::{
        attention::{AttentionShape, BatchPlan, SequencePlan},
        attention_rows::Rotation,
        cache_blocks,
        rope::Pairs,
    },
    kv::{KvType, PAGE_TOKENS},
};

/// Pre-norm attention.
#[derive(Debug)]
pub struct PlainAttention {
    norm: PlainNorm,
    query_key_value: Tensor<2>,
    bias: Option<Tensor<2>>,
    query_norm: Option<PlainNorm>,
    key_norm: Option<PlainNorm>,
    rotation: Rotation,
    output: PlainOutput,
    shape: AttentionShape,
    pages: PlainPages,
}

impl PlainAttention {
    pub(in crate::backend) fn load(
        gguf: &Gguf,
        parts: AttentionParts,
        device: &Device,
    ) -> Result<Self, BlockError> {
        let preparation = parts.preparation;
        let norm = |norm: &_| PlainNorm::new(norm, device);
        Ok(Self {
            norm: norm(&parts.norm),
            query_key_value: weights(gguf, &parts.query_key_value, device)?,
            bias: preparation.bias.map(|bias| vector(&bias, device)),
            query_norm: preparation.query_norm.as_ref().map(norm),
            key_norm: preparation.key_norm.as_ref().map(norm),
            rotation: preparation.rotation,
            output: PlainOutput::load(gguf, &parts.output, device)?,
            shape: parts.shape,
            pages: PlainPages::new(&parts.cache, (&parts.shape, false), device),
        })
    }

    pub(in crate::backend) fn forward(&mut self, x: Tensor<2>, plan: &BatchPlan) -> Tensor<2> {
        let AttentionShape { n_heads, n_kv_heads, key_dim, value_dim, .. } = self.shape;
        let mut qkv = linear(self.norm.forward(x.clone()), &self.query_key_value);
        if let Some(bias) = &self.bias {
            qkv = qkv + bias.clone();
        }
        let rows = plan.n_rows;
        let part = |start: usize, heads: usize, dim: usize| {
            qkv.clone().narrow(1, start, heads * dim).reshape([rows, heads, dim])
        };
        let queries = part(0, n_heads, key_dim);
        let keys = part(n_heads * key_dim, n_kv_heads, key_dim);
        let values = part((n_heads + n_kv_heads) * key_dim, n_kv_heads, value_dim);
        let queries = rotate(norm_heads(queries, self.query_norm.as_ref()), plan, self.rotation);
        let keys = rotate(norm_heads(keys, self.key_norm.as_ref()), plan, self.rotation);
        let attended = self.pages.attention((&self.shape, plan), queries, (keys, Some(values)));
        self.output.add(x, attended, false)
    }

    pub(in crate::backend) fn copy_page(&mut self, from: u32, to: u32) {
        self.pages.copy_page(from, to);
    }
}

fn norm_heads(x: Tensor<3>, norm: Option<&PlainNorm>) -> Tensor<3> {
    let Some(norm) = norm else { return x };
    let [rows, heads, dim] = x.dims();
    norm.forward(x.reshape([rows * heads, dim])).reshape([rows, heads, dim])
}

/// Turns the leading values of heads, `[rows, heads, head_dim]`.
pub(super) fn rotate(x: Tensor<3>, plan: &BatchPlan, rotation: Rotation) -> Tensor<3> {
    let [rows, heads, dim] = x.dims();
    let table = &plan.rotations[rotation.table];
    let pairs = table.len() / rows / 2;
    let data = TensorData::new(table.clone(), [rows, 1, 2, pairs]);
    let table = Tensor::<4>::from_data(data, &x.device());
    // Pairs side by side, `[rows, heads, pairs, 1]`, whichever way they lie.
    let angle = |i: usize| table.clone().narrow(2, i, 1).reshape([rows, 1, pairs, 1]);
    let (cosine, sine) = (angle(0), angle(1));
    let turned = x.clone().narrow(2, 0, 2 * pairs);
    let turned = match rotation.pairs {
        Pairs::Neighbours => turned.reshape([rows, heads, pairs, 2]),
        Pairs::Halves => turned.reshape([rows, heads, 2, pairs]).swap_dims(2, 3),
    };
    let (even, odd) = (turned.clone().narrow(3, 0, 1), turned.narrow(3, 1, 1));
    let first = even.clone() * cosine.clone() - odd.clone() * sine.clone();
    let second = even * sine + odd * cosine;
    let turned = Tensor::cat(vec![first, second], 3);
    let turned = match rotation.pairs {
        Pairs::Neighbours => turned,
        Pairs::Halves => turned.swap_dims(2, 3),
    };
    let turned = turned.reshape([rows, heads, 2 * pairs]);
    if 2 * pairs == dim {
        return turned;
    }
    Tensor::cat(vec![turned, x.narrow(2, 2 * pairs, dim - 2 * pairs)], 2)
}

/// Writes some slots. The cache has one owner meanwhile, so a device can do it in place.
fn put(cache: &mut Tensor<3>, slots: Range<usize>, part: Tensor<3>) {
    let whole = std::mem::replace(cache, part.clone());
    *cache = whole.slice_assign([slots], part);
}

/// Keys and values of one layer, `[n_pages * PAGE_TOKENS, n_kv_heads, head_dim]` each.
#[derive(Debug)]
pub(super) struct PlainPages {
    keys: Tensor<3>,
    /// Absent where they are the keys' first numbers.
    values: Option<Tensor<3>>,
    kind: KvType,
    device: Device,
}

impl PlainPages {
    /// Empty pages of a layer, which may be latent.
    pub(super) fn new(
        cache: &CacheParts,
        (shape, is_latent): (&AttentionShape, bool),
        device: &Device,
    ) -> Self {
        // The device's own tensors: the arena only counts them.
        cache.arena.reserve(CacheParts::shape(shape, is_latent).page_bytes(KvType::F32));
        let slots = cache.arena.n_pages() as usize * PAGE_TOKENS as usize;
        let empty = |dim: usize| Tensor::zeros([slots, shape.n_kv_heads, dim], device);
        let keys = empty(shape.key_dim);
        let values = (!is_latent).then(|| empty(shape.value_dim));
        Self { keys, values, kind: cache.kind, device: device.clone() }
    }

    /// Appends and attends, sequence by sequence; all are `[rows, heads, head_dim]`. Without values
    /// they are the keys' first numbers.
    pub(super) fn attention(
        &mut self,
        (shape, plan): (&AttentionShape, &BatchPlan),
        queries: Tensor<3>,
        (keys, values): (Tensor<3>, Option<Tensor<3>>),
    ) -> Tensor<2> {
        let keys = self.rounded(keys);
        let values = values.map(|values| self.rounded(values));
        let mut results = Vec::with_capacity(plan.sequences.len());
        for sequence in &plan.sequences {
            let rows = sequence.first_row..sequence.first_row + sequence.n_rows;
            self.append(sequence, (keys.clone(), values.clone()));
            let queries = queries.clone().slice([rows]);
            results.push(self.attend(shape, sequence, queries));
        }
        Tensor::cat(results, 0)
    }

    /// To what the cache's type keeps of them.
    fn rounded(&self, x: Tensor<3>) -> Tensor<3> {
        match self.kind {
            KvType::F32 => x,
            KvType::F16 => round(x, &self.device),
            KvType::Q8_0 => {
                let shape = x.dims();
                let mut values = x.into_data().try_to_vec::<f32>().expect("activations are f32");
                cache_blocks::round(&mut values, shape[2]);
                Tensor::from_data(TensorData::new(values, shape), &self.device)
            }
        }
    }

    fn append(&mut self, sequence: &SequencePlan, (keys, values): (Tensor<3>, Option<Tensor<3>>)) {
        let tokens = PAGE_TOKENS as usize;
        let mut row = 0;
        while row < sequence.n_rows {
            let position = sequence.first_position as usize + row;
            let n = (tokens - position % tokens).min(sequence.n_rows - row);
            let slot = sequence.pages[position / tokens] as usize * tokens + position % tokens;
            let from = sequence.first_row + row;
            let (to, from) = (slot..slot + n, from..from + n);
            put(&mut self.keys, to.clone(), keys.clone().slice([from.clone()]));
            if let (Some(cache), Some(values)) = (&mut self.values, &values) {
                put(cache, to, values.clone().slice([from]));
            }
            row += n;
        }
    }

    /// Copies a page over another.
    pub(super) fn copy_page(&mut self, from: u32, to: u32) {
        let slots = |page: u32| {
            let first = page as usize * PAGE_TOKENS as usize;
            first..first + PAGE_TOKENS as usize
        };
        for cache in std::iter::once(&mut self.keys).chain(&mut self.values) {
            let page = cache.clone().slice([slots(from)]);
            put(cache, slots(to), page);
        }
    }

    fn attend(
        &self,
        shape: &AttentionShape,
        sequence: &SequencePlan,
        queries: Tensor<3>,
    ) -> Tensor<2> {
        let AttentionShape { n_kv_heads, key_dim, value_dim, .. } = *shape;
        let group = shape.n_heads / n_kv_heads;
        let (rows, first) = (sequence.n_rows, sequence.first_position as usize);
        let length = first + rows;
        let tokens = PAGE_TOKENS as usize;
        let slots: Vec<i32> = (0..length)
            .map(|p| (sequence.pages[p / tokens] as usize * tokens + p % tokens) as i32)
            .collect();
        let slots = Tensor::<1, Int>::from_data(TensorData::new(slots, [length]), &self.device);
        let gathered = |from: &Tensor<3>| from.clone().select(0, slots.clone()).swap_dims(0, 1);
        let queries = queries.reshape([rows, n_kv_heads, group, key_dim]).swap_dims(0, 1);
        let queries = queries.reshape([n_kv_heads, rows * group, key_dim]);
        let scores = queries.matmul(gathered(&self.keys).swap_dims(1, 2)) * shape.scale;
        let scores = soft_cap(scores, shape.soft_cap);
        let mask: Vec<f32> = (0..rows * group)
            .flat_map(|i| {
                let last = first + i / group;
                let from = shape.window.map_or(0, |window| (last + 1).saturating_sub(window));
                (0..length).map(move |p| if (from..=last).contains(&p) { 0.0 } else { -1e30 })
            })
            .collect();
        let mask = TensorData::new(mask, [1, rows * group, length]);
        let scores = scores + Tensor::<3>::from_data(mask, &self.device);
        let values = match &self.values {
            Some(values) => gathered(values),
            None => gathered(&self.keys).narrow(2, 0, value_dim),
        };
        activation::softmax(scores, 2)
            .matmul(values)
            .reshape([n_kv_heads, rows, group, value_dim])
            .swap_dims(0, 1)
            .reshape([rows, shape.n_heads * value_dim])
    }
}
