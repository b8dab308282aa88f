//! What a lost stage costs: at most one answer, and none when it was lost before the answer began.

mod support;

use serde_json::{Value, json};
use support::{Control, Node, signal};

/// Two nodes with the last layers behind one with the first; which of them an answer used.
fn answer(control: &mut Control, nodes: &[Node]) -> (Value, usize) {
    let question = json!({"temperature": 0, "max_tokens": 6,
        "messages": [{"role": "user", "content": "What is a stage?"}]});
    let answer = control.result("generate", question);
    let last = answer["route"][1]["peer"].clone();
    let used = nodes.iter().position(|node| node.ready["peer_id"] == last).expect("a known peer");
    (answer["token_ids"].clone(), used)
}

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
