//! A made-up SentencePiece vocabulary of any size: three special tokens, 256 bytes, and pieces.
//! Its chat template is the messages' texts and nothing else.
//!
//! Called by `perf_model`. Pieces are all words over the word border and `a` to `z`, shorter ones
//! first: they are distinct, and each is a shorter piece plus one letter, so that merging reaches
//! every one of them. Texts come out short, as with a real vocabulary.

use super::file::Value;

/// U+2581, SentencePiece's mark for a space.
const BORDER: char = '\u{2581}';
const N_LETTERS: u32 = 27;
const N_BYTES: u32 = 256;

/// So that a chat of one message is that text, in every program.
const TEMPLATE: &str = "{% for message in messages %}{{ message.content }}{% endfor %}";

/// Token types of `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// The metadata of a vocabulary of `n_tokens`, special tokens and bytes included.
pub(super) fn metadata(n_tokens: u32) -> Vec<(String, Value)> {
    let mut tokens = Vec::new();
    let mut scores = Vec::new();
    let mut types = Vec::new();
    let mut add = |token: String, score: f32, kind: i32| {
        tokens.push(token);
        scores.push(score);
        types.push(kind);
    };
    add("<unk>".into(), 0.0, UNKNOWN);
    add("<s>".into(), 0.0, CONTROL);
    add("</s>".into(), 0.0, CONTROL);
    (0..N_BYTES).for_each(|byte| add(format!("<0x{byte:02X}>"), 0.0, BYTE));
    let n_pieces = n_tokens.saturating_sub(3 + N_BYTES);
    (0..n_pieces).for_each(|index| add(piece(index), -(index as f32), NORMAL));
    let pairs = [
        ("model", Value::Text("llama".into())),
        ("tokens", Value::Texts(tokens)),
        ("scores", Value::Floats(scores)),
        ("token_type", Value::Integers(types)),
        ("unknown_token_id", Value::U32(0)),
        ("bos_token_id", Value::U32(1)),
        ("eos_token_id", Value::U32(2)),
        ("add_bos_token", Value::Bool(true)),
        ("add_eos_token", Value::Bool(false)),
    ];
    let template = ("tokenizer.chat_template".to_owned(), Value::Text(TEMPLATE.into()));
    let pairs = pairs.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
    pairs.chain([template]).collect()
}

/// The word of this number when all words are counted, shorter ones first.
fn piece(index: u32) -> String {
    let mut letters = Vec::new();
    let mut left = index + 1;
    while left > 0 {
        let letter = (left - 1) % N_LETTERS;
        letters.push(if letter == 0 { BORDER } else { char::from(b'a' + letter as u8 - 1) });
        left = (left - 1) / N_LETTERS;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn pieces_are_distinct_and_grow_letter_by_letter() {
        let all: Vec<String> = (0..100_000).map(piece).collect();
        let known: HashSet<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(known.len(), all.len());
        for word in &all {
            let shorter = word.char_indices().last().map_or("", |(last, _)| &word[..last]);
            assert!(shorter.is_empty() || known.contains(shorter), "{word}");
        }
    }
}
