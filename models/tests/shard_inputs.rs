//! Wrong inputs of a shard are errors in words, never panics, and change nothing.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{Shape, architectures, forward, random_model, rows};
use swarmllm_models::{
    BorderType, DeviceChoice, HiddenRows, LogitsWanted, Model, Shard, ShardInput, ShardOptions,
    gguf::{GgufWriter, MetadataValue, TensorType},
};

fn options() -> ShardOptions {
    ShardOptions { kv_pages: 4, threads: 1, ..ShardOptions::default() }
}

fn hidden(n_rows: u32, width: u32, dtype: BorderType, n_bytes: usize) -> ShardInput {
    ShardInput::Hidden(HiddenRows {
        dtype,
        n_rows,
        hidden: width,
        bytes: Bytes::from(vec![0; n_bytes]),
    })
}

#[test]
fn wrong_batches_are_refused() {
    let model = random_model(&Shape::small(TensorType::Q8_0), 1);
    let mut first = Shard::load(&model, 0..2, &options()).unwrap();
    let mut last = Shard::load(&model, 2..3, &options()).unwrap();
    let one = [rows(&[0], 0, 1, LogitsWanted::All)];
    let token = |id| ShardInput::Tokens(vec![id]);
    let f16 = BorderType::F16;
    let cases = [
        (first.forward(&[], token(0)), "no sequences"),
        (first.forward(&[rows(&[0], 0, 0, LogitsWanted::All)], token(0)), "no rows"),
        (first.forward(&[rows(&[0], 32, 1, LogitsWanted::All)], token(0)), "do not fit"),
        (first.forward(&[rows(&[], 0, 1, LogitsWanted::All)], token(0)), "do not fit"),
        (first.forward(&[rows(&[0], u32::MAX, 2, LogitsWanted::All)], token(0)), "do not fit"),
        (first.forward(&[rows(&[4], 0, 1, LogitsWanted::All)], token(0)), "does not exist"),
        (first.forward(&[rows(&[1, 1], 40, 1, LogitsWanted::All)], token(0)), "used twice"),
        (first.forward(&[one[0].clone(), one[0].clone()], token(0)), "used twice"),
        (first.forward(&one, token(77)), "token 77 does not exist"),
        (first.forward(&one, ShardInput::Tokens(vec![1, 2])), "2 tokens for 1 rows"),
        (first.forward(&one, hidden(1, 96, f16, 192)), "wants tokens"),
        (last.forward(&one, token(0)), "wants hidden rows"),
        (last.forward(&one, hidden(2, 96, f16, 384)), "expected 1 of 96"),
        (last.forward(&one, hidden(1, 95, f16, 190)), "expected 1 of 96"),
        (last.forward(&one, hidden(1, 96, f16, 191)), "191 bytes"),
        (last.forward(&one, hidden(1, 96, BorderType::F32, 384)), "run profile"),
    ];
    for (result, words) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} should say {words:?}");
    }
    assert!(last.forward(&one, hidden(1, 96, f16, 192)).is_ok());
}

#[test]
fn wrong_loads_are_refused() {
    let model = random_model(&Shape::small(TensorType::F16), 1);
    for layers in [0..0, 3..3, 0..4, 7..9] {
        let error = Shard::load(&model, layers, &options()).unwrap_err().to_string();
        assert!(error.contains("0..3"), "{error}");
    }
    let cuda = ShardOptions { device: DeviceChoice::Cuda(0), ..options() };
    assert!(Shard::load(&model, 0..1, &cuda).unwrap_err().to_string().contains("cuda"));
    let huge = ShardOptions { kv_pages: u32::MAX, ..options() };
    assert!(Shard::load(&model, 0..1, &huge).is_err());
}

#[test]
fn a_shard_needs_only_its_own_tensors() {
    let shape = Shape::small(TensorType::F16);
    let whole = random_model(&shape, 1);
    let mut part = GgufWriter::new();
    common::metadata(&mut part, &shape);
    let gguf = whole.gguf();
    for info in gguf.tensors().iter().filter(|t| t.name.starts_with("blk.1.")) {
        part.tensor(&info.name, &info.dims, info.kind, gguf.tensor_bytes(info).to_vec());
    }
    let part = Model::from_vec(part.finish()).unwrap();
    let shard = Shard::load(&part, 1..2, &options()).unwrap();
    assert_eq!(shard.layers(), 1..2);
    assert_eq!(shard.weight_bytes(), whole.layer_bytes()[1]);
    let error = Shard::load(&part, 0..2, &options()).unwrap_err().to_string();
    assert!(error.contains("token_embd.weight"), "{error}");
    let error = Shard::load(&part, 1..3, &options()).unwrap_err().to_string();
    assert!(error.contains("output_norm.weight"), "{error}");
}

#[test]
fn what_cannot_run_is_named() {
    let shape = Shape::small(TensorType::F16);
    let open = |edit: &dyn Fn(&mut GgufWriter)| {
        let mut writer = GgufWriter::new();
        edit(&mut writer);
        Model::from_vec(writer.finish()).map(|_| ()).unwrap_err().to_string()
    };
    let text = |t: &str| MetadataValue::String(t.into());
    let error = open(&|w| {
        w.key("general.architecture", text("rwkv7"));
    });
    assert!(error.contains("\"rwkv7\"") && error.contains("llama"), "{error}");
    let error = open(&|w| {
        w.key("general.architecture", text("llama"));
    });
    assert!(error.contains("llama.embedding_length"), "{error}");
    let error = open(&|_| ());
    assert!(error.contains("general.architecture"), "{error}");
    let error = open(&|w| {
        common::metadata(w, &shape);
        w.key("llama.rope.scaling.type", text("spiral"));
    });
    assert!(error.contains("rope.scaling.type") && error.contains("spiral"), "{error}");
    let error = open(&|w| {
        common::metadata(w, &Shape { n_heads: 5, ..shape.clone() });
    });
    assert!(error.contains("head_count_kv"), "{error}");
}

#[test]
fn a_header_alone_is_described_and_not_loaded() {
    let file = architectures::file("deepseek2 groups", TensorType::Q8_0, 3);
    let whole = Model::from_vec(file.clone()).unwrap();
    let header = whole.gguf().tensors().iter().map(|tensor| tensor.start).min().unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header.gguf");
    std::fs::write(&path, &file[..header]).unwrap();

    let model = Model::open_header(&path).unwrap();
    let (found, expected) = (model.summary(), whole.summary());
    assert_eq!((found.model_id, found.file_bytes), (None, header as u64));
    assert_eq!(found.layer_bytes, expected.layer_bytes);
    assert_eq!(
        (found.parameters, found.weight_bytes),
        (expected.parameters, expected.weight_bytes)
    );
    // 8 experts of 3 * 64 * 64 weights in Q8_0, from the second layer on.
    assert_eq!((found.experts, found.expert_bytes), (Some([8, 3]), vec![0, 13_056, 13_056]));
    // Latent vector and rotated key of 48 values, 3 layers, f16.
    assert_eq!(found.cache_bytes_per_token, 48 * 3 * 2);

    let error = Model::open(&path).unwrap_err().to_string();
    assert!(error.contains("the file ends"), "{error}");
    let error = Shard::load(&model, 1..2, &options()).unwrap_err().to_string();
    assert!(error.contains("the file ends inside tensor \"blk.1."), "{error}");
}

#[test]
fn an_unsupported_type_is_named() {
    let shape = Shape::small(TensorType::F16);
    let mut writer = GgufWriter::new();
    common::metadata(&mut writer, &shape);
    let kind = TensorType::from_id(39).unwrap();
    let bytes = vec![0; shape.vocab * kind.row_bytes(96).unwrap() as usize];
    writer.tensor("token_embd.weight", &[96, shape.vocab as u64], kind, bytes);
    let model = Model::from_vec(writer.finish()).unwrap();
    let error = Shard::load(&model, 0..1, &options()).unwrap_err().to_string();
    assert!(error.contains("token_embd.weight") && error.contains("MXFP4"), "{error}");
}

#[test]
fn the_content_address_follows_content_only() {
    let shape = Shape::small(TensorType::F16);
    let (a, b) = (random_model(&shape, 1), random_model(&shape, 2));
    assert_eq!(a.content_id(), random_model(&shape, 1).content_id());
    assert_ne!(a.content_id(), b.content_id());
    let mut reordered = GgufWriter::new();
    for (key, value) in a.gguf().metadata().iter().rev() {
        reordered.key(key, value.clone());
    }
    for info in a.gguf().tensors().iter().rev() {
        let bytes = a.gguf().tensor_bytes(info).to_vec();
        reordered.tensor(&info.name, &info.dims, info.kind, bytes);
    }
    let reordered = Model::from_vec(reordered.finish()).unwrap();
    assert_eq!(a.content_id(), reordered.content_id());
    assert_eq!(a.summary().model_id.map(|id| id.len()), Some(52));
}

#[test]
fn a_tied_head_is_the_embedding() {
    let shape = Shape { tied: true, ..Shape::small(TensorType::Q8_0) };
    let model = random_model(&shape, 1);
    let mut shards = common::shards(&model, &[1, 2], &options());
    let batch = [rows(&[0], 0, 2, LogitsWanted::Last)];
    assert_eq!(forward(&mut shards, &batch, vec![1, 2]).len(), shape.vocab);
}
