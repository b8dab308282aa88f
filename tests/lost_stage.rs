//! What a lost stage costs: time. The answer comes from another holder of its layers, also when it
//! had begun, and has the same tokens.

mod support;

use serde_json::{Value, json};
use support::{Control, Node, signal};

/// Which of the nodes with the last layers computed the end of an answer.
fn used(answer: &Value, nodes: &[Node]) -> usize {
    let route = answer["route"].as_array().expect("a route");
    let last = &route.last().expect("a stage")["peer"];
    nodes.iter().position(|node| node.ready["peer_id"] == *last).expect("a known peer")
}

/// The tokens of a short answer, and which node was used.
fn answer(control: &mut Control, nodes: &[Node]) -> (Value, usize) {
    let question = json!({"temperature": 0, "max_tokens": 6,
        "messages": [{"role": "user", "content": "What is a stage?"}]});
    let answer = control.result("generate", question);
    (answer["token_ids"].clone(), used(&answer, nodes))
}

/// Two nodes with the last layers behind one with the first.
fn start() -> (Node, Vec<Node>, Control) {
    let first = Node::serve(&["--layers", "0-3"]);
    let join = first.listen();
    let holders: Vec<Node> =
        (0..2).map(|_| Node::serve(&["--layers", "3-6", "--join", &join])).collect();
    let mut control = first.control();
    control.wait_until("peers", |answer| {
        let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        peers.iter().filter(|peer| peer["offers"][0]["layers"] == json!([3, 6])).count() == 2
    });
    (first, holders, control)
}

#[test]
fn a_stage_that_hangs_is_left_out_and_the_answer_comes_from_another() {
    let (_first, holders, mut control) = start();
    let (expected, used) = answer(&mut control, &holders);
    signal("STOP", holders[used].pid());
    let (tokens, other) = answer(&mut control, &holders);
    signal("CONT", holders[used].pid());
    assert_ne!(used, other);
    assert_eq!(tokens, expected);
}

#[test]
fn a_stage_that_dies_is_replaced_by_the_other_one_at_once() {
    let (_first, holders, mut control) = start();
    let (expected, used) = answer(&mut control, &holders);
    signal("KILL", holders[used].pid());
    let gone = |answer: &Value| {
        let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let peer = peers.iter().find(|peer| peer["peer_id"] == holders[used].ready["peer_id"]);
        peer.is_none_or(|peer| peer["state"] != "connected")
    };
    control.wait_until("peers", gone);
    let (tokens, other) = answer(&mut control, &holders);
    assert_ne!(used, other);
    assert_eq!(tokens, expected);
}

#[test]
fn an_answer_that_has_begun_goes_on_elsewhere_with_the_same_tokens() {
    let (_first, holders, mut control) = start();
    let question = |seed: u32| {
        json!({"temperature": 2, "seed": seed, "max_tokens": 400,
            "messages": [{"role": "user", "content": "What is a stage?"}]})
    };
    let long = |seed: u32, control: &mut Control| {
        let answer = control.result("generate", question(seed));
        let n_tokens = answer["token_ids"].as_array().map_or(0, Vec::len);
        (n_tokens > 80).then_some((seed, answer))
    };
    let (seed, expected) = (0..50).find_map(|seed| long(seed, &mut control)).expect("a long one");
    let lost = used(&expected, &holders);
    let generate = json!({"jsonrpc": "2.0", "id": 1, "method": "generate",
        "params": question(seed)});
    control.send(&generate.to_string());
    while control.read()["method"] != "generate.text" {}
    signal("KILL", holders[lost].pid());
    let answer = loop {
        let incoming = control.read();
        if incoming["id"] == 1 {
            break incoming["result"].clone();
        }
    };
    assert_eq!(answer["token_ids"], expected["token_ids"]);
    assert_eq!(answer["route"].as_array().map(Vec::len), Some(4), "it was lost in the middle");
    assert_ne!(used(&answer, &holders), lost);
}
