//! Damaged and hostile files: an error in words, no panic, no memory beyond the file's own size.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use common::{Shape, random_file};
use proptest::prelude::*;
use swarmllm_models::{
    Model, Shard, ShardOptions,
    gguf::{Gguf, GgufError, GgufWriter, MetadataArray, MetadataValue, Source, TensorType},
};

/// Counts the largest single allocation of this thread.
struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn tiny() -> Vec<u8> {
    let shape = Shape {
        hidden: 32,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 16,
        feed_forward: 32,
        n_layers: 1,
        vocab: 5,
        kind: TensorType::Q8_0,
        tied: true,
    };
    random_file(&shape, 1)
}

/// Reads the bytes as far as they allow; gives the largest allocation of the reader.
fn read(bytes: &[u8]) -> usize {
    let source = Source::from_vec(bytes.to_vec());
    LARGEST.set(0);
    let gguf = Gguf::read(source);
    let largest = LARGEST.get();
    if let Ok(gguf) = gguf {
        for info in gguf.tensors() {
            assert_eq!(gguf.tensor_bytes(info).len(), info.n_bytes);
        }
        if let Ok(model) = Model::from_vec(bytes.to_vec()) {
            let options = ShardOptions { kv_pages: 1, threads: 1, ..ShardOptions::default() };
            let _ = Shard::load(&model, 0..1, &options);
            let _ = (model.summary(), model.layer_bytes());
        }
    }
    largest
}

#[test]
fn every_truncation_is_refused() {
    let file = tiny();
    let end = {
        let gguf = Gguf::read(Source::from_vec(file.clone())).unwrap();
        gguf.tensors().iter().map(|t| t.start + t.n_bytes).max().unwrap()
    };
    for length in 0..end {
        let result = Gguf::read(Source::from_vec(file[..length].to_vec()));
        assert!(result.is_err(), "{length} of {end} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((0usize..4000, 0u8..8), 1..4)) {
        let mut file = tiny();
        for (at, bit) in flips {
            let at = at % file.len();
            file[at] ^= 1 << bit;
        }
        prop_assert!(read(&file) <= 64 * file.len());
    }

    #[test]
    fn random_bytes_after_the_magic_never_panic(
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut file = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        file.extend(tail);
        prop_assert!(read(&file) <= 64 * file.len());
    }
}

fn header(tensors: u64, pairs: u64) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(tensors.to_le_bytes());
    file.extend(pairs.to_le_bytes());
    file
}

fn error(bytes: &[u8]) -> String {
    Gguf::read(Source::from_vec(bytes.to_vec())).unwrap_err().to_string()
}

#[test]
fn absurd_counts_are_refused_before_allocation() {
    for count in [1u64 << 20, 1 << 40, u64::MAX] {
        for file in [header(count, 0), header(0, count)] {
            assert!(error(&file).contains("count says"), "{}", error(&file));
            assert!(read(&file) < 4096);
        }
    }
    // An array of 2^60 strings, and a key of 2^60 bytes.
    let mut array = header(0, 1);
    array.extend(3u64.to_le_bytes());
    array.extend(b"abc");
    array.extend(9u32.to_le_bytes());
    array.extend(8u32.to_le_bytes());
    array.extend((1u64 << 60).to_le_bytes());
    assert!(error(&array).contains("abc says 1152921504606846976"), "{}", error(&array));
    let mut key = header(0, 1);
    key.extend((1u64 << 60).to_le_bytes());
    key.extend([0; 16]);
    assert!(error(&key).contains("metadata key 0 says"), "{}", error(&key));
    assert!(read(&array) < 4096 && read(&key) < 4096);
}

#[test]
fn tensors_that_lie_are_named() {
    let entry = |dims: &[u64], kind: u32, offset: u64| {
        let mut file = header(1, 0);
        file.extend(1u64.to_le_bytes());
        file.push(b'w');
        file.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| file.extend(d.to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend(offset.to_le_bytes());
        file.resize(256, 0);
        error(&file)
    };
    for (text, words) in [
        (entry(&[u64::MAX / 4, 4], 0, 0), "overflows"),
        (entry(&[1 << 40, 1 << 40], 0, 0), "overflows"),
        (entry(&[1 << 40], 0, 0), "ends inside"),
        (entry(&[4], 0, u64::MAX - 31), "beyond any file"),
        (entry(&[4], 0, 7), "not aligned"),
        (entry(&[4, 0], 0, 0), "is 0"),
        (entry(&[33], 8, 0), "Q8_0 blocks"),
        (entry(&[4], 99, 0), "type number 99"),
        (entry(&[1; 5], 0, 0), "5 dimensions"),
        (entry(&[], 0, 0), "0 dimensions"),
    ] {
        assert!(text.contains("\"w\"") && text.contains(words), "{text}");
    }
}

#[test]
fn overlaps_doubles_splits_and_versions_are_refused() {
    let mut writer = GgufWriter::new();
    writer.tensor("first", &[8], TensorType::F32, vec![0; 32]);
    writer.tensor("second", &[8], TensorType::F32, vec![0; 32]);
    let file = writer.finish();
    let mut overlapping = file.clone();
    let at = file.windows(6).position(|w| w == b"second").unwrap() + 6 + 4 + 8 + 4;
    overlapping[at] = 0;
    assert!(error(&overlapping).contains("overlap"), "{}", error(&overlapping));

    let mut double = GgufWriter::new();
    double.key("a", MetadataValue::U8(1)).key("a", MetadataValue::U8(1));
    assert!(error(&double.finish()).contains("twice"));

    let mut split = GgufWriter::new();
    split.key("split.count", MetadataValue::U16(3)).key("split.no", MetadataValue::U16(1));
    assert!(error(&split.finish()).contains("part 2 of a model split in 3 files"));

    assert!(error(b"GGML").contains("not a GGUF file"));
    assert!(error(b"GGUF\x01\0\0\0").contains("version 1"));
    assert!(error(b"").contains("ends inside"));
    let mut alignment = GgufWriter::new();
    alignment.key("general.alignment", MetadataValue::U32(0));
    assert!(error(&alignment.finish()).contains("general.alignment"));
}

#[test]
fn what_is_written_is_read() {
    use MetadataArray as A;
    use MetadataValue as V;
    let values = [
        V::U8(200),
        V::I8(-3),
        V::U16(60_000),
        V::I16(-3),
        V::U32(4_000_000_000),
        V::I32(-3),
        V::F32(1.5),
        V::Bool(true),
        V::String("caf\u{e9}".into()),
        V::U64(u64::MAX),
        V::I64(i64::MIN),
        V::F64(0.1),
        V::Array(A::String(vec!["a".into(), String::new()])),
        V::Array(A::F32(vec![1.0, -2.0])),
        V::Array(A::I32(vec![-1, 2])),
        V::Array(A::Bool(vec![true, false])),
        V::Array(A::U8(Vec::new())),
        V::Array(A::I64(vec![5])),
    ];
    let mut writer = GgufWriter::new();
    for (i, value) in values.iter().enumerate() {
        writer.key(&format!("key{i}"), value.clone());
    }
    writer.tensor("t", &[2, 3], TensorType::F16, (0..12).collect());
    let gguf = Gguf::read(Source::from_vec(writer.finish())).unwrap();
    for (i, value) in values.iter().enumerate() {
        assert_eq!(gguf.value(&format!("key{i}")), Some(value));
    }
    let info = gguf.tensor("t").unwrap();
    assert_eq!((info.n_rows(), info.row_values()), (3, 2));
    assert_eq!(gguf.tensor_bytes(info), (0..12).collect::<Vec<u8>>());
    assert!(matches!(gguf.get_u32("absent"), Err(GgufError::MissingKey(_))));
    assert!(matches!(gguf.get_u32("key8"), Err(GgufError::WrongType { .. })));
    assert_eq!(gguf.get_i64s("key14").unwrap(), [-1, 2]);
}
