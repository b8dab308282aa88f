//! Scripts as a model: what is said, on one shard and on several, and what is refused.

use super::*;
use crate::{
    ChatInput, EncodeOptions, LogitsWanted, Model, ModelError, RunProfile, SequenceRows, Shard,
    ShardInput, ShardOptions, ShardOutput,
    kv::PAGE_TOKENS,
    sampler::{SamplingParams, sample},
};

const SCRIPT: &str = r#"{"rules": [
    {"when": "72 degrees", "say": "It is warm."},
    {"when": "weather", "after_calls": 0,
     "say": "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>"},
    {"when": "You are a poet", "in": "prompt", "say": "A rose."},
    {"say": "Hello \ud83c\udf39."}
]}"#;

fn prompt(model: &Model, messages: &serde_json::Value) -> Vec<u32> {
    let input = ChatInput {
        messages: messages.clone(),
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    let text = model.chat_template().unwrap().render(&input).unwrap();
    let options = EncodeOptions { add_special: false, parse_special: true };
    model.tokenizer().unwrap().encode(&text, options)
}

fn shards(model: &Model, cuts: &[u32], profile: RunProfile) -> Vec<Shard> {
    let options = ShardOptions { kv_pages: 64, threads: 1, profile, ..Default::default() };
    let borders: Vec<u32> = [&[0], cuts, &[N_LAYERS]].concat();
    let load = |pair: &[u32]| Shard::load(model, pair[0]..pair[1], &options).unwrap();
    borders.windows(2).map(load).collect()
}

/// Feeds rows behind `first`, gives the greedy token after the last.
fn step(shards: &mut [Shard], pages: &[u32], first: u32, tokens: &[u32]) -> u32 {
    let rows = SequenceRows {
        pages: pages.into(),
        first_position: first,
        n_rows: tokens.len() as u32,
        logits: LogitsWanted::Last,
    };
    let mut input = ShardInput::Tokens(tokens.to_vec());
    for shard in shards {
        match shard.forward(std::slice::from_ref(&rows), input).unwrap() {
            ShardOutput::Hidden(rows) => input = ShardInput::Hidden(rows),
            ShardOutput::Logits(logits) => {
                return sample(&logits.values, first, &SamplingParams::default());
            }
        }
    }
    unreachable!("the last shard gives logits")
}

fn answer(model: &Model, shards: &mut [Shard], messages: &serde_json::Value) -> String {
    let prompt = prompt(model, messages);
    let tokenizer = model.tokenizer().unwrap();
    let pages: Vec<u32> = (0..64).rev().collect();
    let (mut fed, mut next, mut said) = (0, prompt, Vec::new());
    loop {
        let token = step(shards, &pages, fed, &next);
        fed += next.len() as u32;
        if tokenizer.is_end_of_generation(token) {
            return String::from_utf8(tokenizer.decode(&said)).unwrap();
        }
        said.push(token);
        next = vec![token];
    }
}

#[test]
fn the_first_rule_that_fits_is_said_however_the_model_is_cut() {
    use serde_json::json;
    let model = Model::scripted(SCRIPT).unwrap();
    let user = |text: &str| json!({"role": "user", "content": text});
    let call = json!({"role": "assistant", "content": "", "tool_calls":
        [{"type": "function", "function": {"name": "look", "arguments": {}}}]});
    let result = |text: &str| json!({"role": "tool", "content": text});
    let poet = json!({"role": "system", "content": "You are a poet"});
    let cases = [
        (json!([user("Hi")]), "Hello \u{1f339}."),
        (
            json!([user("How is the weather?")]),
            "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>",
        ),
        (json!([user("weather?"), call, result("72 degrees")]), "It is warm."),
        (json!([user("weather?"), call, result("the weather is unknown")]), "Hello \u{1f339}."),
        (json!([poet, user("Speak")]), "A rose."),
    ];
    for (cuts, profile) in
        [(&[][..], RunProfile::F16), (&[1, 3], RunProfile::F16), (&[2], RunProfile::F32)]
    {
        let mut shards = shards(&model, cuts, profile);
        for (messages, expected) in &cases {
            assert_eq!(answer(&model, &mut shards, messages), *expected, "{cuts:?} {messages}");
        }
    }
}

#[test]
fn what_was_said_is_in_the_pages_and_goes_with_them() {
    let model = Model::scripted(SCRIPT).unwrap();
    let mut shards = shards(&model, &[2], RunProfile::F16);
    let tokens = prompt(&model, &serde_json::json!([{"role": "user", "content": "Hi"}]));
    assert!(tokens.len() < PAGE_TOKENS as usize);
    let first = step(&mut shards, &[7], 0, &tokens);
    for shard in &mut shards {
        shard.copy_page(7, 3).unwrap();
    }
    let n = tokens.len() as u32;
    let second = step(&mut shards, &[3], n, &[first]);
    assert_eq!(second, step(&mut shards, &[7], n, &[first]));
    // The same rows over an empty page are no chat, so the answer is over.
    let end = model.tokenizer().unwrap();
    assert!(end.is_end_of_generation(step(&mut shards, &[5], n, &[first])));
    assert!(!end.is_end_of_generation(second));
}

#[test]
fn a_token_that_may_not_be_said_ends_the_answer() {
    let model = Model::scripted(SCRIPT).unwrap();
    let mut shard = shards(&model, &[], RunProfile::F16);
    let tokens = prompt(&model, &serde_json::json!([{"role": "user", "content": "Hi"}]));
    let rows = SequenceRows {
        pages: vec![0].into(),
        first_position: 0,
        n_rows: tokens.len() as u32,
        logits: LogitsWanted::All,
    };
    let ShardOutput::Logits(logits) =
        shard[0].forward(&[rows], ShardInput::Tokens(tokens.clone())).unwrap()
    else {
        panic!("the last shard gives logits")
    };
    assert_eq!(logits.n_rows as usize, tokens.len());
    let last = &logits.values[logits.values.len() - logits.vocab as usize..];
    let mut banned = last.to_vec();
    banned[sample(last, 0, &SamplingParams::default()) as usize] -= 100.0;
    let next = sample(&banned, 0, &SamplingParams::default());
    assert!(model.tokenizer().unwrap().is_end_of_generation(next));
}

#[test]
fn scripts_that_cannot_be_played_say_why() {
    let cases = [
        ("[]", "the script is not of the expected form"),
        (r#"{"rules": [{"say": "a", "wen": "b"}]}"#, "unknown field `wen`"),
        (r#"{"rules": [{"say": "a"}, {"when": "(", "say": "b"}]}"#, "`when` of rule 1"),
        (r#"{"rules": [], "decode_tokens_per_s": 0}"#, "`decode_tokens_per_s` is 0"),
        (r#"{"rules": [], "context": 0}"#, "scripted.context_length"),
    ];
    for (script, expected) in cases {
        let error = Model::scripted(script).unwrap_err().to_string();
        assert!(error.contains(expected), "{script}: {error}");
    }
    let is_script = |error: ModelError| matches!(error, ModelError::Script(_));
    assert!(is_script(Model::scripted("").unwrap_err()));
}

#[test]
fn a_script_is_a_model_of_its_own() {
    let [a, b] = [SCRIPT, r#"{"rules": [], "context": 99, "template": "{{ messages }}"}"#]
        .map(|script| Model::scripted(script).unwrap());
    assert_ne!(a.content_id(), b.content_id());
    assert_eq!((a.config().context_length, b.config().context_length), (CONTEXT, 99));
    assert_eq!(a.summary().architecture, ARCHITECTURE);
    assert_eq!((a.summary().parameters, a.summary().weight_bytes), (0, 0));
    assert_eq!(b.chat_template().unwrap().source(), "{{ messages }}");
    let demo = Model::embedded("demo").unwrap().unwrap();
    assert_eq!(a.chat_template().unwrap().source(), demo.chat_template().unwrap().source());
    let options = ShardOptions { kv_pages: 1, threads: 1, ..Default::default() };
    let shard = Shard::load(&a, 1..3, &options).unwrap();
    assert_eq!(shard.page_bytes(), a.page_bytes(1..3, options.kv));
}
