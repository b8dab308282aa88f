//! How fast the CPU kernels are, each by itself, on all threads of the machine.
//!
//! Run by hand: `cargo bench -p swarmllm-models --bench kernels -- [PART OF A NAME ...]`.
//!
//! - `multiply`: quantised rows times a 4096 x 4096 matrix, every format. Bytes are those of the
//!   weights in a file, items are multiply-adds.
//! - `attention`: the last rows of 2048 positions, with the sizes of an 8-billion model's layer.
//!   Bytes are those of the keys and values that are read, items are multiply-adds.
//! - `quantise`: input rows in the forms that the formats want. Bytes and items are the f32 values.
//!
//! Every iteration takes the next of a set of equal weights (or layers) of [`SET_BYTES`] in all, so
//! that they come from memory and not from a cache. How it compares with others: see
//! `scripts/performance`.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails here says where")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use common::{Random, weights};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use swarmllm_models::{
    SimdLevel,
    gguf::{Gguf, GgufWriter, Source, TensorType},
    kernel::cpu::{
        Level, Pool,
        activation::{ActivationKind, Activations},
        attention::{AttentionScratch, AttentionShape, BatchPlan, SequencePlan, attend},
        linear::{self, Repack},
        network::CpuContext,
        schedule::Store,
    },
    kv::{KvArena, KvPages, KvShape, KvType, PAGE_TOKENS},
    quant,
};

/// Larger than the last-level cache.
const SET_BYTES: usize = 200_000_000;
/// Inputs of a matrix, and its outputs.
const WIDTH: usize = 4096;
/// Weight rows that are made up; a matrix repeats them.
const DISTINCT_ROWS: usize = 64;
const ROWS: [usize; 3] = [1, 8, 64];
const POSITIONS: usize = 2048;
const SHAPE: AttentionShape = AttentionShape {
    n_heads: 32,
    n_kv_heads: 8,
    key_dim: 128,
    value_dim: 128,
    scale: 0.088,
    soft_cap: None,
    window: None,
};

static CONTEXT: LazyLock<CpuContext> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let level = Level::resolve(SimdLevel::Auto).unwrap();
    CpuContext::new(level, Pool::new(threads).unwrap(), Repack::Always)
});

fn main() {
    divan::main();
}

/// One measurement: what (a format or a form of inputs) and how many input rows.
struct Case<T>(T, usize);

impl<T: fmt::Debug> fmt::Debug for Case<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {}", self.0, self.1)
    }
}

/// A tensor type that is written as its name.
#[derive(Clone, Copy)]
struct Named(TensorType);

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn cases<T: Copy>(kinds: impl IntoIterator<Item = T>) -> Vec<Case<T>> {
    kinds.into_iter().flat_map(|kind| ROWS.map(|rows| Case(kind, rows))).collect()
}

fn formats() -> Vec<Case<Named>> {
    cases(quant::all().iter().map(|format| Named(format.tensor_type())))
}

fn forms() -> Vec<Case<ActivationKind>> {
    cases([ActivationKind::Float, ActivationKind::Blocks32, ActivationKind::Blocks256])
}

fn random_rows(rows: usize, length: usize) -> Vec<f32> {
    let mut random = Random(rows as u64);
    (0..rows * length).map(|_| random.float()).collect()
}

#[divan::bench(args = formats(), max_time = 1)]
fn multiply(bencher: Bencher<'_, '_>, &Case(Named(kind), rows): &Case<Named>) {
    let bytes = weights(kind, DISTINCT_ROWS * WIDTH, 0.02, &mut Random(7));
    let bytes = bytes.repeat(WIDTH / DISTINCT_ROWS);
    let n_bytes = bytes.len();
    let mut writer = GgufWriter::new();
    writer.tensor("w", &[WIDTH as u64, WIDTH as u64], kind, bytes);
    let gguf = Gguf::read(Source::from_vec(writer.finish())).unwrap();
    let info = gguf.tensor("w").unwrap();
    let weight = |_| CONTEXT.weight(&gguf, info).unwrap();
    let weights: Vec<_> = (0..SET_BYTES.div_ceil(n_bytes)).map(weight).collect();
    let (pool, x) = (&CONTEXT.pool, random_rows(rows, WIDTH));
    let mut input = Activations::default();
    input.fill(&[weights[0].activation()], (&x, WIDTH), (CONTEXT.level, pool));
    let mut out = vec![0f32; rows * WIDTH];
    let mut set = weights.chunks_exact(1).cycle();
    bencher
        .counter(BytesCount::new(n_bytes))
        .counter(ItemsCount::new(rows * WIDTH * WIDTH))
        .bench_local(|| {
            let weight = set.next().unwrap();
            linear::multiply(weight, &input, (&mut out, WIDTH), Store::Set, pool);
            black_box(&out);
        });
}

#[divan::bench(args = ROWS, max_time = 1)]
fn attention(bencher: Bencher<'_, '_>, rows: usize) {
    let AttentionShape { n_kv_heads, key_dim, value_dim, .. } = SHAPE;
    let (n_pages, width) = ((POSITIONS as u32).div_ceil(PAGE_TOKENS), n_kv_heads * key_dim);
    let values = random_rows(POSITIONS, width);
    let shape = KvShape { n_kv_heads, key_dim, value_dim, is_latent: false };
    let n_bytes = 2 * 2 * POSITIONS * width;
    // The layers of one shard, which share its pages.
    let arena = Arc::new(KvArena::new(n_pages));
    let layer = |_| KvPages::new(&arena, KvType::F16, shape);
    let layers: Vec<KvPages> = (0..SET_BYTES.div_ceil(n_bytes)).map(layer).collect();
    arena.map().unwrap();
    for (position, row) in (0u32..).zip(values.chunks_exact(width)) {
        let (page, slot) = (position / PAGE_TOKENS, position % PAGE_TOKENS);
        for layer in &layers {
            // SAFETY: nobody else has these pages.
            unsafe { layer.append(page, slot as usize, row, row) };
        }
    }
    let first_position = (POSITIONS - rows) as u32;
    let sequence =
        SequencePlan { pages: (0..n_pages).collect(), first_position, first_row: 0, n_rows: rows };
    let plan = BatchPlan { sequences: vec![sequence], rotations: Vec::new(), n_rows: rows };
    let queries = random_rows(rows, SHAPE.query_width());
    let mut out = vec![0f32; rows * SHAPE.out_width()];
    let (mut scratch, mut set) = (AttentionScratch::default(), layers.iter().cycle());
    bencher
        .counter(BytesCount::new(n_bytes))
        .counter(ItemsCount::new(2 * rows * POSITIONS * SHAPE.out_width()))
        .bench_local(|| {
            let (pages, to) = (set.next().unwrap(), (&mut out[..], &mut scratch));
            let how = (CONTEXT.level, &CONTEXT.pool);
            attend((&SHAPE, &plan), (&queries, SHAPE.query_width()), pages, to, how);
            black_box(&out);
        });
}

#[divan::bench(args = forms())]
fn quantise(bencher: Bencher<'_, '_>, &Case(kind, rows): &Case<ActivationKind>) {
    let x = random_rows(rows, WIDTH);
    let mut input = Activations::default();
    bencher.counter(BytesCount::of_slice(&x)).counter(ItemsCount::new(x.len())).bench_local(|| {
        input.fill(&[kind], (black_box(&x), WIDTH), (CONTEXT.level, &CONTEXT.pool));
        black_box(&input);
    });
}
