//! NUMERICS.md as a test: the logits' bits depend on model and tokens, and on nothing else.
//!
//! Over (format or architecture x cut points x batch mix x chunk size x threads x SIMD level x page
//! layout x load mode), with the scalar reference, alone, in one piece and with one thread as the
//! answer. State-space models: `state_space.rs`.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Random, Shape, architectures, forward, random_model, rows, shards};
use swarmllm_models::{
    BorderType, HiddenRows, KvType, LogitsWanted, Model, Repack, RunProfile, ScoredTokens,
    SequenceRows, Shard, ShardInput, ShardOptions, ShardOutput, SimdLevel, gguf::TensorType,
    kernel::cpu::Level, quant, sampler::log_probabilities,
};

fn levels() -> Vec<SimdLevel> {
    SimdLevel::ALL.into_iter().filter(|level| Level::resolve(*level).is_ok()).collect()
}

fn options(simd: SimdLevel, threads: usize) -> ShardOptions {
    ShardOptions { simd, threads, kv_pages: 12, ..ShardOptions::default() }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn tokens(n: usize, vocab: usize, random: &mut Random) -> Vec<u32> {
    (0..n).map(|_| random.below(vocab) as u32).collect()
}

/// Feeds two sequences in chunks that share batches; gives each one's logits.
fn run_mixed(
    shards: &mut [Shard],
    sequences: &[Vec<u32>; 2],
    chunks: [usize; 2],
    pages: &[Vec<u32>; 2],
    vocab: usize,
) -> [Vec<f32>; 2] {
    let mut done = [0usize; 2];
    let mut logits = [Vec::new(), Vec::new()];
    while (0..2).any(|s| done[s] < sequences[s].len()) {
        let mut batch: Vec<SequenceRows> = Vec::new();
        let (mut input, mut owners) = (Vec::new(), Vec::new());
        for s in 0..2 {
            let n = chunks[s].min(sequences[s].len() - done[s]);
            if n > 0 {
                batch.push(rows(&pages[s], done[s] as u32, n as u32, LogitsWanted::All));
                input.extend(&sequences[s][done[s]..done[s] + n]);
                owners.push((s, n));
                done[s] += n;
            }
        }
        let mut out = &forward(shards, &batch, input)[..];
        for (s, n) in owners {
            logits[s].extend(&out[..n * vocab]);
            out = &out[n * vocab..];
        }
    }
    logits
}

fn check(kind: TensorType, profile: RunProfile, kv: KvType, rounds: usize) {
    let model = random_model(&Shape::small(kind), 7);
    check_model(kind.name(), &model, (profile, kv), rounds);
}

fn check_model(kind: &str, model: &Model, (profile, kv): (RunProfile, KvType), rounds: usize) {
    let mut random = Random(kind.bytes().map(u64::from).sum());
    let (vocab, n_layers) = (model.config().vocab as usize, model.config().n_layers);
    let sequences = [tokens(45, vocab, &mut random), tokens(9, vocab, &mut random)];
    let alone: [Vec<f32>; 2] = std::array::from_fn(|s| {
        let options = ShardOptions { profile, kv, ..options(SimdLevel::Scalar, 1) };
        let batch = [rows(&[0, 1], 0, sequences[s].len() as u32, LogitsWanted::All)];
        forward(&mut shards(model, &[], &options), &batch, sequences[s].clone())
    });
    assert!(alone.iter().flatten().all(|x| x.is_finite()), "{kind}: logits are not finite");
    let levels = levels();
    for round in 0..rounds {
        let level = levels[round % levels.len()];
        let threads = 1 + 2 * random.below(2);
        let cuts: Vec<u32> = (1..n_layers).filter(|_| random.below(2) == 0).collect();
        let chunks = [[1, 3, 16, 45][random.below(4)], [1, 2, 9][random.below(3)]];
        let mut order: Vec<u32> = (0..12).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
        let pages = [order[..2].to_vec(), order[2..4].to_vec()];
        let repack = [Repack::Always, Repack::Never][random.below(2)];
        let options = ShardOptions { profile, kv, repack, ..options(level, threads) };
        let mut shards = shards(model, &cuts, &options);
        let mixed = run_mixed(&mut shards, &sequences, chunks, &pages, vocab);
        for s in 0..2 {
            assert!(
                bits(&mixed[s]) == bits(&alone[s]),
                "{kind}: sequence {s} differs: {level:?}, {threads} threads, cuts {cuts:?}, \
                 chunks {chunks:?}, pages {pages:?}, {repack:?}"
            );
        }
    }
}

#[test]
fn every_format_gives_one_answer() {
    for format in quant::all() {
        check(format.tensor_type(), RunProfile::F16, KvType::F16, 9);
    }
}

#[test]
fn every_architecture_gives_one_answer() {
    for variant in architectures::VARIANTS {
        for kind in [TensorType::Q8_0, TensorType::F16] {
            let model = Model::from_vec(architectures::file(variant, kind, 7)).unwrap();
            check_model(variant, &model, (RunProfile::F16, KvType::F16), 6);
        }
        let model = Model::from_vec(architectures::file(variant, TensorType::Q5_0, 8)).unwrap();
        check_model(variant, &model, (RunProfile::F32, KvType::F32), 3);
        check_model(variant, &model, (RunProfile::F16, KvType::Q8_0), 3);
    }
}

#[test]
fn the_reference_profile_gives_one_answer() {
    check(TensorType::Q8_0, RunProfile::F32, KvType::F32, 6);
    check(TensorType::Q4_K, RunProfile::F32, KvType::F32, 6);
}

#[test]
fn rounding_at_borders_does_something() {
    let shape = Shape::small(TensorType::Q8_0);
    let model = random_model(&shape, 7);
    let run = |profile| {
        let options = ShardOptions { profile, ..options(SimdLevel::Auto, 1) };
        let batch = [rows(&[0], 0, 3, LogitsWanted::All)];
        forward(&mut shards(&model, &[], &options), &batch, vec![1, 2, 3])
    };
    assert_ne!(bits(&run(RunProfile::F32)), bits(&run(RunProfile::F16)));
}

/// A batch of 1 to 32 sequences of ragged lengths: prompts, then one token each, at every level.
#[test]
fn a_batch_of_many_gives_each_its_own_answer() {
    let mut random = Random(23);
    for kind in [TensorType::Q4_K, TensorType::Q8_0, TensorType::F16] {
        let shape = Shape::small(kind);
        let model = random_model(&shape, 7);
        for (round, n) in [1usize, 2, 5, 8, 17, 32].into_iter().enumerate() {
            let lengths: Vec<usize> = (0..n).map(|_| 1 + random.below(40)).collect();
            let texts: Vec<_> =
                lengths.iter().map(|l| tokens(l + 1, shape.vocab, &mut random)).collect();
            let level = levels()[round % levels().len()];
            let pages = |s: usize| [2 * s as u32, 2 * s as u32 + 1];
            let options = ShardOptions { kv_pages: 64, ..options(level, 1 + round % 3) };
            let mut many = shards(&model, &[1], &options);
            let batch: Vec<_> =
                (0..n).map(|s| rows(&pages(s), 0, lengths[s] as u32, LogitsWanted::None)).collect();
            let input = (0..n).flat_map(|s| texts[s][..lengths[s]].to_vec()).collect();
            forward(&mut many, &batch, input);
            let batch: Vec<_> =
                (0..n).map(|s| rows(&pages(s), lengths[s] as u32, 1, LogitsWanted::Last)).collect();
            let together =
                forward(&mut many, &batch, (0..n).map(|s| texts[s][lengths[s]]).collect());
            for s in 0..n {
                let mut alone = shards(&model, &[], &options);
                let batch = [rows(&[0, 1], 0, lengths[s] as u32 + 1, LogitsWanted::Last)];
                let alone = forward(&mut alone, &batch, texts[s].clone());
                let own = &together[s * shape.vocab..(s + 1) * shape.vocab];
                assert_eq!(bits(own), bits(&alone), "{kind}, sequence {s} of {n}, {level:?}");
            }
        }
    }
}

/// Contexts of more than one span of attention, read in one piece, in chunks and token by token.
#[test]
fn a_long_context_gives_one_answer() {
    // Heads of 24 values, which are widened first, and of 64, which few queries read as f16.
    for (kind, kv) in [
        (TensorType::Q8_0, KvType::F16),
        (TensorType::Q4_K, KvType::F16),
        (TensorType::Q8_0, KvType::Q8_0),
    ] {
        long_context(kind.name(), &random_model(&Shape::small(kind), 7), kv);
    }
    // Windows that end inside of a tile, of a span, and latent vectors.
    for variant in ["gemma2", "llama wide", "deepseek2"] {
        let file = architectures::file(variant, TensorType::F16, 7);
        long_context(variant, &Model::from_vec(file).unwrap(), KvType::F16);
    }
}

fn long_context(kind: &str, model: &Model, kv: KvType) {
    let mut random = Random(29);
    let text = tokens(1100, model.config().vocab as usize, &mut random);
    let pages: Vec<u32> = (0..35).collect();
    let read = |level, threads, chunk: usize| {
        let options = ShardOptions { kv, kv_pages: 35, ..options(level, threads) };
        let mut shards = shards(model, &[], &options);
        let mut last = Vec::new();
        // The end token by token, as an answer grows.
        let (head, tail) = text.split_at(1080);
        let parts = head.chunks(chunk).chain(tail.chunks(1));
        let mut first = 0;
        for part in parts {
            let batch = [rows(&pages, first, part.len() as u32, LogitsWanted::Last)];
            last = forward(&mut shards, &batch, part.to_vec());
            first += part.len() as u32;
        }
        bits(&last)
    };
    let expected = read(SimdLevel::Portable, 1, 1080);
    for (round, level) in levels().into_iter().filter(|l| *l != SimdLevel::Scalar).enumerate() {
        for chunk in [512, 100, 3] {
            assert_eq!(
                read(level, 1 + round, chunk),
                expected,
                "{kind}, {kv}, {level:?}, chunks of {chunk}"
            );
        }
    }
}

#[test]
fn old_bytes_in_a_page_do_not_matter() {
    let shape = Shape::small(TensorType::F16);
    let model = random_model(&shape, 3);
    let mut used = shards(&model, &[], &options(SimdLevel::Auto, 1));
    forward(&mut used, &[rows(&[4, 2], 0, 40, LogitsWanted::Last)], vec![5; 40]);
    let batch = [rows(&[2, 4], 0, 33, LogitsWanted::All)];
    let again = forward(&mut used, &batch, (0..33).collect());
    let fresh = forward(&mut shards(&model, &[], &options(SimdLevel::Auto, 1)), &batch, {
        (0..33).collect()
    });
    assert_eq!(bits(&again), bits(&fresh));
}

#[test]
fn wanted_rows_have_the_same_bits_as_all_rows() {
    let shape = Shape::small(TensorType::Q8_0);
    let model = random_model(&shape, 3);
    let run = |wanted: [LogitsWanted; 3]| {
        let mut shards = shards(&model, &[1], &options(SimdLevel::Auto, 1));
        let batch: Vec<_> =
            (0..3).map(|s| rows(&[s], 0, s + 2, wanted[s as usize].clone())).collect();
        forward(&mut shards, &batch, (0..9).collect())
    };
    use LogitsWanted::{All, Last, None};
    let all = run([All, All, All]);
    let some = run([Last, None, All]);
    let row = |i: usize| &all[i * shape.vocab..(i + 1) * shape.vocab];
    let expected: Vec<f32> = [1, 5, 6, 7, 8].iter().flat_map(|i| row(*i)).copied().collect();
    assert_eq!(bits(&some), bits(&expected));
    assert!(run([None, None, None]).is_empty());
}

#[test]
fn tokens_are_scored_as_their_rows_logits_say() {
    let shape = Shape::small(TensorType::Q8_0);
    let model = random_model(&shape, 3);
    let fresh = || shards(&model, &[1], &options(SimdLevel::Auto, 1));
    let tokens: Vec<u32> = (0..40).map(|n| n * 7 % 23).collect();
    let all = forward(&mut fresh(), &[rows(&[0, 1], 0, 40, LogitsWanted::All)], tokens.clone());
    let logits = all.chunks_exact(shape.vocab).zip(&tokens[1..]);
    let expected: Vec<_> = logits.map(|(row, token)| log_probabilities(row, *token, 3)).collect();
    let of = ScoredTokens { tokens: tokens[1..].into(), n_top: 3 };
    let batch =
        [rows(&[2], 0, 3, LogitsWanted::Last), rows(&[0, 1], 0, 40, LogitsWanted::Scores(of))];
    let mut input = ShardInput::Tokens([&[1, 2, 3], &tokens[..]].concat());
    for shard in &mut fresh() {
        match shard.forward(&batch, input).expect("computed") {
            ShardOutput::Hidden(rows) => input = ShardInput::Hidden(rows),
            ShardOutput::Logits(logits) => {
                assert_eq!(logits.scores, expected);
                assert_eq!((logits.n_rows, logits.values.len()), (1, shape.vocab));
                let of = ScoredTokens { tokens: [1; 4].into(), n_top: 0 };
                let batch = [rows(&[3], 0, 3, LogitsWanted::Scores(of))];
                let input = ShardInput::Hidden(HiddenRows {
                    dtype: BorderType::F16,
                    n_rows: 3,
                    hidden: shape.hidden as u32,
                    bytes: vec![0; 6 * shape.hidden].into(),
                });
                assert!(shard.forward(&batch, input).is_err(), "more tokens than rows");
                return;
            }
        }
    }
    panic!("no logits");
}
