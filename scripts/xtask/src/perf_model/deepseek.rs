//! The shapes of DeepSeek-V3 (671 billion weights): metadata and tensors.
//!
//! Called by `perf_model`. Source: arXiv 2412.19437 and the configuration published with it; names
//! and mix of formats as llama.cpp's converter and `llama-quantize` write them.

use super::{
    blocks::Format,
    file::{Tensor, Value},
};

const HIDDEN: u32 = 7168;
const N_LAYERS: u32 = 61;
const N_LEADING_DENSE: u32 = 3;
const N_HEADS: u32 = 128;
const QUERY_RANK: u32 = 1536;
const RANK: u32 = 512;
const CONTENT: u32 = 128;
const ROTATED: u32 = 64;
const VALUE: u32 = 128;
const WIDTH: u32 = 18_432;
const N_EXPERTS: u32 = 256;
const EXPERT_WIDTH: u32 = 2048;
/// Number of tokens.
pub(super) const VOCAB: u32 = 129_280;

/// What follows `general.*` and the vocabulary.
pub(super) fn metadata() -> Vec<(String, Value)> {
    let own = [
        ("block_count", Value::U32(N_LAYERS)),
        ("context_length", Value::U32(163_840)),
        ("embedding_length", Value::U32(HIDDEN)),
        ("feed_forward_length", Value::U32(WIDTH)),
        ("attention.head_count", Value::U32(N_HEADS)),
        ("attention.head_count_kv", Value::U32(1)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("attention.q_lora_rank", Value::U32(QUERY_RANK)),
        ("attention.kv_lora_rank", Value::U32(RANK)),
        ("attention.key_length", Value::U32(RANK + ROTATED)),
        ("attention.value_length", Value::U32(RANK)),
        ("attention.key_length_mla", Value::U32(CONTENT + ROTATED)),
        ("attention.value_length_mla", Value::U32(VALUE)),
        ("leading_dense_block_count", Value::U32(N_LEADING_DENSE)),
        ("expert_count", Value::U32(N_EXPERTS)),
        ("expert_used_count", Value::U32(8)),
        ("expert_shared_count", Value::U32(1)),
        ("expert_feed_forward_length", Value::U32(EXPERT_WIDTH)),
        ("expert_group_count", Value::U32(8)),
        ("expert_group_used_count", Value::U32(4)),
        ("expert_gating_func", Value::U32(2)),
        ("expert_weights_norm", Value::Bool(true)),
        ("expert_weights_scale", Value::F32(2.5)),
        ("rope.dimension_count", Value::U32(ROTATED)),
        ("rope.freq_base", Value::F32(10_000.0)),
        ("rope.scaling.type", Value::Text("yarn".into())),
        ("rope.scaling.factor", Value::F32(40.0)),
        ("rope.scaling.original_context_length", Value::U32(4096)),
        ("rope.scaling.yarn_log_multiplier", Value::F32(0.1)),
        ("vocab_size", Value::U32(VOCAB)),
    ];
    own.into_iter().map(|(key, value)| (format!("deepseek2.{key}"), value)).collect()
}

/// Every tensor, in Q4_K with Q6_K where `llama-quantize` gives more bits.
pub(super) fn tensors() -> Vec<Tensor> {
    let tensor = |name: &str, dims: &[u32], format| Tensor {
        name: name.into(),
        dims: dims.to_vec(),
        format,
    };
    let mut all = vec![
        tensor("token_embd.weight", &[HIDDEN, VOCAB], Format::Q4K),
        tensor("output_norm.weight", &[HIDDEN], Format::Ones),
        tensor("output.weight", &[HIDDEN, VOCAB], Format::Q6K),
    ];
    for layer in 0..N_LAYERS {
        let mut add = |part: &str, dims: &[u32], format| {
            all.push(tensor(&format!("blk.{layer}.{part}"), dims, format));
        };
        add("attn_norm.weight", &[HIDDEN], Format::Ones);
        add("attn_q_a.weight", &[HIDDEN, QUERY_RANK], Format::Q4K);
        add("attn_q_a_norm.weight", &[QUERY_RANK], Format::Ones);
        let query_width = N_HEADS * (CONTENT + ROTATED);
        add("attn_q_b.weight", &[QUERY_RANK, query_width], Format::Q4K);
        add("attn_kv_a_mqa.weight", &[HIDDEN, RANK + ROTATED], Format::Q80);
        add("attn_kv_a_norm.weight", &[RANK], Format::Ones);
        // 128 inputs are no whole block of 256 values.
        add("attn_k_b.weight", &[CONTENT, RANK, N_HEADS], Format::Q80);
        add("attn_v_b.weight", &[RANK, VALUE, N_HEADS], Format::Q80);
        add("attn_output.weight", &[N_HEADS * VALUE, HIDDEN], Format::Q4K);
        add("ffn_norm.weight", &[HIDDEN], Format::Ones);
        if layer < N_LEADING_DENSE {
            add("ffn_gate.weight", &[HIDDEN, WIDTH], Format::Q4K);
            add("ffn_up.weight", &[HIDDEN, WIDTH], Format::Q4K);
            add("ffn_down.weight", &[WIDTH, HIDDEN], Format::Q6K);
            continue;
        }
        add("ffn_gate_inp.weight", &[HIDDEN, N_EXPERTS], Format::F16);
        add("exp_probs_b.bias", &[N_EXPERTS], Format::Ones);
        add("ffn_gate_exps.weight", &[HIDDEN, EXPERT_WIDTH, N_EXPERTS], Format::Q4K);
        add("ffn_up_exps.weight", &[HIDDEN, EXPERT_WIDTH, N_EXPERTS], Format::Q4K);
        add("ffn_down_exps.weight", &[EXPERT_WIDTH, HIDDEN, N_EXPERTS], Format::Q4K);
        add("ffn_gate_shexp.weight", &[HIDDEN, EXPERT_WIDTH], Format::Q4K);
        add("ffn_up_shexp.weight", &[HIDDEN, EXPERT_WIDTH], Format::Q4K);
        add("ffn_down_shexp.weight", &[EXPERT_WIDTH, HIDDEN], Format::Q6K);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_the_published_one() {
        let weights: u64 = tensors().iter().map(Tensor::n_values).sum();
        assert_eq!(weights / 1_000_000_000, 671);
    }
}
