//! The embedded models load, run and say what they are. Prints the decoding speed.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{forward, rows, shards};
use swarmllm_models::{LogitsWanted, Model, ShardOptions, sampler};

#[test]
fn embedded_models_run() {
    for name in Model::embedded_names() {
        let model = Model::embedded(name).unwrap().unwrap();
        let config = model.config();
        assert_eq!(config.architecture, "llama");
        assert_eq!(model.layer_bytes().len(), config.n_layers as usize);
        let options = ShardOptions { threads: 1, ..ShardOptions::default() };
        let mut whole = shards(&model, &[], &options);
        let mut cut = shards(&model, &(1..config.n_layers).collect::<Vec<_>>(), &options);
        let pages: Vec<u32> = (0..8).collect();
        let generate = |shards: &mut [swarmllm_models::Shard], steps: u32| {
            let prompt: Vec<u32> = (0..16).map(|i| 5 + i).collect();
            let batch = [rows(&pages, 0, 16, LogitsWanted::Last)];
            let mut logits = forward(shards, &batch, prompt);
            let mut ids = Vec::new();
            let started = std::time::Instant::now();
            for step in 0..steps {
                let greedy = Default::default();
                let id = sampler::sample(&logits, 16 + step, &greedy);
                ids.push(id);
                let batch = [rows(&pages, 16 + step, 1, LogitsWanted::Last)];
                logits = forward(shards, &batch, vec![id]);
            }
            (ids, f64::from(steps) / started.elapsed().as_secs_f64())
        };
        let (ids, speed) = generate(&mut whole, 200);
        let (cut_ids, cut_speed) = generate(&mut cut, 200);
        assert_eq!(ids, cut_ids, "cuts at every layer give the same tokens");
        eprintln!("{name}: {speed:.0} tok/s whole, {cut_speed:.0} tok/s cut, one thread");
    }
    assert!(Model::embedded("other").is_none());
}
