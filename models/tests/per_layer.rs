//! Metadata that is written once per layer.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Shape, architectures, forward, random_file, rewritten, rows, same_tensor, shards};
use swarmllm_models::{
    LogitsWanted, Model, ShardOptions,
    gguf::{MetadataArray, MetadataValue, TensorType},
};

fn numbers(values: &[u32]) -> MetadataValue {
    MetadataValue::Array(MetadataArray::U32(values.to_vec()))
}

fn bools(values: &[bool]) -> MetadataValue {
    MetadataValue::Array(MetadataArray::Bool(values.to_vec()))
}

/// The file with one key's value replaced.
fn with_key(file: &[u8], key: &str, value: &MetadataValue) -> Vec<u8> {
    let replace = |name: &str, old: &MetadataValue| {
        Some(if name == key { value.clone() } else { old.clone() })
    };
    rewritten(file, replace, same_tensor)
}

/// The logits of 40 tokens, at the cuts given.
fn logits(file: Vec<u8>, cuts: &[u32]) -> Vec<f32> {
    let model = Model::from_vec(file).unwrap();
    let options = ShardOptions { threads: 1, kv_pages: 2, ..ShardOptions::default() };
    let batch = [rows(&[0, 1], 0, 40, LogitsWanted::All)];
    forward(&mut shards(&model, cuts, &options), &batch, (0..40).collect())
}

fn refusal(file: Vec<u8>) -> String {
    Model::from_vec(file).unwrap_err().to_string()
}

#[test]
fn equal_numbers_per_layer_are_one_number() {
    let file = random_file(&Shape::small(TensorType::Q8_0), 9);
    let expected = logits(file.clone(), &[]);
    for (key, value) in [
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 2),
        ("llama.feed_forward_length", 160),
    ] {
        let array = with_key(&file, key, &numbers(&[value; 3]));
        assert_eq!(logits(array, &[]), expected, "{key}");
        let signed = MetadataValue::Array(MetadataArray::I32(vec![value as i32; 3]));
        assert_eq!(logits(with_key(&file, key, &signed), &[1]), expected, "{key}");
    }
}

#[test]
fn numbers_that_cannot_differ_between_layers_are_refused_by_name() {
    let file = random_file(&Shape::small(TensorType::Q8_0), 9);
    let cases = [
        ("llama.attention.head_count", numbers(&[4, 4, 2]), "4 in one layer and 2 in another"),
        ("llama.attention.head_count_kv", numbers(&[2, 1, 2]), "layers that differ"),
        ("llama.attention.head_count_kv", numbers(&[]), "whole numbers"),
        ("llama.attention.head_count_kv", bools(&[true; 3]), "whole numbers"),
        ("llama.feed_forward_length", numbers(&[160; 2]), "3 whole numbers"),
        ("llama.feed_forward_length", numbers(&[160, 0, 160]), "from 1 to"),
        ("llama.feed_forward_length", numbers(&[160, u32::MAX, 160]), "from 1 to"),
    ];
    for (key, value, why) in cases {
        let said = refusal(with_key(&file, key, &value));
        assert!(said.contains(key) && said.contains(why), "{said}");
    }
}

#[test]
fn feed_forward_blocks_may_differ_in_width() {
    let narrow = random_file(&Shape { feed_forward: 96, ..Shape::small(TensorType::Q8_0) }, 4);
    let narrow =
        swarmllm_models::gguf::Gguf::read(swarmllm_models::gguf::Source::from_vec(narrow)).unwrap();
    let file = random_file(&Shape::small(TensorType::Q8_0), 9);
    let file = rewritten(
        &file,
        |name, value| {
            let differs = name == "llama.feed_forward_length";
            Some(if differs { numbers(&[160, 96, 160]) } else { value.clone() })
        },
        |info, bytes, writer| {
            if info.name.starts_with("blk.1.ffn") {
                let info = narrow.tensor(&info.name).unwrap();
                same_tensor(info, narrow.tensor_bytes(info), writer);
            } else {
                same_tensor(info, bytes, writer);
            }
        },
    );
    let model = Model::from_vec(file.clone()).unwrap();
    assert_eq!(model.config().feed_forward_layers, [160, 96, 160]);
    assert_eq!(model.summary().feed_forward, 160);
    let whole = logits(file.clone(), &[]);
    assert!(whole.iter().all(|value| value.is_finite()));
    assert_eq!(whole, logits(file.clone(), &[1, 2]), "the cut does not matter");
    // The tensors are held to the widths.
    let swapped = with_key(&file, "llama.feed_forward_length", &numbers(&[96, 160, 160]));
    let model = Model::from_vec(swapped).unwrap();
    let said = swarmllm_models::Shard::load(&model, 0..3, &ShardOptions::default()).unwrap_err();
    assert!(said.to_string().contains("blk.0.ffn"), "{said}");
}

#[test]
fn windows_may_be_named_layer_by_layer() {
    const KEY: &str = "gemma3.attention.sliding_window_pattern";
    let file = architectures::file("gemma3", TensorType::F16, 5);
    // The file says 2: the last of every two layers sees everything.
    let expected = logits(file.clone(), &[]);
    for same in [bools(&[true, false, true]), numbers(&[1, 0, 1])] {
        assert_eq!(logits(with_key(&file, KEY, &same), &[2]), expected);
    }
    let other = logits(with_key(&file, KEY, &bools(&[false, true, false])), &[]);
    assert_ne!(other, expected, "other layers have the window");
    for bad in [bools(&[true; 2]), numbers(&[1, 2, 1]), numbers(&[])] {
        let said = refusal(with_key(&file, KEY, &bad));
        assert!(said.contains(KEY), "{said}");
    }
}
