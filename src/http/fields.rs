//! The fields of a JSON body, taken one by one, so that a wrong one is named.
//!
//! Used by `text.rs` and the dialects. A field that is null is absent; what is left over is
//! ignored, for clients send more than anybody reads. Errors: [`ApiError`] with the field.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::errors::{ApiError, body_error};

/// Longest explanation of the JSON reader that is passed on; it may quote all that it read.
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
            .map_err(|error| ApiError::invalid(format!("no JSON: {error}"), None))?;
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
        serde_json::from_value(value).map_err(|error| {
            let reason: String = error.to_string().chars().take(REASON_MAX_CHARACTERS).collect();
            self.wrong(name, &format!("can't be read: {reason}"))
        })
    }

    /// Takes a field out that is 0; whether it was.
    pub(super) fn take_zero(&mut self, name: &str) -> bool {
        let is_zero = self.map.get(name).is_some_and(|value| value.as_f64() == Some(0.0));
        if is_zero {
            self.map.remove(name);
        }
        is_zero
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

    /// Takes the `type` of this object, empty when it has none.
    ///
    /// # Errors
    /// When it is no text.
    pub(super) fn kind(&mut self) -> Result<String, ApiError> {
        Ok(self.optional("type")?.unwrap_or_default())
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
    fn a_wrong_value_is_not_quoted_at_length() {
        let body = format!("{{\"n\": \"{}\"}}", "x".repeat(10_000));
        let mut body = Fields::of_bytes(body.as_bytes()).expect("an object");
        let error = body.optional::<i64>("n").expect_err("a text");
        assert!(error.message.len() < 400, "{}", error.message);
    }

    #[test]
    fn what_is_no_object_is_no_body() {
        for text in ["", "[]", "1", "{"] {
            assert_eq!(fields(text).expect_err("refused").status.as_u16(), 400, "{text}");
        }
        let error = Fields::of_value(Value::from(3), "input[0]").expect_err("a number");
        assert_eq!(error.param.as_deref(), Some("input[0]"));
    }
}
