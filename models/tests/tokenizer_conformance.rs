//! The tokenizer against outside reference data: real vocabularies and small models.
//!
//! Runs when `SWARMLLM_CONFORMANCE` names the data folder (layout: its README) and says loudly
//! that it was skipped otherwise. Each case compares ids exactly, and decoded bytes.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod reference;

use std::path::{Path, PathBuf};

use serde_json::Value;
use swarmllm_models::{
    gguf::Gguf,
    tokenizer::{EncodeOptions, Tokenizer, VocabularyParts},
};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const SPECIAL: EncodeOptions = EncodeOptions { add_special: true, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

fn data() -> Option<PathBuf> {
    reference::folder("no vocabulary was compared")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts cases and collects what differs.
#[derive(Default)]
struct Tally {
    equal: usize,
    different: Vec<String>,
}

impl Tally {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: String, found: T, wanted: T) {
        if found == wanted {
            self.equal += 1;
        } else {
            self.different.push(format!("{what}\n  found  {found:?}\n  wanted {wanted:?}"));
        }
    }

    fn finish(self, what: &str) {
        eprintln!("{what}: {} equal, {} different", self.equal, self.different.len());
        assert!(self.equal > 0, "{what}: nothing was compared");
        assert!(self.different.is_empty(), "{what}:\n{}", self.different.join("\n"));
    }

    fn cases(&mut self, name: &str, tokenizer: &Tokenizer, cases: &Value) {
        for case in cases.as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let plain = tokenizer.encode(text, PLAIN);
            let decoded = hex(&tokenizer.decode(&plain));
            self.compare(format!("{name} {text:?}"), plain, ids(&case["ids"]));
            let wanted = case["detok_hex"].as_str().unwrap().to_owned();
            self.compare(format!("{name} {text:?} decoded"), decoded, wanted);
            for (key, options) in [("ids_add_special", SPECIAL), ("ids_parse_special", PARSED)] {
                if let Some(wanted) = case.get(key) {
                    let found = tokenizer.encode(text, options);
                    self.compare(format!("{name} {text:?} {key}"), found, ids(wanted));
                }
            }
        }
    }
}

#[test]
fn real_vocabularies_give_the_reference_ids() {
    let Some(data) = data() else { return };
    let mut tally = Tally::default();
    for path in files(&data.join("vocab"), "gguf") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let tokenizer = Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
        let read = |suffix: &str| std::fs::read_to_string(format!("{}{suffix}", path.display()));
        let (texts, lines) = (read(".inp").unwrap(), read(".out").unwrap());
        for (text, line) in texts.split("\n__ggml_vocab_test__\n").zip(lines.lines()) {
            let wanted: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            tally.compare(format!("{name} {text:?}"), tokenizer.encode(text, PLAIN), wanted);
        }
        let expected = json(&data.join(format!("vocab/expected/{name}.json")));
        let size = u64::from(tokenizer.vocab_size());
        tally.compare(format!("{name} size"), Some(size), expected["n_vocab"].as_u64());
        tally.cases(&name, &tokenizer, &expected["cases"]);
    }
    tally.finish("real vocabularies");
}

#[test]
fn every_pre_tokenizer_gives_the_reference_ids() {
    let Some(data) = data() else { return };
    let expected = json(&data.join("vocab/expected/pre-tokenizers-on-llama-bpe.json"));
    let vocabulary = data.join("vocab").join(expected["vocab"].as_str().unwrap());
    let gguf = Gguf::open(&vocabulary).unwrap();
    let mut tally = Tally::default();
    for (pre, lists) in expected["ids_by_pre"].as_object().unwrap() {
        let mut parts = VocabularyParts::from_gguf(&gguf).unwrap();
        parts.pre = Some(pre.clone());
        let tokenizer = Tokenizer::new(&parts).unwrap();
        let texts = expected["texts"].as_array().unwrap();
        for (text, wanted) in texts.iter().zip(lists.as_array().unwrap()) {
            let found = tokenizer.encode(text.as_str().unwrap(), PLAIN);
            tally.compare(format!("{pre} {text:?}"), found, ids(wanted));
        }
    }
    tally.finish("pre-tokenizers");
}

#[test]
fn small_models_give_the_reference_ids() {
    let Some(data) = data() else { return };
    let mut tally = Tally::default();
    for entry in std::fs::read_dir(data.join("models")).unwrap() {
        let folder = entry.unwrap().path();
        let golden = json(&folder.join("golden.json"));
        for path in files(&folder, "gguf") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let tokenizer = Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
            tally.cases(&name, &tokenizer, &golden["tokenizer"]["cases"]);
            for chat in golden["chat"].as_array().into_iter().flatten() {
                let found = tokenizer.encode(chat["text"].as_str().unwrap(), PARSED);
                tally.compare(format!("{name} chat"), found, ids(&chat["ids_parse_special"]));
            }
        }
    }
    tally.finish("small models");
}
