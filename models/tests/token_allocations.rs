//! Memory that is asked for while a token is decoded, counted over the whole engine.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod allocations;
mod common;

use allocations::CountingAllocator;
use common::{Shape, random_model, rows, shards};
use swarmllm_models::{LogitsWanted, ShardInput, ShardOptions, ShardOutput, gguf::TensorType};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// How often decoding one token asks for memory, once all buffers have grown.
fn per_token(kind: TensorType, n_layers: usize, threads: usize, first: u32) -> usize {
    let shape = Shape { n_layers, hidden: 256, ..Shape::small(kind) };
    let options = ShardOptions { threads, kv_pages: 40, ..ShardOptions::default() };
    let mut shard = shards(&random_model(&shape, 7), &[], &options).remove(0);
    let pages: Vec<u32> = (0..40).collect();
    let mut decode = |position: u32| {
        let batch = [rows(&pages, position, 1, LogitsWanted::Last)];
        let input = ShardInput::Tokens(vec![position % 70]);
        let before = ALLOCATOR.allocations();
        let output = shard.forward(&batch, input).unwrap();
        let counted = ALLOCATOR.allocations() - before;
        assert!(matches!(output, ShardOutput::Logits(logits) if logits.n_rows == 1));
        counted
    };
    for position in 0..first {
        decode(position);
    }
    // A thread that gets its first work late grows its buffers then.
    (first..first + 8).map(decode).min().unwrap()
}

/// What a token may ask for: its plan, its rotation, the logits, and the heads of the tensors that
/// hold the stream; no layer has a share in it.
const PER_TOKEN: usize = 24;

#[test]
fn a_decoded_token_asks_for_little_memory_and_a_layer_for_none() {
    for kind in [TensorType::Q4_K, TensorType::Q8_0] {
        // One thread and two; in the first span of attention and beyond it.
        for (threads, first) in [(1, 40), (2, 40), (1, 600), (2, 600)] {
            let counts = [2, 8].map(|n_layers| per_token(kind, n_layers, threads, first));
            let label = format!("{kind}, {threads} threads, from position {first}");
            assert!(counts[0] <= PER_TOKEN, "{label}: {counts:?}");
            assert_eq!(counts[0], counts[1], "{label}: 2 and 8 layers differ");
        }
    }
}
