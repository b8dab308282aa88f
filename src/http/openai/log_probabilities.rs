//! Tokens with their log-probabilities, in the form of chat and in the older one of completions.
//!
//! Called by `chat.rs` and `completions.rs` with the tokens behind a piece of text. Natural
//! logarithms, before bias, penalties and filters. What can't happen has -9999, as the API has it,
//! for JSON knows no infinity. A token that is no whole character shows replacement characters as
//! `token`, its bytes are in `bytes`; the older form writes such bytes as `bytes:\xNN`.

use serde_json::{Value, json};

use crate::generate::{SampledToken, TokenLogProbability};

/// Of what can't happen.
const LEAST: f32 = -9999.0;

/// The form of chat, `logprobs` of a choice.
pub(super) fn of_chat(tokens: &[SampledToken]) -> Value {
    let content = tokens.iter().map(|sampled| {
        let mut token = chat_token(&sampled.token);
        token["top_logprobs"] = sampled.top.iter().map(chat_token).collect();
        token
    });
    json!({"content": content.collect::<Vec<Value>>(), "refusal": null})
}

fn chat_token(token: &TokenLogProbability) -> Value {
    json!({
        "token": String::from_utf8_lossy(&token.bytes),
        "logprob": value(token),
        "bytes": token.bytes,
    })
}

/// The form of completions, first of tokens of a prompt, whose log-probabilities are not known:
/// theirs are null. `offset` counts the characters of the text so far.
pub(super) fn of_completion(
    prompt: &[Vec<u8>],
    tokens: &[SampledToken],
    offset: &mut usize,
) -> Value {
    let of_answer = || tokens.iter().map(|sampled| &sampled.token);
    let bytes = || prompt.iter().chain(of_answer().map(|token| &token.bytes));
    let mut offsets = Vec::new();
    for bytes in bytes() {
        offsets.push(*offset);
        *offset += String::from_utf8_lossy(bytes).chars().count();
    }
    let unknown = || prompt.iter().map(|_| Value::Null);
    let top = |sampled: &SampledToken| -> Value {
        let all = sampled.top.iter();
        all.map(|token| (text(&token.bytes), Value::from(value(token)))).collect()
    };
    let likely = unknown().chain(of_answer().map(|token| value(token).into()));
    let likeliest = unknown().chain(tokens.iter().map(top));
    json!({
        "tokens": bytes().map(|bytes| text(bytes)).collect::<Vec<String>>(),
        "token_logprobs": likely.collect::<Vec<Value>>(),
        "top_logprobs": likeliest.collect::<Vec<Value>>(),
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

fn value(token: &TokenLogProbability) -> f32 {
    // Not a number is no more likely.
    token.log_probability.max(LEAST)
}

/// A sampled token with another likely one, for tests.
#[cfg(test)]
pub(super) fn sampled(bytes: &[u8], log_probability: f32) -> SampledToken {
    let token = TokenLogProbability { id: 7, bytes: bytes.to_vec(), log_probability };
    let other =
        TokenLogProbability { id: 8, bytes: b"?".to_vec(), log_probability: f32::NEG_INFINITY };
    SampledToken { token: token.clone(), top: vec![token, other] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_tells_text_bytes_and_the_likeliest() {
        let told = of_chat(&[sampled(b"Hi", -0.5), sampled(&[0xc3], -1.0)]);
        let expected = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [
            {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]},
            {"token": "?", "logprob": -9999.0, "bytes": [63]},
        ]});
        assert_eq!(told["content"][0], expected);
        assert_eq!(told["content"][1]["token"], "\u{fffd}");
        assert_eq!(told["content"][1]["bytes"], json!([0xc3]));
        assert_eq!(of_chat(&[]), json!({"content": [], "refusal": null}));
    }

    #[test]
    fn completions_tell_columns_and_offsets_that_go_on() {
        let mut offset = 0;
        let prompt = [b"Once".to_vec()];
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
