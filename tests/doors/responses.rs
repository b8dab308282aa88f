//! Promises of `/v1/responses`, kept by the real program with the built-in model.
//!
//! What the answers say is the model's matter; here it is the same whole, streamed, fetched again
//! and gone on with, and every object has the shape that clients of the API read.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    dialogue,
    support::{Node, Response, get, post, request},
};

const PATH: &str = "/v1/responses";

fn body(more: Value) -> Value {
    let mut body = json!({"model": "demo", "input": "What is SwarmLLM?", "temperature": 0});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn created(to: SocketAddr, more: Value) -> Value {
    let answer = post(to, PATH, &body(more));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn text(response: &Value) -> &str {
    let items = response["output"].as_array().expect("items");
    let message = items.iter().find(|item| item["type"] == "message").expect("a message");
    message["content"][0]["text"].as_str().expect("text")
}

fn delete(to: SocketAddr, id: &Value) -> Response {
    request(to, &format!("DELETE {} HTTP/1.1", path_of(id)), "")
}

fn path_of(id: &Value) -> String {
    format!("{PATH}/{}", id.as_str().expect("an id"))
}

/// Events of a stream; their names and numbers are checked.
fn events(answer: &Response) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains("content-type: text/event-stream"), "{}", answer.headers);
    let event = |(index, event): (usize, &str)| {
        let (name, data) = event.split_once('\n').expect("a name and data");
        let data = data.strip_prefix("data: ").expect("data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        let kind = data["type"].as_str().expect("a type");
        assert_eq!(name.strip_prefix("event: "), Some(kind));
        assert_eq!(data["sequence_number"], index);
        data
    };
    answer.body.split_terminator("\n\n").enumerate().map(event).collect()
}

#[test]
fn a_response_is_the_same_whole_and_as_a_stream() {
    let node = Node::serve(&[]);
    let whole = created(node.http(), json!({"metadata": {"k": "v"}, "user": "someone"}));
    assert!(!text(&whole).is_empty());
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(whole["metadata"], json!({"k": "v"}));
    let n_tokens = whole["swarmllm"]["token_ids"].as_array().expect("ids").len();
    assert_eq!(whole["usage"]["output_tokens"], n_tokens);

    let events = events(&post(node.http(), PATH, &body(json!({"stream": true}))));
    let names: Vec<&str> =
        events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    let n_deltas = names.iter().filter(|name| **name == "response.output_text.delta").count();
    let mut expected = vec![
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ];
    expected.extend(std::iter::repeat_n("response.output_text.delta", n_deltas));
    expected.extend([
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]);
    assert_eq!(names, expected);
    let streamed: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(streamed, text(&whole));
    let last = &events[events.len() - 1]["response"];
    assert_eq!(text(last), text(&whole));
    assert_eq!(last["swarmllm"]["token_ids"], whole["swarmllm"]["token_ids"]);
    assert_eq!(last["usage"]["total_tokens"], whole["usage"]["total_tokens"]);
    assert_eq!(last["id"], events[0]["response"]["id"]);
}

#[test]
fn a_response_is_kept_gone_on_with_and_deleted() {
    let node = Node::serve(&[]);
    let to = node.http();
    let first = created(to, json!({"instructions": "Be brief."}));
    assert_eq!(get(to, &path_of(&first["id"])).json(), first);

    let again = json!({"input": "And who made it?", "previous_response_id": first["id"]});
    let second = created(to, again);
    let by_hand = created(
        to,
        json!({"store": false, "input": [
            {"role": "user", "content": "What is SwarmLLM?"},
            first["output"][0],
            {"role": "user", "content": [{"type": "input_text", "text": "And who made it?"}]},
        ]}),
    );
    assert_eq!(second["usage"]["input_tokens"], by_hand["usage"]["input_tokens"]);
    assert_eq!(text(&second), text(&by_hand));

    let items = get(to, &format!("{}/input_items?order=asc", path_of(&second["id"]))).json();
    let roles: Vec<&str> = items["data"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let page = get(to, &format!("{}/input_items?limit=2", path_of(&second["id"]))).json();
    assert_eq!((&page["has_more"], &page["first_id"]), (&json!(true), &items["last_id"]));

    assert_eq!(delete(to, &first["id"]).json()["deleted"], true);
    assert_eq!(delete(to, &first["id"]).status, 404);
    assert_eq!(get(to, &path_of(&first["id"])).status, 404);
    // What went on from it holds the whole conversation.
    assert_eq!(
        get(to, &format!("{}/input_items", path_of(&second["id"]))).json()["data"][0],
        items["data"][2]
    );
    for id in [&first["id"], &by_hand["id"]] {
        let answer = post(to, PATH, &body(json!({"previous_response_id": id})));
        assert_eq!(
            (answer.status, &answer.json()["error"]["param"]),
            (400, &json!("previous_response_id"))
        );
    }
    let cancelled = post(to, &format!("{}/cancel", path_of(&second["id"])), &json!({}));
    assert_eq!(cancelled.status, 400, "{cancelled:?}");
}

#[test]
fn items_of_a_kept_answer_may_be_referred_to() {
    let (_folder, node) = dialogue();
    let to = node.http();
    let ask = json!({"role": "user", "content": "The weather of Oslo and Rome?"});
    let tools = json!([{"type": "function", "name": "weather", "parameters": null}]);
    let first = json!({"model": "dialogue", "input": [ask], "tools": tools});
    let first = post(to, PATH, &first);
    assert!(first.headers.contains("openai-processing-ms: "), "{}", first.headers);
    let first = first.json();
    let calls = first["output"].as_array().expect("calls").clone();
    assert_eq!(calls.len(), 2, "{first}");
    let output = |call: &Value| {
        let id = call["call_id"].clone();
        json!({"type": "function_call_output", "call_id": id, "output": "17 degrees"})
    };
    let reference = |call: &Value| json!({"type": "item_reference", "id": call["id"]});
    let goes_on = |calls: Vec<Value>| {
        let outputs: Vec<Value> =
            first["output"].as_array().expect("calls").iter().map(output).collect();
        let input = [vec![ask.clone()], calls, outputs].concat();
        post(to, PATH, &json!({"model": "dialogue", "input": input, "tools": tools}))
    };
    let by_hand = goes_on(calls.clone()).json();
    let by_reference = goes_on(calls.iter().map(reference).collect()).json();
    assert_eq!(text(&by_reference), text(&by_hand));
    assert_eq!(by_reference["usage"]["input_tokens"], by_hand["usage"]["input_tokens"]);
    delete(to, &first["id"]);
    let lost = goes_on(calls.iter().map(reference).collect());
    assert_eq!((lost.status, &lost.json()["error"]["param"]), (400, &json!("input[1].id")));
}

#[test]
fn log_probabilities_are_not_those_of_tags_around_the_text() {
    let (_folder, node) = dialogue();
    let include = json!(["message.output_text.logprobs"]);
    let asked = json!({"model": "dialogue", "input": "What do you think?", "include": include});
    let response = post(node.http(), PATH, &asked).json();
    let part = &response["output"][1]["content"][0];
    let tokens = part["logprobs"].as_array().expect("tokens");
    let spelled: String =
        tokens.iter().map(|token| token["token"].as_str().expect("text")).collect();
    assert_eq!(spelled, part["text"], "{response}");
}

#[test]
fn a_streamed_response_is_kept_by_the_time_its_last_event_is_there() {
    let node = Node::serve(&[]);
    let asked = body(json!({"stream": true, "max_output_tokens": 3}));
    let events = events(&post(node.http(), PATH, &asked));
    let last = events.last().expect("an event");
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["usage"]["output_tokens"], 3);
    let kept = get(node.http(), &path_of(&last["response"]["id"])).json();
    assert_eq!(kept, last["response"]);
}

#[test]
fn the_first_turn_of_an_agent_is_accepted() {
    let node = Node::serve(&[]);
    let message = |id: &str, role: &str, text: &str| {
        let content = json!([{"type": "input_text", "text": text}]);
        json!({"type": "message", "id": id, "role": role, "content": content})
    };
    let function = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"x": {"type": "string"}}});
        json!({"type": "function", "name": name, "strict": false, "parameters": parameters})
    };
    let mut tools: Vec<Value> = ["a", "b", "c", "d", "e", "f", "g"].map(function).to_vec();
    tools.push(json!({"type": "namespace", "name": "n", "tools": [function("h")]}));
    tools.push(json!({"type": "web_search", "external_web_access": false}));
    let first = json!({
        "model": "demo",
        "input": [
            message("msg_1", "developer", "You are an agent."),
            message("msg_2", "developer", "Answer in English."),
            message("msg_3", "user", "<environment_context/>"),
            message("msg_4", "user", "What is SwarmLLM?"),
        ],
        "tools": tools, "tool_choice": "auto", "parallel_tool_calls": true,
        "reasoning": {"summary": "auto"}, "store": false, "stream": true,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "a-thread",
        "client_metadata": {"x-session": "1"}, "max_output_tokens": 4,
    });
    let events = events(&post(node.http(), PATH, &first));
    let last = &events.last().expect("an event")["response"];
    assert_eq!(last["tools"].as_array().expect("tools").len(), 7);
    assert_eq!((&last["store"], &last["prompt_cache_key"]), (&json!(false), &json!("a-thread")));
    assert!(last["usage"]["output_tokens_details"]["reasoning_tokens"].is_u64(), "{last}");
    assert_eq!(get(node.http(), &path_of(&last["id"])).status, 404);

    let without: Vec<Value> = tools[..7].to_vec();
    let count = |tools: &[Value]| {
        let path = format!("{PATH}/input_tokens");
        let counted = post(node.http(), &path, &body(json!({"tools": tools}))).json();
        assert_eq!(counted["object"], "response.input_tokens");
        counted["input_tokens"].as_u64().expect("a number")
    };
    assert_eq!(count(&tools), count(&without));
    assert!(count(&without) > count(&[]));
}

#[test]
fn a_call_and_its_output_are_read() {
    let node = Node::serve(&[]);
    let output = |output: Value| {
        created(
            node.http(),
            json!({"max_output_tokens": 2, "input": [
                {"role": "user", "content": "What is the weather?"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
                {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather",
                    "arguments": "{\"city\":\"Bern\"}", "status": "completed"},
                {"type": "function_call_output", "call_id": "call_1", "output": output},
            ]}),
        )
    };
    let text = output(json!("sunny"));
    let parts = output(json!([{"type": "input_text", "text": "sunny"}]));
    assert_eq!(text["usage"]["input_tokens"], parts["usage"]["input_tokens"]);
    let longer = output(json!("sunny and very warm"));
    assert!(longer["usage"]["input_tokens"].as_u64() > text["usage"]["input_tokens"].as_u64());
}

#[test]
fn a_required_call_follows_its_schema_and_its_output_is_answered() {
    let node = Node::serve(&[]);
    let to = node.http();
    let parameters = json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": {"city": {"enum": ["Bern", "Rome"]}},
    });
    let tool = json!({"type": "function", "name": "weather", "parameters": parameters});
    let asked = |more: Value| {
        let mut all = json!({"tools": [tool], "tool_choice": "required"});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };
    let whole = created(to, asked(json!({"parallel_tool_calls": false})));
    let items = whole["output"].as_array().expect("items");
    assert_eq!((items.len(), &whole["status"]), (1, &json!("completed")), "{whole}");
    let call = &items[0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().expect("text"))
        .expect("arguments are JSON");
    assert!(["Bern", "Rome"].contains(&arguments["city"].as_str().expect("a city")));

    let one = json!({"type": "function", "name": "weather"});
    let stream = json!({"stream": true, "tool_choice": one, "parallel_tool_calls": false});
    let events = events(&post(to, PATH, &body(asked(stream))));
    let named = |name: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["type"] == name).collect()
    };
    let pieces = named("response.function_call_arguments.delta");
    let pieces: String = pieces.iter().filter_map(|event| event["delta"].as_str()).collect();
    let done = named("response.function_call_arguments.done");
    assert_eq!((done.len(), &done[0]["arguments"]), (1, &json!(pieces)));
    assert_eq!(pieces, call["arguments"].as_str().expect("text"));
    let item = &named("response.output_item.done")[0]["item"];
    assert!(item["call_id"].as_str().expect("an id").starts_with("call_"));
    assert_ne!(item["call_id"], call["call_id"]);

    let output = json!({
        "type": "function_call_output", "call_id": call["call_id"], "output": "sunny",
    });
    let short = |input: Value, previous: &Value| {
        let more = json!({"input": input, "previous_response_id": previous,
            "tools": [tool], "max_output_tokens": 4});
        created(to, more)
    };
    let chained = short(json!([output]), &whole["id"]);
    let question = json!({"role": "user", "content": "What is SwarmLLM?"});
    let by_hand = short(json!([question, call, output]), &Value::Null);
    assert_eq!(chained["usage"]["input_tokens"], by_hand["usage"]["input_tokens"]);
    assert_eq!(chained["swarmllm"]["token_ids"], by_hand["swarmllm"]["token_ids"]);
}

#[test]
fn a_format_is_kept() {
    let node = Node::serve(&[]);
    let schema = json!({
        "type": "object", "required": ["colour"], "additionalProperties": false,
        "properties": {"colour": {"enum": ["red", "blue"]}},
    });
    let format = json!({"type": "json_schema", "name": "colour", "schema": schema});
    let response = created(node.http(), json!({"text": {"format": format}}));
    let answer: Value = serde_json::from_str(text(&response)).expect("JSON");
    assert!(["red", "blue"].contains(&answer["colour"].as_str().expect("a colour")), "{answer}");
    assert_eq!(response["text"]["format"], format);
}

#[test]
fn log_probabilities_come_with_the_text() {
    let node = Node::serve(&[]);
    let include = json!(["message.output_text.logprobs"]);
    let asked = json!({"include": include, "top_logprobs": 2, "max_output_tokens": 4});
    let response = created(node.http(), asked);
    let tokens = response["output"][0]["content"][0]["logprobs"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 4);
    let said: String = tokens.iter().map(|token| token["token"].as_str().expect("text")).collect();
    assert_eq!(said, text(&response));
    for token in tokens {
        assert_eq!(token["top_logprobs"].as_array().expect("tokens").len(), 2);
        // Greedy takes the likeliest.
        assert_eq!(token["logprob"], token["top_logprobs"][0]["logprob"]);
    }
}

#[test]
fn a_conversation_that_is_too_long_is_refused_or_loses_its_oldest_turns() {
    let node = Node::serve(&[]);
    let turn = || json!({"role": "user", "content": "hello ".repeat(100)});
    let mut input: Vec<Value> = (0..12).map(|_| turn()).collect();
    input.push(json!({"role": "user", "content": "What is SwarmLLM?"}));
    for stream in [false, true] {
        let asked = json!({"input": input, "stream": stream});
        let answer = post(node.http(), PATH, &body(asked));
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status, &error["code"], &error["param"]),
            (400, &json!("context_length_exceeded"), &json!("input"))
        );
    }
    let asked = json!({"input": input, "truncation": "auto", "max_output_tokens": 8});
    let fitted = created(node.http(), asked);
    assert!(fitted["usage"]["input_tokens"].as_u64() > Some(100), "{}", fitted["usage"]);
}

#[test]
fn bad_requests_get_their_error() {
    let node = Node::serve(&[]);
    let to = node.http();
    for (more, status, code, param) in [
        (json!({"model": "other"}), 404, json!("model_not_found"), "model"),
        (json!({"background": true}), 400, json!("unsupported_parameter"), "background"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            400,
            json!("unsupported_content"),
            "input[0].content[0]",
        ),
        (json!({"temperature": "hot"}), 400, Value::Null, "temperature"),
        (json!({"tools": [], "tool_choice": "required"}), 400, Value::Null, "tool_choice"),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n",
                "schema": {"properties": {"a": {"not": {}}}}}}}),
            400,
            Value::Null,
            "text.format.schema.properties.a",
        ),
    ] {
        for stream in [false, true] {
            let mut body = body(more.clone());
            body["stream"] = stream.into();
            let answer = post(to, PATH, &body);
            let error = &answer.json()["error"];
            assert_eq!((answer.status, &error["code"]), (status, &code), "{error}");
            assert_eq!(error["param"].as_str(), Some(param));
            assert_eq!(error["type"], "invalid_request_error");
        }
    }
    for text in ["", "no json", "[]", "{\"model\":"] {
        assert_eq!(request(to, &format!("POST {PATH} HTTP/1.1"), text).status, 400, "{text:?}");
    }
    assert_eq!(get(to, PATH).status, 405);
    assert_eq!(get(to, &format!("{PATH}/resp_none?stream=true")).status, 400);
    assert_eq!(get(to, &format!("{PATH}/resp_none/input_items")).status, 404);
    assert_eq!(post(to, &format!("{PATH}/resp_none/cancel"), &json!({})).status, 404);
}
