//! State-space models (Mamba 1 and 2) made of random weights: one answer whatever the cut, chunks,
//! batch, threads, SIMD level and pages; states as prefixes; the plain operations; hostile files.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{
    Random, forward, rows, shards,
    state_space::{Draft, N_LAYERS, Sizes, VOCAB, all_sizes},
};
use swarmllm_models::{
    DeviceChoice, LogitsWanted, Model, Repack, RunProfile, SequenceRows, Shard, ShardError,
    ShardInput, ShardOptions, SimdLevel,
    backend::Engine,
    gguf::{MetadataValue, TensorType},
    kernel::cpu::Level,
};

fn model(sizes: Sizes) -> Model {
    Model::from_vec(Draft::new(sizes).bytes()).unwrap()
}

fn options() -> ShardOptions {
    ShardOptions { threads: 1, kv_pages: 12, ..ShardOptions::default() }
}

/// What is wrong with it.
fn error(draft: &Draft) -> String {
    match Model::from_vec(draft.bytes()) {
        Err(error) => error.to_string(),
        Ok(model) => Shard::load(&model, 0..N_LAYERS, &options()).unwrap_err().to_string(),
    }
}

fn tokens(n: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    (0..n).map(|_| random.below(VOCAB) as u32).collect()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// One sequence, in chunks.
struct Sequence {
    tokens: Vec<u32>,
    pages: Vec<u32>,
    chunk: usize,
    done: usize,
    logits: Vec<f32>,
}

/// Feeds all sequences, whose chunks share batches.
fn feed(shards: &mut [Shard], sequences: &mut [Sequence]) {
    loop {
        let (mut batch, mut input, mut sizes) = (Vec::<SequenceRows>::new(), Vec::new(), vec![]);
        for (i, s) in sequences.iter_mut().enumerate() {
            let n = s.chunk.min(s.tokens.len() - s.done);
            if n > 0 {
                batch.push(rows(&s.pages, s.done as u32, n as u32, LogitsWanted::All));
                input.extend(&s.tokens[s.done..s.done + n]);
                sizes.push((i, n * VOCAB));
                s.done += n;
            }
        }
        if batch.is_empty() {
            return;
        }
        let mut logits = &forward(shards, &batch, input)[..];
        for (i, n) in sizes {
            let (own, others) = logits.split_at(n);
            sequences[i].logits.extend(own);
            logits = others;
        }
    }
}

#[test]
fn every_way_gives_one_answer() {
    let levels: Vec<SimdLevel> =
        SimdLevel::ALL.into_iter().filter(|level| Level::resolve(*level).is_ok()).collect();
    for (which, sizes) in all_sizes().into_iter().enumerate() {
        let mut random = Random(which as u64);
        let model = model(sizes);
        let inputs = [tokens(75, 1), tokens(33, 2), tokens(9, 3)];
        let alone = inputs.clone().map(|tokens| {
            let options = ShardOptions { simd: SimdLevel::Scalar, ..options() };
            let batch = [rows(&[0, 1, 2], 0, tokens.len() as u32, LogitsWanted::All)];
            forward(&mut shards(&model, &[], &options), &batch, tokens)
        });
        assert!(alone.iter().flatten().all(|x| x.is_finite()), "logits are not finite");
        for round in 0..10 {
            let simd = levels[round % levels.len()];
            let threads = 1 + 2 * random.below(2);
            let cuts: Vec<u32> = (1..N_LAYERS).filter(|_| random.below(2) == 0).collect();
            let repack = [Repack::Always, Repack::Never][random.below(2)];
            let options = ShardOptions { simd, threads, repack, ..options() };
            let mut order: Vec<u32> = (0..12).collect();
            for i in (1..order.len()).rev() {
                order.swap(i, random.below(i + 1));
            }
            let mut sequences = [0, 1, 2].map(|i| Sequence {
                tokens: inputs[i].clone(),
                pages: order[i * 3..i * 3 + 3].to_vec(),
                chunk: [1, 2, 3, 31, 40, 75][random.below(6)],
                done: 0,
                logits: Vec::new(),
            });
            feed(&mut shards(&model, &cuts, &options), &mut sequences);
            for (s, expected) in sequences.iter().zip(&alone) {
                assert!(
                    bits(&s.logits) == bits(expected),
                    "sizes {which}: {simd:?}, {threads} threads, cuts {cuts:?}, {repack:?}, \
                     chunk {}, pages {:?}",
                    s.chunk,
                    s.pages
                );
            }
        }
    }
}

#[test]
fn full_pages_are_prefixes() {
    for sizes in all_sizes() {
        let model = model(sizes);
        let (prefix, tails) = (tokens(64, 5), [tokens(20, 6), tokens(7, 7)]);
        let alone = tails.clone().map(|tail| {
            let all = [prefix.clone(), tail].concat();
            let batch = [rows(&[0, 1, 2], 0, all.len() as u32, LogitsWanted::All)];
            forward(&mut shards(&model, &[], &options()), &batch, all)[64 * VOCAB..].to_vec()
        });
        let mut shards = shards(&model, &[1], &options());
        forward(&mut shards, &[rows(&[7, 4], 0, 64, LogitsWanted::Last)], prefix);
        // Both at once from the same pages, and the first once more in place of the second.
        let both = [
            rows(&[7, 4, 1], 64, 20, LogitsWanted::All),
            rows(&[7, 4, 2], 64, 7, LogitsWanted::All),
        ];
        let logits = forward(&mut shards, &both, tails.concat());
        assert_eq!(bits(&logits), bits(&alone.concat()));
        let again = [rows(&[7, 4, 2], 64, 20, LogitsWanted::All)];
        assert_eq!(bits(&forward(&mut shards, &again, tails[0].clone())), bits(&alone[0]));
    }
}

/// Positions that are refused, and that nothing changes by asking.
fn refuses(mut shard: Shard) {
    let input = |n: usize| ShardInput::Tokens(tokens(n, 8));
    let at = |pages: &[u32], first: u32| [rows(pages, first, 1, LogitsWanted::All)];
    shard.forward(&[rows(&[3, 1], 0, 40, LogitsWanted::Last)], input(40)).unwrap();
    for (pages, first) in [([3, 1], 39), ([3, 1], 41), ([3, 1], 31), ([1, 3], 32), ([2, 3], 5)] {
        match shard.forward(&at(&pages, first), input(1)) {
            Err(ShardError::Batch(why)) => {
                assert!(why.contains("go back to position"), "{why}");
            }
            other => panic!("position {first} on {pages:?} gave {other:?}"),
        }
    }
    let next = shard.forward(&at(&[3, 1], 40), input(1)).unwrap();
    assert!(shard.forward(&at(&[3, 1], 40), input(1)).is_err(), "position 40 was computed");
    shard
        .forward(&[rows(&[3, 1], 32, 8, LogitsWanted::Last)], {
            ShardInput::Tokens(tokens(40, 8)[32..].to_vec())
        })
        .unwrap();
    assert_eq!(shard.forward(&at(&[3, 1], 40), input(1)).unwrap(), next);
}

#[test]
fn a_rollback_inside_a_page_is_refused() {
    for sizes in all_sizes() {
        let model = model(sizes);
        refuses(Shard::load(&model, 0..N_LAYERS, &options()).unwrap());
        let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
        refuses(Shard::load_on(&model, 0..N_LAYERS, &options(), engine).unwrap());
    }
}

#[test]
fn plain_operations_compute_the_same_function() {
    for (which, sizes) in all_sizes().into_iter().enumerate() {
        // Float weights: only the order of sums differs. A recurrence makes much of the rounding
        // of 8-bit inputs, so quantised weights say little here.
        let model = model(Sizes { kind: TensorType::F16, ..sizes });
        let options = ShardOptions { profile: RunProfile::F32, ..options() };
        let mut canonical = shards(&model, &[], &options);
        let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
        let mut plain = [Shard::load_on(&model, 0..N_LAYERS, &options, engine).unwrap()];
        let all = || LogitsWanted::All;
        let batches = [
            vec![rows(&[3, 1], 0, 35, all()), rows(&[5], 0, 4, all())],
            vec![rows(&[5], 4, 1, all()), rows(&[3, 1], 35, 2, all())],
        ];
        for batch in batches {
            let n: u32 = batch.iter().map(|rows| rows.n_rows).sum();
            let expected = forward(&mut canonical, &batch, tokens(n as usize, 4));
            let logits = forward(&mut plain, &batch, tokens(n as usize, 4));
            let size = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
            let difference =
                expected.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(difference <= 1e-4 * size, "{which}: {difference} of {size}");
        }
    }
}

#[test]
fn hostile_metadata_is_named() {
    let number = MetadataValue::U32;
    let changes = [
        ("conv_kernel", number(0)),
        ("conv_kernel", number(1)),
        ("conv_kernel", number(u32::MAX)),
        ("inner_size", number(0)),
        ("inner_size", number(u32::MAX)),
        ("state_size", number(0)),
        ("state_size", number(u32::MAX)),
        ("time_step_rank", number(0)),
        ("time_step_rank", number(u32::MAX)),
        ("time_step_rank", number(7)),
        ("group_count", number(0)),
        ("group_count", number(5)),
        ("group_count", number(u32::MAX)),
        ("state_size", MetadataValue::String("many".into())),
    ];
    for (key, value) in changes {
        let key = format!("mamba2.ssm.{key}");
        let mut draft = Draft::new(all_sizes()[3]);
        draft.keys.retain(|(name, _)| *name != key);
        assert!(error(&draft).contains(&key), "missing: {}", error(&draft));
        draft.keys.push((key.clone(), value.clone()));
        assert!(error(&draft).contains(&key), "{value:?}: {}", error(&draft));
    }
    let mut draft = Draft::new(all_sizes()[0]);
    draft.keys.retain(|(name, _)| name != "mamba.ssm.dt_b_c_rms");
    assert!(Model::from_vec(draft.bytes()).is_ok(), "it may be absent");
    draft.keys.push(("mamba.ssm.dt_b_c_rms".into(), number(7)));
    assert!(error(&draft).contains("mamba.ssm.dt_b_c_rms"), "{}", error(&draft));
}

#[test]
fn hostile_tensors_are_named() {
    for sizes in [all_sizes()[0], all_sizes()[3]] {
        let names: Vec<String> = Draft::new(sizes).tensors.iter().map(|t| t.0.clone()).collect();
        for name in names.iter().filter(|name| name.starts_with("blk.1.")) {
            let mut draft = Draft::new(sizes);
            draft.tensors.retain(|tensor| tensor.0 != *name);
            assert!(error(&draft).contains(name), "missing: {}", error(&draft));

            let mut draft = Draft::new(sizes);
            let tensor = draft.tensors.iter_mut().find(|tensor| tensor.0 == *name).unwrap();
            let row = tensor.3.len() / tensor.1[1..].iter().product::<u64>() as usize;
            tensor.1.push(2);
            tensor.3.extend(tensor.3.clone());
            assert!(row > 0 && error(&draft).contains(name), "shape: {}", error(&draft));

            let mut draft = Draft::new(sizes);
            let tensor = draft.tensors.iter_mut().find(|tensor| tensor.0 == *name).unwrap();
            common::set_float(tensor.2, &mut tensor.3, 0, f32::NAN);
            if !name.ends_with("norm.weight") || name.ends_with("ssm_norm.weight") {
                assert!(error(&draft).contains(name), "not a number: {}", error(&draft));
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut random = Random(11);
    for sizes in [all_sizes()[1], all_sizes()[4]] {
        let file = Draft::new(sizes).bytes();
        for _ in 0..600 {
            let mut file = file.clone();
            for _ in 0..3 {
                file[random.below(3000)] ^= 1 << random.below(8);
            }
            if let Ok(model) = Model::from_vec(file) {
                let _ = Shard::load(&model, 0..1, &options());
            }
        }
    }
}

#[test]
fn too_many_pages_are_refused() {
    let huge = ShardOptions { kv_pages: u32::MAX, ..options() };
    let error = Shard::load(&model(all_sizes()[0]), 0..1, &huge).unwrap_err().to_string();
    assert!(error.contains("cache pages"), "{error}");
}
