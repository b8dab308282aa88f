//! Tokens with their log-probabilities, in the form of chat and in the older one of completions.
//!
//! Called by `chat.rs` and `completions.rs` with the tokens behind a piece of text. Natural
//! logarithms, before bias, penalties and filters. What can't happen has -9999, as the API has it,
//! for JSON knows no infinity. A token that is no whole character shows replacement characters as
//! `token`, its bytes are in `bytes`; the older form writes such bytes as `bytes:\xNN`.

use serde_json::{Map, Value, json};

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

/// The form of completions; `offset` counts the characters of the text so far.
pub(super) fn of_completion(tokens: &[SampledToken], offset: &mut usize) -> Value {
    let mut offsets = Vec::new();
    for SampledToken { token, .. } in tokens {
        offsets.push(*offset);
        *offset += String::from_utf8_lossy(&token.bytes).chars().count();
    }
    let all = || tokens.iter().map(|sampled| &sampled.token);
    let top = |sampled: &SampledToken| -> Map<String, Value> {
        sampled.top.iter().map(|token| (text(token), value(token).into())).collect()
    };
    json!({
        "tokens": all().map(text).collect::<Vec<String>>(),
        "token_logprobs": all().map(value).collect::<Vec<f32>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

fn text(token: &TokenLogProbability) -> String {
    match std::str::from_utf8(&token.bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let escaped = token.bytes.iter().map(|byte| format!("\\x{byte:02x}"));
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
        let mut offset = 4;
        let told = of_completion(
            &[sampled("\u{e9}a".as_bytes(), -0.5), sampled(&[0xc3], -2.0)],
            &mut offset,
        );
        assert_eq!(told["tokens"], json!(["\u{e9}a", "bytes:\\xc3"]));
        assert_eq!(told["token_logprobs"], json!([-0.5, -2.0]));
        assert_eq!(told["top_logprobs"][0], json!({"\u{e9}a": -0.5, "?": -9999.0}));
        assert_eq!((&told["text_offset"], offset), (&json!([4, 6]), 7));
    }
}
