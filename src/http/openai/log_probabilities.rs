//! Tokens with their log-probabilities, in the form of chat and in the older one of completions.
//!
//! Called by `chat.rs` and `completions.rs` with the tokens behind a piece of text. The older form
//! writes bytes that are no whole characters as `bytes:\xNN`.

use serde_json::{Value, json};

use crate::{
    generate::{PromptToken, SampledToken},
    http::log_probabilities::{told, value},
};

/// The form of chat, `logprobs` of a choice.
pub(super) fn of_chat(tokens: &[SampledToken]) -> Value {
    json!({"content": tokens.iter().map(told).collect::<Vec<Value>>(), "refusal": null})
}

/// The form of completions, first of tokens of a prompt; what nothing stands before has null.
/// `offset` counts the characters of the text so far.
pub(super) fn of_completion(
    prompt: &[PromptToken],
    tokens: &[SampledToken],
    offset: &mut usize,
) -> Value {
    let of_prompt = || prompt.iter().map(|token| (&token.bytes, token.scored.as_ref()));
    let of_answer = || tokens.iter().map(|token| (&token.token.bytes, Some(token)));
    let all = || of_prompt().chain(of_answer());
    let bytes = || all().map(|(bytes, _)| bytes);
    let scored = || all().map(|(_, scored)| scored);
    let mut offsets = Vec::new();
    for bytes in bytes() {
        offsets.push(*offset);
        *offset += String::from_utf8_lossy(bytes).chars().count();
    }
    let top = |sampled: &SampledToken| -> Value {
        let all = sampled.top.iter();
        all.map(|token| (text(&token.bytes), Value::from(value(token)))).collect()
    };
    let likely = scored().map(|sampled| sampled.map(|sampled| value(&sampled.token)));
    let likeliest = scored().map(|sampled| sampled.map(top));
    json!({
        "tokens": bytes().map(|bytes| text(bytes)).collect::<Vec<String>>(),
        "token_logprobs": likely.collect::<Vec<_>>(),
        "top_logprobs": likeliest.collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let escaped = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::log_probabilities::sampled;

    #[test]
    fn chat_tells_a_list() {
        let two = of_chat(&[sampled(b"Hi", -0.5), sampled(&[0xc3], -1.0)]);
        assert_eq!(two["content"][1]["bytes"], json!([0xc3]));
        assert_eq!(of_chat(&[]), json!({"content": [], "refusal": null}));
    }

    #[test]
    fn completions_tell_columns_and_offsets_that_go_on() {
        let mut offset = 0;
        let prompt = [PromptToken { bytes: b"Once".to_vec(), scored: None }];
        let answer = [sampled("\u{e9}a".as_bytes(), -0.5), sampled(&[0xc3], -2.0)];
        let told = of_completion(&prompt, &answer, &mut offset);
        assert_eq!(told["tokens"], json!(["Once", "\u{e9}a", "bytes:\\xc3"]));
        assert_eq!(told["token_logprobs"], json!([null, -0.5, -2.0]));
        assert_eq!(told["top_logprobs"][0], Value::Null);
        assert_eq!(told["top_logprobs"][1], json!({"\u{e9}a": -0.5, "?": -9999.0}));
        assert_eq!((&told["text_offset"], offset), (&json!([0, 4, 6]), 7));
        assert_eq!(of_completion(&[], &answer[..1], &mut offset)["text_offset"], json!([7]));
    }
}
