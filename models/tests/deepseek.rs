//! DeepSeek's files as they are published: V3's keys and tensors, in a range in the middle of the
//! model; and V2's older files, whose projections from latent vectors are one tensor.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use std::{
    io::{Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use common::{Random, architectures, forward, rewritten, rows, same_tensor, shards, weights};
use swarmllm_models::{
    BorderType, HiddenRows, LogitsWanted, Model, Shard, ShardInput, ShardOptions, ShardOutput,
    gguf::{Gguf, MetadataValue, Source, TensorInfo, TensorType},
};

const F32: TensorType = TensorType::F32;
const Q8_0: TensorType = TensorType::Q8_0;
const Q4_K: TensorType = TensorType::Q4_K;
const Q6_K: TensorType = TensorType::Q6_K;
/// Narrower than the published 7168, with fewer heads than 128 and 16 experts of 256 instead of 256
/// of 2048; heads, ranks, layers and groups are the published ones.
const HIDDEN: u64 = 2048;
const HEADS: u64 = 32;
const EXPERTS: u64 = 16;
const WIDTH: u64 = 256;
const LAYERS: u64 = 61;

/// The keys that the converter writes for DeepSeek-V3 and R1.
fn metadata() -> Vec<(String, MetadataValue)> {
    let text = |text: &str| MetadataValue::String(text.into());
    let mut all = vec![
        ("general.architecture".to_owned(), text("deepseek2")),
        ("general.type".to_owned(), text("model")),
        ("general.name".to_owned(), text("DeepSeek V3")),
        ("general.quantization_version".to_owned(), MetadataValue::U32(2)),
        ("general.file_type".to_owned(), MetadataValue::U32(15)),
    ];
    let mut key = |name: &str, value: MetadataValue| {
        all.push((format!("deepseek2.{name}"), value));
    };
    for (name, value) in [
        ("block_count", LAYERS),
        ("context_length", 163_840),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", 18_432),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", 1),
        ("expert_used_count", 8),
        ("expert_group_count", 8),
        ("expert_group_used_count", 4),
        ("leading_dense_block_count", 3),
        ("vocab_size", 129_280),
        ("attention.q_lora_rank", 1536),
        ("attention.kv_lora_rank", 512),
        ("attention.key_length", 576),
        ("attention.value_length", 512),
        ("attention.key_length_mla", 192),
        ("attention.value_length_mla", 128),
        ("expert_feed_forward_length", WIDTH),
        ("expert_count", EXPERTS),
        ("expert_shared_count", 1),
        ("expert_gating_func", 2),
        ("rope.dimension_count", 64),
        ("rope.scaling.original_context_length", 4096),
    ] {
        key(name, MetadataValue::U32(value as u32));
    }
    for (name, value) in [
        ("rope.freq_base", 10_000.0),
        ("attention.layer_norm_rms_epsilon", 1e-6),
        ("expert_weights_scale", 2.5),
        ("rope.scaling.factor", 40.0),
        ("rope.scaling.yarn_log_multiplier", 0.1),
    ] {
        key(name, MetadataValue::F32(value));
    }
    key("expert_weights_norm", MetadataValue::Bool(true));
    key("rope.scaling.type", text("yarn"));
    all
}

/// Name, sizes and type of every tensor, in the order of the published files.
fn tensors() -> Vec<(String, Vec<u64>, TensorType)> {
    let mut all = vec![
        ("token_embd.weight".to_owned(), vec![HIDDEN, 129_280], Q4_K),
        ("output_norm.weight".to_owned(), vec![HIDDEN], F32),
        ("output.weight".to_owned(), vec![HIDDEN, 129_280], Q6_K),
    ];
    for layer in 0..LAYERS {
        let mut add = |part: &str, sizes: &[u64], kind| {
            all.push((format!("blk.{layer}.{part}"), sizes.to_vec(), kind));
        };
        add("attn_kv_a_mqa.weight", &[HIDDEN, 576], Q8_0);
        add("attn_kv_a_norm.weight", &[512], F32);
        add("attn_k_b.weight", &[128, 512, HEADS], Q8_0);
        add("attn_v_b.weight", &[512, 128, HEADS], Q8_0);
        add("attn_norm.weight", &[HIDDEN], F32);
        add("attn_output.weight", &[HEADS * 128, HIDDEN], Q4_K);
        add("attn_q_a.weight", &[HIDDEN, 1536], Q4_K);
        add("attn_q_a_norm.weight", &[1536], F32);
        add("attn_q_b.weight", &[1536, HEADS * 192], Q4_K);
        add("ffn_norm.weight", &[HIDDEN], F32);
        if layer < 3 {
            add("ffn_down.weight", &[18_432, HIDDEN], Q6_K);
            add("ffn_gate.weight", &[HIDDEN, 18_432], Q4_K);
            add("ffn_up.weight", &[HIDDEN, 18_432], Q4_K);
            continue;
        }
        add("exp_probs_b.bias", &[EXPERTS], F32);
        add("ffn_down_exps.weight", &[WIDTH, HIDDEN, EXPERTS], Q6_K);
        add("ffn_down_shexp.weight", &[WIDTH, HIDDEN], Q6_K);
        add("ffn_gate_exps.weight", &[HIDDEN, WIDTH, EXPERTS], Q4_K);
        add("ffn_gate_inp.weight", &[HIDDEN, EXPERTS], F32);
        add("ffn_gate_shexp.weight", &[HIDDEN, WIDTH], Q4_K);
        add("ffn_up_exps.weight", &[HIDDEN, WIDTH, EXPERTS], Q4_K);
        add("ffn_up_shexp.weight", &[HIDDEN, WIDTH], Q4_K);
    }
    all
}

/// A file that is removed at the end.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The whole model's header, and of its tensors those of some layers; the rest are holes.
fn sparse_file(layers: Range<u64>) -> TemporaryFile {
    let tensors = tensors();
    let mut header = b"GGUF\x03\0\0\0".to_vec();
    let metadata = metadata();
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in &metadata {
        header.extend((key.len() as u64).to_le_bytes());
        header.extend(key.as_bytes());
        header.extend(value.to_bytes());
    }
    let mut offsets = Vec::new();
    let mut offset = 0u64;
    for (name, sizes, kind) in &tensors {
        header.extend((name.len() as u64).to_le_bytes());
        header.extend(name.as_bytes());
        header.extend((sizes.len() as u32).to_le_bytes());
        sizes.iter().for_each(|size| header.extend(size.to_le_bytes()));
        header.extend(kind.id().to_le_bytes());
        header.extend(offset.to_le_bytes());
        offsets.push(offset);
        let bytes = kind.row_bytes(sizes[0]).unwrap() * sizes[1..].iter().product::<u64>();
        offset = (offset + bytes).next_multiple_of(32);
    }
    header.resize(header.len().next_multiple_of(32), 0);
    let name = format!("swarmllm-deepseek-{}.gguf", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    let written = TemporaryFile(path);
    file.write_all(&header).unwrap();
    file.set_len(header.len() as u64 + offset).unwrap();
    let mut random = Random(3);
    for ((name, sizes, kind), offset) in tensors.iter().zip(offsets) {
        let layer = name.split('.').nth(1).and_then(|layer| layer.parse().ok());
        if !layer.is_some_and(|layer| layers.contains(&layer)) {
            continue;
        }
        let n_values = sizes.iter().product::<u64>() as usize;
        let bytes = match name.contains("norm") {
            true => {
                (0..n_values).flat_map(|_| (1.0 + 0.2 * random.float()).to_le_bytes()).collect()
            }
            false => weights(*kind, n_values, 1.5 / (sizes[0] as f32).sqrt(), &mut random),
        };
        file.seek(SeekFrom::Start(header.len() as u64 + offset)).unwrap();
        file.write_all(&bytes).unwrap();
    }
    written
}

fn open(file: &Path) -> Model {
    Model::open(file).unwrap()
}

fn hidden_rows(n_rows: usize, random: &mut Random) -> HiddenRows {
    let values = (0..n_rows * HIDDEN as usize).map(|_| half::f16::from_f32(random.float()));
    let bytes: Vec<u8> = values.flat_map(half::f16::to_le_bytes).collect();
    let dtype = BorderType::F16;
    HiddenRows { dtype, n_rows: n_rows as u32, hidden: HIDDEN as u32, bytes: bytes.into() }
}

fn step(shard: &mut Shard, page: u32, first: u32, input: HiddenRows) -> HiddenRows {
    let batch = [rows(&[page], first, input.n_rows, LogitsWanted::None)];
    match shard.forward(&batch, ShardInput::Hidden(input)).unwrap() {
        ShardOutput::Hidden(rows) => rows,
        ShardOutput::Logits(_) => panic!("a range in the middle has no logits"),
    }
}

/// Some of the rows.
fn part(rows: &HiddenRows, range: Range<usize>) -> HiddenRows {
    let width = 2 * HIDDEN as usize;
    let bytes = rows.bytes.slice(range.start * width..range.end * width);
    HiddenRows { n_rows: range.len() as u32, bytes, ..rows.clone() }
}

#[test]
fn layers_in_the_middle_of_v3_load_from_a_file_without_the_others() {
    let file = sparse_file(30..32);
    let model = open(&file.0);
    let config = model.config();
    let experts = config.experts.unwrap();
    assert_eq!(
        (experts.groups, experts.n_used, experts.shared_feed_forward),
        ([8, 4], 8, Some(256))
    );
    assert_eq!((config.head_dim, config.value_dim), (576, 512));
    let options = ShardOptions { threads: 2, kv_pages: 2, ..ShardOptions::default() };
    let input = hidden_rows(9, &mut Random(8));

    let mut whole = Shard::load(&model, 30..32, &options).unwrap();
    let output = step(&mut whole, 0, 0, input.clone());
    let values: Vec<f32> = (output.bytes.as_chunks::<2>().0.iter())
        .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
        .collect();
    assert!(values.iter().all(|value| value.is_finite()));
    assert_ne!(output.bytes, input.bytes);

    // Row by row, and cut between the layers: the same bits.
    let [mut first, mut second] =
        [30..31, 31..32].map(|layers| Shard::load(&model, layers, &options).unwrap());
    for row in 0..9 {
        let middle = step(&mut first, 1, row as u32, part(&input, row..row + 1));
        let alone = step(&mut second, 1, row as u32, middle);
        assert_eq!(alone, part(&output, row..row + 1), "row {row}");
    }
    // What a layer computes depends on the rows before.
    let other = step(&mut whole, 1, 0, part(&input, 8..9));
    assert_ne!(other, part(&output, 8..9));
}

/// The same numbers as one tensor: per head the keys' rows the other way around, then the values'.
fn together(gguf: &Gguf, layer: &str) -> Vec<u8> {
    let tensor = |part: &str| gguf.tensor(&format!("{layer}.{part}.weight")).unwrap();
    let (keys, values) = (tensor("attn_k_b"), tensor("attn_v_b"));
    let [content, rank, n_heads] = [0, 1, 2].map(|i| keys.dims[i] as usize);
    let mut bytes = Vec::new();
    let size = keys.kind.block_bytes() as usize;
    for head in 0..n_heads {
        let turned = gguf.tensor_bytes(keys);
        for j in 0..content {
            for i in 0..rank {
                let at = ((head * rank + i) * content + j) * size;
                bytes.extend(&turned[at..at + size]);
            }
        }
        let n_bytes = gguf.tensor_bytes(values).len() / n_heads;
        bytes.extend(&gguf.tensor_bytes(values)[head * n_bytes..(head + 1) * n_bytes]);
    }
    bytes
}

/// A newer file as an older converter would have written it.
fn older(file: &[u8]) -> Vec<u8> {
    let gguf = Gguf::read(Source::from_vec(file.to_vec())).unwrap();
    let key = |name: &str, value: &MetadataValue| match name {
        "deepseek2.attention.key_length_mla" | "deepseek2.attention.value_length_mla" => None,
        "deepseek2.attention.head_count_kv" => {
            gguf.value("deepseek2.attention.head_count").cloned()
        }
        "deepseek2.attention.key_length" => Some(MetadataValue::U32(48)),
        "deepseek2.attention.value_length" => Some(MetadataValue::U32(32)),
        _ => Some(value.clone()),
    };
    rewritten(file, key, |info: &TensorInfo, bytes, writer| {
        match info.name.strip_suffix(".attn_k_b.weight") {
            Some(layer) => {
                let (rank, n_heads) = (info.dims[1], info.dims[2]);
                let n_rows = n_heads * (info.dims[0] + 32);
                let name = format!("{layer}.attn_kv_b.weight");
                writer.tensor(&name, &[rank, n_rows], info.kind, together(&gguf, layer));
            }
            None if info.name.ends_with("attn_v_b.weight") => {}
            None => same_tensor(info, bytes, writer),
        }
    })
}

#[test]
fn older_files_give_the_same_bits() {
    let options = ShardOptions { threads: 1, kv_pages: 2, ..ShardOptions::default() };
    let batch = [rows(&[0, 1], 0, 37, LogitsWanted::All)];
    for variant in ["deepseek2", "deepseek2 lite", "deepseek2 groups"] {
        let file = architectures::file(variant, F32, 5);
        let logits = |file: Vec<u8>| {
            let model = Model::from_vec(file).unwrap();
            forward(&mut shards(&model, &[1], &options), &batch, (0..37).collect())
        };
        assert_eq!(logits(older(&file)), logits(file), "{variant}");
    }
}

#[test]
fn an_older_file_without_its_tensor_is_refused_by_name() {
    let file = architectures::file("deepseek2 old", Q8_0, 5);
    let file = rewritten(
        &file,
        |_, value| Some(value.clone()),
        |info, bytes, writer| {
            if info.name != "blk.1.attn_kv_b.weight" {
                same_tensor(info, bytes, writer);
            }
        },
    );
    let model = Model::from_vec(file).unwrap();
    let error = Shard::load(&model, 0..3, &ShardOptions::default()).unwrap_err().to_string();
    assert!(error.contains("blk.1.attn_kv_b.weight"), "{error}");
}
