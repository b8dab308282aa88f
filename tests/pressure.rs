//! A node under pressure: little memory, a full queue, clients that leave, deadlines. Whatever
//! happens, answers stay what they are, and what a request held is free when it is gone.
//!
//! A stage that is held still (SIGSTOP) keeps the requests before it where they are.

mod support;

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use support::{Folder, Node, Response, chain, post, send, signal};

const CHAT: &str = "/v1/chat/completions";

fn body(user: &str) -> Value {
    let messages = json!([{"role": "user", "content": "What is a stage?"}]);
    json!({"model": "demo", "messages": messages, "temperature": 0, "user": user})
}

fn open(to: SocketAddr, body: &Value) -> TcpStream {
    send(to, &format!("POST {CHAT} HTTP/1.1"), &body.to_string())
}

fn whole(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer within the deadline");
    answer
}

/// Two nodes, the first of which has these bounds.
fn bounded(bounds: &str) -> Vec<Node> {
    let folder = Folder::new();
    let file = folder.path().join("bounds.toml");
    fs::write(&file, format!("[scheduler]\n{bounds}")).expect("writable");
    let file = file.to_str().expect("a path");
    chain(&[&["--layers", "0-3", "--config", file], &["--layers", "3-6"]])
}

fn wait_until(node: &Node, running: u64, waiting: u64) {
    node.control().wait_until("status", |status| {
        let scheduler = &status["scheduler"];
        scheduler["running"] == running && scheduler["waiting"] == waiting
    });
}

fn assert_turned_away(response: &Response) {
    assert_eq!(response.status, 429, "{response:?}");
    let after = response.headers.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let seconds: u32 = after.and_then(|text| text.trim().parse().ok()).expect("Retry-After");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(response.json()["error"]["code"], "rate_limit_exceeded");
}

#[test]
fn answers_that_had_to_give_way_are_the_same() {
    // Most of these go on to their limits.
    let question = |n: usize| {
        let temperature = [0.0, 0.3][n % 2];
        json!({"prompt": "0".repeat(4 + n), "temperature": temperature, "seed": n,
            "max_tokens": 90 + 5 * n})
    };
    let questions: Vec<Value> = (0..14).map(question).collect();
    let alone = Node::serve(&[]);
    let mut control = alone.control();
    let solo: Vec<Value> =
        questions.iter().map(|question| control.result("generate", question.clone())).collect();
    // The least memory is a context: 16 pages.
    let little = ["--kv-memory", "1KiB"];
    let second = ["--layers", "3-6", "--kv-memory", "1KiB"];
    for stages in [&[&little[..]][..], &[&["--layers", "0-3"], &second[..]]] {
        let nodes = chain(stages);
        let answers = nodes[0].answers(&questions);
        for (answer, solo) in answers.iter().zip(&solo) {
            assert_eq!(answer["token_ids"], solo["token_ids"], "{answer}");
        }
        let told: u64 = answers.iter().filter_map(|answer| answer["preemptions"].as_u64()).sum();
        assert!(told > 0, "nobody was told: {answers:?}");
        let tight = nodes.last().expect("a node").wait_until_idle();
        assert_eq!(tight["scheduler"]["preemptions"], told);
        assert_eq!(tight["kv_pages"][1], 16);
        nodes.iter().for_each(|node| drop(node.wait_until_idle()));
    }
}

#[test]
fn who_finds_the_queue_full_is_told_when_to_come_again() {
    let nodes = bounded("running = 1\nwaiting = 2\nwaiting_per_client = 1\n");
    let to = nodes[0].http();
    signal("STOP", nodes[1].pid());
    let served = open(to, &body("a"));
    wait_until(&nodes[0], 1, 0);
    let second = open(to, &body("b"));
    wait_until(&nodes[0], 1, 1);
    assert_turned_away(&post(to, CHAT, &body("b")));
    let third = open(to, &body("c"));
    wait_until(&nodes[0], 1, 2);
    let mut streamed = body("d");
    streamed["stream"] = true.into();
    for refused in [body("d"), streamed] {
        assert_turned_away(&post(to, CHAT, &refused));
    }
    // Who leaves makes room.
    drop(third);
    wait_until(&nodes[0], 1, 1);
    let fourth = open(to, &body("d"));
    wait_until(&nodes[0], 1, 2);
    signal("CONT", nodes[1].pid());
    for client in [served, second, fourth] {
        let answer = whole(client);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    nodes.iter().for_each(|node| drop(node.wait_until_idle()));
}

#[test]
fn who_waits_too_long_is_told_so() {
    let nodes = bounded("running = 1\nwait_s = 1\n");
    signal("STOP", nodes[1].pid());
    let served = open(nodes[0].http(), &body("a"));
    wait_until(&nodes[0], 1, 0);
    let late = post(nodes[0].http(), CHAT, &body("b"));
    assert_turned_away(&late);
    assert!(late.body.contains("no place became free in time"), "{}", late.body);
    signal("CONT", nodes[1].pid());
    assert!(whole(served).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_leaves_frees_its_pages_on_every_stage() {
    let nodes = chain(&[&["--layers", "0-3"], &["--layers", "3-6"]]);
    let mut subscriber = nodes[0].control();
    subscriber.result("events.subscribe", json!({}));
    // In a prompt: of several pages, and the last stage holds still.
    signal("STOP", nodes[1].pid());
    let mut long = body("a");
    long["messages"][0]["content"] = "Tell me how a node finds its peers. ".repeat(20).into();
    let client = open(nodes[0].http(), &long);
    nodes[0].control().wait_until("status", |status| status["scheduler"]["running"] == 1);
    drop(client);
    let failed = subscriber.wait_for_event(&["generation_failed", "generation_finished"]);
    assert_eq!(failed["reason"], "the client went away", "{failed}");
    nodes[0].wait_until_idle();
    signal("CONT", nodes[1].pid());
    nodes[1].wait_until_idle();
    // In an answer that would go on to the end of the context.
    for n_clients in [1, 8] {
        let mut clients: Vec<_> = (0..n_clients).map(|_| nodes[0].control()).collect();
        for (n, control) in clients.iter_mut().enumerate() {
            let params = json!({"prompt": "0".repeat(4 + n)});
            let line = json!({"jsonrpc": "2.0", "id": n, "method": "generate", "params": params});
            control.send(&line.to_string());
        }
        for control in &mut clients {
            while control.read()["method"] != "generate.text" {}
        }
        for node in &nodes {
            node.control().wait_until("status", |status| status["kv_pages"][0] != 0);
        }
        drop(clients);
        for _ in 0..n_clients {
            let failed = subscriber.wait_for_event(&["generation_failed", "generation_finished"]);
            assert_eq!(failed["reason"], "the client went away", "{failed}");
        }
        nodes.iter().for_each(|node| drop(node.wait_until_idle()));
    }
}

#[test]
fn an_answer_that_is_not_there_in_its_time_ends() {
    let nodes = chain(&[&["--layers", "0-3"], &["--layers", "3-6"]]);
    let mut control = nodes[0].control();
    for held in [false, true] {
        if held {
            signal("STOP", nodes[1].pid());
        }
        let (_, answer) = control.call("generate", json!({"prompt": "0000", "deadline_ms": 150}));
        assert_eq!(answer["error"]["data"]["kind"], "deadline_passed", "{answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains("0.15 s"), "{message}");
        nodes[0].wait_until_idle();
    }
    signal("CONT", nodes[1].pid());
    nodes[1].wait_until_idle();
    let answer = control.result("generate", json!({"prompt": "0000", "max_tokens": 4}));
    assert_eq!(answer["token_ids"].as_array().map(Vec::len), Some(4), "{answer}");
}
