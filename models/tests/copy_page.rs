//! A copied page is as good as the page: sequences that share a prompt go on from copies of its
//! last page, each as if it were alone.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{
    Random, Shape, architectures, forward, random_model, rows,
    state_space::{Draft, all_sizes},
};
use proptest::prelude::*;
use swarmllm_models::{
    DeviceChoice, KvType, LogitsWanted, Model, Shard, ShardError, ShardOptions, backend::Engine,
    gguf::TensorType,
};

const N_PAGES: u32 = 12;

fn options() -> ShardOptions {
    ShardOptions { threads: 1, kv_pages: N_PAGES, ..ShardOptions::default() }
}

/// Grouped heads, latent vectors, windows and both recurrences.
fn models() -> Vec<Model> {
    let variant = |name| architectures::file(name, TensorType::F16, 3);
    let mut models = vec![random_model(&Shape::small(TensorType::Q8_0), 3)];
    models.extend(["deepseek2", "gemma2"].map(|name| Model::from_vec(variant(name)).unwrap()));
    let mamba = [all_sizes()[0], all_sizes()[3]];
    models.extend(mamba.map(|sizes| Model::from_vec(Draft::new(sizes).bytes()).unwrap()));
    models
}

fn tokens(n: u32, vocab: u32, random: &mut Random) -> Vec<u32> {
    (0..n).map(|_| random.below(vocab as usize) as u32).collect()
}

/// The logits of the rows from position `first` on, read as one token and the rest.
fn go_on(shards: &mut [Shard], pages: &[u32], first: u32, tokens: &[u32]) -> Vec<u32> {
    let (one, rest) = tokens.split_at(1);
    let mut logits = forward(shards, &[rows(pages, first, 1, LogitsWanted::All)], one.to_vec());
    let many = [rows(pages, first + 1, rest.len() as u32, LogitsWanted::All)];
    logits.extend(forward(shards, &many, rest.to_vec()));
    logits.iter().map(|x| x.to_bits()).collect()
}

/// Computes a prompt of `n` tokens, copies its last page, and goes on from both: whichever goes
/// first, with other tokens, the second gets the logits that it gets without any copy.
fn check(load: impl Fn() -> Vec<Shard>, vocab: u32, n: u32, random: &mut Random) {
    let mut order: Vec<u32> = (0..N_PAGES).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    let (shared, own) = order.split_at(n.div_ceil(32) as usize);
    let (last, before) = shared.split_last().unwrap();
    // The tails cross into pages that nobody shares.
    let original = [shared, &own[..2]].concat();
    let copy = [before, &own[2..5]].concat();
    let [prompt, tail, other] = [n, 40, 40].map(|n| tokens(n, vocab, random));
    let read_prompt = || {
        let mut shards = load();
        forward(&mut shards, &[rows(shared, 0, n, LogitsWanted::None)], prompt.clone());
        shards
    };
    let expected = go_on(&mut read_prompt(), &original, n, &tail);
    for (first, second) in [(&original, &copy), (&copy, &original)] {
        let mut shards = read_prompt();
        for shard in &mut shards {
            shard.copy_page(*last, own[2]).unwrap();
        }
        assert_ne!(go_on(&mut shards, first, n, &other), expected, "other tokens");
        assert_eq!(go_on(&mut shards, second, n, &tail), expected, "{n} shared positions");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_copy_continues_as_the_page_does(n in 1u32..100, seed: u64, kv in 0usize..3) {
        let options = || ShardOptions { kv: KvType::ALL[kv], ..options() };
        for model in models() {
            let (n_layers, vocab) = (model.config().n_layers, model.config().vocab);
            check(|| common::shards(&model, &[1], &options()), vocab, n, &mut Random(seed));
            let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
            let plain = || Shard::load_on(&model, 0..n_layers, &options(), engine.clone()).unwrap();
            check(|| vec![plain()], vocab, n, &mut Random(seed));
        }
    }
}

#[test]
fn a_page_that_does_not_exist_is_refused() {
    for model in models() {
        let mut shard = Shard::load(&model, 0..1, &options()).unwrap();
        assert!(shard.page_bytes() > 0 && shard.page_bytes().is_multiple_of(64));
        shard.copy_page(3, 3).unwrap();
        for (from, to) in [(N_PAGES, 0), (0, N_PAGES), (u32::MAX, 1)] {
            match shard.copy_page(from, to) {
                Err(ShardError::Page { page, n_pages: N_PAGES }) => assert!(page >= N_PAGES),
                other => panic!("{from} to {to} gave {other:?}"),
            }
        }
    }
}
