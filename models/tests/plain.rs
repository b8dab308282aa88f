//! The plain operations (any burn device) against the canonical ones, on burn's CPU back end.
//!
//! Tolerances: float weights 2e-4 of the logits' size (other order of sums); 8-bit inputs differ
//! from float inputs by their rounding, so quantised weights are held to 3e-2.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Shape, architectures, forward, random_model, rows, shards};
use swarmllm_models::{
    DeviceChoice, LogitsWanted, Model, RunProfile, Shard, ShardInput, ShardOptions, ShardOutput,
    backend::Engine, gguf::TensorType,
};

#[test]
fn plain_operations_compute_the_same_function() {
    for (kind, tolerance) in
        [(TensorType::F32, 2e-4), (TensorType::F16, 2e-4), (TensorType::Q8_0, 3e-2)]
    {
        compare(kind.name(), &random_model(&Shape::small(kind), 5), tolerance);
    }
}

#[test]
fn plain_operations_compute_every_architecture() {
    for variant in architectures::VARIANTS {
        let file = architectures::file(variant, TensorType::F16, 5);
        compare(variant, &Model::from_vec(file).unwrap(), 2e-4);
    }
}

fn compare(kind: &str, model: &Model, tolerance: f32) {
    let options = ShardOptions {
        profile: RunProfile::F32,
        kv_pages: 6,
        threads: 1,
        ..ShardOptions::default()
    };
    let batches = [
        (vec![(vec![3, 1], 0, 35), (vec![5], 0, 4)], (0..39).collect::<Vec<u32>>()),
        (vec![(vec![5], 4, 1), (vec![3, 1], 35, 2)], vec![7, 8, 9]),
    ];
    let mut canonical = shards(model, &[], &options);
    let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
    let mut plain = Shard::load_on(model, 0..3, &options, engine).unwrap();
    for (sequences, tokens) in batches {
        let batch: Vec<_> = sequences
            .iter()
            .map(|(pages, first, n)| rows(pages, *first, *n, LogitsWanted::All))
            .collect();
        let expected = forward(&mut canonical, &batch, tokens.clone());
        let output = plain.forward(&batch, ShardInput::Tokens(tokens)).unwrap();
        let ShardOutput::Logits(logits) = output else { panic!("logits were wanted") };
        let size = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
        let difference =
            (expected.iter().zip(&logits.values)).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(difference <= tolerance * size * 4.0, "{kind}: {difference} of {size}");
    }
}

#[test]
fn plain_shards_pass_rows_on() {
    let model = random_model(&Shape::small(TensorType::F16), 5);
    let options = ShardOptions { kv_pages: 2, threads: 1, ..ShardOptions::default() };
    let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
    let batch = [rows(&[1], 0, 3, LogitsWanted::Last)];
    let mut cut: Vec<Shard> = [0..1, 1..3]
        .map(|layers| Shard::load_on(&model, layers, &options, engine.clone()).unwrap())
        .into();
    let mut whole = [Shard::load_on(&model, 0..3, &options, engine).unwrap()];
    let tokens = vec![1, 2, 3];
    assert_eq!(
        forward(&mut cut, &batch, tokens.clone()),
        forward(&mut whole, &batch, tokens),
        "rounding at every border makes the cut invisible on every device"
    );
}
