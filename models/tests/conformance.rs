//! The logits of reference files against the reference's own, where they are at hand.
//!
//! `SWARMLLM_CONFORMANCE` names the folder; without it the test says so and passes. Every file is
//! run by both engines against the reference's logits of the dequantised weights. Bounds (from the
//! folder's README), with f32 cache and profile: burn's own operations ("plain", float activations)
//! max abs 2e-3 and KL 1e-6; the CPU kernels the same on F16 files, on quantised ones (8-bit
//! activations) median KL 6e-3, or three times the reference's own integer kernels where those are
//! further off; greedy tokens up to the first margin below 0.5. Of mixtures, where rounding may
//! turn a router, the median position is judged. `SWARMLLM_CONFORMANCE_DEVICE=wgpu` (with the
//! feature) runs the plain operations there.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod reference;

mod common;

use std::path::{Path, PathBuf};

use serde_json::Value;
use swarmllm_models::{
    DeviceChoice, KvType, LogitsWanted, Model, RunProfile, Shard, ShardInput, ShardOptions,
    ShardOutput, backend::Engine,
};

#[derive(Clone, Copy, PartialEq)]
enum With {
    Kernels,
    Plain,
}

struct Report {
    name: String,
    max_abs: f64,
    kl_median: f64,
    kl_mean: f64,
    greedy_agree: usize,
    greedy_total: usize,
    failed: bool,
}

/// A two-dimensional little-endian f32 array of NumPy's format 1.
fn read_npy(path: &Path) -> (usize, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(text.contains("'<f4'") && text.contains("False"), "{text}");
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let sizes: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let values = bytes[10 + header..].as_chunks::<4>().0;
    let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(values.len(), sizes.iter().product::<usize>());
    (sizes[1], values)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::MIN, |a, b| a.max(f64::from(*b)));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - largest - sum.ln()).collect()
}

fn divergence(reference: &[f32], ours: &[f32]) -> f64 {
    let (p, q) = (log_softmax(reference), log_softmax(ours));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = i;
        }
    }
    best as u32
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn run(shard: &mut Shard, pages: &[u32], first: u32, tokens: &[u32]) -> Vec<f32> {
    let batch = [common::rows(pages, first, tokens.len() as u32, LogitsWanted::All)];
    match shard.forward(&batch, ShardInput::Tokens(tokens.to_vec())).unwrap() {
        ShardOutput::Logits(logits) => logits.values,
        ShardOutput::Hidden(_) => panic!("the whole model gives logits"),
    }
}

/// Where burn's own operations run: the CPU, or what `SWARMLLM_CONFORMANCE_DEVICE` names, when the
/// build has it.
fn plain_device() -> DeviceChoice {
    match std::env::var("SWARMLLM_CONFORMANCE_DEVICE") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => DeviceChoice::Cpu,
    }
}

/// The logits that the reference's authors trust most: see the folder's README.
fn reference_file(folder: &Path, kind: &str, prompt: &str) -> PathBuf {
    if kind == "F16" {
        folder.join(format!("f32-{prompt}.npy"))
    } else {
        folder.join(format!("{kind}-{prompt}-deq.npy"))
    }
}

fn compare(
    folder: &Path,
    (kind, with): (&str, With),
    golden: &Value,
    prompt: &str,
) -> Option<Report> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let file = folder.join(format!("{name}-{kind}.gguf"));
    let reference = reference_file(folder, kind, prompt);
    if !reference.exists() {
        return None;
    }
    let model = Model::open(&file).unwrap();
    let tokens: Vec<u32> =
        numbers(&golden["prompts"][prompt]["tokens"]).iter().map(|t| *t as u32).collect();
    let options = ShardOptions {
        profile: RunProfile::F32,
        kv: KvType::F32,
        context: Some((tokens.len() as u32 + 40).next_multiple_of(256)),
        kv_pages: (tokens.len() as u32 + 40).div_ceil(32),
        ..ShardOptions::default()
    };
    let layers = 0..model.config().n_layers;
    let loaded = match with {
        With::Kernels => Shard::load(&model, layers, &options),
        With::Plain => {
            let engine = Engine::plain(plain_device()).unwrap();
            Shard::load_on(&model, layers, &options, engine)
        }
    };
    let mut shard = match loaded {
        Ok(shard) => shard,
        Err(error) => {
            eprintln!("{name} {kind}: NOT RUN: {error}");
            return None;
        }
    };
    let positions = numbers(&golden["prompts"][prompt]["rows"]);
    let (vocab, expected) = read_npy(&reference);
    let pages: Vec<u32> = (0..(tokens.len() as u32 + 40).div_ceil(32)).rev().collect();
    let logits = run(&mut shard, &pages, 0, &tokens);
    let (mut max_abs, mut divergences) = (0f64, Vec::new());
    for (expected, position) in expected.chunks_exact(vocab).zip(&positions) {
        let ours = &logits[*position as usize * vocab..][..vocab];
        for (a, b) in expected.iter().zip(ours) {
            max_abs = max_abs.max(f64::from((a - b).abs()));
        }
        divergences.push(divergence(expected, ours));
    }
    divergences.sort_by(f64::total_cmp);
    let kl_median = divergences[divergences.len() / 2];
    let kl_mean = divergences.iter().sum::<f64>() / divergences.len() as f64;

    let (greedy, margins) = if kind == "F16" {
        (&golden[format!("f32_{prompt}")]["greedy"], &golden[format!("f32_{prompt}")]["margins"])
    } else {
        let entry = &golden["files"][kind]["prompts"][prompt];
        (&entry["greedy_deq"], &entry["margins_deq"])
    };
    let (greedy, margins) = (numbers(greedy), numbers(margins));
    let total = margins.iter().position(|m| *m < 0.5).unwrap_or(margins.len());
    let mut next = argmax(&logits[(tokens.len() - 1) * vocab..]);
    let mut agree = 0;
    for (step, token) in greedy[..total].iter().enumerate() {
        if next != *token as u32 {
            break;
        }
        agree += 1;
        next = argmax(&run(&mut shard, &pages, (tokens.len() + step) as u32, &[next]));
    }
    let is_mixture = model.config().experts.is_some();
    let within = if kind == "F16" || with == With::Plain {
        // The reference looks GELU up in a table of f16 values: its README says up to 5e-3.
        let has_table = ["gemma", "starcoder"].iter().any(|with| name.starts_with(with));
        let most = if has_table { 5e-3 } else { 2e-3 };
        kl_median <= 1e-6 && (is_mixture || max_abs <= most && kl_mean <= 1e-6)
    } else {
        let native = &golden["files"][kind]["prompts"][prompt]["native_vs_deq"]["kl_mean"];
        kl_median <= native.as_f64().map_or(6e-3, |native| (3.0 * native).max(6e-3))
    };
    let engine = if with == With::Plain { "plain" } else { "" };
    Some(Report {
        name: format!("{name} {kind} {prompt} {engine}"),
        max_abs,
        kl_median,
        kl_mean,
        greedy_agree: agree,
        greedy_total: total,
        failed: !within || agree < total,
    })
}

#[test]
fn conformance() {
    let Some(root) = reference::folder("no logits were compared") else { return };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root.join("models"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut reports = Vec::new();
    for folder in folders {
        let golden = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let golden: Value = serde_json::from_str(&golden).unwrap();
        for kind in golden["files"].as_object().unwrap().keys() {
            let name = folder.file_name().unwrap().to_str().unwrap();
            if let Err(error) = Model::open(&folder.join(format!("{name}-{kind}.gguf"))) {
                eprintln!("{name} {kind}: NOT RUN: {error}");
                continue;
            }
            for prompt in golden["prompts"].as_object().unwrap().keys() {
                for with in [With::Kernels, With::Plain] {
                    reports.extend(compare(&folder, (kind, with), &golden, prompt));
                }
            }
        }
    }
    eprintln!("{:34} {:>9} {:>10} {:>10} greedy", "file", "max abs", "KL median", "KL mean");
    for r in &reports {
        eprintln!(
            "{:34} {:9.2e} {:10.2e} {:10.2e} {:2}/{:<2} {}",
            r.name,
            r.max_abs,
            r.kl_median,
            r.kl_mean,
            r.greedy_agree,
            r.greedy_total,
            if r.failed { "FAILED" } else { "ok" }
        );
    }
    assert!(!reports.is_empty(), "no file could be run");
    assert!(reports.iter().all(|r| !r.failed), "beyond the bounds, see above");
}
