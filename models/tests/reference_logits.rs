//! Every architecture computes the right function: our logits of small random models against those
//! of an outside engine, which are shipped in `reference_logits.json`.
//!
//! The models are made here, the same on every machine; the shipped file holds their BLAKE3 and the
//! logits of llama.cpp (F32 weights and cache, one thread), and `scripts/reference_logits/make.py`
//! makes it again after a change of the generators. The weights are of F16, so that both our
//! engines compute with floats: burn's own operations ("plain") and the CPU kernels.
//!
//! Bounds: max abs 1e-4, and 5e-3 where the outside engine looks GELU up in a table of f16 values;
//! there too our engines, which compute it, are within 1e-4 of each other.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use std::path::Path;

use common::{Random, architectures, forward, rows, shards, state_space};
use serde_json::{Value, json};
use swarmllm_models::{
    DeviceChoice, KvType, LogitsWanted, Model, RunProfile, Shard, ShardOptions,
    backend::Engine,
    gguf::{GgufWriter, TensorType},
};

const SHIPPED: &str = include_str!("reference_logits.json");
/// Long enough to leave the windows of 13 and 21 positions.
const PROMPT_TOKENS: usize = 40;
/// Rows whose logits are shipped: the first, and around the windows' ends.
const ROWS: [usize; 5] = [0, 13, 21, 30, 39];
/// Longest context, which chooses between Phi-3's rotations.
const CONTEXT: u32 = 256;

/// Most that a logit may be off, for the order of sums.
const EXACT: f32 = 1e-4;
/// The same where the outside engine's GELU is rounded to f16.
const WITH_TABLE: f32 = 5e-3;

/// Every model's name and file: all variants, and all sizes of state spaces.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = architectures::VARIANTS
        .map(|variant| (variant.into(), architectures::file(variant, TensorType::F16, 5)))
        .into();
    for (which, sizes) in state_space::all_sizes().into_iter().enumerate() {
        let sizes = state_space::Sizes { kind: TensorType::F16, ..sizes };
        let name = format!("{} {which}", sizes.architecture);
        files.push((name, state_space::Draft::new(sizes).bytes()));
    }
    files
}

fn prompt() -> Vec<u32> {
    let mut random = Random(17);
    (0..PROMPT_TOKENS).map(|_| random.below(state_space::VOCAB) as u32).collect()
}

fn hash(file: &[u8]) -> String {
    blake3::hash(file).to_hex().to_string()
}

/// Our logits of the wanted rows, by the CPU kernels or by burn's own operations.
fn wanted_logits(model: &Model, is_plain: bool) -> Vec<f32> {
    let options = ShardOptions {
        profile: RunProfile::F32,
        kv: KvType::F32,
        threads: 1,
        context: Some(CONTEXT),
        kv_pages: 2,
        ..ShardOptions::default()
    };
    let mut shards = if is_plain {
        let engine = Engine::plain(DeviceChoice::Cpu).unwrap();
        vec![Shard::load_on(model, 0..model.config().n_layers, &options, engine).unwrap()]
    } else {
        shards(model, &[], &options)
    };
    let batch = [rows(&[1, 0], 0, PROMPT_TOKENS as u32, LogitsWanted::All)];
    let logits = forward(&mut shards, &batch, prompt());
    let vocab = model.config().vocab as usize;
    ROWS.iter().flat_map(|row| logits[row * vocab..][..vocab].to_vec()).collect()
}

/// The shipped logits of one model.
fn rows_of(logits: &Value, vocab: usize) -> Vec<f32> {
    let rows: Vec<Vec<f32>> = serde_json::from_value(logits.clone()).unwrap();
    assert!(rows.len() == ROWS.len() && rows.iter().all(|row| row.len() == vocab));
    rows.concat()
}

fn max_abs(a: &[f32], b: &[f32]) -> f32 {
    assert!(a.len() == b.len() && a.iter().chain(b).all(|x| x.is_finite()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_the_outside_engine() {
    let shipped: Value = serde_json::from_str(SHIPPED).unwrap();
    let again = "run scripts/reference_logits/make.py again";
    assert_eq!(shipped["tokens"], json!(prompt()), "the prompt changed: {again}");
    assert_eq!(shipped["rows"], json!(ROWS), "the rows changed: {again}");
    let files = files();
    let n_shipped = shipped["models"].as_object().unwrap().len();
    assert_eq!(n_shipped, files.len(), "the list of models changed: {again}");
    let mut failures = Vec::new();
    for (name, file) in files {
        let reference = &shipped["models"][&name];
        assert_eq!(reference["blake3"], hash(&file), "{name}: the generator changed: {again}");
        let model = Model::from_vec(file).unwrap();
        let vocab = model.config().vocab as usize;
        let has_table = ["gemma", "starcoder"].iter().any(|with| name.starts_with(with));
        let bound = if has_table { WITH_TABLE } else { EXACT };
        let shipped = rows_of(&reference["logits"], vocab);
        let [kernels, plain] = [false, true].map(|is_plain| wanted_logits(&model, is_plain));
        let [off, plain_off] = [&kernels, &plain].map(|ours| max_abs(ours, &shipped));
        let apart = max_abs(&kernels, &plain);
        let report = format!(
            "{name:18} max abs: kernels {off:.1e}, plain {plain_off:.1e}, each other {apart:.1e}"
        );
        eprintln!("{report}");
        if off.max(plain_off) > bound || apart > EXACT {
            failures.push(format!("{report}; bound {bound:.0e}"));
        }
    }
    assert!(failures.is_empty(), "beyond the bounds:\n{}", failures.join("\n"));
}

/// The same model with all values in F32: the outside engine would round activations to F16.
fn widened(model: &Model) -> Vec<u8> {
    let gguf = model.gguf();
    let mut writer = GgufWriter::new();
    for (key, value) in gguf.metadata() {
        writer.key(key, value.clone());
    }
    for tensor in gguf.tensors() {
        let bytes = gguf.tensor_bytes(tensor);
        let bytes = match tensor.kind {
            TensorType::F32 => bytes.to_vec(),
            TensorType::F16 => {
                let values = bytes.as_chunks::<2>().0.iter();
                values.flat_map(|b| half::f16::from_le_bytes(*b).to_f32().to_le_bytes()).collect()
            }
            other => panic!("{} is of {}", tensor.name, other.name()),
        };
        writer.tensor(&tensor.name, &tensor.dims, TensorType::F32, bytes);
    }
    writer.finish()
}

/// Where `SWARMLLM_WRITE_MODELS` names a folder, leaves there what the outside engine reads: the
/// models, and `index.json` about them.
#[test]
fn models_are_written_for_the_outside_engine() {
    let named = std::env::var_os("SWARMLLM_WRITE_MODELS");
    let mut models = Vec::new();
    for (name, file) in files() {
        let blake3 = hash(&file);
        let model = Model::from_vec(file).unwrap();
        let wide = widened(&model);
        let file = format!("{}.gguf", name.replace(' ', "-"));
        if let Some(folder) = &named {
            std::fs::write(Path::new(folder).join(&file), &wide).unwrap();
        }
        // The outside engine knows no windows of such files: it is made to forget.
        let is_forgetful = ["llama", "phi3"].contains(&&*model.config().architecture);
        let window = model.config().window.filter(|_| is_forgetful);
        models.push(json!({ "name": name, "file": file, "blake3": blake3, "window": window }));
        let same = Model::from_vec(wide).unwrap();
        assert_eq!(same.config(), model.config(), "{name}");
    }
    if let Some(folder) = &named {
        let index =
            json!({ "tokens": prompt(), "rows": ROWS, "context": CONTEXT, "models": models });
        std::fs::write(Path::new(folder).join("index.json"), index.to_string()).unwrap();
    }
}
