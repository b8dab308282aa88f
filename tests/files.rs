//! The commands that work on model files keep their promises, for good input and bad.
//!
//! Runs the real program on the embedded model and on damaged copies of its file. A bad file, a
//! bad prompt or a bad flag must end with a clear message and the documented exit code, and never
//! with a panic.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

mod support;
use support::{Folder, PROGRAM};

fn swarmllm(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments may end before it reads.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn good(arguments: &[&str], stdin: &str) -> String {
    let output = swarmllm(arguments, stdin);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn good_json(arguments: &[&str], stdin: &str) -> Value {
    serde_json::from_str(&good(arguments, stdin)).unwrap()
}

/// The command ends with `code` and says all of `words` on stderr, and nothing on stdout.
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let output = swarmllm(arguments, "");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to stdout");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {said:?} does not say {word:?}");
    }
}

fn demo_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/demo-draft.gguf")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn show_says_what_a_model_is() {
    let shown = good_json(&["show", "demo", "--json"], "");
    for key in ["n_layers", "n_ctx_train", "hidden", "vocab", "parameters"] {
        assert!(shown[key].as_u64().is_some_and(|n| n > 0), "{key}: {shown}");
    }
    for key in ["name", "architecture", "quantisation", "model_id"] {
        assert!(shown[key].as_str().is_some_and(|s| !s.is_empty()), "{key}: {shown}");
    }
    let file = good_json(&["show", text(&demo_file()), "--json"], "");
    let embedded = good_json(&["show", "demo-draft", "--json"], "");
    assert_eq!(file["model_id"], embedded["model_id"]);
    assert!(good(&["show", "demo"], "").contains(shown["model_id"].as_str().unwrap()));
}

#[test]
fn tokens_and_text_come_back() {
    let line = "Hello \u{4f60}\u{597d} \u{1f999}\n\tx  <|im_end|>";
    let ids = good(&["tokenize", "demo"], line);
    assert_eq!(good(&["detokenize", "demo"], &ids), line);
    let parsed = good_json(&["tokenize", "demo", "--parse-special"], line);
    assert_ne!(serde_json::from_str::<Value>(&ids).unwrap(), parsed, "typed text is not structure");
    let lines = "\"a\"\n\"\"\n\"\\ud83e\\udd99\"\n";
    let ids = good(&["tokenize", "demo", "--jsonl"], lines);
    assert_eq!(ids.lines().count(), 3);
    assert_eq!(ids.lines().nth(1), Some("[]"));
    assert_eq!(good(&["detokenize", "demo", "--jsonl"], &ids), "61\n\nf09fa699\n");
    let output = swarmllm(&["tokenize", "demo", "--jsonl"], "\"a\"\nb\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2"));
    let output = swarmllm(&["detokenize", "demo"], "[1, 99999999]");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("99999999 does not exist"));
}

#[test]
fn one_answer_does_not_depend_on_how_it_is_asked_for() {
    let question = "What is a shard?";
    let greedy = ["run", "demo", question, "-n", "24", "--greedy"];
    let json = |more: &[&str]| good_json(&[&greedy[..], &["--json"], more].concat(), "");
    let first = json(&["--threads", "1"]);
    assert_eq!(first["ids"], json(&["--threads", "2"])["ids"]);
    assert!(["stop", "length"].contains(&first["finish_reason"].as_str().unwrap()));
    for key in ["prefill_tok_s", "decode_tok_s"] {
        assert!(first[key].as_f64().is_some_and(|rate| rate > 0.0), "{key}: {first}");
    }
    // On stdout is the answer and nothing else.
    assert_eq!(good(&greedy, ""), format!("{}\n", first["text"].as_str().unwrap()));
    let seeded = ["run", "demo", question, "-n", "12", "--seed", "7", "--json"];
    assert_eq!(good_json(&seeded, "")["ids"], good_json(&seeded, "")["ids"]);
}

#[test]
fn tokens_are_fed_exactly_as_given() {
    let run = ["run", "demo-draft", "--tokens", "1,2,3", "-n", "4", "--greedy", "--json"];
    let answer = good_json(&run, "");
    assert_eq!(answer["prompt_tokens"], 3);
    assert!((1..=4).contains(&answer["ids"].as_array().unwrap().len()));
    refused(&["run", "demo-draft", "--tokens", "1,99999999"], 1, &["99999999", "does not exist"]);
}

#[test]
fn a_chat_takes_lines_and_keeps_its_turns_apart() {
    let lines = "What is a shard?\n\nHow do I invite a friend?\n";
    let output = swarmllm(&["run", "demo", "-n", "8", "--greedy"], lines);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches(" prompt tokens, ").count(), 2, "one report for each answer: {said}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn templates_render_or_refuse_in_their_own_words() {
    let folder = Folder::new();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let input = write(
        "input.json",
        r#"{"messages": [{"role": "user", "content": "Hi <b>"}], "add_generation_prompt": true,
            "bos_token": "<s>", "name": "x"}"#,
    );
    let source = "{{ bos_token }}{{ name }}{% for m in messages %}{{ m | tojson }}{% endfor %}";
    let file = write("t.jinja", source);
    let command = ["template", "--file", text(&file), "--input", text(&input)];
    assert_eq!(good(&command, ""), r#"<s>x{"role": "user", "content": "Hi <b>"}"#);
    let of_model = good(&["template", "--model", "demo", "--input", text(&input)], "");
    assert!(of_model.contains("Hi <b>"), "{of_model}");
    fs::write(&file, "{{ raise_exception('no thanks') }}").unwrap();
    refused(&command, 1, &["no thanks"]);
    fs::write(&input, "[]").unwrap();
    refused(&command, 1, &["input.json"]);
    refused(&["template", "--input", text(&input)], 2, &[]);
}

#[test]
fn logits_do_not_depend_on_cuts_chunks_or_threads() {
    let folder = Folder::new();
    let tokens = "5,6,7,8,9,10,11,12,13,14,15,16,17";
    let write = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let command = ["logits", "demo", "--tokens", tokens, "--out", text(&path)];
        good(&[&command[..], more].concat(), "");
        fs::read(path).unwrap()
    };
    let whole = write("whole.npy", &[]);
    let vocab = good_json(&["show", "demo", "--json"], "")["vocab"].as_u64().unwrap();
    let header = usize::from(u16::from_le_bytes([whole[8], whole[9]])) + 10;
    assert!(String::from_utf8_lossy(&whole[10..header]).contains(&format!("(13, {vocab})")));
    assert_eq!(whole.len() - header, 13 * vocab as usize * 4);
    for (name, more) in [
        ("cut.npy", &["--cut", "1,2"][..]),
        ("chunk.npy", &["--chunk", "1"]),
        ("mixed.npy", &["--cut", "1", "--chunk", "5", "--threads", "1"]),
    ] {
        assert!(write(name, more) == whole, "{more:?} changes bits");
    }
    let exact = write("f32.npy", &["--profile", "f32", "--kv", "f32"]);
    assert!(write("f32cut.npy", &["--profile", "f32", "--kv", "f32", "--cut", "2"]) == exact);
    let quantised = write("q8.npy", &["--kv", "q8_0"]);
    assert!(quantised != whole, "another cache, other rounding");
    assert!(write("q8cut.npy", &["--kv", "q8_0", "--cut", "2", "--chunk", "3"]) == quantised);
    assert!(folder.names().iter().all(|name| name.ends_with(".npy")), "{:?}", folder.names());
}

#[test]
fn bench_reports_its_figures() {
    let command = ["bench", "demo-draft", "--prompt", "8", "--gen", "4", "--repeat", "2"];
    let report =
        good_json(&[&command[..], &["--batch", "2", "--depth", "3", "--json"]].concat(), "");
    for key in ["prefill_tok_s", "decode_tok_s", "load_s", "weight_bytes_per_token", "read_gb_s"] {
        assert!(report[key].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {report}");
    }
    assert_eq!(report["device"], "cpu");
    assert!(report["spread"]["decode_tok_s"][1].as_f64() >= report["decode_tok_s"].as_f64());
    assert!(good(&command, "").contains("tokens/s"));
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let whole = fs::read(demo_file()).unwrap();
    let folder = Folder::new();
    let path = folder.path().join("bad.gguf");
    let attempt = |bytes: &[u8], words: &[&str]| {
        fs::write(&path, bytes).unwrap();
        refused(&["run", text(&path), "Hi", "-n", "1"], 1, words);
    };
    attempt(b"", &["bad.gguf"]);
    attempt(b"GG", &["bad.gguf"]);
    let mut magic = whole.clone();
    magic[..4].copy_from_slice(b"ELF!");
    attempt(&magic, &["not a GGUF file"]);
    for length in [4, 20, 24, 100, 5_000, whole.len() / 2, whole.len() - 1] {
        attempt(&whole[..length], &["bad.gguf"]);
    }
    // Counts of tensors (byte 8) and metadata pairs (byte 16) beyond anything possible.
    for at in [8, 16] {
        for count in [u64::MAX, 1 << 62, 1 << 40, 1 << 32] {
            let mut absurd = whole.clone();
            absurd[at..at + 8].copy_from_slice(&count.to_le_bytes());
            attempt(&absurd, &["bad.gguf"]);
        }
    }
}

#[test]
fn flipped_bits_are_noticed_or_harmless_but_never_a_crash() {
    let whole = fs::read(demo_file()).unwrap();
    let folder = Folder::new();
    let path = folder.path().join("flipped.gguf");
    // Every early byte's high bit in a few strides, then places all over the metadata.
    let places = (4..32).step_by(3).chain((32..20_000).step_by(997)).chain([whole.len() / 2]);
    for place in places {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x80;
        fs::write(&path, flipped).unwrap();
        let output = swarmllm(&["run", text(&path), "--tokens", "1,2", "-n", "1"], "");
        let said = stderr(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "byte {place}: {said}");
        assert!(!said.contains("panicked"), "byte {place}: {said}");
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    refused(&["run", "no-such-model", "Hi"], 1, &["no-such-model", "`demo`"]);
    refused(&["show", "/"], 1, &["folder"]);
    refused(&["run", "hf:owner/name", "Hi"], 1, &["not part of this version"]);
    let long = "word ".repeat(20_000);
    refused(&["run", "demo", &long], 1, &["context", "shorten"]);
    let out = Folder::new();
    let npy = out.path().join("x.npy");
    let logits = ["logits", "demo", "--tokens", "1,2", "--out", text(&npy)];
    refused(&[&logits[..], &["--kv", "q5_1"]].concat(), 2, &["q5_1", "f16, q8_0 or f32"]);
    let deep = out.path().join("no/such/folder/x.npy");
    refused(&["logits", "demo", "--tokens", "1", "--out", text(&deep)], 1, &["x.npy"]);
    refused(&["bench", "demo", "--depth", "4000000000"], 1, &["context"]);
    refused(&["run", "demo", "Hi", "--device", "cuda:0"], 1, &["cpu"]);
    assert!(out.names().is_empty(), "a failed command left {:?}", out.names());
}

#[test]
fn bad_flags_are_bad_usage() {
    for arguments in [
        &["run"][..],
        &["run", "demo", "Hi", "--tokens", "1"],
        &["run", "demo", "Hi", "--greedy", "--temperature", "1"],
        &["run", "demo", "Hi", "--temperature", "nan"],
        &["run", "demo", "Hi", "-n", "0"],
        &["run", "demo", "Hi", "--threads", "0"],
        &["run", "demo", "Hi", "--device", "abacus"],
        &["run", "demo", "--tokens", "1,,2"],
        &["run", "demo", "--json"],
        &["logits", "demo", "--tokens", "1"],
        &["logits", "demo", "--tokens", "1", "--out", "x.npy", "--profile", "q9"],
        &["logits", "demo", "--tokens", "1", "--out", "x.npy", "--chunk", "0"],
        &["logits", "demo", "--tokens", "1", "--out", "x.npy", "--cut", "0"],
        &["logits", "demo", "--tokens", "1", "--out", "x.npy", "--cut", "2,1"],
        &["logits", "demo", "--tokens", "1", "--out", "x.npy", "--cut", "9999"],
        &["bench", "demo", "--repeat", "0"],
        &["tokenize", "demo", "--no-such-flag"],
        &["no-such-command"],
    ] {
        refused(arguments, 2, &[]);
    }
}
