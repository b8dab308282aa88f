//! The Ollama routes, as programs use them that speak only those.

use serde_json::{Value, json};

use super::{CHAT, chat, is_servable};
use crate::support::{Node, Response, get, post, request, send, signal};

fn ask(more: Value) -> Value {
    let messages = json!([{"role": "user", "content": "What is SwarmLLM?"}]);
    let mut body = json!({"model": "demo", "messages": messages, "options": {"temperature": 0}});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// The lines of a stream.
fn lines(answer: &Response) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains("content-type: application/x-ndjson"), "{}", answer.headers);
    answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn said(lines: &[Value]) -> String {
    lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect()
}

#[test]
fn a_chat_says_the_same_whole_in_lines_and_in_the_other_dialect() {
    let node = Node::serve(&[]);
    let streamed = lines(&post(node.http(), "/api/chat", &ask(json!({}))));
    let whole = post(node.http(), "/api/chat", &ask(json!({"stream": false}))).json();
    let openai = post(node.http(), CHAT, &chat(json!({}))).json();
    let text = openai["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(said(&streamed), text);
    assert_eq!(whole["message"], json!({"role": "assistant", "content": text}));
    let (last, before) = streamed.split_last().expect("lines");
    assert!(before.len() > 1 && before.iter().all(|line| line["done"] == false));
    for end in [last, &whole] {
        assert_eq!((&end["done"], &end["done_reason"]), (&json!(true), &json!("stop")));
        assert_eq!(end["prompt_eval_count"], openai["usage"]["prompt_tokens"]);
        assert_eq!(end["eval_count"], openai["usage"]["completion_tokens"]);
        let time = |name: &str| end[name].as_u64().unwrap_or_else(|| panic!("{name} in {end}"));
        let parts = time("prompt_eval_duration") + time("eval_duration") + time("load_duration");
        assert!(time("total_duration") > 1000 && parts <= time("total_duration") * 2, "{end}");
        assert_eq!(end["created_at"].as_str().map(str::len), Some(27), "{end}");
    }
}

#[test]
fn options_are_followed() {
    let node = Node::serve(&[]);
    let with = |options: Value| {
        let body = ask(json!({"stream": false, "options": options}));
        post(node.http(), "/api/chat", &body).json()
    };
    let short = with(json!({"num_predict": 3, "seed": 7}));
    assert_eq!((&short["done_reason"], &short["eval_count"]), (&json!("length"), &json!(3)));
    assert_eq!(with(json!({"num_predict": 3, "seed": 7}))["message"], short["message"]);
    let all = with(json!({"temperature": 0}));
    let text = all["message"]["content"].as_str().expect("text");
    let word = text.split_whitespace().max_by_key(|word| word.len()).expect("a word");
    let cut = with(json!({"temperature": 0, "stop": [word]}));
    assert_eq!(cut["message"]["content"].as_str(), text.split(word).next());
}

#[test]
fn a_prompt_is_answered_as_a_chat_or_continued_as_it_is() {
    let node = Node::serve(&[]);
    let generate = |more: Value| {
        let mut body = json!({"model": "demo:latest", "prompt": "What is SwarmLLM?",
            "stream": false, "options": {"temperature": 0, "num_predict": 8}});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        post(node.http(), "/api/generate", &body).json()
    };
    let options = json!({"temperature": 0, "num_predict": 8});
    let chat = post(node.http(), "/api/chat", &ask(json!({"stream": false, "options": options})));
    let chat = chat.json();
    let answered = generate(json!({}));
    assert_eq!(answered["response"], chat["message"]["content"]);
    assert_eq!(answered["model"], "demo:latest");
    let raw = generate(json!({"raw": true}));
    assert!(raw["prompt_eval_count"].as_u64() < answered["prompt_eval_count"].as_u64(), "{raw}");
    let load = generate(json!({"prompt": ""}));
    assert_eq!((&load["done"], &load["done_reason"]), (&json!(true), &json!("load")));
    let unload = generate(json!({"prompt": "", "keep_alive": 0}));
    assert_eq!(unload["done_reason"], "unload");
}

#[test]
fn models_are_listed_shown_and_confirmed() {
    let node = Node::serve(&[]);
    let to = node.http();
    let tags = get(to, "/api/tags").json();
    let model = &tags["models"][0];
    assert_eq!((&model["name"], &model["model"]), (&json!("demo:latest"), &json!("demo:latest")));
    assert_eq!(model["digest"].as_str().map(str::len), Some(64));
    assert!(model["size"].as_u64() > Some(1000) && model["details"]["family"].is_string());
    let running = get(to, "/api/ps").json();
    assert_eq!(running["models"][0]["digest"], model["digest"]);
    assert_eq!(running["models"][0]["context_length"], 512);
    for name in ["demo", "demo:latest"] {
        let shown = post(to, "/api/show", &json!({"model": name})).json();
        let architecture = shown["model_info"]["general.architecture"].as_str().expect("a name");
        assert_eq!(shown["model_info"][format!("{architecture}.context_length")], 512);
        let capabilities = shown["capabilities"].as_array().expect("a list");
        assert!(capabilities.contains(&json!("completion")), "{shown}");
        let pulled = lines(&post(to, "/api/pull", &json!({"model": name})));
        assert_eq!(pulled.last().expect("lines")["status"], "success");
    }
    assert!(get(to, "/api/version").json()["version"].is_string());
    let absent = post(to, "/api/pull", &json!({"name": "llama3.2", "stream": false}));
    assert_eq!(absent.status, 404);
    let message = absent.json()["error"].as_str().expect("text").to_owned();
    assert!(message.contains("not pulled") && message.contains("--model"), "{message}");
}

#[test]
fn an_answer_that_was_begun_goes_on_and_lists_are_there_for_a_look() {
    let node = Node::serve(&[]);
    let whole = post(node.http(), "/api/chat", &ask(json!({"stream": false}))).json();
    let text = whole["message"]["content"].as_str().expect("text");
    let (begun, rest) = text.split_at(text.find(' ').expect("words"));
    let messages = json!([
        {"role": "user", "content": "What is SwarmLLM?"},
        {"role": "assistant", "content": begun},
    ]);
    let body = ask(json!({"stream": false, "messages": messages}));
    assert_eq!(post(node.http(), "/api/chat", &body).json()["message"]["content"], rest);
    for path in ["/", "/api/tags", "/api/version"] {
        let looked = request(node.http(), &format!("HEAD {path} HTTP/1.1"), "");
        assert_eq!((looked.status, looked.body.as_str()), (200, ""), "{path}");
    }
}

#[test]
fn a_mistake_is_the_callers_and_says_so_in_this_dialect() {
    let node = Node::serve(&[]);
    for (body, status) in [
        (ask(json!({"model": "other"})), 404),
        (ask(json!({"messages": "hi"})), 400),
        (ask(json!({"options": {"temperature": "hot"}})), 400),
        (ask(json!({"format": "xml"})), 400),
        (ask(json!({"messages": [{"role": "user", "content": "hello ".repeat(5000)}]})), 400),
        (json!({}), 400),
        (json!([]), 400),
    ] {
        let answer = post(node.http(), "/api/chat", &body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    assert_eq!(get(node.http(), "/api/chat").status, 405);
}

#[test]
fn missing_layers_have_a_status_and_a_lost_stage_a_last_line() {
    let first = Node::serve(&["--layers", "0-3"]);
    let refused = post(first.http(), "/api/chat", &ask(json!({})));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains("retry-after: "), "{}", refused.headers);
    let second = Node::serve(&["--layers", "3-6", "--join", &first.listen()]);
    first.control().wait_until("models", is_servable);
    signal("STOP", second.pid());
    let body = ask(json!({})).to_string();
    let mut client = send(first.http(), "POST /api/chat HTTP/1.1", &body);
    // The head of the answer comes although there is nothing to show.
    let mut bytes = vec![0; 64];
    std::io::Read::read_exact(&mut client, &mut bytes).expect("the head");
    signal("KILL", second.pid());
    std::io::Read::read_to_end(&mut client, &mut bytes).expect("the rest");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("{\"error\":\"") && !text.contains("\"done\":true"), "{text}");
}

#[test]
fn texts_become_vectors_and_long_ones_are_cut() {
    let node = Node::serve(&[]);
    let embed = |more: Value| {
        let mut body = json!({"model": "demo:latest", "input": ["one", "two"]});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        post(node.http(), "/api/embed", &body)
    };
    let both = embed(json!({})).json();
    let vectors = both["embeddings"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 2);
    let openai = json!({"model": "demo", "input": "two", "encoding_format": "float"});
    let openai = post(node.http(), "/v1/embeddings", &openai).json();
    assert_eq!(vectors[1], openai["data"][0]["embedding"]);
    let old = json!({"model": "demo", "prompt": "two"});
    assert_eq!(post(node.http(), "/api/embeddings", &old).json()["embedding"], vectors[1]);
    let short = embed(json!({"dimensions": 4})).json();
    assert_eq!(short["embeddings"][0].as_array().map(Vec::len), Some(4));
    let long = "hello ".repeat(3000);
    let cut = embed(json!({"input": long}));
    assert_eq!((cut.status, cut.json()["prompt_eval_count"].clone()), (200, json!(511)));
    assert_eq!(embed(json!({"input": long, "truncate": false})).status, 400);
    assert_eq!(embed(json!({"input": 3})).status, 400);
    // Whoever sends nothing only wants the model in memory.
    for nothing in [json!([]), json!(""), json!(null)] {
        let loaded = embed(json!({"input": nothing}));
        assert_eq!((loaded.status, loaded.json()["embeddings"].clone()), (200, json!([])));
    }
    let loaded = post(node.http(), "/api/embeddings", &json!({"model": "demo", "prompt": ""}));
    assert_eq!((loaded.status, loaded.json()), (200, json!({"embedding": []})));
    let metrics = get(node.http(), "/metrics").body;
    assert!(!metrics.contains("finished_reason=\"abort\""), "{metrics}");
}
