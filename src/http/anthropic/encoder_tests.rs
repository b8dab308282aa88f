//! Whole sequences of events, as clients see them.

use proptest::prelude::*;

use super::*;
use crate::generate::{CloudAnswer, ErrorKind, GenerateError};

/// The end of an answer of two tokens to a prompt of 70, of which 32 were known.
pub(crate) fn summary(finish_reason: FinishReason) -> Summary {
    Summary {
        finish_reason,
        prompt_tokens: 70,
        token_ids: vec![10, 11],
        reasoning_tokens: 0,
        stop_text: None,
        route: Vec::new(),
        cached_tokens: 32,
        preemptions: 0,
        cache: "f16".to_owned(),
        queue_ms: 0.0,
        ttft_ms: 1.0,
        decode_tok_s: 2.0,
        cloud: None,
    }
}

fn signer() -> Signer {
    Signer::new([7; 32])
}

/// An answer with that limit to a prompt of 70 tokens; thinking is off.
pub(crate) fn answer(max_tokens: Option<u32>) -> Answer {
    let (id, model) = ("a".to_owned(), "demo".to_owned());
    Answer { id, model, thinking: Thinking::Off, signer: signer(), prompt_tokens: 70, max_tokens }
}

fn encoder(thinking: Thinking) -> Encoder {
    Encoder::new(Answer { thinking, ..answer(Some(2)) })
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::Content(text.into())
}

fn reasoning(text: &str) -> ChatEvent {
    ChatEvent::Reasoning(text.into())
}

fn begin(name: &str) -> ChatEvent {
    ChatEvent::ToolCallBegin(name.into())
}

fn arguments(json: &str) -> ChatEvent {
    ChatEvent::ToolCallArguments(json.into())
}

/// Everything between start and end, the extension left out.
fn sent(thinking: Thinking, parts: Vec<ChatEvent>, reason: FinishReason) -> Vec<Value> {
    let mut encoder = encoder(thinking);
    let mut sent = encoder.push(TokenEvent::Opened { cached_tokens: 32 });
    sent.extend(encoder.start());
    for part in parts {
        sent.extend(encoder.push(TokenEvent::Part(part)));
    }
    assert!(!encoder.is_over());
    sent.extend(encoder.push(TokenEvent::Finished(summary(reason).into())));
    assert!(encoder.is_over());
    for event in &mut sent {
        event.as_object_mut().expect("an object").shift_remove("swarmllm");
    }
    sent
}

fn started() -> Value {
    let message = json!({
        "id": "msg_a", "type": "message", "role": "assistant", "model": "demo", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": counted(1),
    });
    json!({"type": "message_start", "message": message})
}

fn counted(output_tokens: u32) -> Value {
    json!({
        "input_tokens": 6, "cache_creation_input_tokens": 32, "cache_read_input_tokens": 32,
        "output_tokens": output_tokens,
    })
}

fn block(index: usize, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn text_block(index: usize) -> Value {
    block(index, json!({"type": "text", "text": ""}))
}

fn thinking_block(index: usize) -> Value {
    block(index, json!({"type": "thinking", "thinking": "", "signature": ""}))
}

fn call_block(index: usize, id: &str, name: &str) -> Value {
    block(index, json!({"type": "tool_use", "id": id, "name": name, "input": {}}))
}

/// A delta of type `kind_delta` with one field.
fn delta(index: usize, kind: &str, field: &str, value: &str) -> Value {
    let mut delta = json!({"type": format!("{kind}_delta")});
    delta[field] = value.into();
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn signed(index: usize, thought: &str) -> Value {
    delta(index, "signature", "signature", &signer().sign("demo", thought))
}

fn stopped(index: usize) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

/// The last two events.
fn ended(reason: &str) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    let mut usage = counted(2);
    usage["output_tokens_details"] = json!({"thinking_tokens": 0});
    let last = json!({"type": "message_delta", "delta": delta, "usage": usage});
    [last, json!({"type": "message_stop"})]
}

fn with_ends(middle: Vec<Value>, reason: &str) -> Vec<Value> {
    [started()].into_iter().chain(middle).chain(ended(reason)).collect()
}

#[test]
fn text_is_one_block() {
    let parts = vec![text("Hi "), text("you")];
    let middle = vec![
        text_block(0),
        delta(0, "text", "text", "Hi "),
        delta(0, "text", "text", "you"),
        stopped(0),
    ];
    let expected = with_ends(middle, "end_turn");
    assert_eq!(sent(Thinking::Off, parts, FinishReason::Stop), expected);
}

#[test]
fn thinking_is_signed_before_the_text() {
    let parts = || vec![reasoning("2+"), reasoning("2"), text("4")];
    let shown = vec![
        thinking_block(0),
        delta(0, "thinking", "thinking", "2+"),
        delta(0, "thinking", "thinking", "2"),
        signed(0, "2+2"),
        stopped(0),
        text_block(1),
        delta(1, "text", "text", "4"),
        stopped(1),
    ];
    let expected = with_ends(shown, "max_tokens");
    assert_eq!(sent(Thinking::Shown, parts(), FinishReason::Length), expected);
    let omitted = vec![
        thinking_block(0),
        delta(0, "signature", "signature", &signer().seal("demo", "2+2")),
        stopped(0),
        text_block(1),
        delta(1, "text", "text", "4"),
        stopped(1),
    ];
    let expected = with_ends(omitted, "end_turn");
    assert_eq!(sent(Thinking::Omitted, parts(), FinishReason::Stop), expected);
    let off = vec![text_block(0), delta(0, "text", "text", "4"), stopped(0)];
    let expected = with_ends(off, "end_turn");
    assert_eq!(sent(Thinking::Off, parts(), FinishReason::Stop), expected);
}

#[test]
fn a_call_follows_the_text() {
    let parts = vec![
        text("Look:"),
        begin("ls"),
        arguments("{\"path\""),
        arguments(":\"/\"}"),
        ChatEvent::ToolCallEnd,
    ];
    let middle = vec![
        text_block(0),
        delta(0, "text", "text", "Look:"),
        stopped(0),
        call_block(1, "toolu_a00", "ls"),
        delta(1, "input_json", "partial_json", "{\"path\""),
        delta(1, "input_json", "partial_json", ":\"/\"}"),
        stopped(1),
    ];
    let expected = with_ends(middle, "tool_use");
    assert_eq!(sent(Thinking::Off, parts, FinishReason::ToolCalls), expected);
}

#[test]
fn two_calls_have_two_ids() {
    let call = |name| [begin(name), arguments("{}"), ChatEvent::ToolCallEnd];
    let parts = call("ls").into_iter().chain(call("pwd")).collect();
    let middle = vec![
        call_block(0, "toolu_a00", "ls"),
        delta(0, "input_json", "partial_json", "{}"),
        stopped(0),
        call_block(1, "toolu_a01", "pwd"),
        delta(1, "input_json", "partial_json", "{}"),
        stopped(1),
    ];
    let expected = with_ends(middle, "tool_use");
    assert_eq!(sent(Thinking::Off, parts, FinishReason::ToolCalls), expected);
}

#[test]
fn a_call_that_breaks_ends_where_it_is() {
    let broken = ChatEvent::ToolCallBroken("<tool_call>{".into());
    let parts = vec![begin("ls"), arguments("{\"a"), broken, text("never mind")];
    let middle = vec![
        call_block(0, "toolu_a00", "ls"),
        delta(0, "input_json", "partial_json", "{\"a"),
        stopped(0),
        text_block(1),
        delta(1, "text", "text", "never mind"),
        stopped(1),
    ];
    let expected = with_ends(middle, "end_turn");
    assert_eq!(sent(Thinking::Off, parts, FinishReason::Stop), expected);
}

#[test]
fn an_answer_without_a_word_has_no_block() {
    let expected = with_ends(Vec::new(), "end_turn");
    assert_eq!(sent(Thinking::Shown, Vec::new(), FinishReason::Stop), expected);
}

#[test]
fn a_failure_is_the_last_event() {
    let mut encoder = encoder(Thinking::Off);
    encoder.push(TokenEvent::Part(text("Hi")));
    let lost = GenerateError::new(ErrorKind::StageLost, "gone").into();
    let error = json!({"type": "overloaded_error", "message": "gone"});
    let expected = json!({"type": "error", "error": error, "request_id": "req_1"});
    assert_eq!(encoder.fail(&lost, "req_1"), [expected]);
    assert!(encoder.is_over());
}

#[test]
fn a_sign_of_life_is_a_delta_in_the_block_that_will_be_used() {
    let ping = json!({"type": "ping"});
    let mut thinks = encoder(Thinking::Omitted);
    let empty = delta(0, "thinking", "thinking", "");
    assert_eq!(thinks.keep_alive(), [ping.clone(), thinking_block(0), empty.clone()]);
    assert_eq!(thinks.keep_alive(), [ping.clone(), empty]);
    let first = thinks.push(TokenEvent::Part(text("4")));
    let expected = [
        delta(0, "signature", "signature", &signer().seal("demo", "")),
        stopped(0),
        text_block(1),
        delta(1, "text", "text", "4"),
    ];
    assert_eq!(first, expected);

    let mut talks = encoder(Thinking::Off);
    let empty = delta(0, "text", "text", "");
    assert_eq!(talks.keep_alive(), [ping.clone(), text_block(0), empty.clone()]);
    let first = talks.push(TokenEvent::Part(text("4")));
    assert_eq!(first, [delta(0, "text", "text", "4")]);
    assert_eq!(talks.keep_alive(), [ping.clone(), empty]);
    talks.push(TokenEvent::Part(begin("ls")));
    let empty = delta(1, "input_json", "partial_json", "");
    assert_eq!(talks.keep_alive(), [ping, empty]);
}

#[test]
fn the_stop_text_is_told() {
    let stopped = Summary { stop_text: Some("END".into()), ..summary(FinishReason::Stop) };
    assert_eq!(stop(&answer(None), &stopped), ("stop_sequence", Some("END")));
    let called = Summary { finish_reason: FinishReason::ToolCalls, ..stopped };
    assert_eq!(stop(&answer(None), &called), ("tool_use", None));
}

#[test]
fn the_limit_of_the_caller_is_told_from_the_end_of_the_context() {
    let ended = summary(FinishReason::Length);
    assert_eq!(stop(&answer(Some(2)), &ended).0, "max_tokens");
    for more in [Some(3), None] {
        assert_eq!(stop(&answer(more), &ended).0, "model_context_window_exceeded");
    }
}

#[test]
fn the_word_of_a_provider_is_passed_on() {
    let ended = |finish_reason, word: &str| {
        let cloud = CloudAnswer {
            provider: "anthropic".into(),
            model: "m".into(),
            reason: "named".into(),
            request_id: None,
            finish_reason: word.into(),
            completion_tokens: 2,
            usage_reported: true,
            cost_usd: None,
        };
        let summary = Summary { cloud: Some(cloud), ..summary(finish_reason) };
        stop(&answer(None), &summary).0
    };
    assert_eq!(ended(FinishReason::Stop, "refusal"), "refusal");
    assert_eq!(ended(FinishReason::Stop, "content_filter"), "refusal");
    assert_eq!(ended(FinishReason::Stop, "stop"), "end_turn");
    assert_eq!(ended(FinishReason::Length, "length"), "max_tokens");
    let full = "model_context_window_exceeded";
    assert_eq!(ended(FinishReason::Length, full), full);
}

#[test]
fn a_prompt_that_is_only_read_has_an_empty_answer() {
    let mut encoder = Encoder::new(answer(Some(0)));
    let mut sent = encoder.push(TokenEvent::Part(text("Hi")));
    sent.extend(encoder.push(TokenEvent::Finished(summary(FinishReason::Stop).into())));
    let [last, end] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(last["delta"]["stop_reason"], "max_tokens");
    assert_eq!(last["usage"]["output_tokens"], 0);
    assert_eq!(end["type"], "message_stop");
}

fn part() -> impl Strategy<Value = Option<ChatEvent>> {
    prop_oneof![
        Just(None),
        Just(Some(text("t"))),
        Just(Some(reasoning("r"))),
        Just(Some(begin("f"))),
        Just(Some(arguments("{}"))),
        Just(Some(ChatEvent::ToolCallEnd)),
        Just(Some(ChatEvent::ToolCallBroken("b".into()))),
    ]
}

proptest! {
    #[test]
    fn the_counts_of_a_prompt_do_not_overlap(prompt in 0_u32..100_000, cached in 0_u32..100_000) {
        let usage = usage(prompt, cached, 0);
        let parts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
        let sum: u64 = parts.iter().filter_map(|part| usage[part].as_u64()).sum();
        prop_assert_eq!(sum, u64::from(prompt));
    }

    /// Whatever the model does and however long it is silent: blocks come one after the other,
    /// numbered, and every one that begins ends.
    #[test]
    fn blocks_begin_and_end_in_turn(parts in prop::collection::vec(part(), 0..40)) {
        let mut encoder = encoder(Thinking::Shown);
        let mut sent = Vec::new();
        let mut in_call = false;
        for part in parts {
            // Arguments and ends come inside of calls only.
            match &part {
                Some(ChatEvent::ToolCallBegin(_)) => in_call = true,
                Some(ChatEvent::ToolCallArguments(_) | ChatEvent::ToolCallEnd) if !in_call => {
                    continue;
                }
                Some(ChatEvent::Content(_) | ChatEvent::Reasoning(_)) if in_call => continue,
                Some(ChatEvent::ToolCallEnd | ChatEvent::ToolCallBroken(_)) => in_call = false,
                _ => {}
            }
            sent.extend(match part {
                Some(part) => encoder.push(TokenEvent::Part(part)),
                None => encoder.keep_alive(),
            });
        }
        sent.extend(encoder.push(TokenEvent::Finished(summary(FinishReason::Stop).into())));
        let (mut open, mut next) = (None, 0);
        for event in &sent {
            let index = event["index"].as_u64();
            match event["type"].as_str() {
                Some("content_block_start") => {
                    prop_assert_eq!((open, index), (None, Some(next)));
                    (open, next) = (index, next + 1);
                }
                Some("content_block_delta") => prop_assert_eq!(open, index),
                Some("content_block_stop") => {
                    prop_assert_eq!(open, index);
                    open = None;
                }
                _ => prop_assert_eq!(index, None),
            }
        }
        prop_assert_eq!(open, None);
    }
}
