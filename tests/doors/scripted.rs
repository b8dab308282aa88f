//! A scripted model over two nodes: what it says, what it finds in the pages, what `show` tells.

use std::fs;

use serde_json::{Value, json};

use super::support::{Folder, Node, json_stdout, post, run, stderr};

#[test]
fn a_scripted_model_speaks_over_two_nodes_and_finds_its_pages_again() {
    let folder = Folder::new();
    let file = folder.path().join("parrot.json");
    let script = json!({"rules": [
        {"when": "needle-42", "say": "I found needle-42."},
        {"when": "needle",
         "say": "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>"},
        {"say": "Hello."},
    ]});
    fs::write(&file, script.to_string()).expect("writable");
    let model = format!("script:{}", file.display());
    let first = Node::serve(&["--model", &model, "--layers", "0-2"]);
    let join = first.listen();
    let _second = Node::serve(&["--model", &model, "--layers", "2-4", "--join", &join]);
    first.control().wait_until("models", |answer| answer["models"][0]["servable"] == true);

    let look = json!({"type": "function", "function": {"name": "look", "parameters": {}}});
    let mut messages = vec![json!({"role": "user", "content": "Look for a needle. ".repeat(40)})];
    let ask = |messages: &[Value]| {
        let body = json!({"model": "parrot", "messages": messages, "tools": [look]});
        post(first.http(), "/v1/chat/completions", &body).json()
    };
    let called = ask(&messages);
    assert_eq!(called["choices"][0]["finish_reason"], "tool_calls", "{called}");
    let message = called["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].clone();
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "needle-42"}));
    let said = ask(&messages);
    assert_eq!(said["choices"][0]["message"]["content"], "I found needle-42.", "{said}");
    let known = &said["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert!(known.as_u64().is_some_and(|known| known >= 32), "{said}");
    assert_eq!(said["swarmllm"]["route"].as_array().map(Vec::len), Some(2), "{said}");
}

#[test]
fn a_script_is_shown_as_what_it_is_and_a_broken_one_is_refused() {
    let folder = Folder::new();
    let file = folder.path().join("script.json");
    let reference = format!("script:{}", file.display());
    fs::write(&file, r#"{"rules": [{"say": "Hello."}]}"#).expect("writable");
    let shown = json_stdout(&run(&["show", &reference, "--json"]));
    assert_eq!((&shown["architecture"], &shown["parameters"]), (&json!("scripted"), &json!(0)));
    fs::write(&file, r#"{"rules": [{"say": "a", "when": "("}]}"#).expect("writable");
    let serve = format!("--model={reference}");
    let data = format!("--data-dir={}", folder.path().display());
    for arguments in [&["show", &reference][..], &["serve", &serve, &data]] {
        let output = run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains("`when` of rule 0"), "{}", stderr(&output));
    }
}
