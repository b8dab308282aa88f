//! Promises of the Anthropic messages dialect, kept by the real program.
//!
//! A stream is put together here as a client would: by the names and numbers of its events alone.

use std::fs;

use serde_json::{Value, json};

use super::support::{Folder, Node, Response, get, post, request};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

fn body(more: Value) -> Value {
    let messages = json!([{"role": "user", "content": "What is SwarmLLM?"}]);
    let mut body =
        json!({"model": "demo", "messages": messages, "max_tokens": 200, "temperature": 0});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn weather() -> Value {
    let properties = json!({"city": {"type": "string"}});
    let schema = json!({"type": "object", "properties": properties, "required": ["city"]});
    json!([{
        "name": "get_weather", "description": "Get the weather of a city", "input_schema": schema,
    }])
}

fn ask(node: &Node, more: Value) -> Value {
    let answer = post(node.http(), MESSAGES, &body(more));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Data of each event, whose name must be its type.
fn events(answer: &Response) -> Vec<Value> {
    let events = answer.body.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').expect("a name and data");
        let data = data.strip_prefix("data: ").expect("data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(Some(data["type"].as_str().expect("a type")), name.strip_prefix("event: "));
        data
    });
    events.collect()
}

/// The message that the events of a stream tell.
fn assembled(events: &[Value]) -> Value {
    let mut message = events[0]["message"].clone();
    let mut input = String::new();
    for event in events {
        let index = event["index"].as_u64().map_or(0, |index| index as usize);
        match event["type"].as_str().expect("a type") {
            "content_block_start" => {
                let content = message["content"].as_array_mut().expect("blocks");
                assert_eq!(content.len(), index);
                content.push(event["content_block"].clone());
                input.clear();
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                for (field, piece) in event["delta"].as_object().expect("a delta") {
                    match (field.as_str(), piece.as_str().expect("a text")) {
                        ("type", _) => {}
                        ("partial_json", piece) => input.push_str(piece),
                        (field, piece) => {
                            let before = block[field].as_str().expect("a text");
                            block[field] = format!("{before}{piece}").into();
                        }
                    }
                }
            }
            "content_block_stop" if message["content"][index]["type"] == "tool_use" => {
                message["content"][index]["input"] = serde_json::from_str(&input).expect("JSON");
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
                message["swarmllm"] = event["swarmllm"].clone();
            }
            _ => {}
        }
    }
    message
}

/// What two answers to one question have in common.
fn comparable(mut message: Value) -> Value {
    message["id"].take();
    message["token_ids"] = message["swarmllm"]["token_ids"].clone();
    message["swarmllm"].take();
    for block in message["content"].as_array_mut().expect("blocks") {
        if block["type"] == "tool_use" {
            assert!(block["id"].as_str().expect("an id").starts_with("toolu_"), "{block}");
            block["id"].take();
        }
    }
    let usage = &mut message["usage"];
    *usage = json!([prompt_tokens(usage), usage["output_tokens"]]);
    message
}

fn count(usage: &Value, part: &str) -> u64 {
    usage[part].as_u64().unwrap_or_else(|| panic!("{part} in {usage}"))
}

fn prompt_tokens(usage: &Value) -> u64 {
    ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
        .iter()
        .map(|part| count(usage, part))
        .sum()
}

#[test]
fn a_message_is_the_same_whole_and_as_a_stream() {
    let node = Node::serve(&[]);
    let city = json!([{"role": "user", "content": "what is the weather in Paris"}]);
    let call = json!({"tools": weather(), "messages": city});
    for more in [json!({}), call, json!({"max_tokens": 3})] {
        let whole = ask(&node, more.clone());
        assert_eq!((&whole["type"], &whole["role"]), (&json!("message"), &json!("assistant")));
        assert!(whole["id"].as_str().expect("an id").starts_with("msg_"), "{whole}");
        assert!(!whole["content"].as_array().expect("blocks").is_empty(), "{whole}");
        assert_eq!(whole["swarmllm"]["route"][0]["layers"][0], 0);
        let mut asked = body(more);
        asked["stream"] = true.into();
        let stream = post(node.http(), MESSAGES, &asked);
        assert!(stream.headers.contains("content-type: text/event-stream"), "{}", stream.headers);
        let events = events(&stream);
        assert_eq!(events[0]["type"], "message_start");
        assert_eq!(events[events.len() - 2]["type"], "message_delta");
        assert_eq!(events[events.len() - 1], json!({"type": "message_stop"}));
        assert_eq!(comparable(assembled(&events)), comparable(whole));
    }
}

#[test]
fn tokens_are_counted_as_they_are_used() {
    let node = Node::serve(&[]);
    let system = json!([
        {"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}},
    ]);
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "weather Oslo"}]}]);
    let more = json!({"system": system, "tools": weather(), "messages": messages});
    let mut counted = body(more.clone());
    counted.as_object_mut().expect("an object").remove("max_tokens");
    let counted = post(node.http(), COUNT, &counted);
    assert_eq!(counted.status, 200, "{counted:?}");
    let usage = ask(&node, more)["usage"].clone();
    assert_eq!(counted.json(), json!({"input_tokens": prompt_tokens(&usage)}));
}

#[test]
fn what_was_read_before_is_read_from_the_cache() {
    let node = Node::serve(&[]);
    let session = |version: &str, question: &str| {
        let billing = format!("x-anthropic-billing-header: cc_version=2.1.197.{version};");
        let rules = "Answer in one short sentence and never mention the weather. ".repeat(8);
        let system = json!([{"type": "text", "text": billing}, {"type": "text", "text": rules}]);
        let messages = json!([{"role": "user", "content": question}]);
        let more = json!({"system": system, "messages": messages, "max_tokens": 4});
        ask(&node, more)["usage"].clone()
    };
    let first = session("a1b", "What is a shard?");
    assert_eq!(count(&first, "cache_read_input_tokens"), 0);
    let kept = count(&first, "cache_creation_input_tokens");
    assert!(kept >= 64 && kept.is_multiple_of(32), "{first}");
    // Another session: its line about billing differs, and its question.
    let second = session("9f0", "Who are you?");
    let read = count(&second, "cache_read_input_tokens");
    assert!(read * 10 >= kept * 9, "{first} {second}");
    assert!(count(&second, "input_tokens") <= 32, "{second}");
}

#[test]
fn a_tool_is_called_and_its_result_is_told() {
    let node = Node::serve(&[]);
    let question = json!({"role": "user", "content": "what is the weather in Paris"});
    let asked = json!({"tools": weather(), "messages": [question]});
    let called = ask(&node, asked);
    assert_eq!(called["stop_reason"], "tool_use", "{called}");
    let call = called["content"].as_array().and_then(|blocks| blocks.last()).expect("a block");
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("get_weather")));
    assert!(call["input"]["city"].is_string(), "{call}");
    let text = json!([{"type": "text", "text": "{\"sky\": \"rainy\", \"celsius\": 7}"}]);
    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": text});
    let messages = json!([
        question,
        {"role": "assistant", "content": called["content"]},
        {"role": "user", "content": [result]},
    ]);
    let told = ask(&node, json!({"tools": weather(), "messages": messages}));
    assert_eq!(told["stop_reason"], "end_turn", "{told}");
    assert_eq!(told["content"][0]["type"], "text", "{told}");
    let text = told["content"][0]["text"].as_str().expect("a text");
    // The small model may mistake the sky, but it has this number from nowhere else.
    assert!(text.contains("7 degrees"), "{text}");
}

#[test]
fn a_forced_call_has_input_of_its_schema() {
    let node = Node::serve(&[]);
    let schema = json!({
        "type": "object", "required": ["city", "days"], "additionalProperties": false,
        "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer"}},
    });
    let tools = json!([{"name": "get_weather", "input_schema": schema}]);
    for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "get_weather"})] {
        // Nothing in the question asks for it.
        let called = ask(&node, json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(called["stop_reason"], "tool_use", "{called}");
        let call = called["content"].as_array().and_then(|blocks| blocks.last()).expect("a block");
        assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("get_weather")));
        let city = call["input"]["city"].as_str().expect("a text");
        assert!(["Oslo", "Rome"].contains(&city) && call["input"]["days"].is_i64(), "{call}");
    }
}

#[test]
fn a_stop_sequence_ends_the_answer_and_is_reported() {
    let node = Node::serve(&[]);
    let whole = ask(&node, json!({}));
    let text = whole["content"][0]["text"].as_str().expect("a text");
    let word = text.split_whitespace().max_by_key(|word| word.len()).expect("a word");
    let before = text.split(word).next().expect("text before it");
    let more = json!({"stop_sequences": ["never said", word]});
    let mut stream = body(more.clone());
    stream["stream"] = true.into();
    let streamed = assembled(&events(&post(node.http(), MESSAGES, &stream)));
    for stopped in [ask(&node, more), streamed] {
        assert_eq!(stopped["content"][0]["text"], before);
        assert_eq!(stopped["stop_reason"], "stop_sequence");
        assert_eq!(stopped["stop_sequence"], word);
    }
    assert_eq!(ask(&node, json!({"max_tokens": 2}))["stop_reason"], "max_tokens");
}

#[test]
fn a_conversation_that_clients_replay_is_understood() {
    let node = Node::serve(&[]);
    let messages = json!([
        {"role": "user", "content": [
            {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}},
        ]},
        {"role": "system", "content": "The user is in Oslo."},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "of another node", "signature": "EqQBCgIYAhIM"},
            {"type": "redacted_thinking", "data": "EqQBCgIYAhIM"},
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "text", "text": ""},
            {"type": "text", "text": "Hello! How can I help?"},
        ]},
        {"role": "user", "content": "What is SwarmLLM?"},
    ]);
    let plain = json!([
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "The user is in Oslo."},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": "What is SwarmLLM?"},
    ]);
    let tools = json!([
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"type": "something_new", "name": "x"},
    ]);
    let more = json!({
        "messages": messages, "tools": tools, "thinking": {"type": "adaptive"},
        "context_management": {"edits": []}, "metadata": {"user_id": "{\"a\":1}"},
        "output_config": {"effort": "high"}, "cache_control": {"type": "ephemeral"},
    });
    let replayed = ask(&node, more);
    let plain = ask(&node, json!({"messages": plain}));
    assert_eq!(comparable(replayed), comparable(plain));
}

#[test]
fn bad_requests_get_their_error_and_take_nothing_down() {
    let node = Node::serve(&[]);
    let to = node.http();
    let image = json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]);
    let cases = [
        (json!({"model": "other"}), 404, "not_found_error", "other"),
        (json!({"max_tokens": null}), 400, "invalid_request_error", "max_tokens"),
        (json!({"messages": []}), 400, "invalid_request_error", "messages: holds"),
        (json!({"messages": image}), 400, "invalid_request_error", "messages.0.content.0"),
        (json!({"messages": "hello"}), 400, "invalid_request_error", "messages"),
        (json!({"temperature": "hot"}), 400, "invalid_request_error", "temperature"),
        (json!({"tool_choice": {"type": "any"}}), 400, "invalid_request_error", "tool_choice"),
    ];
    for (more, status, kind, told) in cases {
        for stream in [false, true] {
            let mut asked = body(more.clone());
            asked["stream"] = stream.into();
            let answer = post(to, MESSAGES, &asked);
            let error = answer.json();
            assert_eq!((answer.status, &error["type"]), (status, &json!("error")), "{error}");
            assert_eq!(error["error"]["type"], kind, "{error}");
            assert!(error["error"]["message"].as_str().expect("a text").contains(told), "{error}");
            let id = error["request_id"].as_str().expect("an id");
            assert!(answer.headers.contains(&format!("\nrequest-id: {id}")), "{}", answer.headers);
            assert!(answer.headers.contains(&format!("x-request-id: {id}")), "{}", answer.headers);
        }
    }
    for path in [MESSAGES, COUNT] {
        for body in ["", "no json", "{\"model\":", "[]", "\u{0}"] {
            let answer = request(to, &format!("POST {path} HTTP/1.1"), body);
            let kind = answer.json()["error"]["type"].clone();
            assert_eq!((answer.status, kind), (400, json!("invalid_request_error")), "{body:?}");
        }
        let huge = request(to, &format!("POST {path} HTTP/1.1\r\nContent-Length: 99999999999"), "");
        let kind = huge.json()["error"]["type"].clone();
        assert_eq!((huge.status, kind), (413, json!("request_too_large")));
        let wrong = get(to, path);
        assert_eq!((wrong.status, wrong.json()["type"].clone()), (405, json!("error")));
        assert!(wrong.headers.contains("allow: post"), "{}", wrong.headers);
    }
    let missing = get(to, "/v1/messages/batches");
    let kind = missing.json()["error"]["type"].clone();
    assert_eq!((missing.status, kind), (404, json!("not_found_error")));
    let fine = ask(&node, json!({"max_tokens": 1}));
    assert_eq!(fine["usage"]["output_tokens"], 1);
}

#[test]
fn a_prompt_that_is_too_long_is_refused_in_the_words_that_clients_look_for() {
    let node = Node::serve(&[]);
    let messages = json!([{"role": "user", "content": "hello ".repeat(2000)}]);
    let asked = body(json!({"messages": messages}));
    let counted = post(node.http(), COUNT, &asked).json()["input_tokens"].clone();
    let refused = post(node.http(), MESSAGES, &asked);
    let message = format!("prompt is too long: {counted} tokens > 511 maximum");
    let error = json!({"type": "invalid_request_error", "message": message});
    assert_eq!((refused.status, refused.json()["error"].clone()), (400, error));
}

#[test]
fn a_caller_s_name_of_its_request_comes_back() {
    let node = Node::serve(&[]);
    let head = format!("POST {MESSAGES}?beta=true HTTP/1.1\r\nX-Request-Id: mine-1");
    let answer = request(node.http(), &head, "{}");
    assert_eq!(answer.json()["request_id"], "mine-1");
    assert!(answer.headers.contains("\nrequest-id: mine-1"), "{}", answer.headers);
}

/// A node with a scripted model of this name.
fn scripted(folder: &Folder, name: &str, script: &Value) -> Node {
    let file = folder.path().join(format!("{name}.json"));
    fs::write(&file, script.to_string()).expect("writable");
    Node::serve(&["--model", &format!("script:{}", file.display())])
}

/// A request of the dialect's client without a body.
fn get_as_client(node: &Node, path: &str) -> Response {
    request(node.http(), &format!("GET {path} HTTP/1.1\r\nanthropic-version: 2023-06-01"), "")
}

#[test]
fn models_and_errors_have_the_dialect_s_form_wherever_its_clients_ask() {
    let node = Node::serve(&["--model", "demo", "--model", "demo-draft"]);
    let list = get_as_client(&node, "/v1/models?limit=1");
    assert!(list.headers.contains("\nrequest-id: req_"), "{}", list.headers);
    let list = list.json();
    assert_eq!((&list["has_more"], &list["last_id"]), (&json!(true), &json!("demo")), "{list}");
    let model = &list["data"][0];
    assert_eq!((&model["type"], &model["lifecycle"]), (&json!("model"), &json!("active")));
    assert_eq!(model["max_input_tokens"], 512, "{model}");
    let rest = get_as_client(&node, "/v1/models?limit=1&after_id=demo").json();
    assert_eq!(
        (&rest["has_more"], &rest["data"][0]["id"]),
        (&json!(false), &json!("demo-draft")),
        "{rest}"
    );
    for (path, status, kind) in [
        ("/v1/models?limit=0", 400, "invalid_request_error"),
        ("/v1/models/other", 404, "not_found_error"),
        ("/v1/files", 404, "not_found_error"),
    ] {
        let answer = get_as_client(&node, path);
        let error = answer.json();
        assert_eq!((answer.status, &error["error"]["type"]), (status, &json!(kind)), "{error}");
        let id = error["request_id"].as_str().expect("an id");
        assert!(answer.headers.contains(&format!("\nrequest-id: {id}")), "{}", answer.headers);
    }
    assert_eq!(get(node.http(), "/v1/models").json()["data"][1]["id"], "demo-draft");
}

#[test]
fn a_prompt_can_be_read_into_the_cache_alone() {
    let node = Node::serve(&[]);
    let system = "Answer in one short sentence and never mention the weather. ".repeat(8);
    let warmed = ask(&node, json!({"system": system, "max_tokens": 0}));
    assert_eq!((&warmed["content"], &warmed["stop_reason"]), (&json!([]), &json!("max_tokens")));
    assert_eq!(warmed["usage"]["output_tokens"], 0, "{warmed}");
    let kept = count(&warmed["usage"], "cache_creation_input_tokens");
    let used = ask(&node, json!({"system": system, "max_tokens": 3}))["usage"].clone();
    assert!(kept >= 64 && count(&used, "cache_read_input_tokens") == kept, "{warmed} {used}");
}

#[test]
fn the_end_of_the_context_is_told_from_the_limit() {
    let folder = Folder::new();
    let script = json!({"rules": [{"say": "on and on ".repeat(80)}], "context": 96});
    let node = scripted(&folder, "talker", &script);
    let why = |max_tokens: u32| {
        let asked = ask(&node, json!({"model": "talker", "max_tokens": max_tokens}));
        asked["stop_reason"].clone()
    };
    assert_eq!(
        (why(9), why(32_000)),
        (json!("max_tokens"), json!("model_context_window_exceeded"))
    );
}

#[test]
fn thinking_that_is_not_shown_comes_back_to_the_model() {
    let folder = Folder::new();
    let template = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}\
        {%- if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}\
        {{- m.content + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}";
    let rules = json!([
        {"when": "the secret thought", "in": "prompt", "say": "I remember."},
        {"when": "again", "say": "I forgot."},
        {"say": "<think>the secret thought</think>Hello."},
    ]);
    let node = scripted(&folder, "thinker", &json!({"rules": rules, "template": template}));
    let thinking = json!({"type": "adaptive", "display": "omitted"});
    let asked = |messages: Value| {
        let more = json!({"model": "thinker", "messages": messages, "thinking": thinking});
        ask(&node, more)["content"].clone()
    };
    let question = json!({"role": "user", "content": "hi"});
    let content = asked(json!([question]));
    assert_eq!((&content[0]["type"], &content[0]["thinking"]), (&json!("thinking"), &json!("")));
    let again = |content: &Value| {
        let said = json!({"role": "assistant", "content": content});
        asked(json!([question, said, {"role": "user", "content": "again"}]))
    };
    assert_eq!(again(&content)[0]["text"], "I remember.", "{content}");
    let mut forged = content.clone();
    forged[0]["signature"] = "Zm9yZ2Vk".into();
    assert_eq!(again(&forged)[0]["text"], "I forgot.");
}

#[test]
fn a_template_that_wants_short_ids_of_calls_gets_them() {
    let folder = Folder::new();
    // As templates of Mistral do it, over the tokens of the embedded vocabulary.
    let refuse = "{{ raise_exception('Tool call IDs should have length 9!') }}{% endif %}";
    let template = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}\
        {%- for c in m.tool_calls or [] %}\
        {%- if c.id is not string or c.id|length != 9 %}REFUSE\
        {{- '[TOOL_CALLS][{\"id\": \"' + c.id + '\"}]' }}{% endfor %}\
        {%- if m.role == 'tool' %}{% if m.tool_call_id|length != 9 %}REFUSE\
        {{- '[TOOL_RESULTS]' + m.tool_call_id }}{% endif %}\
        {{- (m.content or '') + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}"
        .replace("REFUSE", refuse);
    let call = r#"[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}}]"#;
    let rules = json!([{"when": "degrees", "say": "It is cold."}, {"say": call}]);
    // The template never reads them, but a model that knows tools has their name in it.
    let template = format!("{{# tools #}}{template}");
    let node = scripted(&folder, "mistral", &json!({"rules": rules, "template": template}));
    let question = json!({"role": "user", "content": "the weather?"});
    let asked = |messages: Value| {
        ask(&node, json!({"model": "mistral", "tools": weather(), "messages": messages}))
    };
    let called = asked(json!([question]));
    let id = called["content"][0]["id"].as_str().expect("a call").to_owned();
    assert!(id.starts_with("toolu_") && id.len() > 9, "{called}");
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": "3 degrees"});
    let told = asked(json!([
        question,
        {"role": "assistant", "content": called["content"]},
        {"role": "user", "content": [result]},
    ]));
    assert_eq!(told["content"][0]["text"], "It is cold.", "{told}");
}
