//! What the tests share: small random models of every format, and a runner over cut points.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

pub mod architectures;
pub mod state_space;

use std::ops::Range;

use half::f16;
use swarmllm_models::{
    LogitsWanted, Model, SequenceRows, Shard, ShardInput, ShardOptions, ShardOutput,
    gguf::{Gguf, GgufWriter, MetadataArray, MetadataValue, Source, TensorInfo, TensorType},
};

/// A small deterministic generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Where the floats of a block are: scales and minima, or its only value.
pub fn float_places(kind: TensorType) -> &'static [usize] {
    match kind.name() {
        "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q5_0" | "IQ4_NL" | "IQ4_XS" => &[0],
        "Q4_1" | "Q5_1" | "Q4_K" | "Q5_K" => &[0, 2],
        "Q2_K" => &[80, 82],
        "Q3_K" => &[108],
        "Q6_K" => &[208],
        other => panic!("no random weights of {other}"),
    }
}

/// Writes a float of a block.
pub fn set_float(kind: TensorType, block: &mut [u8], at: usize, value: f32) {
    match kind {
        TensorType::F32 => block[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        TensorType::BF16 => block[at..at + 2].copy_from_slice(&value.to_le_bytes()[2..]),
        _ => block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes()),
    }
}

/// The floats of a block whose weights are of about `scale`, in the order of their places.
fn floats(kind: TensorType, scale: f32) -> [f32; 2] {
    match kind.name() {
        "Q8_0" | "IQ4_NL" => [scale / 128.0, 0.0],
        "Q4_0" => [scale / 8.0, 0.0],
        "Q5_0" => [scale / 16.0, 0.0],
        "Q4_1" => [scale / 8.0, -scale],
        "Q5_1" => [scale / 16.0, -scale],
        "Q2_K" => [scale / 22.0, scale / 15.0],
        "Q3_K" => [scale / 32.0 / 4.0, 0.0],
        "Q4_K" => [scale / 8.0 / 32.0, scale / 32.0],
        "Q5_K" => [scale / 16.0 / 32.0, scale / 32.0],
        "Q6_K" => [scale / 32.0 / 64.0, 0.0],
        "IQ4_XS" => [scale / 32.0 / 128.0, 0.0],
        other => panic!("no random weights of {other}"),
    }
}

/// Random bytes of `n_values` weights of about `scale`.
pub fn weights(kind: TensorType, n_values: usize, scale: f32, random: &mut Random) -> Vec<u8> {
    let mut out = vec![0; kind.row_bytes(n_values as u64).unwrap() as usize];
    for block in out.chunks_exact_mut(kind.block_bytes() as usize) {
        if kind.block_values() == 1 {
            set_float(kind, block, 0, random.float() * scale);
            continue;
        }
        // Scales sit at fixed places of each block; everything else may be any byte.
        block.fill_with(|| random.next() as u8);
        let values = floats(kind, scale * (1.0 + 0.5 * random.float()));
        for (at, value) in float_places(kind).iter().zip(values) {
            set_float(kind, block, *at, value);
        }
    }
    out
}

/// The shape of a random model.
#[derive(Clone, Debug)]
pub struct Shape {
    pub hidden: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub feed_forward: usize,
    pub n_layers: usize,
    pub vocab: usize,
    pub kind: TensorType,
    pub tied: bool,
}

impl Shape {
    pub fn small(kind: TensorType) -> Self {
        let wide = kind.block_values() == 256;
        Self {
            hidden: if wide { 256 } else { 96 },
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: if wide { 64 } else { 24 },
            feed_forward: if wide { 256 } else { 160 },
            n_layers: 3,
            vocab: 77,
            kind,
            tied: false,
        }
    }
}

/// The metadata of a llama model.
pub fn metadata(writer: &mut GgufWriter, shape: &Shape) {
    let number = |n: usize| MetadataValue::U32(n as u32);
    writer
        .key("general.architecture", MetadataValue::String("llama".into()))
        .key("general.name", MetadataValue::String("random".into()))
        .key("llama.block_count", number(shape.n_layers))
        .key("llama.context_length", number(512))
        .key("llama.embedding_length", number(shape.hidden))
        .key("llama.feed_forward_length", number(shape.feed_forward))
        .key("llama.attention.head_count", number(shape.n_heads))
        .key("llama.attention.head_count_kv", number(shape.n_kv_heads))
        .key("llama.attention.key_length", number(shape.head_dim))
        .key("llama.attention.value_length", number(shape.head_dim))
        .key("llama.attention.layer_norm_rms_epsilon", MetadataValue::F32(1e-5))
        .key(
            "tokenizer.ggml.tokens",
            MetadataValue::Array(MetadataArray::String(
                (0..shape.vocab).map(|i| format!("t{i}")).collect(),
            )),
        );
}

/// The file of a random model.
pub fn random_file(shape: &Shape, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut writer = GgufWriter::new();
    metadata(&mut writer, shape);
    let hidden = shape.hidden;
    let (q, kv) = (shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim);
    let mut matrix = |writer: &mut GgufWriter, name: String, k: usize, n: usize, scale: f32| {
        let bytes = weights(shape.kind, k * n, scale, &mut random);
        writer.tensor(&name, &[k as u64, n as u64], shape.kind, bytes);
    };
    matrix(&mut writer, "token_embd.weight".into(), hidden, shape.vocab, 1.0);
    for layer in 0..shape.n_layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let scale = |k: usize| 1.5 / (k as f32).sqrt();
        matrix(&mut writer, name("attn_q"), hidden, q, scale(hidden));
        matrix(&mut writer, name("attn_k"), hidden, kv, scale(hidden));
        matrix(&mut writer, name("attn_v"), hidden, kv, scale(hidden));
        matrix(&mut writer, name("attn_output"), q, hidden, scale(q));
        matrix(&mut writer, name("ffn_gate"), hidden, shape.feed_forward, scale(hidden));
        matrix(&mut writer, name("ffn_up"), hidden, shape.feed_forward, scale(hidden));
        matrix(&mut writer, name("ffn_down"), shape.feed_forward, hidden, scale(hidden));
    }
    if !shape.tied {
        matrix(&mut writer, "output.weight".into(), hidden, shape.vocab, 0.3);
    }
    let mut gain = |writer: &mut GgufWriter, name: String| {
        let bytes: Vec<u8> =
            (0..hidden).flat_map(|_| (1.0 + 0.2 * random.float()).to_le_bytes()).collect();
        writer.tensor(&name, &[hidden as u64], TensorType::F32, bytes);
    };
    for layer in 0..shape.n_layers {
        gain(&mut writer, format!("blk.{layer}.attn_norm.weight"));
        gain(&mut writer, format!("blk.{layer}.ffn_norm.weight"));
    }
    gain(&mut writer, "output_norm.weight".into());
    writer.finish()
}

/// A random model.
pub fn random_model(shape: &Shape, seed: u64) -> Model {
    Model::from_vec(random_file(shape, seed)).unwrap()
}

/// The file written anew: `key` may change or drop a metadata value, `tensor` writes what becomes
/// of a tensor.
pub fn rewritten(
    file: &[u8],
    key: impl Fn(&str, &MetadataValue) -> Option<MetadataValue>,
    tensor: impl Fn(&TensorInfo, &[u8], &mut GgufWriter),
) -> Vec<u8> {
    let gguf = Gguf::read(Source::from_vec(file.to_vec())).unwrap();
    let mut writer = GgufWriter::new();
    for (name, value) in gguf.metadata() {
        if let Some(value) = key(name, value) {
            writer.key(name, value);
        }
    }
    for info in gguf.tensors() {
        tensor(info, gguf.tensor_bytes(info), &mut writer);
    }
    writer.finish()
}

/// For [`rewritten`]: the tensor as it is.
pub fn same_tensor(info: &TensorInfo, bytes: &[u8], writer: &mut GgufWriter) {
    writer.tensor(&info.name, &info.dims, info.kind, bytes.to_vec());
}

/// The shards of a model cut before the given layers.
pub fn shards(model: &Model, cuts: &[u32], options: &ShardOptions) -> Vec<Shard> {
    let mut borders = vec![0];
    borders.extend(cuts);
    borders.push(model.config().n_layers);
    let ranges: Vec<Range<u32>> = borders.windows(2).map(|b| b[0]..b[1]).collect();
    ranges.into_iter().map(|range| Shard::load(model, range, options).unwrap()).collect()
}

/// Sends one batch through all shards.
pub fn forward(shards: &mut [Shard], batch: &[SequenceRows], tokens: Vec<u32>) -> Vec<f32> {
    let mut input = ShardInput::Tokens(tokens);
    for shard in shards {
        match shard.forward(batch, input).unwrap() {
            ShardOutput::Hidden(rows) => input = ShardInput::Hidden(rows),
            ShardOutput::Logits(logits) => return logits.values,
        }
    }
    panic!("the last shard gave no logits");
}

/// One sequence's rows.
pub fn rows(pages: &[u32], first: u32, n: u32, logits: LogitsWanted) -> SequenceRows {
    SequenceRows { pages: pages.into(), first_position: first, n_rows: n, logits }
}
