//! Ids of function calls as templates of Mistral insist on them: nine letters or digits.
//!
//! Called by `prompt.rs` for models that call functions in Mistral's format; several of their
//! templates refuse a conversation with any other id. An id of that form stays as it is; another
//! one is replaced by a hash of it, so that a call and its result still have the same, in every
//! turn and on every node. Only what the model reads is changed. Errors: none.

use serde_json::Value;

/// Length of an id.
const CHARACTERS: usize = 9;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Shortens the ids of all calls and results of a conversation.
pub(super) fn shorten(messages: &mut Value) {
    for message in messages.as_array_mut().into_iter().flatten() {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        let of_calls = calls.into_iter().flatten().filter_map(|call| call.get_mut("id"));
        of_calls.for_each(shorten_one);
        message.get_mut("tool_call_id").into_iter().for_each(shorten_one);
    }
}

fn shorten_one(id: &mut Value) {
    let Value::String(text) = id else { return };
    if text.len() == CHARACTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let hash = blake3::hash(text.as_bytes());
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    *text = hash.as_bytes()[..CHARACTERS].iter().map(letter).collect();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shortened(id: &str) -> String {
        let mut messages = json!([
            {"role": "assistant", "tool_calls": [{"id": id, "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": id, "content": id},
        ]);
        shorten(&mut messages);
        assert_eq!(messages[0]["tool_calls"][0]["id"], messages[1]["tool_call_id"]);
        assert_eq!(messages[1]["content"], id, "a text is no id");
        messages[1]["tool_call_id"].as_str().expect("a text").to_owned()
    }

    #[test]
    fn an_id_that_is_short_enough_stays() {
        assert_eq!(shortened("abcDEF123"), "abcDEF123");
    }

    #[test]
    fn what_is_no_conversation_is_left_alone() {
        let odd = json!([1, {"tool_calls": [{"id": 7}, {}, null]}, {"tool_call_id": null}]);
        let mut same = odd.clone();
        shorten(&mut same);
        assert_eq!(same, odd);
    }

    proptest! {
        #[test]
        fn every_id_gets_nine_letters_or_digits_of_its_own(
            one in any::<String>(), other in any::<String>(),
        ) {
            let [first, second] = [&one, &other].map(|id| shortened(id));
            for id in [&first, &second] {
                prop_assert!(id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()));
            }
            prop_assert_eq!(first == second, one == other);
        }
    }
}
