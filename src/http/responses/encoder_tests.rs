//! Whole sequences of events, as clients see them.

use super::*;
use crate::generate::TokenLogProbability;

const NOW: u64 = 9;

fn encoder(style: Style) -> Encoder {
    let echo = Map::from_iter([("store".to_owned(), json!(true))]);
    let head = Head { suffix: "s".into(), created_at: 7, model: "demo".into(), echo };
    Encoder::new(head, style)
}

fn finished(finish_reason: FinishReason) -> TokenEvent {
    TokenEvent::Finished(Box::new(Summary {
        finish_reason,
        prompt_tokens: 3,
        token_ids: vec![10, 11],
        reasoning_tokens: 1,
        stop_text: None,
        route: Vec::new(),
        cached_tokens: 2,
        preemptions: 0,
        cache: "f16".to_owned(),
        queue_ms: 0.0,
        ttft_ms: 1.0,
        decode_tok_s: 2.0,
        cloud: None,
    }))
}

fn content(text: &str) -> TokenEvent {
    TokenEvent::Part(ChatEvent::Content(text.into()))
}

fn reasoning(text: &str) -> TokenEvent {
    TokenEvent::Part(ChatEvent::Reasoning(text.into()))
}

fn call(parts: &[&str]) -> Vec<TokenEvent> {
    let pieces = parts.iter().map(|part| ChatEvent::ToolCallArguments((*part).into()));
    let begin = ChatEvent::ToolCallBegin("f".into());
    [begin].into_iter().chain(pieces).map(TokenEvent::Part).collect()
}

fn run(style: Style, events: impl IntoIterator<Item = TokenEvent>) -> (Vec<Value>, Value) {
    let mut encoder = encoder(style);
    let mut all = encoder.start();
    for event in events {
        all.extend(encoder.push(event, NOW));
    }
    for (index, event) in all.iter().enumerate() {
        assert_eq!(event["sequence_number"], index, "{event}");
    }
    (all, encoder.response().clone())
}

fn names(events: &[Value]) -> Vec<&str> {
    fn short(event: &Value) -> &str {
        let name = event["type"].as_str().expect("a type");
        name.strip_prefix("response.").expect("its prefix")
    }
    events.iter().map(short).collect()
}

#[test]
fn a_text_is_opened_grown_and_closed() {
    let opened =
        [TokenEvent::Started { prompt_tokens: 3 }, TokenEvent::Opened { cached_tokens: 2 }];
    let said = [content("Hi "), content("you"), finished(FinishReason::Stop)];
    let (events, response) = run(Style::default(), opened.into_iter().chain(said));
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["store"], true);
    assert_eq!(events[2]["item"]["content"], json!([]));
    let delta = json!({
        "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_so0",
        "output_index": 0, "content_index": 0, "delta": "Hi ", "logprobs": [],
    });
    assert_eq!(events[4], delta);
    assert_eq!(events[6]["text"], "Hi you");
    let part = json!({"type": "output_text", "text": "Hi you", "annotations": [], "logprobs": []});
    let item = json!({
        "id": "msg_so0", "type": "message", "role": "assistant", "status": "completed",
        "content": [part],
    });
    assert_eq!((&events[7]["part"], &events[8]["item"]), (&part, &item));
    assert_eq!(events[9]["response"], response);
    assert_eq!((&response["output"], &response["status"]), (&json!([item]), &json!("completed")));
    assert_eq!((&response["id"], &response["completed_at"]), (&json!("resp_s"), &json!(NOW)));
    let usage = json!({
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 5,
    });
    assert_eq!(response["usage"], usage);
    assert_eq!(response["swarmllm"]["token_ids"], json!([10, 11]));
}

#[test]
fn calls_follow_a_text_each_as_an_item() {
    let end = || TokenEvent::Part(ChatEvent::ToolCallEnd);
    let mut all = vec![content("ok")];
    all.extend(call(&["{\"a\":", "1}"]));
    all.push(end());
    all.extend(call(&["{}"]));
    all.extend([end(), finished(FinishReason::ToolCalls)]);
    let (events, response) = run(Style::default(), all);
    assert_eq!(
        names(&events[8..]),
        [
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed"
        ][1..]
    );
    let output = response["output"].as_array().expect("items");
    let first = json!({
        "id": "fc_so1", "type": "function_call", "status": "completed",
        "call_id": "call_so1", "name": "f", "arguments": "{\"a\":1}",
    });
    assert_eq!((output.len(), &output[1]), (3, &first));
    assert_eq!(output[2]["call_id"], "call_so2");
    let added = &events[8];
    assert_eq!((&added["output_index"], &added["item"]["arguments"]), (&json!(1), &json!("")));
    assert_eq!(events[11]["arguments"], "{\"a\":1}");
}

#[test]
fn reasoning_is_an_item_of_its_own() {
    let said = [reasoning("h"), reasoning("m"), content("ok"), finished(FinishReason::Stop)];
    let (events, response) = run(Style::default(), said);
    assert_eq!(
        names(&events[2..9]),
        [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done"
        ]
    );
    let item = json!({
        "id": "rs_so0", "type": "reasoning", "status": "completed", "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    });
    assert_eq!(response["output"][0], item);
    assert_eq!(response["output"][1]["content"][0]["text"], "ok");
}

#[test]
fn a_summary_that_was_asked_for_shows_the_reasoning() {
    let style = Style { is_summarised: true, has_opaque_reasoning: true, ..Style::default() };
    let (events, response) =
        run(style, [reasoning("hm"), content("ok"), finished(FinishReason::Stop)]);
    assert_eq!(
        names(&events[2..8]),
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done"
        ]
    );
    assert_eq!(events[4]["summary_index"], 0);
    let item = &response["output"][0];
    assert_eq!(item["summary"], json!([{"type": "summary_text", "text": "hm"}]));
    assert_eq!(item["encrypted_content"], opaque("hm"));
    assert!(item.get("content").is_none());
}

#[test]
fn a_limit_makes_item_and_response_incomplete() {
    let (events, response) = run(Style::default(), [content("Hi"), finished(FinishReason::Length)]);
    assert_eq!(names(&events).last(), Some(&"incomplete"));
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(response["output"][0]["status"], "incomplete");
}

#[test]
fn a_broken_call_ends_where_it_was_shown_and_is_text_where_not() {
    let broken = || TokenEvent::Part(ChatEvent::ToolCallBroken("<call>{\"a".into()));
    let mut all = call(&["{\"a"]);
    all.extend([broken(), finished(FinishReason::Stop)]);
    let (_, streamed) = run(Style::default(), all.clone());
    let item = &streamed["output"][0];
    assert_eq!((&item["status"], &item["arguments"]), (&json!("incomplete"), &json!("{\"a")));
    let (_, whole) = run(Style { is_whole: true, ..Style::default() }, all);
    assert_eq!(whole["output"].as_array().expect("items").len(), 1);
    assert_eq!(whole["output"][0]["content"][0]["text"], "<call>{\"a");
}

#[test]
fn nothing_said_is_an_empty_text() {
    let (_, response) = run(Style::default(), [finished(FinishReason::Stop)]);
    assert_eq!(response["output"][0]["content"][0]["text"], "");
}

#[test]
fn log_probabilities_come_with_their_text() {
    let token = |text: &str, log_probability: f32| TokenLogProbability {
        id: 1,
        bytes: text.as_bytes().to_vec(),
        log_probability,
    };
    let sampled = |text: &str| {
        let top = vec![token("x", f32::NEG_INFINITY)];
        TokenEvent::Sampled(SampledToken { token: token(text, -0.5), top })
    };
    let all = [
        sampled("t"),
        reasoning("t"),
        sampled("</t>"),
        sampled("a"),
        sampled("b"),
        content("ab"),
        sampled("<end>"),
        finished(FinishReason::Stop),
    ];
    let (events, response) = run(Style::default(), all);
    let one = |text: &str| {
        let top = json!([{"token": "x", "bytes": [120], "logprob": -9999.0}]);
        json!({"token": text, "bytes": text.as_bytes(), "logprob": -0.5, "top_logprobs": top})
    };
    let expected = json!([one("a"), one("b")]);
    let is_delta = |event: &&Value| event["type"] == "response.output_text.delta";
    assert_eq!(events.iter().find(is_delta).expect("a delta")["logprobs"], expected);
    assert_eq!(response["output"][1]["content"][0]["logprobs"], expected);
}

#[test]
fn a_failure_keeps_what_was_complete_and_names_its_kind() {
    let mut encoder = encoder(Style::default());
    encoder.start();
    encoder.push(reasoning("hm"), NOW);
    encoder.push(content("Hi"), NOW);
    let failed = encoder.fail(&GenerateError::new(ErrorKind::StageLost, "gone"));
    assert_eq!(failed["type"], "response.failed");
    let response = &failed["response"];
    assert_eq!(response["error"], json!({"code": "server_error", "message": "gone"}));
    assert_eq!((&response["status"], &response["output"][1]), (&json!("failed"), &Value::Null));
}

#[test]
fn a_sign_of_life_repeats_that_it_is_under_way() {
    let mut encoder = encoder(Style::default());
    encoder.start();
    let sign = encoder.keep_alive();
    assert_eq!(sign["type"], "response.in_progress");
    assert_eq!((&sign["sequence_number"], &sign["response"]["output"]), (&json!(2), &json!([])));
}
