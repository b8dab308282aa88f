//! The promise of one answer, with real nodes: the tokens of a split model are those of one node,
//! for every place and number of cuts, greedy and sampled.
//!
//! Each chain is asked through its first node's control socket and HTTP server, several prompts
//! each.

mod support;

use serde_json::{Value, json};
use support::{Node, post};

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

/// What the last stage must know beside logits: penalties, biases, formats, forced calls.
fn guided_questions() -> Vec<Value> {
    let layers = json!({"type": "integer", "minimum": 0, "maximum": 99});
    let schema = json!({"type": "object", "properties": {"layers": layers},
        "required": ["layers"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let tool = json!({"type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}}});
    let chat = |more: Value| {
        let messages = json!([{"role": "user", "content": "What is a shard?"}]);
        let mut body = json!({"model": "demo", "messages": messages, "max_tokens": 24, "seed": 5,
            "logprobs": true, "top_logprobs": 3});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    vec![
        chat(json!({"frequency_penalty": 1.5, "presence_penalty": 0.5, "temperature": 0.7})),
        chat(json!({"repetition_penalty": 1.3, "logit_bias": {"300": 4.0}, "temperature": 0})),
        chat(json!({"response_format": format, "temperature": 1.0, "max_tokens": 200})),
        chat(json!({"tools": [tool], "tool_choice": "required", "temperature": 0,
            "max_tokens": 200})),
    ]
}

/// A chain of nodes that hold the layers between these cuts; the first one is asked.
fn chain(cuts: &[u32]) -> Vec<Node> {
    let borders: Vec<u32> = [&[0], cuts, &[N_LAYERS]].concat();
    let ranges: Vec<String> =
        borders.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1])).collect();
    let first = Node::serve(&["--layers", &ranges[0]]);
    let join = first.listen();
    let others = ranges[1..].iter().map(|range| Node::serve(&["--layers", range, "--join", &join]));
    let others: Vec<Node> = others.collect();
    first.control().wait_until("models", |answer| answer["models"][0]["servable"] == true);
    std::iter::once(first).chain(others).collect()
}

/// Token ids of every question.
fn answers(cuts: &[u32]) -> Vec<Value> {
    let nodes = chain(cuts);
    let mut control = nodes[0].control();
    let ask = |question| {
        let answer = control.result("generate", question);
        assert_eq!(answer["route"].as_array().map(Vec::len), Some(nodes.len()), "{answer}");
        answer["token_ids"].clone()
    };
    questions().into_iter().map(ask).collect()
}

/// Choices and token ids of every guided question, log-probabilities included, and embeddings.
fn guided_answers(cuts: &[u32]) -> Vec<Value> {
    let nodes = chain(cuts);
    let http = nodes[0].http();
    let ask = |question: Value| {
        let answer = post(http, "/v1/chat/completions", &question).json();
        let choice = &answer["choices"][0];
        let said = json!([
            choice["message"]["content"],
            choice["logprobs"],
            choice["message"]["tool_calls"][0]["function"]
        ]);
        assert!(answer["swarmllm"]["token_ids"].is_array(), "{answer}");
        json!([said, choice["finish_reason"], answer["swarmllm"]["token_ids"]])
    };
    let mut all: Vec<Value> = guided_questions().into_iter().map(ask).collect();
    let texts = json!({"model": "demo", "input": ["a shard", "Tell me a story. ".repeat(20)],
        "encoding_format": "float"});
    let embeddings = post(http, "/v1/embeddings", &texts).json()["data"].clone();
    assert_eq!(embeddings.as_array().map(Vec::len), Some(2), "{embeddings}");
    all.push(embeddings);
    let prompt = "A node finds its peers and they share a model. ".repeat(24);
    let echo = json!({"model": "demo", "prompt": prompt, "echo": true, "logprobs": 3,
        "max_tokens": 2, "temperature": 0});
    let echoed = post(http, "/v1/completions", &echo).json()["choices"][0].clone();
    let scores = echoed["logprobs"]["token_logprobs"].as_array().map_or(0, Vec::len);
    assert!(scores > 200, "{echoed}");
    all.push(echoed);
    all
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

#[test]
fn what_guides_the_choice_of_tokens_gives_the_same_on_every_split() {
    let alone = guided_answers(&[]);
    let format: Value =
        serde_json::from_str(alone[2][0][0].as_str().expect("a text")).expect("JSON");
    assert!(format["layers"].is_i64(), "{format}");
    assert_eq!(alone[3][0][2]["name"], "get_weather", "{}", alone[3]);
    for cuts in [&[3][..], &[1, 5]] {
        assert_eq!(guided_answers(cuts), alone, "{cuts:?}");
    }
}
