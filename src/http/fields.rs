//! The fields of a JSON body, taken one by one, so that a wrong one is named.
//!
//! Used by `text.rs`, `anthropic/`, `ollama/`, `openai/` and `responses/`. A field that is null is
//! absent; what is left over is ignored, for clients send more than anybody reads. Errors:
//! [`ApiError`] with the field.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::errors::{ApiError, body_error};

/// Longest explanation of the JSON reader that is passed on; it may quote what it read.
const REASON_MAX_CHARACTERS: usize = 200;

/// Fields not taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Where they stand, as `options.`; empty for the body itself.
    within: String,
}

impl Fields {
    /// The fields of a body, which is a JSON object.
    ///
    /// # Errors
    /// When it could not be read whole, or is none.
    pub(super) fn of_body(body: Result<Bytes, actix_web::Error>) -> Result<Fields, ApiError> {
        Fields::of_bytes(&body.map_err(|error| body_error(&error))?)
    }

    /// The same of a body that was read.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub(super) fn of_bytes(body: &[u8]) -> Result<Fields, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid(format!("no JSON: {}", reason(&error)), None))?;
        match value {
            Value::Object(map) => Ok(Fields::of_map(map)),
            _ => Err(ApiError::invalid("the body is a JSON object", None)),
        }
    }

    /// The fields of an object.
    pub(super) fn of_map(map: Map<String, Value>) -> Fields {
        Fields { map, within: String::new() }
    }

    /// The fields of a value somewhere in the body, such as `input[3]`.
    ///
    /// # Errors
    /// When it is no object.
    pub(super) fn of_value(value: Value, path: &str) -> Result<Fields, ApiError> {
        match value {
            Value::Object(map) => Ok(Fields { map, within: format!("{path}.") }),
            _ => Err(ApiError::invalid(format!("`{path}` is an object"), Some(path))),
        }
    }

    /// The fields of an object within; none when it is absent.
    ///
    /// # Errors
    /// When it is no object.
    pub(super) fn object(&mut self, name: &str) -> Result<Fields, ApiError> {
        let map = self.optional::<Map<String, Value>>(name)?.unwrap_or_default();
        Ok(Fields { map, within: format!("{}.", self.path(name)) })
    }

    /// A field that may be absent.
    ///
    /// # Errors
    /// When it is of another type.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        let value = self.map.remove(name).unwrap_or_default();
        serde_json::from_value(value)
            .map_err(|error| self.wrong(name, &format!("can't be read: {}", reason(&error))))
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// When it is missing or of another type.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        self.optional(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A text that must be there, under the first of these names that is.
    ///
    /// # Errors
    /// When it is missing, empty or of another type.
    pub(super) fn text(&mut self, names: &[&str]) -> Result<String, ApiError> {
        for name in names {
            if let Some(text) = self.optional::<String>(name)?.filter(|text| !text.is_empty()) {
                return Ok(text);
            }
        }
        let name = names.first().copied().unwrap_or_default();
        Err(self.wrong(name, "is missing or empty"))
    }

    /// Refuses a field that asks for what is not here.
    ///
    /// # Errors
    /// When it is there.
    pub(super) fn refuse(&mut self, name: &str, message: &str) -> Result<(), ApiError> {
        match self.optional::<Value>(name)? {
            Some(_) => Err(ApiError::unsupported(message, &self.path(name))),
            None => Ok(()),
        }
    }

    /// The `type` of this object, empty when it has none.
    pub(super) fn kind(&self) -> String {
        let kind = self.map.get("type").and_then(Value::as_str);
        kind.unwrap_or_default().to_owned()
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The name of a field as seen from the body.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    /// An error about a field: what is wrong with it.
    pub(super) fn wrong(&self, name: &str, what: &str) -> ApiError {
        let path = self.path(name);
        ApiError::invalid(format!("`{path}` {what}"), Some(&path))
    }
}

fn reason(error: &serde_json::Error) -> String {
    error.to_string().chars().take(REASON_MAX_CHARACTERS).collect()
}

/// Any JSON, for the properties of readers of bodies.
#[cfg(test)]
pub(in crate::http) fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
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
pub(in crate::http) fn any_body(
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

    fn fields(text: &'static str) -> Result<Fields, ApiError> {
        Fields::of_body(Ok(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn a_wrong_field_is_named_and_null_is_absent() {
        let mut body = fields(r#"{"a": 1, "b": null, "o": {"t": "x"}}"#).expect("an object");
        let error = body.optional::<String>("a").expect_err("a number");
        assert_eq!(error.param.as_deref(), Some("a"));
        assert!(error.message.starts_with("`a` can't be read: invalid type"), "{error}");
        assert_eq!(body.optional::<String>("b").expect("absent"), None);
        let mut inner = body.object("o").expect("an object");
        let error = inner.optional::<f64>("t").expect_err("a text");
        assert_eq!(error.param.as_deref(), Some("o.t"));
        let error = inner.required::<f64>("u").expect_err("missing");
        assert_eq!(error.message, "`o.u` is missing");
        assert_eq!(
            body.text(&["model", "name"]).expect_err("none").param.as_deref(),
            Some("model")
        );
    }

    #[test]
    fn what_is_no_object_is_no_body() {
        for text in ["", "[]", "1", "{"] {
            assert_eq!(fields(text).expect_err("refused").status.as_u16(), 400, "{text}");
        }
        let error = Fields::of_value(Value::from(3), "input[0]").expect_err("a number");
        assert_eq!(error.param.as_deref(), Some("input[0]"));
    }

    #[test]
    fn a_wrong_type_is_told_with_its_field_and_not_with_all_of_its_text() {
        let body = format!(r#"{{"n": "{}", "a": null, "b": 2}}"#, "x".repeat(10_000));
        let mut fields = Fields::of_bytes(body.as_bytes()).expect("an object");
        let error = fields.optional::<i64>("n").expect_err("a text");
        assert_eq!(error.param.as_deref(), Some("n"));
        assert!(error.message.len() < 400, "{}", error.message);
        assert_eq!(fields.optional::<i64>("a").expect("null is absent"), None);
        assert_eq!(fields.optional::<i64>("b").expect("a number"), Some(2));
        assert_eq!(fields.required::<i64>("b").expect_err("taken").status.as_u16(), 400);
    }
}
