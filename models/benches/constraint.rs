//! What constrained answers cost: a mask, and preparing a vocabulary.
//!
//! Run by hand: `cargo bench -p swarmllm-models --bench constraint`. The embedded demo vocabulary,
//! and one of 152 thousand tokens when `SWARMLLM_CONFORMANCE` names the data folder.
//!
//! - `mask`: the masks of a whole answer under a tool's schema, each after the token before it was
//!   accepted; items are tokens, so the time per item is what a token costs.
//! - `compile`: from a schema to the first mask.
//! - `prepare`: the trie of a vocabulary, once per model.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails here says where")]

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::sync::{Arc, LazyLock};

use divan::{Bencher, counter::ItemsCount};
use serde_json::{Value, json};
use swarmllm_models::{
    EncodeOptions, Model, Tokenizer,
    constraint::{Constraint, ConstraintVocabulary, Grammar},
    gguf::Gguf,
};

struct Vocabulary {
    tokenizer: Tokenizer,
    shared: Arc<ConstraintVocabulary>,
}

static VOCABULARIES: LazyLock<Vec<(&str, Vocabulary)>> = LazyLock::new(|| {
    let model = Model::embedded(Model::embedded_names()[0]).unwrap().unwrap();
    let mut tokenizers = vec![("demo", model.tokenizer().unwrap())];
    if let Some(data) = reference::folder("no large vocabulary was measured") {
        let path = data.join("vocab/ggml-vocab-qwen2.gguf");
        tokenizers.push(("qwen2", Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap()));
    }
    let prepare = |(name, tokenizer): (&'static str, Tokenizer)| {
        let shared = ConstraintVocabulary::new(&tokenizer).unwrap();
        (name, Vocabulary { tokenizer, shared })
    };
    tokenizers.into_iter().map(prepare).collect()
});

fn vocabulary(name: &str) -> &'static Vocabulary {
    &VOCABULARIES.iter().find(|(found, _)| *found == name).unwrap().1
}

fn names() -> Vec<&'static str> {
    VOCABULARIES.iter().map(|(name, _)| *name).collect()
}

fn schema() -> Value {
    let edit = json!({
        "type": "object",
        "properties": {
            "old_text": {"type": "string"},
            "new_text": {"type": "string"},
            "line": {"type": "integer", "minimum": 1},
            "mode": {"enum": ["replace", "insert", "delete"]}
        },
        "required": ["old_text", "new_text", "mode"],
        "additionalProperties": false
    });
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "pattern": "^[a-zA-Z0-9_./-]+$"},
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": 20},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1}
        },
        "required": ["path", "edits"],
        "additionalProperties": false
    })
}

/// An answer under the schema.
const ANSWER: &str = r#"{"path": "src/main.rs", "edits": [{"old_text": "fn main() {\n    run();\n}",
 "new_text": "fn main() -> Result<(), Error> {\n    run(\"Cologne\")?;\n}",
 "line": 12, "mode": "replace"},
 {"old_text": "", "new_text": "use std::error::Error; // brought in for main",
 "mode": "insert"}], "confidence": 0.75}"#;

fn main() {
    divan::main();
}

#[divan::bench(args = names())]
fn mask(bencher: Bencher<'_, '_>, name: &str) {
    let vocabulary = vocabulary(name);
    let schema = schema();
    let options = EncodeOptions::default();
    // The space that SentencePiece puts before a text is no part of an answer.
    let tokens = vocabulary.tokenizer.encode(ANSWER, options);
    let is_space = |token: &u32| vocabulary.tokenizer.token_bytes(*token) == b" ";
    let tokens: Vec<u32> =
        tokens.iter().enumerate().filter(|(at, t)| *at > 0 || !is_space(t)).map(|t| *t.1).collect();
    bencher
        .counter(ItemsCount::new(tokens.len()))
        .with_inputs(|| Constraint::new(&Grammar::JsonSchema(&schema), &vocabulary.shared).unwrap())
        .bench_local_values(|mut constraint| {
            for token in &tokens {
                assert!(constraint.mask().unwrap().contains(*token));
                constraint.accept(*token).unwrap();
            }
            constraint
        });
}

#[divan::bench(args = names())]
fn compile(bencher: Bencher<'_, '_>, name: &str) {
    let vocabulary = vocabulary(name);
    let schema = schema();
    bencher.bench_local(|| {
        Constraint::new(&Grammar::JsonSchema(&schema), &vocabulary.shared).unwrap()
    });
}

#[divan::bench(args = names(), sample_count = 5, sample_size = 1)]
fn prepare(bencher: Bencher<'_, '_>, name: &str) {
    let vocabulary = vocabulary(name);
    bencher.bench_local(|| ConstraintVocabulary::new(&vocabulary.tokenizer).unwrap());
}
