//! The stream of an Anthropic message as our events.
//!
//! Called through `decode.rs`. The kind of an event is its `type`, which the event's own name
//! repeats. Kinds and deltas that nobody knows are skipped, as the API asks. Usage comes in two
//! parts: the prompt's with `message_start`, in three disjoint counts, the answer's with
//! `message_delta`. Source: Anthropic API reference, streaming messages.

use serde_json::Value;
use swarmllm_models::chat_output::ChatEvent;

use super::decode::{DecodeError, Told, Usage, count, object, reported, say, text};
use crate::generate::TokenEvent;

/// Reads the data of one event.
pub(super) fn read(told: &mut Told, data: &str) -> Result<Vec<TokenEvent>, DecodeError> {
    let event = object(data)?;
    let mut out = Vec::new();
    let index = event["index"].as_u64().unwrap_or(0);
    match event["type"].as_str().unwrap_or_default() {
        "message_start" => {
            told.id = event["message"]["id"].as_str().map(str::to_owned);
            take_usage(&mut told.usage, &event["message"]["usage"]);
        }
        "content_block_start" => begin(told, (index, &event["content_block"]), &mut out)?,
        "content_block_delta" => delta(told, (index, &event["delta"]), &mut out)?,
        "content_block_stop" if told.calls.open_index() == Some(index) => {
            told.calls.end(&mut out);
        }
        "message_delta" => {
            let delta = &event["delta"];
            let word = text(&delta["stop_reason"], "a stop_reason that is no text")?;
            if !word.is_empty() {
                told.word = Some(word.to_owned());
            }
            told.stop_text = delta["stop_sequence"].as_str().map(str::to_owned);
            take_usage(&mut told.usage, &event["usage"]);
        }
        "message_stop" => told.is_done = true,
        "error" => return Err(reported(&event["error"])),
        _ => {}
    }
    Ok(out)
}

fn begin(
    told: &mut Told,
    (index, block): (u64, &Value),
    out: &mut Vec<TokenEvent>,
) -> Result<(), DecodeError> {
    match block["type"].as_str().unwrap_or_default() {
        "tool_use" => {
            let name = text(&block["name"], "a tool name that is no text")?;
            told.calls.begin(index, name, out)?;
            // The API begins with an empty object and sends pieces; others send it whole.
            if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
                told.calls.arguments(index, &block["input"].to_string(), out)?;
            }
        }
        "text" => say(ChatEvent::Content, piece(&block["text"])?, out),
        "thinking" => say(ChatEvent::Reasoning, piece(&block["thinking"])?, out),
        _ => {}
    }
    Ok(())
}

fn delta(
    told: &mut Told,
    (index, delta): (u64, &Value),
    out: &mut Vec<TokenEvent>,
) -> Result<(), DecodeError> {
    match delta["type"].as_str().unwrap_or_default() {
        "text_delta" => say(ChatEvent::Content, piece(&delta["text"])?, out),
        "thinking_delta" => say(ChatEvent::Reasoning, piece(&delta["thinking"])?, out),
        "input_json_delta" => told.calls.arguments(index, piece(&delta["partial_json"])?, out)?,
        _ => {}
    }
    Ok(())
}

fn piece(value: &Value) -> Result<&str, DecodeError> {
    text(value, "a delta that is no text")
}

fn take_usage(known: &mut Usage, usage: &Value) {
    if let Some(rest) = count(&usage["input_tokens"]) {
        let part = |name: &str| count(&usage[name]).unwrap_or(0);
        let (read, written) =
            (part("cache_read_input_tokens"), part("cache_creation_input_tokens"));
        known.prompt = Some(rest.saturating_add(read).saturating_add(written));
        known.cached = read;
    }
    known.answer = count(&usage["output_tokens"]).or(known.answer);
    let thinking = &usage["output_tokens_details"]["thinking_tokens"];
    known.reasoning = count(thinking).unwrap_or(known.reasoning);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::decode::{Decoder, Ending};
    use super::super::provider::Dialect;
    use super::*;
    use crate::generate::FinishReason;

    fn part(event: ChatEvent) -> TokenEvent {
        TokenEvent::Part(event)
    }

    fn read(events: &[Value]) -> (Vec<TokenEvent>, Option<Ending>, Usage, Option<String>) {
        let mut decoder = Decoder::new(Dialect::AnthropicMessages);
        let mut all = Vec::new();
        for event in events {
            all.extend(decoder.push(&event.to_string()).expect("readable"));
        }
        let (last, ending, usage, id) = decoder.finish();
        all.extend(last);
        (all, ending, usage, id)
    }

    fn start(index: u64, block: Value) -> Value {
        json!({"type": "content_block_start", "index": index, "content_block": block})
    }

    fn delta(index: u64, delta: Value) -> Value {
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    }

    fn stop(index: u64) -> Value {
        json!({"type": "content_block_stop", "index": index})
    }

    #[test]
    fn thinking_text_and_a_call_are_read() {
        let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 4,
                           "cache_creation_input_tokens": 5, "output_tokens": 1});
        let (events, ending, usage, id) = read(&[
            json!({"type": "message_start", "message": {"id": "msg_1", "usage": usage}}),
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            json!({"type": "ping"}),
            delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(0, json!({"type": "signature_delta", "signature": "xyz"})),
            stop(0),
            start(1, json!({"type": "text", "text": ""})),
            delta(1, json!({"type": "text_delta", "text": "Hi"})),
            stop(1),
            start(2, json!({"type": "tool_use", "id": "t", "name": "run", "input": {}})),
            delta(2, json!({"type": "input_json_delta", "partial_json": ""})),
            delta(2, json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})),
            stop(2),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
                   "usage": {"output_tokens": 17,
                             "output_tokens_details": {"thinking_tokens": 6}}}),
            json!({"type": "message_stop"}),
        ]);
        let expected = [
            part(ChatEvent::Reasoning("hm".into())),
            part(ChatEvent::Content("Hi".into())),
            part(ChatEvent::ToolCallBegin("run".into())),
            part(ChatEvent::ToolCallArguments("{\"a\":1}".into())),
            part(ChatEvent::ToolCallEnd),
        ];
        assert_eq!(events, expected);
        assert_eq!(ending.expect("ended").reason, FinishReason::ToolCalls);
        assert_eq!(usage, Usage { prompt: Some(12), answer: Some(17), reasoning: 6, cached: 4 });
        assert_eq!(id.as_deref(), Some("msg_1"));
    }

    #[test]
    fn a_stop_text_is_told_and_a_cut_stream_has_no_end() {
        let told = json!({"stop_reason": "stop_sequence", "stop_sequence": "END"});
        let ending = read(&[json!({"type": "message_delta", "delta": told})]).1.expect("ended");
        assert_eq!((ending.reason, ending.stop_text.as_deref()), (FinishReason::Stop, Some("END")));
        assert_eq!(read(&[start(0, json!({"type": "text", "text": "Hi"}))]).1, None);
    }

    #[test]
    fn errors_are_told_apart_from_garbage() {
        let push = |data: &str| Decoder::new(Dialect::AnthropicMessages).push(data);
        let told = push(r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#);
        assert_eq!(told, Err(DecodeError::Reported("busy".into())));
        let stray = delta(5, json!({"type": "input_json_delta", "partial_json": "{"}));
        for garbage in ["", "no", "[]", &stray.to_string()] {
            assert!(matches!(push(garbage), Err(DecodeError::Malformed(_))), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(
            kinds in proptest::collection::vec((0usize..7, 0u64..3, ".{0,6}"), 0..12),
            text in any::<String>(),
        ) {
            let mut decoder = Decoder::new(Dialect::AnthropicMessages);
            for (kind, index, text) in kinds {
                let event = match kind {
                    0 => start(index, json!({"type": "tool_use", "name": text, "input": text})),
                    1 => start(index, json!({"type": "text", "text": index})),
                    2 => delta(index, json!({"type": "input_json_delta", "partial_json": text})),
                    3 => delta(index, json!({"type": "text_delta", "text": text})),
                    4 => stop(index),
                    5 => json!({"type": "message_delta", "delta": text, "usage": index}),
                    _ => json!({"type": text, "message": index}),
                };
                let _ = decoder.push(&event.to_string());
            }
            let _ = decoder.push(&text);
            let _ = decoder.finish();
        }
    }
}
