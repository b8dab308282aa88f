//! Promises of the fallback to providers, kept by a real node against imitations of providers.
//!
//! An imitation is a small HTTP server on loopback that answers from a script and counts. No test
//! leaves the machine. What the swarm can't serve is `demo` with half of its layers.

mod imitation;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mcp::modern;
use super::support::{
    Folder, Node, Response, get, json_stdout, post, program, request, send, signal, stderr,
};
use super::{CHAT, chat, is_servable};
use imitation::{Imitation, Reply};

const KEY: &str = "sk-imitation-1234567890abcdef";
const HALF: [&str; 2] = ["--layers", "0-3"];

/// Settings of a node that may ask this imitation of `provider`.
fn settings(imitation: &Imitation, provider: &str) -> Vec<String> {
    let to = imitation.address;
    let variable = format!("{}_API_KEY={KEY}", provider.to_uppercase());
    [
        "env".to_owned(),
        variable,
        "SWARMLLM_CLOUD__POLICY=fallback".to_owned(),
        format!("SWARMLLM_CLOUD__MODELS=demo={provider}/stand-in, other={provider}/o"),
        format!(
            "SWARMLLM_CLOUD__PROVIDERS={provider} base_url=http://{to}/v1 idle_s=1 price=1000/2000"
        ),
    ]
    .into()
}

fn serve(settings: &[String], more: &[&str]) -> Node {
    let arguments = [&["--listen", "127.0.0.1:0", "--no-mdns"], more].concat();
    Node::start_through(settings, Folder::new(), &arguments)
}

/// A node with half a model and an imitation of OpenAI.
fn half_with(replies: Vec<Reply>) -> (Node, Imitation) {
    let imitation = Imitation::start(replies);
    (serve(&settings(&imitation, "openai"), &HALF), imitation)
}

fn openai_events() -> Vec<Value> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"id": "c-7", "choices": [choice]})
    };
    vec![
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"content": "Hello "}), Value::Null),
        chunk(json!({"content": "there \u{e9}"}), Value::Null),
        chunk(json!({}), json!("stop")),
        json!({"id": "c-7", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 5}}),
    ]
}

fn openai_answer() -> Reply {
    Reply::events(&openai_events(), true)
}

fn anthropic_answer() -> Reply {
    let usage = json!({"input_tokens": 20, "output_tokens": 1});
    let text = |text: &str| {
        json!({"type": "content_block_delta", "index": 0,
               "delta": {"type": "text_delta", "text": text}})
    };
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_7", "usage": usage}}),
        json!({"type": "content_block_start", "index": 0,
               "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        text("Hello "),
        text("there \u{e9}"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
               "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ];
    Reply::events(&events, false)
}

fn text_of(response: &Response) -> String {
    response.json()["choices"][0]["message"]["content"].as_str().expect("text").to_owned()
}

fn chunks(response: &Response) -> Vec<Value> {
    let events = response.events();
    let data = events.iter().filter(|event| *event != "[DONE]");
    data.map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

fn streamed_text(response: &Response) -> String {
    let chunks = chunks(response);
    let pieces = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    pieces.collect()
}

fn answered_by(response: &Response) -> Option<String> {
    let line = response.headers.lines().find(|l| l.starts_with("x-swarmllm-answered-by: "))?;
    line.split_once(": ").map(|(_, value)| value.to_owned())
}

/// Everything a node wrote to its log until its end.
fn whole_log(mut node: Node) -> String {
    node.close_stdin();
    node.log.wait_for_end();
    node.log.seen.join("\n")
}

#[test]
fn a_provider_stands_in_for_missing_layers_and_every_answer_says_so() {
    let imitation = Imitation::start(vec![openai_answer()]);
    let mut settings = settings(&imitation, "openai");
    settings.push("SWARMLLM_LOG=trace".to_owned());
    let node = serve(&settings, &HALF);
    let whole = post(node.http(), CHAT, &chat(json!({"max_tokens": 9})));
    assert_eq!((whole.status, text_of(&whole).as_str()), (200, "Hello there \u{e9}"), "{whole:?}");
    assert_eq!(answered_by(&whole).as_deref(), Some("cloud/openai/stand-in"));
    let extension = &whole.json()["swarmllm"];
    assert_eq!(extension["route"][0]["peer"], "cloud/openai/stand-in");
    assert_eq!(extension["route"].as_array().map(Vec::len), Some(1));
    let told = &extension["cloud"];
    assert_eq!((&told["reason"], &told["request_id"]), (&json!("no_route"), &json!("req-of-it")));
    assert_eq!((&told["cost_usd"], &told["usage_reported"]), (&json!(0.03), &json!(true)));
    let usage = &whole.json()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(20), &json!(5)));

    let stream = post(node.http(), CHAT, &chat(json!({"stream": true})));
    assert_eq!(streamed_text(&stream), "Hello there \u{e9}");
    assert_eq!(answered_by(&stream).as_deref(), Some("cloud/openai/stand-in"));
    assert_eq!(stream.events().last().map(String::as_str), Some("[DONE]"));

    let received = imitation.received();
    assert_eq!(received.len(), 2);
    assert!(received[0].head.starts_with("POST /v1/chat/completions HTTP/1.1"));
    assert!(received[0].head.contains(&format!("authorization: Bearer {KEY}")));
    let body = received[0].json();
    assert_eq!((&body["model"], &body["max_completion_tokens"]), (&json!("stand-in"), &json!(9)));
    assert_eq!(body["messages"][0]["content"], "What is SwarmLLM?");

    let metrics = get(node.http(), "/metrics").body;
    let line = "swarmllm_fallback_requests_total{provider=\"openai\",reason=\"no_route\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let list = json_stdout(&node.run(&["cloud", "list", "--json"]));
    let openai = &list["providers"][0];
    assert_eq!((&openai["id"], &openai["key"]), (&json!("openai"), &json!("environment")));
    assert_eq!((&openai["requests"]["no_route"], &openai["cost_usd"]), (&json!(2), &json!(0.06)));
    assert_eq!(openai["models"], json!([["demo", "stand-in"], ["other", "o"]]));
    let table = node.run(&["cloud", "list"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("demo -> stand-in"), "{table:?}");

    let shown = [format!("{whole:?}{stream:?}{metrics}{list}{table:?}"), whole_log(node)];
    assert!(shown[1].contains("a provider in the cloud answered"), "the log was read");
    assert!(shown.iter().all(|text| !text.contains(KEY)), "the key was shown");
}

#[test]
fn the_other_dialect_stands_in_as_well() {
    let imitation = Imitation::start(vec![anthropic_answer()]);
    let node = serve(&settings(&imitation, "anthropic"), &HALF);
    let whole = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!((whole.status, text_of(&whole).as_str()), (200, "Hello there \u{e9}"), "{whole:?}");
    assert_eq!(answered_by(&whole).as_deref(), Some("cloud/anthropic/stand-in"));
    assert_eq!(whole.json()["usage"]["total_tokens"], 25);
    assert_eq!(whole.json()["swarmllm"]["cloud"]["finish_reason"], "end_turn");
    let stream = post(node.http(), CHAT, &chat(json!({"stream": true})));
    assert_eq!(streamed_text(&stream), "Hello there \u{e9}");
    let received = &imitation.received()[0];
    assert!(received.head.starts_with("POST /v1/messages HTTP/1.1"));
    assert!(received.head.contains(&format!("x-api-key: {KEY}")), "{}", received.head);
    assert!(received.head.contains("anthropic-version: 2023-06-01"));
}

#[test]
fn a_provider_can_be_named_and_an_unknown_model_can_have_a_stand_in() {
    let (node, imitation) = half_with(vec![openai_answer()]);
    let named = post(node.http(), CHAT, &chat(json!({"model": "openai/some/model"})));
    assert_eq!(answered_by(&named).as_deref(), Some("cloud/openai/some/model"), "{named:?}");
    let other = post(node.http(), CHAT, &chat(json!({"model": "other"})));
    assert_eq!(answered_by(&other).as_deref(), Some("cloud/openai/o"), "{other:?}");
    let unknown = post(node.http(), CHAT, &chat(json!({"model": "nobody/model"})));
    assert_eq!((unknown.status, answered_by(&unknown)), (404, None));
    let no_key = post(node.http(), CHAT, &chat(json!({"model": "groq/llama"})));
    let message = no_key.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert_eq!(no_key.status, 404);
    assert!(message.contains("swarmllm cloud key set groq"), "{message}");
    let models: Vec<Value> =
        imitation.received().iter().map(|r| r.json()["model"].clone()).collect();
    assert_eq!(models, ["some/model", "o"]);
}

#[test]
fn every_door_gives_the_answer_and_counts_its_tokens() {
    let (node, _imitation) = half_with(vec![openai_answer()]);
    let messages = json!([{"role": "user", "content": "hi"}]);
    let cases = [
        ("/v1/completions", json!({"prompt": "hi"}), "/usage/completion_tokens"),
        ("/v1/responses", json!({"input": "hi"}), "/usage/output_tokens"),
        ("/v1/messages", json!({"messages": messages, "max_tokens": 9}), "/usage/output_tokens"),
        ("/api/chat", json!({"messages": messages, "stream": false}), "/eval_count"),
    ];
    for (path, mut body, count) in cases {
        body["model"] = "demo".into();
        let answer = post(node.http(), path, &body);
        assert!(answer.status == 200 && answer.body.contains("Hello there"), "{path} {answer:?}");
        assert_eq!(answered_by(&answer).as_deref(), Some("cloud/openai/stand-in"), "{path}");
        assert_eq!(answer.json().pointer(count), Some(&json!(5)), "{path} {}", answer.body);
    }
    let asked = json!({"name": "chat", "arguments": {"model": "demo", "prompt": "hi"}});
    let (head, body) = modern("tools/call", &asked);
    let tool = request(node.http(), &head, &body.to_string());
    assert!(tool.body.contains("Hello there"), "{tool:?}");
    assert!(tool.body.contains("computed by cloud/openai/stand-in"), "{tool:?}");
}

#[test]
fn both_samples_of_a_prompt_come_from_the_same_place() {
    let (node, imitation) = half_with(vec![openai_answer()]);
    let answer = post(node.http(), CHAT, &chat(json!({"n": 2})));
    assert_eq!(answer.json()["choices"].as_array().map(Vec::len), Some(2), "{answer:?}");
    assert_eq!(answered_by(&answer).as_deref(), Some("cloud/openai/stand-in"));
    assert_eq!(imitation.received().len(), 2);
}

#[test]
fn what_the_swarm_can_answer_stays_there() {
    let imitation = Imitation::start(vec![openai_answer()]);
    let node = serve(&settings(&imitation, "openai"), &[]);
    for stream in [false, true] {
        let answer = post(node.http(), CHAT, &chat(json!({"stream": stream, "max_tokens": 3})));
        assert_eq!((answer.status, answered_by(&answer).as_deref()), (200, Some("swarm")));
    }
    let long = chat(json!({"messages": [{"role": "user", "content": "hello ".repeat(20_000)}]}));
    assert_eq!(post(node.http(), CHAT, &long).status, 400, "a caller's mistake");
    assert_eq!(imitation.connections(), 0);
}

#[test]
fn nobody_is_asked_where_policy_caller_or_network_forbid_it() {
    let imitation = Imitation::start(vec![openai_answer()]);
    let refused = |node: &Node, head: &str, model: &str| {
        let head = format!("POST {CHAT} HTTP/1.1\r\nContent-Type: application/json{head}");
        let answer = request(node.http(), &head, &chat(json!({"model": model})).to_string());
        let code = answer.json()["error"]["code"].as_str().map(str::to_owned);
        (answer.status, code.unwrap_or_default())
    };
    let no_route = || (503, "no_route".to_owned());
    let not_found = || (404, "model_not_found".to_owned());

    let allowed = serve(&settings(&imitation, "openai"), &HALF);
    assert_eq!(refused(&allowed, "\r\nx-swarmllm-cloud: never", "demo"), no_route());
    assert_eq!(refused(&allowed, "\r\nx-swarmllm-cloud: never", "openai/x"), not_found());
    let offline = serve(&settings(&imitation, "openai"), &[&HALF[..], &["--offline"]].concat());
    assert_eq!(refused(&offline, "", "demo"), no_route());
    assert_eq!(refused(&offline, "", "openai/x"), not_found());
    let mut never = settings(&imitation, "openai");
    never.push("SWARMLLM_CLOUD__POLICY=never".to_owned());
    let never = serve(&never, &HALF);
    assert_eq!(refused(&never, "", "demo"), no_route());
    assert_eq!(refused(&never, "", "openai/x"), not_found());
    let mut named = settings(&imitation, "openai");
    named.push("SWARMLLM_CLOUD__POLICY=only-named".to_owned());
    assert_eq!(refused(&serve(&named, &HALF), "", "demo"), no_route());

    let asked = json!({"name": "chat", "arguments": {"model": "demo", "prompt": "hi"}});
    let (head, body) = modern("tools/call", &asked);
    let head = format!("{head}\r\nx-swarmllm-cloud: never");
    let tool = request(allowed.http(), &head, &body.to_string());
    assert!(tool.body.contains("\"isError\":true"), "{tool:?}");
    let question = json!({"prompt": "hi", "private": true});
    let (_, private) = allowed.control().call("generate", question);
    assert_eq!(private["error"]["data"]["kind"], "no_route", "{private}");
    let (_, tokens) = allowed.control().call("generate", json!({"tokens": [1, 2, 3]}));
    assert_eq!(tokens["error"]["data"]["kind"], "no_route", "{tokens}");
    assert_eq!(imitation.connections(), 0);
    assert_eq!(refused(&allowed, "\r\nx-swarmllm-cloud: allow", "demo").0, 200);
}

#[test]
fn a_full_queue_is_a_reason_too() {
    let imitation = Imitation::start(vec![openai_answer()]);
    let mut settings = settings(&imitation, "openai");
    let one = ["RUNNING", "WAITING"].map(|name| format!("SWARMLLM_SCHEDULER__{name}=1"));
    settings.extend(one);
    let first = serve(&settings, &HALF);
    let second = Node::serve(&["--layers", "3-6", "--join", &first.listen()]);
    let mut control = first.control();
    control.wait_until("models", is_servable);
    // While the last stage holds still, one request has the place and one waits for it.
    signal("STOP", second.pid());
    let head = format!("POST {CHAT} HTTP/1.1\r\nContent-Type: application/json");
    let body = chat(json!({})).to_string();
    let running = send(first.http(), &head, &body);
    control.wait_until("status", |status| status["scheduler"]["running"] == 1);
    let waiting = send(first.http(), &head, &body);
    control.wait_until("status", |status| status["scheduler"]["waiting"] == 1);
    let third = post(first.http(), CHAT, &chat(json!({})));
    assert_eq!(answered_by(&third).as_deref(), Some("cloud/openai/stand-in"), "{third:?}");
    assert_eq!(third.json()["swarmllm"]["cloud"]["reason"], "busy");
    assert_eq!(imitation.received().len(), 1);
    drop((running, waiting));
    signal("CONT", second.pid());
}

#[test]
fn refusals_are_told_without_the_key_and_passing_ones_are_tried_again() {
    let echo = json!({"error": {"message": format!("Incorrect API key: {KEY}")}});
    let wrong = json!({"error": {"message": format!("no such field; you sent {KEY}")}});
    let (node, imitation) = half_with(vec![
        Reply::error(401, &[], echo),
        Reply::error(400, &[], wrong),
        Reply::error(429, &[("Retry-After", "1")], json!({"error": {"message": "slow down"}})),
        openai_answer(),
        Reply::error(429, &[("Retry-After", "3600")], json!({"error": {"message": "tomorrow"}})),
    ]);
    let refused = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!((refused.status, answered_by(&refused)), (503, None));
    assert!(refused.body.contains("key was not accepted"), "{refused:?}");
    let named = post(node.http(), CHAT, &chat(json!({"model": "openai/x"})));
    assert_eq!(named.status, 400);
    assert!(named.body.contains("you sent (key)"), "{named:?}");
    let began = Instant::now();
    let late = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!(text_of(&late), "Hello there \u{e9}");
    assert!(began.elapsed() >= Duration::from_secs(1), "it came too early");
    let tomorrow = post(node.http(), CHAT, &chat(json!({"model": "openai/x"})));
    assert_eq!(tomorrow.status, 429);
    assert!(tomorrow.headers.contains("retry-after: 3600"), "{tomorrow:?}");
    assert_eq!(imitation.received().len(), 5);
    let list = json_stdout(&node.run(&["cloud", "list", "--json"]));
    assert_eq!(list["providers"][0]["errors"], 3);
    let shown = format!("{refused:?}{named:?}{list}{}", whole_log(node));
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_provider_that_fails_again_and_again_is_left_alone() {
    let broken = Reply::error(500, &[], json!({"error": {"message": "oops"}}));
    let (node, imitation) = half_with(vec![broken]);
    for _ in 0..2 {
        let failed = post(node.http(), CHAT, &chat(json!({})));
        assert_eq!(failed.status, 503);
        assert!(failed.body.contains("openai answered 500: oops"), "{failed:?}");
    }
    // Three attempts, and two until the breaker opened.
    assert_eq!(imitation.received().len(), 5);
    let left = post(node.http(), CHAT, &chat(json!({})));
    assert!(left.status == 503 && left.body.contains("left alone"), "{left:?}");
    assert_eq!(imitation.received().len(), 5);
    let list = json_stdout(&node.run(&["cloud", "list", "--json"]));
    assert_eq!(list["providers"][0]["breaker"], "open");
}

#[test]
fn streams_that_break_are_errors_and_never_short_answers() {
    let begun = &openai_events()[..2];
    let garbage = Reply::raw("text/event-stream", "data: {\"choices\": [{\"delta\":\n\n");
    let told = json!({"error": {"message": "the model fell over"}});
    let told = Reply::events(&[begun[1].clone(), told], false);
    let cases = [
        (Reply::events(begun, false), "before the end of the answer"),
        (Reply::events(begun, true), "before the end of the answer"),
        (garbage, "can't be read"),
        (told, "the model fell over"),
        (Reply::silence(begun), "was silent for 1 s"),
    ];
    for (reply, expected) in cases {
        let (node, _imitation) = half_with(vec![reply]);
        let stream = post(node.http(), CHAT, &chat(json!({"stream": true})));
        assert!(!stream.body.contains("[DONE]"), "{stream:?}");
        assert!(stream.body.contains("\"error\"") && stream.body.contains(expected), "{stream:?}");
        let whole = post(node.http(), CHAT, &chat(json!({})));
        assert_eq!((whole.status, answered_by(&whole)), (503, None), "{whole:?}");
        assert!(whole.body.contains(expected), "{whole:?}");
    }
}

#[test]
fn an_answer_that_failed_was_given_by_nobody() {
    let (node, _imitation) = half_with(vec![Reply::events(&openai_events()[..2], false)]);
    let asked = json!({"name": "chat", "arguments": {"model": "demo", "prompt": "hi"}});
    let (head, body) = modern("tools/call", &asked);
    let tool = request(node.http(), &head, &body.to_string());
    assert!(tool.status == 200 && tool.body.contains("\"isError\":true"), "{tool:?}");
    assert_eq!(answered_by(&tool), None, "{tool:?}");
    // Nor by the swarm, where half of the model is missing.
    let alone = Node::serve(&HALF);
    for path in [CHAT, "/v1/messages"] {
        let refused = post(alone.http(), path, &chat(json!({"max_tokens": 9})));
        assert!(refused.status >= 500, "{refused:?}");
        assert_eq!(answered_by(&refused), None, "{refused:?}");
    }
}

/// Ids of the models that a node lists, and who owns them.
fn listed(node: &Node, header: &str) -> Vec<String> {
    let list = request(node.http(), &format!("GET /v1/models HTTP/1.1{header}"), "").json();
    let models = list["data"].as_array().expect("models").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    models.map(|model| format!("{} {}", text(&model["id"]), text(&model["owned_by"]))).collect()
}

#[test]
fn models_of_providers_are_listed_where_they_would_answer() {
    let imitation = Imitation::start(vec![openai_answer()]);
    let whole = settings(&imitation, "openai");
    let node = serve(&whole, &HALF);
    let expected = ["demo swarmllm", "other openai", "openai/stand-in openai", "openai/o openai"];
    assert_eq!(listed(&node, ""), expected);
    assert_eq!(listed(&node, "\r\nx-swarmllm-cloud: never"), ["demo swarmllm"]);
    let other = get(node.http(), "/v1/models/other").json();
    assert_eq!(other["meta"]["cloud"], "openai/o", "{other}");
    let head = "GET /v1/models/openai/o HTTP/1.1\r\nanthropic-version: 2023-06-01";
    let told = request(node.http(), head, "").json();
    assert_eq!(told["display_name"], "openai/o (OpenAI, in the cloud)", "{told}");

    let without = |name: &str| -> Vec<String> {
        whole.iter().filter(|setting| !setting.starts_with(name)).cloned().collect()
    };
    let with =
        |setting: &str| [without("SWARMLLM_CLOUD__POLICY"), vec![setting.to_owned()]].concat();
    let named = serve(&with("SWARMLLM_CLOUD__POLICY=only-named"), &HALF);
    assert_eq!(listed(&named, ""), [expected[0], expected[2], expected[3]]);
    for (settings, more) in [
        (without("OPENAI_API_KEY"), &[][..]),
        (with("SWARMLLM_CLOUD__POLICY=never"), &[]),
        (whole.clone(), &["--offline"]),
    ] {
        let node = serve(&settings, &[&HALF[..], more].concat());
        assert_eq!(listed(&node, ""), ["demo swarmllm"], "{settings:?}");
    }
    assert_eq!(imitation.connections(), 0);
}

#[test]
fn a_count_for_a_model_of_a_provider_is_an_estimate_and_asks_nobody() {
    let (node, imitation) = half_with(vec![openai_answer()]);
    let count = |head: &str, model: &str| {
        let messages = json!([{"role": "user", "content": "hello ".repeat(400)}]);
        let body = json!({"model": model, "messages": messages}).to_string();
        let head = format!("POST /v1/messages/count_tokens HTTP/1.1{head}");
        request(node.http(), &head, &body)
    };
    for (model, by) in [("other", "cloud/openai/o"), ("openai/any", "cloud/openai/any")] {
        let counted = count("", model).json();
        let tokens = counted["input_tokens"].as_u64().expect("a number");
        assert!((400..1000).contains(&tokens), "{counted}");
        let label = json!({"estimated": true, "would_be_answered_by": by});
        assert_eq!(counted["swarmllm"], label, "{counted}");
    }
    // With half of its layers here, its tokenizer is here as well.
    assert_eq!(count("", "demo").json()["swarmllm"], Value::Null);
    for (head, model) in [
        ("\r\nx-swarmllm-cloud: never", "other"),
        ("\r\nx-swarmllm-cloud: never", "openai/any"),
        ("", "nobody"),
        ("", "groq/llama"),
    ] {
        let refused = count(head, model);
        let kind = refused.json()["error"]["type"].clone();
        assert_eq!((refused.status, kind), (404, json!("not_found_error")), "{refused:?}");
    }
    assert_eq!(imitation.connections(), 0);
}

#[test]
fn what_is_no_stream_or_never_begins_is_refused_at_once() {
    let page = Reply::raw("text/html", "<html>a captive portal</html>");
    let (node, _imitation) = half_with(vec![page]);
    let answer = post(node.http(), CHAT, &chat(json!({"stream": true})));
    assert!(answer.status == 503 && answer.body.contains("text/html"), "{answer:?}");
    let (node, imitation) = half_with(vec![Reply::Mute]);
    let answer = post(node.http(), CHAT, &chat(json!({"stream": true})));
    assert!(answer.status == 503 && answer.body.contains("was silent"), "{answer:?}");
    assert_eq!(imitation.received().len(), 1, "nobody pays twice for a slow answer");
}

#[test]
fn a_client_that_leaves_ends_the_provider_s_stream() {
    let begun = &openai_events()[..2];
    let imitation = Imitation::start(vec![Reply::silence(begun)]);
    let mut settings = settings(&imitation, "openai");
    let to = imitation.address;
    settings.push(format!("SWARMLLM_CLOUD__PROVIDERS=openai base_url=http://{to}/v1 idle_s=600"));
    let node = serve(&settings, &HALF);
    for stream in [true, false] {
        let head = format!("POST {CHAT} HTTP/1.1\r\nContent-Type: application/json");
        let client = send(node.http(), &head, &chat(json!({"stream": stream})).to_string());
        imitation.wait_for_answering();
        drop(client);
        imitation.wait_for_hang_up();
        node.control().wait_until("status", |status| status["n_active"] == 0);
    }
}

#[test]
fn a_key_is_given_and_taken_while_the_node_runs() {
    let imitation = Imitation::start(vec![openai_answer(), Reply::raw("application/json", "{}")]);
    let mut settings = settings(&imitation, "openai");
    settings.retain(|setting| !setting.contains(KEY));
    let node = serve(&settings, &HALF);
    let refused = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("swarmllm cloud key set openai"), "{refused:?}");

    let folder = node.folder.path().to_string_lossy().into_owned();
    let set = |provider: &str, key: &str| {
        let mut command = program();
        command.args(["cloud", "key", "set", provider, "--data-dir", &folder]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        child.stdin.take().expect("piped").write_all(key.as_bytes()).expect("writable");
        child.wait_with_output().expect("an end")
    };
    for (provider, key) in [("opnai", KEY), ("openai", ""), ("openai", "two words")] {
        let output = set(provider, key);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
    let output = set("openai", &format!("{KEY}\n"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!format!("{output:?}").contains(KEY));
    let file = node.folder.path().join("cloud/openai.key");
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let answer = post(node.http(), CHAT, &chat(json!({})));
    assert_eq!(answered_by(&answer).as_deref(), Some("cloud/openai/stand-in"), "{answer:?}");
    let removed = json_stdout(&node.run(&["cloud", "key", "rm", "openai", "--json"]));
    assert_eq!((&removed["removed"], file.exists()), (&json!(true), false));
    assert_eq!(post(node.http(), CHAT, &chat(json!({}))).status, 503);
    assert_eq!(imitation.received().len(), 1);
    assert!(!whole_log(node).contains(KEY));
}

#[test]
fn the_models_of_a_provider_are_listed() {
    let list = json!({"object": "list", "data": [{"id": "a"}, {"id": "b/c"}]});
    let (node, imitation) = half_with(vec![Reply::raw("application/json", &list.to_string())]);
    let output = node.run(&["cloud", "models", "openai"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "openai/a\nopenai/b/c\n");
    assert!(imitation.received()[0].head.starts_with("GET /v1/models HTTP/1.1"));
    let unknown = node.run(&["cloud", "models", "nobody"]);
    assert!(!unknown.status.success() && stderr(&unknown).contains("cloud list"));
}
