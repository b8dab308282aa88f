//! Weights that are not numbers: whatever a tensor is for, the file is refused by its name.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Shape, architectures, float_places, random_file, set_float};
use swarmllm_models::{
    DeviceChoice, Model, Shard, ShardOptions,
    backend::Engine,
    gguf::{Gguf, Source, TensorInfo, TensorType},
    kernel::cpu::{Level, Pool, linear::Repack, network::CpuContext},
};

/// Every engine that reads weights in its own way.
fn engines() -> [Engine; 3] {
    let cpu = |level, repack| Engine::cpu(CpuContext::new(level, Pool::new(2).unwrap(), repack));
    let best = *Level::available().last().unwrap();
    [
        cpu(best, Repack::Always),
        cpu(Level::Scalar, Repack::Never),
        Engine::plain(DeviceChoice::Cpu).unwrap(),
    ]
}

/// What loading all layers says.
fn refusal(file: Vec<u8>, engine: Engine) -> Option<String> {
    let model = Model::from_vec(file).unwrap();
    let options = ShardOptions { kv_pages: 1, threads: 1, ..ShardOptions::default() };
    let layers = 0..model.config().n_layers;
    Shard::load_on(&model, layers, &options, engine).err().map(|error| error.to_string())
}

/// The file with an infinite number in one block of a tensor.
fn damaged(file: &[u8], info: &TensorInfo, block: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    let bytes = info.kind.block_bytes() as usize;
    let at = info.start + block * bytes;
    let place = *float_places(info.kind).last().unwrap();
    set_float(info.kind, &mut file[at..at + bytes], place, f32::INFINITY);
    file
}

#[test]
fn a_damaged_tensor_is_refused_by_its_name() {
    for variant in architectures::VARIANTS {
        let file = architectures::file(variant, TensorType::Q8_0, 5);
        let gguf = Gguf::read(Source::from_vec(file.clone())).unwrap();
        for engine in engines() {
            assert_eq!(refusal(file.clone(), engine), None, "{variant}");
        }
        for info in gguf.tensors() {
            // Chosen by the context that is served; the other one is never read.
            if info.name == "rope_factors_short.weight" || info.name == "rope_factors_long.weight" {
                continue;
            }
            let last = info.n_bytes / info.kind.block_bytes() as usize - 1;
            for engine in engines() {
                let said = refusal(damaged(&file, info, last), engine).unwrap_or_default();
                assert!(said.contains(&info.name), "{variant}, {}: {said}", info.name);
                assert!(said.contains("row") && said.contains("block"), "{variant}: {said}");
            }
        }
    }
}

#[test]
fn an_embedding_is_refused_by_row_and_block() {
    for kind in [TensorType::Q4_K, TensorType::Q8_0, TensorType::F16] {
        for tied in [false, true] {
            let shape = Shape { tied, hidden: 512, ..Shape::small(kind) };
            let file = random_file(&shape, 3);
            let gguf = Gguf::read(Source::from_vec(file.clone())).unwrap();
            let info = gguf.tensor("token_embd.weight").unwrap();
            // Two rows are bad; the first of them is named.
            let blocks_per_row = 512 / kind.block_values() as usize;
            let damaged =
                damaged(&damaged(&file, info, 60 * blocks_per_row), info, 41 * blocks_per_row + 1);
            for engine in engines() {
                let said = refusal(damaged.clone(), engine).unwrap();
                // Floats are counted in blocks of 32 values.
                let block = if kind.block_values() == 1 { 0 } else { 1 };
                let place = format!("row 41: block {block}");
                assert!(
                    said.contains("token_embd.weight") && said.contains(&place),
                    "{kind}: {said}"
                );
            }
        }
    }
}
