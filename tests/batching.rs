//! Many requests at once, with real nodes: nobody's answer depends on who else is served, and what
//! requests have in common is computed once.
//!
//! Rows are what a node computes: one per token of a prompt that is not known, one per token of an
//! answer. The demo model knows 512 positions; pages hold 32.

mod support;

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use support::{Control, Folder, Node, chain, post};

const CHAT: &str = "/v1/chat/completions";
const PAGE: u64 = 32;
const ALONE: &[&[&str]] = &[&[]];
const THREE: &[&[&str]] = &[&["--layers", "0-2"], &["--layers", "2-4"], &["--layers", "4-6"]];

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn chat(messages: &Value, more: Value) -> Value {
    let mut body = json!({"model": "demo", "messages": messages, "temperature": 0});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// A prompt of several pages.
fn long_text() -> String {
    "Tell me how a node finds its peers. ".repeat(12)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn rows(node: &Node) -> u64 {
    number(&node.wait_until_idle()["scheduler"]["rows"])
}

fn token_ids(answers: &[Value]) -> Vec<Value> {
    answers.iter().map(|answer| answer["token_ids"].clone()).collect()
}

/// Questions of all lengths, greedy and sampled.
fn questions() -> Vec<Value> {
    let texts = ["What is a shard?", "Tell me a story.", "Who are you?", "What is 2 plus 3?"];
    let question = |n: usize| {
        let text = format!("{} {}", texts[n % texts.len()], "Why? ".repeat(n * n / 2));
        let temperature = [0.0, 0.7, 1.5][n % 3];
        json!({"messages": user(&text), "temperature": temperature, "seed": n, "max_tokens": 40})
    };
    (0..16).map(question).collect()
}

#[test]
fn sixteen_clients_at_once_get_the_tokens_that_each_gets_alone() {
    let alone = Node::serve(&[]);
    let mut control = alone.control();
    let solo: Vec<Value> =
        questions().into_iter().map(|question| control.result("generate", question)).collect();
    for stages in [ALONE, THREE] {
        let nodes = chain(stages);
        let together = nodes[0].answers(&questions());
        assert_eq!(token_ids(&together), token_ids(&solo), "{} nodes", nodes.len());
        let tokens: usize =
            solo.iter().map(|a| a["token_ids"].as_array().map_or(0, Vec::len)).sum();
        let steps = number(&nodes[0].wait_until_idle()["scheduler"]["steps"]);
        assert!(steps < tokens as u64, "{steps} steps for {tokens} tokens: nothing was shared");
    }
}

#[test]
fn the_second_turn_of_a_chat_computes_only_what_is_new() {
    let cold = Node::serve(&[]);
    for stages in [ALONE, THREE] {
        let nodes = chain(stages);
        let asked = user(&long_text());
        let first = post(nodes[0].http(), CHAT, &chat(&asked, json!({}))).json();
        assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0, "{first}");
        let mut turns = asked;
        let said = first["choices"][0]["message"].clone();
        let turns_list = turns.as_array_mut().expect("messages");
        turns_list.push(json!({"role": "assistant", "content": said["content"]}));
        turns_list.push(json!({"role": "user", "content": "What is a shard?"}));
        let second = post(nodes[0].http(), CHAT, &chat(&turns, json!({}))).json();
        let cached = number(&second["usage"]["prompt_tokens_details"]["cached_tokens"]);
        let before = number(&first["usage"]["prompt_tokens"]);
        assert!(cached >= before / PAGE * PAGE, "{cached} of {before}");
        assert_eq!(cached % PAGE, 0);
        let expected = post(cold.http(), CHAT, &chat(&turns, json!({"max_tokens": 60}))).json();
        assert_eq!(second["swarmllm"]["token_ids"], expected["swarmllm"]["token_ids"]);
    }
}

#[test]
fn two_clients_of_a_node_share_a_prompt() {
    let node = Node::serve(&[]);
    let ask = |name: &str| {
        let body = chat(&user(&long_text()), json!({"user": name, "max_tokens": 8}));
        post(node.http(), CHAT, &body).json()
    };
    let (first, second) = (ask("a"), ask("b"));
    let prompt = number(&first["usage"]["prompt_tokens"]);
    let cached = &second["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(number(cached), (prompt - 1) / PAGE * PAGE);
    assert_eq!(first["swarmllm"]["token_ids"], second["swarmllm"]["token_ids"]);
}

#[test]
fn fifty_requests_with_one_prompt_at_once_compute_it_once() {
    for stages in [ALONE, THREE] {
        let nodes = chain(stages);
        let question = json!({"messages": user(&long_text()), "max_tokens": 1});
        let answers = nodes[0].answers(&vec![question; 50]);
        assert!(answers.iter().all(|answer| answer["token_ids"] == answers[0]["token_ids"]));
        let prompt = number(&answers[0]["prompt_tokens"]);
        let known = (prompt - 1) / PAGE * PAGE;
        for node in &nodes {
            let status = node.wait_until_idle();
            assert_eq!(status["scheduler"]["prefix_hits"], 49 * known, "{status}");
            assert_eq!(status["scheduler"]["rows"], prompt + 49 * (prompt - known), "{status}");
        }
    }
}

#[test]
fn samples_of_one_request_are_those_of_single_requests_and_share_the_prompt() {
    let body = |seed: u64, n: u64, stream: bool| {
        let more = json!({"temperature": 1.2, "seed": seed, "n": n, "max_tokens": 24,
            "stream": stream});
        chat(&user(&long_text()), more)
    };
    let alone = Node::serve(&[]);
    let single: Vec<Value> =
        (0..4).map(|i| post(alone.http(), CHAT, &body(40 + i, 1, false)).json()).collect();
    for stages in [ALONE, THREE] {
        let nodes = chain(stages);
        let to = nodes[0].http();
        let whole = post(to, CHAT, &body(40, 4, false)).json();
        let mut tokens = 0;
        for (i, single) in single.iter().enumerate() {
            let sample = &whole["swarmllm"]["samples"][i];
            assert_eq!(sample["token_ids"], single["swarmllm"]["token_ids"], "sample {i}");
            assert_eq!(whole["choices"][i]["index"], i);
            assert_eq!(whole["choices"][i]["message"], single["choices"][0]["message"]);
            tokens += number(&single["usage"]["completion_tokens"]);
        }
        let prompt = number(&whole["usage"]["prompt_tokens"]);
        for node in &nodes {
            let rows = rows(node);
            assert!(rows <= prompt + 3 + tokens, "{rows} rows for {prompt} and {tokens} tokens");
        }
        let events = post(to, CHAT, &body(40, 4, true)).events();
        let mut texts = vec![String::new(); 4];
        for event in &events[..events.len() - 1] {
            let chunk: Value = serde_json::from_str(event).expect("JSON");
            let choice = &chunk["choices"][0];
            let text = choice["delta"]["content"].as_str().unwrap_or_default();
            texts[number(&choice["index"]) as usize].push_str(text);
        }
        for (text, single) in texts.iter().zip(&single) {
            assert_eq!(single["choices"][0]["message"]["content"], text.as_str());
        }
    }
}

#[test]
fn nodes_with_caches_of_8_bits_answer_as_one_such_node() {
    let question = json!({"messages": user(&long_text()), "temperature": 1.0, "seed": 5});
    let mut of_one = None;
    for layers in [vec!["0-6"], vec!["0-2", "2-4", "4-6"]] {
        let stages: Vec<[&str; 4]> =
            layers.iter().map(|layers| ["--kv", "q8_0", "--layers", *layers]).collect();
        let stages: Vec<&[&str]> = stages.iter().map(|stage| &stage[..]).collect();
        let nodes = chain(&stages);
        let answer = nodes[0].control().result("generate", question.clone());
        assert_eq!(answer["cache"], "q8_0");
        let expected = of_one.get_or_insert_with(|| answer["token_ids"].clone());
        assert_eq!(answer["token_ids"], *expected, "{} nodes", nodes.len());
    }
}

#[test]
fn nodes_with_different_caches_do_not_answer_together_and_say_so() {
    let nodes = chain(&[&["--layers", "0-3"], &["--layers", "3-6", "--kv", "q8_0"]]);
    let body = chat(&user("What is a shard?"), json!({}));
    let refused = post(nodes[0].http(), CHAT, &body);
    assert_eq!(refused.status, 503, "{refused:?}");
    let message = refused.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("q8_0") && message.contains("f16"), "{message}");
}

#[test]
fn a_client_with_one_request_does_not_wait_for_another_with_thirty() {
    let folder = Folder::new();
    let file = folder.path().join("four.toml");
    fs::write(&file, "[scheduler]\nrunning = 4\n").expect("writable");
    let node = Node::serve(&["--config", file.to_str().expect("a path")]);
    let path = node.ready["control"].as_str().expect("a path").to_owned();
    let connect = || Control::connect(path.as_ref());
    let finished = AtomicUsize::new(0);
    let before = std::thread::scope(|scope| {
        for n in 0..30 {
            let (mut control, finished) = (connect(), &finished);
            scope.spawn(move || {
                // Goes on to its limit.
                let prompt = "0".repeat(4 + n);
                let question = json!({"prompt": prompt, "max_tokens": 60, "client": "a"});
                control.result("generate", question);
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
        connect().wait_until("status", |status| {
            number(&status["scheduler"]["running"]) + number(&status["scheduler"]["waiting"]) >= 20
        });
        let question = json!({"prompt": "0000", "max_tokens": 1, "client": "b"});
        connect().result("generate", question);
        finished.load(Ordering::Relaxed)
    });
    assert!(before <= 15, "{before} of 30 came first");
}
