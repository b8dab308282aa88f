//! What a cache of 8 bits costs: its logits against those of a cache of floats, on the embedded
//! models reading English, and on random models of other layouts; and what it saves.
//!
//! Measured over 62 positions, against f32 (mean and largest divergence in nats, largest difference
//! of a logit; even f16 moves some of the 8-bit inputs of layers to their neighbours):
//!
//! ```text
//!             f16                    q8_0
//! demo        1.2e-3, 1.2e-2, 0.49   2.8e-3, 2.1e-2, 0.76
//! demo-draft  1.0e-3, 9.0e-3, 0.29   2.2e-3, 2.5e-2, 0.46
//! ```
//!
//! Random models of other layouts: less than 3 hundredths of the logits' size.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{
    Random, architectures, forward, rows, shards,
    state_space::{Draft, all_sizes},
};
use swarmllm_models::{
    DeviceChoice, EncodeOptions, KvType, LogitsWanted, Model, RunProfile, Shard, ShardOptions,
    backend::Engine, gguf::TensorType,
};

const TEXT: &str = "A swarm is a group of computers that run one model together. Each peer \
     holds some layers of it, and rows of numbers travel from peer to peer until the last one \
     chooses a token. Nobody has to hold all of the model, and the answer is the same wherever \
     it is computed.";

fn options(kv: KvType) -> ShardOptions {
    ShardOptions { kv, threads: 1, kv_pages: 8, ..ShardOptions::default() }
}

/// The logits of all positions, the last of them token by token.
fn read(mut shards: Vec<Shard>, tokens: &[u32]) -> Vec<f32> {
    let (head, tail) = tokens.split_at(tokens.len() - 8);
    let pages: Vec<u32> = (0..8).collect();
    let batch = [rows(&pages, 0, head.len() as u32, LogitsWanted::All)];
    let mut logits = forward(&mut shards, &batch, head.to_vec());
    for (position, token) in (head.len() as u32..).zip(tail) {
        let batch = [rows(&pages, position, 1, LogitsWanted::All)];
        logits.extend(forward(&mut shards, &batch, vec![*token]));
    }
    logits
}

/// Per position: the divergence from the first distribution to the second, in nats.
fn divergences(logits: &[f32], others: &[f32], vocab: usize) -> Vec<f64> {
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - largest).exp()).sum();
        row.iter().map(|x| f64::from(x - largest) - sum.ln()).collect()
    };
    let rows = logits.chunks_exact(vocab).zip(others.chunks_exact(vocab));
    rows.map(|(p, q)| {
        let (p, q) = (log_softmax(p), log_softmax(q));
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
    })
    .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_embedded_models_read_english_as_well() {
    for name in Model::embedded_names() {
        let model = Model::embedded(name).unwrap().unwrap();
        let vocab = model.config().vocab as usize;
        let tokens = model.tokenizer().unwrap().encode(TEXT, EncodeOptions::default());
        let [exact, half, quantised] = [KvType::F32, KvType::F16, KvType::Q8_0]
            .map(|kv| read(shards(&model, &[], &options(kv)), &tokens));
        for (kv, logits, bounds) in
            [("f16", &half, (3e-3, 3e-2, 0.8)), ("q8_0", &quantised, (6e-3, 6e-2, 1.2))]
        {
            let divergences = divergences(&exact, logits, vocab);
            let mean = divergences.iter().sum::<f64>() / divergences.len() as f64;
            let largest = divergences.iter().copied().fold(0.0, f64::max);
            let difference = largest_difference(&exact, logits);
            eprintln!("{name}, {kv}: {mean:.1e}, {largest:.1e}, {difference:.2}");
            assert!(difference > 0.0, "{name}: {kv} is another type than f32");
            assert!((mean < bounds.0) && (largest < bounds.1) && (difference < bounds.2), "{name}");
        }
    }
}

#[test]
fn other_layouts_are_as_close() {
    for variant in architectures::VARIANTS {
        let model = Model::from_vec(architectures::file(variant, TensorType::F16, 5)).unwrap();
        let mut random = Random(9);
        let vocab = model.config().vocab as usize;
        let tokens: Vec<u32> = (0..90).map(|_| random.below(vocab) as u32).collect();
        let options = |kv| ShardOptions { profile: RunProfile::F32, ..options(kv) };
        let exact = read(shards(&model, &[], &options(KvType::F32)), &tokens);
        let quantised = read(shards(&model, &[], &options(KvType::Q8_0)), &tokens);
        let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
        let layers = 0..model.config().n_layers;
        let plain = Shard::load_on(&model, layers, &options(KvType::Q8_0), engine).unwrap();
        let plain = read(vec![plain], &tokens);
        let size = (exact.iter().map(|x| x * x).sum::<f32>() / exact.len() as f32).sqrt();
        // The median: in some rows another expert is chosen, which changes much.
        let median = |others: &[f32]| {
            let rows = others.chunks_exact(vocab).zip(quantised.chunks_exact(vocab));
            let mut all: Vec<f32> = rows.map(|(a, b)| largest_difference(a, b) / size).collect();
            all.sort_by(f32::total_cmp);
            all[all.len() / 2]
        };
        let (cost, engines) = (median(&exact), median(&plain));
        assert!(cost > 1e-4 && cost < 0.03, "{variant}: {cost} of the logits' size");
        // The same rounding in both engines: what is left are values at the edge of a step.
        assert!(engines < cost / 2.0, "{variant}: {engines} between engines, {cost} from f32");
    }
}

#[test]
fn pages_are_as_large_as_was_said_before_loading() {
    let variant = |name: &&str| architectures::file(name, TensorType::F16, 5);
    let mamba = all_sizes().map(|sizes| Draft::new(sizes).bytes());
    for file in architectures::VARIANTS.iter().map(variant).chain(mamba) {
        let model = Model::from_vec(file).unwrap();
        for kv in KvType::ALL {
            let shard = Shard::load(&model, 1..2, &options(kv)).unwrap();
            assert_eq!(shard.page_bytes(), model.page_bytes(1..2, kv));
            assert!(shard.page_bytes() > 0);
        }
    }
}

#[test]
fn a_page_is_little_more_than_half_as_large() {
    let model = Model::embedded("demo").unwrap().unwrap();
    let [half, quantised] = [KvType::F16, KvType::Q8_0]
        .map(|kv| Shard::load(&model, 0..1, &options(kv)).unwrap().page_bytes());
    // 32 bytes and a scale of 2 instead of 64.
    assert_eq!(quantised * 32, half * 17);
}
