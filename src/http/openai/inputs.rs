//! Prompts of completions and inputs of embeddings: texts, token ids, or lists of either.
//!
//! Called by `completion_request.rs` and `embeddings.rs`. Forms: `"text"`, `["text", ..]`,
//! `[id, ..]`, `[[id, ..], ..]`. Errors: 400 [`ApiError`] with the field.

use serde_json::Value;

use crate::{generate::Prompt, http::errors::ApiError};

/// Reads one or several; none is empty, and there are at most `most`.
pub(super) fn read(value: Value, param: &str, most: usize) -> Result<Vec<Prompt>, ApiError> {
    let wrong = |message: String| ApiError::invalid(message, Some(param));
    let prompts = match value {
        Value::String(text) => Some(vec![Prompt::Text(text)]),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            token_ids(&items).map(|ids| vec![ids])
        }
        Value::Array(items) => {
            if items.len() > most {
                return Err(wrong(format!("`{param}` has at most {most} of them")));
            }
            items.into_iter().map(one).collect()
        }
        _ => None,
    };
    let prompts = prompts.filter(|prompts| !prompts.is_empty());
    let prompts = prompts.ok_or_else(|| {
        wrong(format!("`{param}` is a text, a list of token ids, or a list of either"))
    })?;
    match prompts.iter().any(is_empty) {
        true => Err(wrong(format!("`{param}` is empty, or a part of it is"))),
        false => Ok(prompts),
    }
}

fn one(item: Value) -> Option<Prompt> {
    match item {
        Value::String(text) => Some(Prompt::Text(text)),
        Value::Array(ids) => token_ids(&ids),
        _ => None,
    }
}

fn token_ids(items: &[Value]) -> Option<Prompt> {
    let id = |item: &Value| item.as_u64().and_then(|id| u32::try_from(id).ok());
    items.iter().map(id).collect::<Option<Vec<u32>>>().map(Prompt::Tokens)
}

fn is_empty(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(ids) => ids.is_empty(),
        Prompt::Chat(_) | Prompt::Infill { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::testing::any_json;

    #[test]
    fn all_four_forms_are_read() {
        let read = |value: Value| read(value, "prompt", 3).expect("valid");
        let text = |text: &str| Prompt::Text(text.to_owned());
        assert_eq!(read("a".into()), [text("a")]);
        assert_eq!(read(json!(["a", "b"])), [text("a"), text("b")]);
        assert_eq!(read(json!([1, 2, 3, 4])), [Prompt::Tokens(vec![1, 2, 3, 4])]);
        assert_eq!(
            read(json!([[1], [2, 3]])),
            [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]
        );
    }

    #[test]
    fn other_forms_are_refused() {
        let wrong = [
            json!(null),
            json!(3),
            json!({}),
            json!([]),
            json!(""),
            json!(["a", ""]),
            json!([[]]),
            json!([-1]),
            json!([1.5]),
            json!([1_u64 << 32]),
            json!([1, "a"]),
            json!(["a", 1]),
            json!([[["a"]]]),
            json!(["a", "b", "c", "d"]),
        ];
        for value in wrong {
            let error = read(value.clone(), "prompt", 3).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some("prompt")),
                "{value}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in any_json()) {
            if let Ok(prompts) = read(value, "input", 5) {
                prop_assert!((1..=5).contains(&prompts.len()));
                prop_assert!(!prompts.iter().any(is_empty));
            }
        }
    }
}
