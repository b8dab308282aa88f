//! Grammars as callers give them, and their bounds.
//!
//! Called by `Constraint::new`. Texts are bounded in length and in nesting, because compilers walk
//! them recursively; schemas also in their counts, because a count of n is n steps of a grammar.
//! Errors: [`ConstraintError`]. Source: JSON Schema 2020-12 as far as llguidance follows it (an
//! unsupported keyword is refused, not passed over), Rust's regular expressions, Lark.

use llguidance::{JsonCompileOptions, api::TopLevelGrammar};
use serde_json::Value;

use super::ConstraintError;

/// Longest schema as text: a few dozen tools.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Longest regular expression.
const MAX_REGEX_BYTES: usize = 64 << 10;
/// Longest Lark grammar, which may hold schemas.
const MAX_LARK_BYTES: usize = 256 << 10;
/// Deepest nesting of either.
const MAX_DEPTH: usize = 64;
/// Largest `minItems` and its like.
const MAX_COUNT: u64 = 10_000;
/// What may stand between the parts of JSON: a space, or a line's end and the indentation of the
/// next one. No more: a model must not idle in white space.
const JSON_SPACE: &str = r"\x20|\x0D?\x0A[\x20\x09]{0,40}";

/// What an answer must follow.
#[derive(Debug, Clone, Copy)]
pub enum Grammar<'g> {
    /// Any JSON object.
    JsonObject,
    /// JSON that is valid under this schema.
    JsonSchema(&'g Value),
    /// A text that matches as a whole.
    Regex(&'g str),
    /// A Lark grammar; answers start at its rule `start`.
    Lark(&'g str),
}

impl Grammar<'_> {
    /// Its name in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Grammar::JsonObject | Grammar::JsonSchema(_) => "JSON schema",
            Grammar::Regex(_) => "regular expression",
            Grammar::Lark(_) => "Lark grammar",
        }
    }

    /// The grammar for the compiler, once it is within bounds.
    pub(super) fn checked(&self) -> Result<TopLevelGrammar, ConstraintError> {
        match self {
            Grammar::JsonObject => Ok(json(serde_json::json!({"type": "object"}))),
            Grammar::JsonSchema(schema) => {
                self.check_value(schema, 0)?;
                self.check_length(schema.to_string().len(), MAX_SCHEMA_BYTES)?;
                Ok(json((*schema).clone()))
            }
            Grammar::Regex(text) => {
                self.check_text(text)?;
                Ok(TopLevelGrammar::from_regex(text))
            }
            Grammar::Lark(text) => {
                self.check_text(text)?;
                Ok(TopLevelGrammar::from_lark((*text).to_owned()))
            }
        }
    }

    fn check_length(&self, bytes: usize, limit: usize) -> Result<(), ConstraintError> {
        if bytes <= limit {
            return Ok(());
        }
        Err(ConstraintError::TooLong { kind: self.kind(), bytes, limit })
    }

    /// Brackets count as nesting wherever they stand; in strings they come in pairs or matter not.
    fn check_text(&self, text: &str) -> Result<(), ConstraintError> {
        let is_regex = matches!(self, Grammar::Regex(_));
        self.check_length(text.len(), if is_regex { MAX_REGEX_BYTES } else { MAX_LARK_BYTES })?;
        let mut depth = 0_usize;
        for byte in text.bytes() {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(ConstraintError::TooDeep { kind: self.kind(), limit: MAX_DEPTH });
            }
        }
        Ok(())
    }

    fn check_value(&self, value: &Value, depth: usize) -> Result<(), ConstraintError> {
        if depth > MAX_DEPTH {
            return Err(ConstraintError::TooDeep { kind: self.kind(), limit: MAX_DEPTH });
        }
        match value {
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.check_value(item, depth + 1))
            }
            Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
                check_count(key, field)?;
                self.check_value(field, depth + 1)
            }),
            _ => Ok(()),
        }
    }
}

/// A property that has the name of a keyword holds a schema, not a number.
fn check_count(key: &str, value: &Value) -> Result<(), ConstraintError> {
    const KEYS: [&str; 6] =
        ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];
    match value.as_f64() {
        Some(count) if KEYS.contains(&key) && count > MAX_COUNT as f64 => {
            let (key, value) = (key.to_owned(), count as u64);
            Err(ConstraintError::CountTooLarge { key, value, limit: MAX_COUNT })
        }
        _ => Ok(()),
    }
}

/// A schema within bounds, with our options, to be written into a Lark grammar.
pub(super) fn checked_schema(schema: &Value) -> Result<Value, ConstraintError> {
    let grammar = Grammar::JsonSchema(schema);
    grammar.check_value(schema, 0)?;
    grammar.check_length(schema.to_string().len(), MAX_SCHEMA_BYTES)?;
    Ok(with_options(schema.clone()))
}

/// A schema with our options, whatever options it brought along.
fn json(schema: Value) -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(with_options(schema))
}

fn with_options(schema: Value) -> Value {
    // The schema that allows everything has nowhere to put options.
    let mut schema = if schema == Value::Bool(true) { serde_json::json!({}) } else { schema };
    if schema.is_object() {
        let options = JsonCompileOptions {
            whitespace_pattern: Some(JSON_SPACE.into()),
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut schema);
    }
    schema
}
