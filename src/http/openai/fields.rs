//! A JSON body, field by field, so that every mistake in it is told with the field's name.
//!
//! Used by everything in this folder that reads a body. A field that is absent and one that is
//! null are the same; fields that nobody takes are ignored. Errors: 400 [`ApiError`].

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::errors::ApiError;

/// Longest explanation of the JSON reader that is passed on; it may quote what it read.
const REASON_MAX_CHARACTERS: usize = 200;

/// The fields that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body, which must be an object.
    pub(super) fn read(body: &[u8]) -> Result<Fields, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(ApiError::invalid("the body is no JSON object", None)),
            Err(error) => {
                let message = format!("the body is no JSON: {}", reason(&error));
                Err(ApiError::invalid(message, None))
            }
        }
    }

    /// The value of a field.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let value = self.0.remove(name).filter(|value| !value.is_null());
        let read = value.map(serde_json::from_value).transpose();
        read.map_err(|error| {
            ApiError::invalid(format!("`{name}` is wrong: {}", reason(&error)), Some(name))
        })
    }

    /// The value of a field that must be there.
    pub(super) fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        let missing = || ApiError::invalid(format!("`{name}` is missing"), Some(name));
        self.take(name)?.ok_or_else(missing)
    }

    /// Refuses a field that asks for what is not here.
    pub(super) fn refuse(&mut self, name: &str, message: &str) -> Result<(), ApiError> {
        match self.take::<Value>(name)? {
            Some(_) => Err(ApiError::unsupported(message, name)),
            None => Ok(()),
        }
    }
}

fn reason(error: &serde_json::Error) -> String {
    error.to_string().chars().take(REASON_MAX_CHARACTERS).collect()
}

/// Any JSON, for the properties of this folder's readers.
#[cfg(test)]
pub(super) fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;

    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(vec![
            "user",
            "assistant",
            "tool",
            "function",
            "text",
            "json_schema",
            "auto",
            "required",
            "none",
            "{\"a\":1}",
            "allowed_tools",
            "base64",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key = proptest::sample::select(vec![
            "role",
            "content",
            "type",
            "text",
            "name",
            "function",
            "arguments",
            "tool_calls",
            "id",
            "tool_call_id",
            "function_call",
            "schema",
            "json_schema",
            "mode",
            "tools",
            "parameters",
            "allowed_tools",
            "include_usage",
            "12",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// A body with any of these fields and a model, for the same.
#[cfg(test)]
pub(super) fn any_body(
    names: &[&'static str],
) -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;

    let field = (proptest::sample::select(names.to_vec()), any_json());
    prop::collection::vec(field, 0..6).prop_map(|fields| {
        let mut body = Map::from_iter([("model".to_owned(), Value::from("m"))]);
        body.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(body).to_string().into_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_told_with_its_field_and_not_with_all_of_its_text() {
        let body = format!(r#"{{"n": "{}", "a": null, "b": 2}}"#, "x".repeat(10_000));
        let mut fields = Fields::read(body.as_bytes()).expect("an object");
        let error = fields.take::<i64>("n").expect_err("a text");
        assert_eq!(error.param.as_deref(), Some("n"));
        assert!(error.message.len() < 400, "{}", error.message);
        assert_eq!(fields.take::<i64>("a").expect("null is absent"), None);
        assert_eq!(fields.take::<i64>("b").expect("a number"), Some(2));
        assert_eq!(fields.require::<i64>("b").expect_err("taken").status.as_u16(), 400);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "3", "{", "\u{0}", "\"x\""] {
            assert_eq!(Fields::read(body.as_bytes()).expect_err(body).status.as_u16(), 400);
        }
        assert!(Fields::read(&[0xff, b'{', b'}']).is_err());
    }
}
