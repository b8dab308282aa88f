//! A llama model of random Q8_0 weights in a shape of choice, with a byte tokenizer.
//!
//! Used by `hop.rs` and `memory.rs`: what is measured there depends on shapes, not on sense.

use std::path::Path;

use half::f16;
use swarmllm_models::gguf::{GgufWriter, MetadataArray, MetadataValue, TensorType};

/// Values per Q8_0 block.
const BLOCK: usize = 32;
/// Tokens of the vocabulary: one per byte, and one pair, since a vocabulary needs a merge.
const VOCAB: usize = 257;

/// Widths of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n_layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) n_heads: usize,
    pub(crate) head_dim: usize,
}

/// Writes the model.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write(path: &Path, shape: Shape) -> std::io::Result<()> {
    let mut writer = GgufWriter::new();
    metadata(&mut writer, shape);
    let Shape { hidden, feed_forward, n_heads, head_dim, .. } = shape;
    let query = n_heads * head_dim;
    let mut seed = 1;
    let mut matrix = |writer: &mut GgufWriter, name: &str, columns: usize, rows: usize| {
        let dims = [columns as u64, rows as u64];
        writer.tensor(name, &dims, TensorType::Q8_0, blocks(columns * rows, &mut seed));
    };
    matrix(&mut writer, "token_embd.weight", hidden, VOCAB);
    for layer in 0..shape.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        norm(&mut writer, &name("attn_norm"), hidden);
        matrix(&mut writer, &name("attn_q"), hidden, query);
        matrix(&mut writer, &name("attn_k"), hidden, head_dim);
        matrix(&mut writer, &name("attn_v"), hidden, head_dim);
        matrix(&mut writer, &name("attn_output"), query, hidden);
        norm(&mut writer, &name("ffn_norm"), hidden);
        matrix(&mut writer, &name("ffn_gate"), hidden, feed_forward);
        matrix(&mut writer, &name("ffn_up"), hidden, feed_forward);
        matrix(&mut writer, &name("ffn_down"), feed_forward, hidden);
    }
    norm(&mut writer, "output_norm.weight", hidden);
    std::fs::write(path, writer.finish())
}

fn norm(writer: &mut GgufWriter, name: &str, width: usize) {
    let ones: Vec<u8> = (0..width).flat_map(|_| 1.0f32.to_le_bytes()).collect();
    writer.tensor(name, &[width as u64], TensorType::F32, ones);
}

/// Random Q8_0 blocks of small weights: a scale in f16, then 32 signed bytes.
fn blocks(n_values: usize, seed: &mut u64) -> Vec<u8> {
    let scale = f16::from_f32(2e-4).to_le_bytes();
    let mut bytes = Vec::with_capacity(n_values / BLOCK * (BLOCK + 2));
    for _ in 0..n_values / BLOCK {
        bytes.extend(scale);
        for _ in 0..BLOCK / 8 {
            // Xorshift: any bytes will do.
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            bytes.extend(seed.to_le_bytes());
        }
    }
    bytes
}

fn metadata(writer: &mut GgufWriter, shape: Shape) {
    let number = |n: usize| MetadataValue::U32(u32::try_from(n).expect("a small shape"));
    let text = |text: &str| MetadataValue::String(text.to_owned());
    let mut tokens = byte_letters();
    tokens.push("ab".to_owned());
    writer
        .key("general.architecture", text("llama"))
        .key("general.name", text("random"))
        .key("llama.block_count", number(shape.n_layers))
        .key("llama.context_length", number(512))
        .key("llama.embedding_length", number(shape.hidden))
        .key("llama.feed_forward_length", number(shape.feed_forward))
        .key("llama.attention.head_count", number(shape.n_heads))
        .key("llama.attention.head_count_kv", number(1))
        .key("llama.attention.key_length", number(shape.head_dim))
        .key("llama.attention.value_length", number(shape.head_dim))
        .key("llama.rope.dimension_count", number(shape.head_dim))
        .key("llama.attention.layer_norm_rms_epsilon", MetadataValue::F32(1e-5))
        .key("tokenizer.ggml.model", text("gpt2"))
        .key("tokenizer.ggml.pre", text("gpt-2"))
        .key("tokenizer.ggml.tokens", strings(tokens))
        .key("tokenizer.ggml.merges", strings(vec!["a b".to_owned()]));
}

fn strings(values: Vec<String>) -> MetadataValue {
    MetadataValue::Array(MetadataArray::String(values))
}

/// The letters by which byte-level vocabularies write the 256 bytes: printable ones stand for
/// themselves, the others follow from U+0100 on.
fn byte_letters() -> Vec<String> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100u32;
    (0..=255u8)
        .map(|byte| {
            let letter = if is_printable(byte) {
                char::from(byte)
            } else {
                let letter = char::from_u32(next).expect("below the surrogates");
                next += 1;
                letter
            };
            letter.to_string()
        })
        .collect()
}
