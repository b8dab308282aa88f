//! The promise of one answer, with real nodes: the tokens of a split model are those of one node,
//! for every place and number of cuts, greedy and sampled.
//!
//! Each chain is asked through its first node's control socket, several prompts each.

mod support;

use serde_json::{Value, json};
use support::Node;

/// Layers of the embedded demo model.
const N_LAYERS: u32 = 6;

/// What every chain is asked: chats of different lengths, greedy and with a seed.
fn questions() -> Vec<Value> {
    let chat = |text: &str| json!([{"role": "user", "content": text}]);
    let long = "Tell me how a node finds its peers. ".repeat(12);
    vec![
        json!({"messages": chat("What is a shard?"), "temperature": 0, "max_tokens": 24}),
        json!({"messages": chat(&long), "temperature": 0, "max_tokens": 8}),
        json!({"messages": chat("Tell me a story."), "temperature": 1.0, "seed": 7,
            "max_tokens": 24}),
        json!({"messages": chat("hi"), "temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 1,
            "max_tokens": 16}),
    ]
}

/// Token ids of every question, asked at the first of these shards.
fn answers(cuts: &[u32]) -> Vec<Value> {
    let borders: Vec<u32> = [&[0], cuts, &[N_LAYERS]].concat();
    let ranges: Vec<String> =
        borders.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1])).collect();
    let first = Node::serve(&["--layers", &ranges[0]]);
    let join = first.listen();
    let others: Vec<Node> = ranges[1..]
        .iter()
        .map(|range| Node::serve(&["--layers", range, "--join", &join]))
        .collect();
    let mut control = first.control();
    control.wait_until("models", |answer| answer["models"][0]["servable"] == true);
    let tokens = questions()
        .into_iter()
        .map(|question| {
            let answer = control.result("generate", question);
            assert_eq!(answer["route"].as_array().map(Vec::len), Some(ranges.len()), "{answer}");
            answer["token_ids"].clone()
        })
        .collect();
    drop(others);
    tokens
}

#[test]
fn a_cut_at_any_layer_gives_the_tokens_of_one_node() {
    let alone = answers(&[]);
    assert!(alone.iter().all(|tokens| tokens.as_array().is_some_and(|ids| !ids.is_empty())));
    for cut in 1..N_LAYERS {
        assert_eq!(answers(&[cut]), alone, "cut before layer {cut}");
    }
    assert_eq!(answers(&[2, 4]), alone, "three nodes");
    assert_eq!(answers(&[1, 2, 3, 4, 5]), alone, "a node for every layer");
}
