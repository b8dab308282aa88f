//! Sampled tokens as the OpenAI dialects tell them, and which of them are behind a text.
//!
//! Called by `openai/` and `responses/`. Natural logarithms, before bias, penalties and filters.
//! What can't happen has -9999, as the API has it, for JSON knows no infinity. A token that is no
//! whole character shows replacement characters as `token`; its bytes are in `bytes`.
//! Errors: none. Source: OpenAI API reference.

use serde_json::{Value, json};

use crate::generate::{SampledToken, TokenLogProbability};

/// Of what can't happen.
const LEAST: f32 = -9999.0;

/// The tokens behind a text, of those sampled since the text before it. What stands around it is no
/// part of it: tags of reasoning and calls, white space between them, the token that ends answers.
pub(super) fn behind(text: &str, sampled: Vec<SampledToken>) -> Vec<SampledToken> {
    let bytes: Vec<u8> = sampled.iter().flat_map(|one| &one.token.bytes).copied().collect();
    let found = bytes.windows(text.len().max(1)).rposition(|part| part == text.as_bytes());
    // Not so where bytes were no characters, or a part of the text was held back before.
    let Some(start) = found else { return sampled };
    let end = start + text.len();
    let mut at = 0;
    let is_behind = |one: &SampledToken| {
        let begin = at;
        at += one.token.bytes.len();
        begin < end && start < at
    };
    sampled.into_iter().filter(is_behind).collect()
}

/// A token with the likeliest ones.
pub(super) fn told(sampled: &SampledToken) -> Value {
    let mut told = one(&sampled.token);
    told["top_logprobs"] = sampled.top.iter().map(one).collect();
    told
}

fn one(token: &TokenLogProbability) -> Value {
    json!({
        "token": String::from_utf8_lossy(&token.bytes),
        "logprob": value(token),
        "bytes": token.bytes,
    })
}

/// Its logarithm; not a number is no more likely.
pub(super) fn value(token: &TokenLogProbability) -> f32 {
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
    use proptest::prelude::*;

    use super::*;

    fn texts_behind(text: &str, tokens: &[&str]) -> Vec<String> {
        let tokens = tokens.iter().map(|token| sampled(token.as_bytes(), -0.5)).collect();
        let text_of = |one: SampledToken| String::from_utf8(one.token.bytes).expect("UTF-8");
        behind(text, tokens).into_iter().map(text_of).collect()
    }

    #[test]
    fn tags_around_a_text_are_not_behind_it() {
        assert_eq!(texts_behind("I", &["</", "think", ">\n", "I"]), ["I"]);
        assert_eq!(texts_behind("th", &["</", "th", "ink", ">", "th"]), ["th"]);
        assert_eq!(texts_behind("EN", &["EN", "<end>"]), ["EN"]);
        assert_eq!(texts_behind("ENX", &["EN", "X<"]), ["EN", "X<"]);
    }

    #[test]
    fn a_character_has_all_its_tokens_and_a_text_that_is_not_there_has_all() {
        let pieces = "\u{1f600}".as_bytes().chunks(2);
        let tokens: Vec<SampledToken> = pieces.map(|bytes| sampled(bytes, -1.0)).collect();
        assert_eq!(behind("\u{1f600}", tokens.clone()), tokens);
        assert_eq!(texts_behind(" a", &["a", "b"]), ["a", "b"]);
        assert_eq!(behind("a", Vec::new()), []);
    }

    #[test]
    fn a_token_is_told_with_text_bytes_and_the_likeliest() {
        let expected = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [
            {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]},
            {"token": "?", "logprob": -9999.0, "bytes": [63]},
        ]});
        assert_eq!(told(&sampled(b"Hi", -0.5)), expected);
        let part = told(&sampled(&[0xc3], -1.0));
        assert_eq!((&part["token"], &part["bytes"]), (&json!("\u{fffd}"), &json!([0xc3])));
    }

    proptest! {
        #[test]
        fn the_tokens_found_spell_the_text(
            before in "[<>a/]{0,3}", text in "[ab]{1,6}", after in "[<>]{0,3}",
        ) {
            let all = format!("{before}{text}{after}");
            let letters: Vec<String> = all.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            prop_assert_eq!(texts_behind(&text, &letters).concat(), text);
        }
    }
}
