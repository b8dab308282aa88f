//! The fields of a body, taken one by one, so that a wrong type is told with the field's name.
//!
//! Used by `request.rs`, `input.rs` and `tools.rs`. Fields nobody takes are ignored: agents send
//! many. Errors: [`ApiError`] with `param`.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::errors::ApiError;

/// A JSON object that is being read.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: Map<String, Value>,
    /// Where it is in the body, with a dot behind; empty for the body itself.
    path: String,
}

impl Fields {
    /// The body.
    pub(super) fn of_body(body: &[u8]) -> Result<Fields, ApiError> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid(format!("no JSON: {error}"), None))?;
        match body {
            Value::Object(values) => Ok(Fields { values, path: String::new() }),
            _ => Err(ApiError::invalid("the body is no JSON object", None)),
        }
    }

    /// An object inside of it, such as `input[3]`.
    pub(super) fn of_value(value: Value, path: &str) -> Result<Fields, ApiError> {
        match value {
            Value::Object(values) => Ok(Fields { values, path: format!("{path}.") }),
            _ => Err(ApiError::invalid(format!("`{path}` must be an object"), Some(path))),
        }
    }

    /// The name of a field as seen from the body.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A field; `None` when it is absent or null.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        match self.values.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                let path = self.path(name);
                ApiError::invalid(format!("`{path}`: {error}"), Some(&path))
            }),
        }
    }

    /// A field that must be there.
    pub(super) fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        self.take(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// An object field; an empty one when it is absent.
    pub(super) fn object(&mut self, name: &str) -> Result<Fields, ApiError> {
        match self.take(name)? {
            Some(value) => Fields::of_value(value, &self.path(name)),
            None => Ok(Fields { path: format!("{}.", self.path(name)), ..Fields::default() }),
        }
    }

    /// The `type` of this object, empty when it has none.
    pub(super) fn kind(&self) -> String {
        let kind = self.values.get("type").and_then(Value::as_str);
        kind.unwrap_or_default().to_owned()
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// An error about a field.
    pub(super) fn wrong(&self, name: &str, what: &str) -> ApiError {
        let path = self.path(name);
        ApiError::invalid(format!("`{path}` {what}"), Some(&path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let mut fields = Fields::of_body(br#"{"a": {"b": "x"}, "c": null, "d": 2}"#).expect("JSON");
        assert_eq!(fields.take::<u32>("c").expect("absent"), None);
        assert_eq!(fields.take::<f64>("d").expect("a number"), Some(2.0));
        let mut inner = fields.object("a").expect("an object");
        let error = inner.take::<u32>("b").expect_err("a text");
        assert_eq!(error.param.as_deref(), Some("a.b"));
        assert!(error.message.contains("a.b"), "{error}");
        assert_eq!(inner.require::<u32>("e").expect_err("missing").param.as_deref(), Some("a.e"));
    }

    #[test]
    fn only_objects_have_fields() {
        assert!(Fields::of_body(b"[]").is_err() && Fields::of_body(b"{").is_err());
        let error = Fields::of_value(json!(3), "input[0]").expect_err("a number");
        assert_eq!(error.param.as_deref(), Some("input[0]"));
    }
}
