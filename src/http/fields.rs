//! The fields of a JSON body, taken one by one, so that a wrong one is named.
//!
//! Used by `text.rs` and `ollama/`. A field that is null is absent; what is left over is ignored,
//! for clients send more than anybody reads. Errors: [`ApiError`] with the field.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::errors::{ApiError, body_error};

/// Fields not taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Where they stand, as `options.`.
    within: &'static str,
}

impl Fields {
    /// The fields of a body, which is a JSON object.
    ///
    /// # Errors
    /// When it could not be read whole, or is none.
    pub(super) fn of_body(body: Result<Bytes, actix_web::Error>) -> Result<Fields, ApiError> {
        let body = body.map_err(|error| body_error(&error))?;
        let value: Value = serde_json::from_slice(&body)
            .map_err(|error| ApiError::invalid(format!("no JSON: {error}"), None))?;
        match value {
            Value::Object(map) => Ok(Fields::of_map(map)),
            _ => Err(ApiError::invalid("the body is a JSON object", None)),
        }
    }

    /// The fields of an object.
    pub(super) fn of_map(map: Map<String, Value>) -> Fields {
        Fields { map, within: "" }
    }

    /// The fields of an object within; none when it is absent.
    ///
    /// # Errors
    /// When it is no object.
    pub(super) fn object(&mut self, name: &str, within: &'static str) -> Result<Fields, ApiError> {
        let map = self.optional::<Map<String, Value>>(name)?.unwrap_or_default();
        Ok(Fields { map, within })
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
            let name = format!("{}{name}", self.within);
            ApiError::invalid(format!("`{name}`: {error}"), Some(&name))
        })
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
        Err(ApiError::invalid(format!("`{name}` is missing or empty"), Some(name)))
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
        assert!(error.message.starts_with("`a`: invalid type"), "{error}");
        assert_eq!(body.optional::<String>("b").expect("absent"), None);
        let mut inner = body.object("o", "o.").expect("an object");
        let error = inner.optional::<f64>("t").expect_err("a text");
        assert_eq!(error.param.as_deref(), Some("o.t"));
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
    }
}
