//! Strict tools: a model that would rather call wrongly says something else, or calls rightly; and
//! an answer bound to a schema may be a call instead.
//!
//! The scripted model wants to say exactly one thing, so what the grammar changes is plain to see.

use std::fs;

use serde_json::{Value, json};

use super::support::{Folder, Node, post};

const WRONG: &str =
    "<tool_call>\n{\"name\": \"light\", \"arguments\": {\"room\": \"attic\"}}\n</tool_call>";
const RIGHT: &str =
    "<tool_call>\n{\"name\": \"light\", \"arguments\": {\"room\": \"hall\"}}\n</tool_call>";

/// A node whose model says a wrong call, a right one, or neither.
fn node(folder: &Folder) -> Node {
    let file = folder.path().join("wilful.json");
    let script = json!({"rules": [
        {"when": "wrong", "say": format!("I do.\n{WRONG}")},
        {"when": "right", "say": RIGHT},
        {"when": "number", "say": "[1,2]"},
        {"say": "Nothing to do."},
    ]});
    fs::write(&file, script.to_string()).expect("writable");
    Node::serve(&["--model", &format!("script:{}", file.display())])
}

fn parameters() -> Value {
    let properties = json!({"room": {"enum": ["hall", "kitchen"]}});
    json!({
        "type": "object", "properties": properties,
        "required": ["room"], "additionalProperties": false,
    })
}

/// What was called with which room, if anything was.
fn room(arguments: &Value) -> Option<String> {
    let arguments: Value = serde_json::from_str(arguments.as_str()?).expect("JSON");
    arguments["room"].as_str().map(str::to_owned)
}

#[test]
fn a_strict_function_of_a_chat_is_called_rightly_or_not_at_all() {
    let folder = Folder::new();
    let node = node(&folder);
    let message = |strict: bool, text: &str| {
        let function = json!({"name": "light", "parameters": parameters(), "strict": strict});
        let body = json!({
            "model": "wilful", "messages": [{"role": "user", "content": text}], "max_tokens": 200,
            "tools": [{"type": "function", "function": function}],
        });
        let answer = post(node.http(), "/v1/chat/completions", &body).json();
        answer["choices"][0]["message"].clone()
    };
    let called = |message: &Value| room(&message["tool_calls"][0]["function"]["arguments"]);
    assert_eq!(called(&message(false, "wrong")).as_deref(), Some("attic"));
    let strict = message(true, "wrong");
    assert_eq!(strict["content"], "I do.", "{strict}");
    assert!(["hall", "kitchen"].map(str::to_owned).contains(&called(&strict).expect("a call")));
    assert_eq!(called(&message(true, "right")).as_deref(), Some("hall"));
    assert_eq!(message(true, "neither")["content"], "Nothing to do.");
}

#[test]
fn responses_and_messages_know_strict_tools_too() {
    let folder = Folder::new();
    let node = node(&folder);
    let response = |strict: bool| {
        let tool = json!({
            "type": "function", "name": "light", "parameters": parameters(), "strict": strict,
        });
        let body = json!({"model": "wilful", "input": "wrong", "tools": [tool]});
        let answer = post(node.http(), "/v1/responses", &body).json();
        room(&answer["output"][1]["arguments"])
    };
    assert_eq!(response(false).as_deref(), Some("attic"));
    assert_ne!(response(true).expect("a call"), "attic");
    let message = |strict: bool| {
        let tool = json!({"name": "light", "input_schema": parameters(), "strict": strict});
        let body = json!({
            "model": "wilful", "max_tokens": 200, "tools": [tool],
            "messages": [{"role": "user", "content": "wrong"}],
        });
        post(node.http(), "/v1/messages", &body).json()["content"][1]["input"]["room"].clone()
    };
    assert_eq!(message(false), "attic");
    assert!(message(true).is_string() && message(true) != "attic");
}

#[test]
fn an_answer_with_a_schema_may_call_instead() {
    let folder = Folder::new();
    let node = node(&folder);
    let answer = |text: &str| {
        let function = json!({"name": "light", "parameters": parameters()});
        let schema = json!({"type": "array", "items": {"type": "integer"}, "maxItems": 4});
        let body = json!({
            "model": "wilful", "messages": [{"role": "user", "content": text}], "max_tokens": 200,
            "tools": [{"type": "function", "function": function}],
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "numbers", "schema": schema},
            },
        });
        post(node.http(), "/v1/chat/completions", &body).json()["choices"][0].clone()
    };
    let called = answer("right");
    assert_eq!(called["finish_reason"], "tool_calls", "{called}");
    assert_eq!(answer("a number")["message"]["content"], "[1,2]");
    let said = answer("neither")["message"].clone();
    let is_call = room(&said["tool_calls"][0]["function"]["arguments"]).is_some();
    let content = said["content"].as_str().unwrap_or_default();
    assert!(is_call || serde_json::from_str::<Vec<i64>>(content).is_ok(), "{said}");
}
