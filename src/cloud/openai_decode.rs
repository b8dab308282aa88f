//! The stream of an OpenAI chat completion as our events.
//!
//! Called through `decode.rs`. Form: one `chat.completion.chunk` per event, then `[DONE]`, which
//! some leave out. Of the choices the first is read. What providers do differently and is read
//! here: `reasoning_content` or `reasoning`; content as an array of parts with `thinking`; usage
//! beside the choices, inside one (Moonshot), or as `x_groq.usage`; errors as an event.
//! Source: the chunk object of the OpenAI API reference, and the providers' own.

use serde_json::Value;
use swarmllm_models::chat_output::ChatEvent;

use super::decode::{DecodeError, Told, Usage, count, object, reported, say, text};
use crate::generate::{SampledToken, TokenEvent, TokenLogProbability};

/// Most likely tokens beside one.
const TOP_MAX: usize = 20;
/// The id of a token of somebody else's vocabulary.
const FOREIGN_TOKEN: u32 = u32::MAX;

/// Reads the data of one event.
pub(super) fn read(told: &mut Told, data: &str) -> Result<Vec<TokenEvent>, DecodeError> {
    if data.trim() == "[DONE]" {
        told.is_done = true;
        return Ok(Vec::new());
    }
    let chunk = object(data)?;
    if !chunk["error"].is_null() {
        return Err(reported(&chunk["error"]));
    }
    if told.id.is_none() {
        told.id = chunk["id"].as_str().map(str::to_owned);
    }
    let choice = &chunk["choices"][0];
    for usage in [&chunk["usage"], &chunk["x_groq"]["usage"], &choice["usage"]] {
        take_usage(&mut told.usage, usage);
    }
    let mut out = Vec::new();
    sampled(&choice["logprobs"]["content"], &mut out);
    delta(told, &choice["delta"], &mut out)?;
    match text(&choice["finish_reason"], "a finish_reason that is no text")? {
        "" => {}
        "error" => return Err(DecodeError::Reported("the answer ended with an error".to_owned())),
        word => {
            told.calls.end(&mut out);
            told.word = Some(word.to_owned());
        }
    }
    Ok(out)
}

fn delta(told: &mut Told, delta: &Value, out: &mut Vec<TokenEvent>) -> Result<(), DecodeError> {
    let reasoning = ["reasoning_content", "reasoning"].map(|name| delta[name].as_str());
    let reasoning = reasoning.into_iter().flatten().find(|piece| !piece.is_empty());
    say(ChatEvent::Reasoning, reasoning.unwrap_or_default(), out);
    match &delta["content"] {
        Value::Array(parts) => parts.iter().for_each(|part| part_of(part, out)),
        content => say(ChatEvent::Content, text(content, "content that is no text")?, out),
    }
    say(ChatEvent::Content, delta["refusal"].as_str().unwrap_or_default(), out);
    let Some(calls) = delta["tool_calls"].as_array() else { return Ok(()) };
    for (at, call) in calls.iter().enumerate() {
        let index = call["index"].as_u64().unwrap_or(at as u64);
        let function = &call["function"];
        let name = text(&function["name"], "a function name that is no text")?;
        if !name.is_empty() && told.calls.open_index() != Some(index) {
            told.calls.begin(index, name, out)?;
        }
        let piece = text(&function["arguments"], "arguments that are no text")?;
        told.calls.arguments(index, piece, out)?;
    }
    Ok(())
}

fn take_usage(known: &mut Usage, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let cached = &usage["prompt_tokens_details"]["cached_tokens"];
    let reasoning = &usage["completion_tokens_details"]["reasoning_tokens"];
    *known = Usage {
        prompt: count(&usage["prompt_tokens"]).or(known.prompt),
        answer: count(&usage["completion_tokens"]).or(known.answer),
        reasoning: count(reasoning).unwrap_or(known.reasoning),
        cached: count(cached)
            .or_else(|| count(&usage["prompt_cache_hit_tokens"]))
            .unwrap_or(known.cached),
    };
}

/// A part of content: text, or thinking with texts in it.
fn part_of(part: &Value, out: &mut Vec<TokenEvent>) {
    say(ChatEvent::Content, part["text"].as_str().unwrap_or_default(), out);
    for inner in part["thinking"].as_array().into_iter().flatten() {
        say(ChatEvent::Reasoning, inner["text"].as_str().unwrap_or_default(), out);
    }
}

fn sampled(content: &Value, out: &mut Vec<TokenEvent>) {
    for entry in content.as_array().into_iter().flatten() {
        let top = entry["top_logprobs"].as_array().into_iter().flatten();
        let top = top.take(TOP_MAX).map(token).collect();
        out.push(TokenEvent::Sampled(SampledToken { token: token(entry), top }));
    }
}

fn token(entry: &Value) -> TokenLogProbability {
    let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
    let bytes = entry["bytes"].as_array().and_then(|all| all.iter().map(byte).collect());
    let text = || entry["token"].as_str().unwrap_or_default().as_bytes().to_vec();
    let log_probability = entry["logprob"].as_f64().unwrap_or(f64::from(f32::MIN));
    TokenLogProbability {
        id: FOREIGN_TOKEN,
        bytes: bytes.unwrap_or_else(text),
        log_probability: log_probability.clamp(f32::MIN.into(), 0.0) as f32,
    }
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

    fn delta(delta: Value) -> String {
        json!({"id": "c-1", "choices": [{"index": 0, "delta": delta}]}).to_string()
    }

    fn finish(word: &str) -> String {
        json!({"choices": [{"delta": {}, "finish_reason": word}]}).to_string()
    }

    fn read(events: &[String]) -> (Vec<TokenEvent>, Option<Ending>, Usage, Option<String>) {
        let mut decoder = Decoder::new(Dialect::OpenaiChat);
        let mut all = Vec::new();
        for event in events {
            all.extend(decoder.push(event).expect("readable"));
        }
        let (last, ending, usage, id) = decoder.finish();
        all.extend(last);
        (all, ending, usage, id)
    }

    #[test]
    fn reasoning_text_and_usage_are_read() {
        let usage = json!({"choices": [], "usage": {
            "prompt_tokens": 9, "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }});
        let (events, ending, usage, id) = read(&[
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"reasoning_content": "hm", "content": null})),
            delta(json!({"content": [{"type": "thinking", "thinking": [{"text": "so"}]}]})),
            delta(json!({"content": "Hi"})),
            finish("length"),
            usage.to_string(),
            "[DONE]".to_owned(),
        ]);
        let expected = [
            part(ChatEvent::Reasoning("hm".into())),
            part(ChatEvent::Reasoning("so".into())),
            part(ChatEvent::Content("Hi".into())),
        ];
        assert_eq!(events, expected);
        assert_eq!(ending.expect("ended").reason, FinishReason::Length);
        assert_eq!(usage, Usage { prompt: Some(9), answer: Some(5), reasoning: 2, cached: 4 });
        assert_eq!(id.as_deref(), Some("c-1"));
    }

    #[test]
    fn calls_come_in_pieces_and_one_after_the_other() {
        let call = |index: u64, name: Value, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            delta(json!({"tool_calls": [{"index": index, "id": "x", "function": function}]}))
        };
        let (events, ending, ..) = read(&[
            call(0, json!("a"), ""),
            call(0, Value::Null, "{\"x\":"),
            call(0, json!("a"), "1}"),
            call(1, json!("b"), ""),
            finish("tool_calls"),
        ]);
        let expected = [
            part(ChatEvent::ToolCallBegin("a".into())),
            part(ChatEvent::ToolCallArguments("{\"x\":".into())),
            part(ChatEvent::ToolCallArguments("1}".into())),
            part(ChatEvent::ToolCallEnd),
            part(ChatEvent::ToolCallBegin("b".into())),
            part(ChatEvent::ToolCallArguments("{}".into())),
            part(ChatEvent::ToolCallEnd),
        ];
        assert_eq!(events, expected);
        assert_eq!(ending.expect("ended").reason, FinishReason::ToolCalls);
    }

    #[test]
    fn a_call_that_breaks_off_is_broken_and_a_cut_stream_has_no_end() {
        let begun = json!([{"index": 0, "function": {"name": "a", "arguments": "{\"x"}}]);
        let (events, ending, ..) = read(&[delta(json!({"tool_calls": begun})), finish("length")]);
        assert_eq!(events.last(), Some(&part(ChatEvent::ToolCallBroken("{\"x".into()))));
        assert_eq!(ending.expect("ended").reason, FinishReason::Length);
        assert_eq!(read(&[delta(json!({"content": "Hi"}))]).1, None);
    }

    #[test]
    fn log_probabilities_are_read_and_odd_ones_are_not_believed() {
        let one = json!({"token": "\u{e9}", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [
            {"token": "e", "logprob": 7, "bytes": null},
        ]});
        let chunk = json!({"choices": [{"delta": {}, "logprobs": {"content": [one]}}]});
        let (events, ..) = read(&[chunk.to_string()]);
        let [TokenEvent::Sampled(token)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(token.token.bytes, "\u{e9}".as_bytes());
        assert_eq!((token.token.log_probability, token.top[0].log_probability), (-0.5, 0.0));
    }

    #[test]
    fn an_answer_that_ends_for_want_of_room_or_by_an_error_is_not_whole() {
        for word in ["length", "model_length"] {
            let ending = read(&[delta(json!({"content": "Hi"})), finish(word)]).1;
            assert_eq!(ending.expect("ended").reason, FinishReason::Length);
        }
        let failed = Decoder::new(Dialect::OpenaiChat).push(&finish("error"));
        assert!(matches!(failed, Err(DecodeError::Reported(_))), "{failed:?}");
    }

    #[test]
    fn errors_are_told_apart_from_garbage() {
        let push = |data: &str| Decoder::new(Dialect::OpenaiChat).push(data);
        let told = push(r#"{"error": {"message": "overloaded"}}"#);
        assert_eq!(told, Err(DecodeError::Reported("overloaded".into())));
        for garbage in ["", "<html>", "[]", r#"{"choices":[{"delta":{"content":5}}]}"#] {
            assert!(matches!(push(garbage), Err(DecodeError::Malformed(_))), "{garbage}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("choices"),
            Just("delta"),
            Just("content"),
            Just("tool_calls"),
            Just("function"),
            Just("name"),
            Just("arguments"),
            Just("usage"),
            Just("index"),
            Just("finish_reason"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u64>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| {
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(
            events in proptest::collection::vec(any_json(), 0..4), text in any::<String>()
        ) {
            let mut decoder = Decoder::new(Dialect::OpenaiChat);
            for event in events {
                let _ = decoder.push(&event.to_string());
            }
            let _ = decoder.push(&text);
            let _ = decoder.finish();
        }
    }
}
