//! Small random models of every architecture, each with what is special about it.

use swarmllm_models::gguf::{GgufWriter, MetadataValue, TensorType};

use super::{Random, weights};

const HIDDEN: usize = 64;
const LAYERS: usize = 3;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 96;
/// Under the root of the norms; large, so that it shows in every logit.
const EPSILON: f32 = 1e-3;
/// Number of tokens.
pub const VOCAB: usize = 77;

/// Every variant: `general.architecture`, with a word for what is switched on.
pub const VARIANTS: [&str; 24] = [
    "llama",
    "llama window",
    "llama wide",
    "llama experts",
    "llama yarn",
    "llama linear",
    "llama factors",
    "qwen2",
    "qwen3",
    "qwen2moe",
    "qwen3moe",
    "deepseek2",
    "deepseek2 groups",
    "deepseek2 lite",
    "deepseek2 old",
    "glm4",
    "chatglm",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3 linear",
    "phi3",
    "phi3 long",
    "starcoder2",
];

/// Values of a head: where the rows of all heads may be wider than the residual stream, they are.
fn head(architecture: &str) -> usize {
    match architecture {
        "qwen2" | "qwen2moe" | "chatglm" | "phi3" | "starcoder2" => HIDDEN / HEADS,
        _ => 32,
    }
}

/// Writes tensors of random values, matrices in one format.
struct Writer {
    file: GgufWriter,
    random: Random,
    kind: TensorType,
}

impl Writer {
    fn tensor(&mut self, name: &str, sizes: &[usize], kind: TensorType, scale: f32) {
        let n = sizes.iter().product();
        let bytes = weights(kind, n, scale, &mut self.random);
        let sizes: Vec<u64> = sizes.iter().map(|size| *size as u64).collect();
        self.file.tensor(name, &sizes, kind, bytes);
    }

    fn matrix(&mut self, name: &str, sizes: &[usize]) {
        let scale = 1.5 / (sizes[0] as f32).sqrt();
        self.tensor(name, sizes, self.kind, scale);
    }

    /// Values around `mean`.
    fn vector(&mut self, name: &str, n: usize, mean: f32) {
        let values: Vec<u8> =
            (0..n).flat_map(|_| (mean + 0.2 * self.random.float()).to_le_bytes()).collect();
        self.file.tensor(name, &[n as u64], TensorType::F32, values);
    }
}

/// The file of a random model.
pub fn file(variant: &str, kind: TensorType, seed: u64) -> Vec<u8> {
    let architecture = variant.split(' ').next().unwrap_or_default();
    let mut w = Writer { file: GgufWriter::new(), random: Random(seed), kind };
    metadata(&mut w.file, architecture, variant);
    w.tensor("token_embd.weight", &[HIDDEN, VOCAB], kind, 1.0);
    let has_layer_norm = architecture == "starcoder2";
    let norm = |w: &mut Writer, name: &str| {
        w.vector(&format!("{name}.weight"), HIDDEN, 1.0);
        if has_layer_norm {
            w.vector(&format!("{name}.bias"), HIDDEN, 0.0);
        }
    };
    norm(&mut w, "output_norm");
    if !matches!(architecture, "qwen2" | "gemma" | "gemma2" | "gemma3" | "starcoder2") {
        w.tensor("output.weight", &[HIDDEN, VOCAB], kind, 0.3);
    }
    if architecture == "phi3" {
        let n_pairs = head(architecture) / 2;
        w.vector("rope_factors_long.weight", n_pairs, 2.0);
        w.vector("rope_factors_short.weight", n_pairs, 1.0);
    }
    if variant == "llama factors" {
        w.vector("rope_freqs.weight", head(architecture) / 2, 2.0);
    }
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        norm(&mut w, &name("attn_norm"));
        norm(&mut w, &name("ffn_norm"));
        if matches!(architecture, "gemma2" | "gemma3" | "glm4") {
            norm(&mut w, &name("post_attention_norm"));
            norm(&mut w, &name("post_ffw_norm"));
        }
        if architecture == "deepseek2" {
            latent(&mut w, variant, &name);
        } else {
            attention(&mut w, architecture, &name);
        }
        let is_mixture = architecture.ends_with("moe")
            || variant == "llama experts"
            || architecture == "deepseek2" && layer > 0;
        if is_mixture {
            mixture(&mut w, architecture, &name);
        } else {
            feed_forward(&mut w, architecture, &name);
        }
    }
    w.file.finish()
}

fn metadata(file: &mut GgufWriter, architecture: &str, variant: &str) {
    let mut key = |name: &str, value: MetadataValue| {
        file.key(&format!("{architecture}.{name}"), value);
    };
    let number = |n: usize| MetadataValue::U32(n as u32);
    key("block_count", number(LAYERS));
    key("context_length", number(2048));
    key("vocab_size", number(VOCAB));
    key("embedding_length", number(HIDDEN));
    key("feed_forward_length", number(WIDTH));
    key("attention.head_count", number(HEADS));
    key("attention.layer_norm_rms_epsilon", MetadataValue::F32(EPSILON));
    let head = head(architecture);
    let (kv_heads, key_length, value_length) = match variant {
        // Older files describe the heads, not what is kept of them.
        "deepseek2 old" => (HEADS, 48, 32),
        _ if architecture == "deepseek2" => (1, 48, 32),
        _ => (KV_HEADS, head, head),
    };
    key("attention.head_count_kv", number(kv_heads));
    key("attention.key_length", number(key_length));
    key("attention.value_length", number(value_length));
    match architecture {
        "starcoder2" => key("attention.layer_norm_epsilon", MetadataValue::F32(EPSILON)),
        "glm4" | "chatglm" => key("rope.dimension_count", number(head / 2)),
        "gemma2" | "gemma3" => {
            key("attention.sliding_window", number(21));
            key("attention.sliding_window_pattern", number(2));
        }
        "phi3" => {
            let original = if variant.ends_with("long") { 128 } else { 512 };
            key("rope.scaling.original_context_length", number(original));
            key("rope.scaling.attn_factor", MetadataValue::F32(1.1));
        }
        "deepseek2" => {
            key("rope.dimension_count", number(16));
            let query_rank = if variant.ends_with("lite") { 0 } else { 32 };
            key("attention.q_lora_rank", number(query_rank));
            key("attention.kv_lora_rank", number(32));
            if variant != "deepseek2 old" {
                key("attention.key_length_mla", number(48));
                key("attention.value_length_mla", number(32));
            }
            key("leading_dense_block_count", number(1));
            key("expert_shared_count", number(1));
            key("expert_weights_scale", MetadataValue::F32(2.5));
            key("rope.scaling.yarn_log_multiplier", MetadataValue::F32(0.07));
        }
        _ => {}
    }
    if architecture == "gemma2" {
        key("attn_logit_softcapping", MetadataValue::F32(5.0));
        key("final_logit_softcapping", MetadataValue::F32(3.0));
    }
    if architecture == "gemma3" {
        key("rope.freq_base_swa", MetadataValue::F32(500.0));
    }
    match variant {
        "llama window" => key("attention.sliding_window", number(13)),
        "llama wide" => key("attention.sliding_window", number(600)),
        "deepseek2 groups" => {
            key("expert_gating_func", number(2));
            key("expert_group_count", number(4));
            key("expert_group_used_count", number(2));
            key("expert_weights_norm", MetadataValue::Bool(true));
        }
        _ => {}
    }
    if variant.ends_with("linear") {
        key("rope.scaling.type", MetadataValue::String("linear".into()));
        key("rope.scaling.factor", MetadataValue::F32(4.0));
    }
    if variant.ends_with("yarn") || architecture == "deepseek2" {
        key("rope.scaling.type", MetadataValue::String("yarn".into()));
        key("rope.scaling.factor", MetadataValue::F32(4.0));
        key("rope.scaling.original_context_length", number(64));
    }
    if architecture.ends_with("moe") || variant.ends_with("experts") || architecture == "deepseek2"
    {
        key("expert_count", number(8));
        key("expert_used_count", number(3));
        if architecture != "llama" {
            key("expert_feed_forward_length", number(HIDDEN));
        }
    }
    file.key("general.architecture", MetadataValue::String(architecture.into()));
    // Other engines do not open a file that says nothing about its tokenizer.
    file.key("tokenizer.ggml.model", MetadataValue::String("none".into()));
}

fn attention(w: &mut Writer, architecture: &str, name: &dyn Fn(&str) -> String) {
    let head = head(architecture);
    let (query, kv) = (HEADS * head, KV_HEADS * head);
    if architecture == "phi3" {
        w.matrix(&name("attn_qkv.weight"), &[HIDDEN, query + 2 * kv]);
    } else {
        for (part, n) in [("attn_q", query), ("attn_k", kv), ("attn_v", kv)] {
            w.matrix(&name(&format!("{part}.weight")), &[HIDDEN, n]);
            if matches!(architecture, "qwen2" | "qwen2moe" | "glm4" | "chatglm" | "starcoder2") {
                w.vector(&name(&format!("{part}.bias")), n, 0.0);
            }
        }
    }
    if matches!(architecture, "qwen3" | "qwen3moe" | "gemma3") {
        w.vector(&name("attn_q_norm.weight"), head, 1.0);
        w.vector(&name("attn_k_norm.weight"), head, 1.0);
    }
    w.matrix(&name("attn_output.weight"), &[query, HIDDEN]);
    if architecture == "starcoder2" {
        w.vector(&name("attn_output.bias"), HIDDEN, 0.0);
    }
}

fn latent(w: &mut Writer, variant: &str, name: &dyn Fn(&str) -> String) {
    if variant.ends_with("lite") {
        w.matrix(&name("attn_q.weight"), &[HIDDEN, HEADS * 48]);
    } else {
        w.matrix(&name("attn_q_a.weight"), &[HIDDEN, 32]);
        w.vector(&name("attn_q_a_norm.weight"), 32, 1.0);
        w.matrix(&name("attn_q_b.weight"), &[32, HEADS * 48]);
    }
    w.matrix(&name("attn_kv_a_mqa.weight"), &[HIDDEN, 48]);
    w.vector(&name("attn_kv_a_norm.weight"), 32, 1.0);
    if variant == "deepseek2 old" {
        w.matrix(&name("attn_kv_b.weight"), &[32, HEADS * 64]);
    } else {
        w.matrix(&name("attn_k_b.weight"), &[32, 32, HEADS]);
        w.matrix(&name("attn_v_b.weight"), &[32, 32, HEADS]);
    }
    w.matrix(&name("attn_output.weight"), &[HEADS * 32, HIDDEN]);
}

fn feed_forward(w: &mut Writer, architecture: &str, name: &dyn Fn(&str) -> String) {
    match architecture {
        "phi3" | "glm4" | "chatglm" => w.matrix(&name("ffn_up.weight"), &[HIDDEN, 2 * WIDTH]),
        "starcoder2" => {
            w.matrix(&name("ffn_up.weight"), &[HIDDEN, WIDTH]);
            w.vector(&name("ffn_up.bias"), WIDTH, 0.0);
            w.vector(&name("ffn_down.bias"), HIDDEN, 0.0);
        }
        _ => {
            w.matrix(&name("ffn_gate.weight"), &[HIDDEN, WIDTH]);
            w.matrix(&name("ffn_up.weight"), &[HIDDEN, WIDTH]);
        }
    }
    w.matrix(&name("ffn_down.weight"), &[WIDTH, HIDDEN]);
}

fn mixture(w: &mut Writer, architecture: &str, name: &dyn Fn(&str) -> String) {
    w.tensor(&name("ffn_gate_inp.weight"), &[HIDDEN, 8], TensorType::F32, 0.4);
    let width = if architecture == "llama" { WIDTH } else { HIDDEN };
    w.matrix(&name("ffn_gate_exps.weight"), &[HIDDEN, width, 8]);
    w.matrix(&name("ffn_up_exps.weight"), &[HIDDEN, width, 8]);
    w.matrix(&name("ffn_down_exps.weight"), &[width, HIDDEN, 8]);
    let shared = match architecture {
        "qwen2moe" => WIDTH,
        "deepseek2" => HIDDEN,
        _ => return,
    };
    w.matrix(&name("ffn_gate_shexp.weight"), &[HIDDEN, shared]);
    w.matrix(&name("ffn_up_shexp.weight"), &[HIDDEN, shared]);
    w.matrix(&name("ffn_down_shexp.weight"), &[shared, HIDDEN]);
    if architecture == "qwen2moe" {
        w.tensor(&name("ffn_gate_inp_shexp.weight"), &[HIDDEN], TensorType::F32, 0.4);
    } else {
        w.vector(&name("exp_probs_b.bias"), 8, 0.0);
    }
}
