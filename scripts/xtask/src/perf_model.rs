//! `cargo xtask perf-model NAME OUT_DIR [LAYERS]`: a GGUF file of a real model's shape with random
//! weights.
//!
//! For speed measurements only: what such a model says is noise, what it costs is not. Shapes and
//! the layout of formats follow the published models and `llama-quantize` (Q4_K_M and Q5_K_M give
//! the output matrix, and attn_v and ffn_down of the layers in [`more_bits`], six bits). The same
//! name gives the same bytes everywhere. The file is streamed, so memory stays at a few MiB. Of
//! files larger than the disk, some layers can be filled and the rest left as holes, or the header
//! be written alone.
//!
//! xtask stays free of the other crates, or `tidy` would have to build a tensor library first; the
//! tests read the file back with `swarmllm-models`. Errors: text that names the file.

mod blocks;
mod deepseek;
mod file;
mod vocabulary;

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;

use blocks::Format;
use file::{Filled, Tensor, Value};

/// Positions that the files allow.
const CONTEXT: u32 = 8192;

/// What a file is made of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    architecture: &'static str,
    n_layers: u32,
    hidden: u32,
    feed_forward: u32,
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    vocab: u32,
    /// Whether the embedding table is the output matrix as well.
    tied: bool,
    rope_base: f32,
    /// Whether a tensor of factors scales the rotation frequencies.
    rope_factors: bool,
}

const TINYLLAMA_1_1B: Shape = Shape {
    architecture: "llama",
    n_layers: 22,
    hidden: 2048,
    feed_forward: 5632,
    n_heads: 32,
    n_kv_heads: 4,
    head_dim: 64,
    vocab: 32_000,
    tied: false,
    rope_base: 1e4,
    rope_factors: false,
};
const LLAMA_3_2_1B: Shape = Shape {
    n_layers: 16,
    feed_forward: 8192,
    n_kv_heads: 8,
    vocab: 128_256,
    tied: true,
    rope_base: 5e5,
    rope_factors: true,
    ..TINYLLAMA_1_1B
};
const LLAMA_3_8B: Shape = Shape {
    n_layers: 32,
    hidden: 4096,
    feed_forward: 14_336,
    n_kv_heads: 8,
    head_dim: 128,
    vocab: 128_256,
    rope_base: 5e5,
    ..TINYLLAMA_1_1B
};
const QWEN_3_0_6B: Shape = Shape {
    architecture: "qwen3",
    n_layers: 28,
    hidden: 1024,
    feed_forward: 3072,
    n_heads: 16,
    n_kv_heads: 8,
    head_dim: 128,
    vocab: 151_936,
    tied: true,
    rope_base: 1e6,
    rope_factors: false,
};

/// The formats of a file: of most matrices, and of those that get more bits.
#[derive(Debug, Clone, Copy)]
struct Mix {
    /// `general.file_type`.
    file_type: u32,
    most: Format,
    better: Format,
}

const Q4_K_M: Mix = Mix { file_type: 15, most: Format::Q4K, better: Format::Q6K };
const Q5_K_M: Mix = Mix { file_type: 17, most: Format::Q5K, better: Format::Q6K };
const Q6_K: Mix = Mix { file_type: 18, most: Format::Q6K, better: Format::Q6K };
const Q8_0: Mix = Mix { file_type: 7, most: Format::Q80, better: Format::Q80 };
const F16: Mix = Mix { file_type: 1, most: Format::F16, better: Format::F16 };

const MODELS: &[(&str, Shape, Mix)] = &[
    ("tinyllama-1.1b-q4_k_m", TINYLLAMA_1_1B, Q4_K_M),
    ("tinyllama-1.1b-q5_k_m", TINYLLAMA_1_1B, Q5_K_M),
    ("tinyllama-1.1b-q6_k", TINYLLAMA_1_1B, Q6_K),
    ("tinyllama-1.1b-q8_0", TINYLLAMA_1_1B, Q8_0),
    ("tinyllama-1.1b-f16", TINYLLAMA_1_1B, F16),
    ("llama3.2-1b-q8_0", LLAMA_3_2_1B, Q8_0),
    ("llama3-8b-q4_k_m", LLAMA_3_8B, Q4_K_M),
    ("qwen3-0.6b-q4_k_m", QWEN_3_0_6B, Q4_K_M),
    ("qwen3-0.6b-q8_0", QWEN_3_0_6B, Q8_0),
];

/// The largest one, whose sizes are in a file of their own.
const DEEPSEEK: &str = "deepseek-v3-q4_k_m";

/// Writes `OUT_DIR/NAME.gguf` and says so. `layers` are those that get values (`all`, `A..B`), or
/// `header` for a file without any.
///
/// # Errors
/// When the name or the layers mean nothing, or the file can't be written.
pub(crate) fn run(name: &str, folder: &Path, layers: &str) -> Result<(), String> {
    let filled = filled(layers)?;
    let shape = MODELS.iter().find(|(known, _, _)| *known == name);
    if shape.is_none() && name != DEEPSEEK {
        let names: Vec<&str> = MODELS.iter().map(|(name, _, _)| *name).collect();
        return Err(format!("no model {name:?}; there are {}, {DEEPSEEK}", names.join(", ")));
    }
    let path = folder.join(format!("{name}.gguf"));
    let create = || -> io::Result<u64> {
        fs::create_dir_all(folder)?;
        let mut out = File::create(&path)?;
        let n_bytes = match shape {
            Some((name, shape, mix)) => write(&mut out, name, (shape, mix), &filled)?,
            None => write_deepseek(&mut out, &filled)?,
        };
        out.set_len(n_bytes)?;
        Ok(n_bytes)
    };
    let written = create();
    let n_bytes = written.map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{} ({:.1} MiB)", path.display(), n_bytes as f64 / (1 << 20) as f64);
    Ok(())
}

fn filled(layers: &str) -> Result<Filled, String> {
    match layers {
        "all" => Ok(Filled::All),
        "header" => Ok(Filled::HeaderOnly),
        _ => {
            let range =
                layers.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
            let range = range.ok_or_else(|| format!("{layers:?} is not all, header or A..B"))?;
            Ok(Filled::Layers(range))
        }
    }
}

/// Writes the file and gives its length.
fn write(
    out: &mut (impl Write + Seek),
    name: &str,
    (shape, mix): (&Shape, &Mix),
    filled: &Filled,
) -> io::Result<u64> {
    let mut metadata = configuration(name, shape, mix);
    metadata.extend(vocabulary::metadata(shape.vocab));
    file::write(out, &metadata, (&tensors(shape, mix), filled))
}

fn write_deepseek(out: &mut (impl Write + Seek), filled: &Filled) -> io::Result<u64> {
    let mut metadata = general("deepseek2", DEEPSEEK, &Q4_K_M);
    metadata.extend(deepseek::metadata());
    metadata.extend(vocabulary::metadata(deepseek::VOCAB));
    file::write(out, &metadata, (&deepseek::tensors(), filled))
}

fn general(architecture: &str, name: &str, mix: &Mix) -> Vec<(String, Value)> {
    let general = [
        ("architecture", Value::Text(architecture.into())),
        ("name", Value::Text(name.into())),
        ("file_type", Value::U32(mix.file_type)),
        ("quantization_version", Value::U32(2)),
    ];
    general.into_iter().map(|(key, value)| (format!("general.{key}"), value)).collect()
}

fn configuration(name: &str, shape: &Shape, mix: &Mix) -> Vec<(String, Value)> {
    let own = [
        ("block_count", Value::U32(shape.n_layers)),
        ("context_length", Value::U32(CONTEXT)),
        ("embedding_length", Value::U32(shape.hidden)),
        ("feed_forward_length", Value::U32(shape.feed_forward)),
        ("attention.head_count", Value::U32(shape.n_heads)),
        ("attention.head_count_kv", Value::U32(shape.n_kv_heads)),
        ("attention.key_length", Value::U32(shape.head_dim)),
        ("attention.value_length", Value::U32(shape.head_dim)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.dimension_count", Value::U32(shape.head_dim)),
        ("rope.freq_base", Value::F32(shape.rope_base)),
        ("vocab_size", Value::U32(shape.vocab)),
    ];
    let own = own.into_iter().map(|(key, value)| (format!("{}.{key}", shape.architecture), value));
    general(shape.architecture, name, mix).into_iter().chain(own).collect()
}

/// Every tensor; vectors are ones (norms and frequency factors that change nothing).
fn tensors(shape: &Shape, mix: &Mix) -> Vec<Tensor> {
    let Shape { hidden, feed_forward, head_dim, vocab, .. } = *shape;
    let (queries, keys) = (shape.n_heads * head_dim, shape.n_kv_heads * head_dim);
    let ones = |name: String, n: u32| Tensor { name, dims: vec![n], format: Format::Ones };
    let matrix = |name: String, inputs: u32, outputs: u32, format: Format| Tensor {
        name,
        dims: vec![inputs, outputs],
        format,
    };
    let table = if shape.tied { mix.better } else { mix.most };
    let mut all = vec![
        matrix("token_embd.weight".into(), hidden, vocab, table),
        ones("output_norm.weight".into(), hidden),
    ];
    if !shape.tied {
        all.push(matrix("output.weight".into(), hidden, vocab, mix.better));
    }
    if shape.rope_factors {
        all.push(ones("rope_freqs.weight".into(), head_dim / 2));
    }
    for layer in 0..shape.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let better = if more_bits(layer, shape.n_layers) { mix.better } else { mix.most };
        all.push(ones(name("attn_norm"), hidden));
        all.push(matrix(name("attn_q"), hidden, queries, mix.most));
        all.push(matrix(name("attn_k"), hidden, keys, mix.most));
        all.push(matrix(name("attn_v"), hidden, keys, better));
        all.push(matrix(name("attn_output"), queries, hidden, mix.most));
        if shape.architecture == "qwen3" {
            all.push(ones(name("attn_q_norm"), head_dim));
            all.push(ones(name("attn_k_norm"), head_dim));
        }
        all.push(ones(name("ffn_norm"), hidden));
        all.push(matrix(name("ffn_gate"), hidden, feed_forward, mix.most));
        all.push(matrix(name("ffn_up"), hidden, feed_forward, mix.most));
        all.push(matrix(name("ffn_down"), feed_forward, hidden, better));
    }
    all
}

/// The layers that `llama-quantize` gives more bits in its `_M` mixes: the first and the last
/// eighth, and every third between.
fn more_bits(layer: u32, n_layers: u32) -> bool {
    let eighth = n_layers / 8;
    layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmllm_models::Model;

    const SMALL: Shape = Shape {
        n_layers: 3,
        hidden: 256,
        feed_forward: 512,
        n_heads: 4,
        n_kv_heads: 2,
        vocab: 320,
        ..TINYLLAMA_1_1B
    };

    fn small(shape: &Shape, mix: &Mix) -> Vec<u8> {
        let mut bytes = io::Cursor::new(Vec::new());
        let n_bytes = write(&mut bytes, "small", (shape, mix), &Filled::All).unwrap();
        assert_eq!(n_bytes, bytes.get_ref().len() as u64);
        bytes.into_inner()
    }

    #[test]
    fn every_mix_opens_as_a_model_and_is_the_same_twice() {
        for mix in [Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16] {
            let bytes = small(&SMALL, &mix);
            assert!(bytes == small(&SMALL, &mix));
            let model = Model::from_vec(bytes).unwrap();
            let summary = model.summary();
            assert_eq!((summary.n_layers, summary.hidden, summary.vocab), (3, 256, 320));
            let tokens = model.tokenizer().unwrap().encode("ab \u{e9}", Default::default());
            let (border_a, b, border) = (259 + 27 + 1, 259 + 2, 259);
            assert_eq!(tokens, [border_a, b, border, 3 + 0xc3, 3 + 0xa9]);
        }
    }

    #[test]
    fn the_8b_file_is_as_long_as_the_published_one() {
        let all = tensors(&LLAMA_3_8B, &Q4_K_M);
        let weights: u64 = all.iter().map(Tensor::n_values).sum();
        assert_eq!(weights, 8_030_261_248);
        let n_bytes: u64 = all.iter().map(Tensor::n_bytes).sum();
        assert_eq!(n_bytes, 4_912_898_048);
    }
}
