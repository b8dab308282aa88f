//! How fast text becomes tokens and tokens text, on one thread.
//!
//! Run by hand: `cargo bench -p swarmllm-models --bench tokenizer`. The embedded demo vocabulary,
//! and real ones of both kinds when `SWARMLLM_CONFORMANCE` names the data folder. The text is
//! prose, code and other scripts, about 100 kB; bytes are those of the text.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails here says where")]

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::sync::LazyLock;

use divan::{Bencher, black_box, counter::BytesCount};
use swarmllm_models::{EncodeOptions, Model, Tokenizer, gguf::Gguf};

/// One part of the text; it is repeated with a number, so that no two parts are equal.
const PART: &str = "The tokens of a reply depend on the model, the prompt and the sampling \
    parameters, and on nothing else: not on the split, the batch, the chunk or the threads.\n\
    fn draw(kept: &[Candidate], random: f64) -> Option<u32> {\n    let target = random * total;\n\
    \u{20}   kept.iter().find(|c| { sum += c.weight; sum > target })\n}\n\
    Gr\u{fc}\u{df}e aus K\u{f6}ln, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}, \
    \u{4f60}\u{597d}\u{ff0c}\u{4e16}\u{754c}, \u{1f999}\u{1f980}! It's 3.14159 at 12:34:56.\n";

static TOKENIZERS: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let model = Model::embedded(Model::embedded_names()[0]).unwrap().unwrap();
    let mut all = vec![("demo", model.tokenizer().unwrap())];
    if let Some(data) = reference::folder("no real vocabulary was measured") {
        for name in ["llama-bpe", "qwen2", "deepseek-llm", "gpt-2", "llama-spm", "phi-3", "gemma-4"]
        {
            let path = data.join(format!("vocab/ggml-vocab-{name}.gguf"));
            all.push((name, Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap()));
        }
    }
    all
});

fn names() -> Vec<&'static str> {
    TOKENIZERS.iter().map(|(name, _)| *name).collect()
}

fn tokenizer(name: &str) -> &'static Tokenizer {
    &TOKENIZERS.iter().find(|(found, _)| *found == name).unwrap().1
}

fn text() -> String {
    (0..200).map(|at| format!("{at}. {PART}")).collect()
}

fn main() {
    divan::main();
}

#[divan::bench(args = names())]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let (tokenizer, text) = (tokenizer(name), text());
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| tokenizer.encode(black_box(&text), EncodeOptions::default()));
}

#[divan::bench(args = names())]
fn stream_decode(bencher: Bencher<'_, '_>, name: &str) {
    let (tokenizer, text) = (tokenizer(name), text());
    let tokens = tokenizer.encode(&text, EncodeOptions::default());
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let mut stream = tokenizer.stream();
        let pieces = black_box(&tokens).iter().map(|token| stream.push(*token).len());
        pieces.sum::<usize>()
    });
}
