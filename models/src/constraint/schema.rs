//! Where a JSON schema asks for what can't be followed.
//!
//! Called by the doors before anything is generated: the place goes into the answer to the caller,
//! which the compiler alone does not know. No vocabulary is needed. Errors: none; a fault is the
//! result. Source: the same compiler that [`super::Constraint`] uses.

use llguidance::{GrammarBuilder, JsonCompileOptions, api::ParserLimits};
use serde_json::{Value, json};

use super::{grammar, on_large_stack, short};

/// Parts of a schema that are tried one by one until the place is as exact as it is.
const TRIES_MAX: usize = 256;
/// Bytes of schemas that are compiled for it: a part may come with all definitions.
const TRIED_BYTES_MAX: usize = 4 << 20;
/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
];
/// Keywords whose value has schemas by name. Definitions come last: not all of them are in use.
const NAMED: [&str; 5] =
    ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
/// Keywords whose value is a list of schemas.
const SEVERAL: [&str; 5] = ["prefixItems", "items", "anyOf", "oneOf", "allOf"];

/// What is wrong with a schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// The part that is wrong, such as `.properties.name` or `.anyOf[1]`; empty for the whole.
    pub path: String,
    /// What the compiler says of it.
    pub reason: String,
}

/// What can't be followed in a schema, if anything.
pub fn schema_fault(schema: &Value) -> Option<SchemaFault> {
    let checked = match grammar::checked_schema(schema) {
        Ok(checked) => checked,
        Err(error) => return Some(SchemaFault { path: String::new(), reason: error.to_string() }),
    };
    let search = || {
        let bytes = checked.to_string().len();
        let reason = compile(checked).err()?;
        let mut search = Search { root: schema, tries: TRIES_MAX.min(TRIED_BYTES_MAX / bytes) };
        Some(search.narrowed(schema, SchemaFault { path: String::new(), reason }))
    };
    match on_large_stack(search) {
        Ok(fault) => fault,
        Err(reason) => Some(SchemaFault { path: String::new(), reason }),
    }
}

fn compile(schema: Value) -> Result<(), String> {
    let builder = GrammarBuilder::new(None, ParserLimits::default());
    let options = JsonCompileOptions::default();
    let compiled = options.json_to_llg_with_overrides(builder, schema);
    compiled.map(|_| ()).map_err(|error| short(&error.to_string()))
}

/// Looks for the smallest part that fails on its own.
struct Search<'s> {
    root: &'s Value,
    tries: usize,
}

impl Search<'_> {
    fn narrowed(&mut self, schema: &Value, fault: SchemaFault) -> SchemaFault {
        for (place, part) in parts(schema) {
            if self.tries == 0 {
                break;
            }
            self.tries -= 1;
            if let Err(reason) = compile(self.alone(part)) {
                let path = format!("{}{place}", fault.path);
                return self.narrowed(part, SchemaFault { path, reason });
            }
        }
        fault
    }

    /// A part with the definitions that it may refer to.
    fn alone(&self, part: &Value) -> Value {
        let mut part = part.clone();
        if let Value::Object(fields) = &mut part {
            for key in ["$defs", "definitions"] {
                if let (None, Some(definitions)) = (fields.get(key), self.root.get(key)) {
                    fields.insert(key.to_owned(), definitions.clone());
                }
            }
        }
        grammar::checked_schema(&part).unwrap_or(json!({}))
    }
}

/// The schemas within a schema, with their places.
fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    for key in SEVERAL {
        let listed = schema.get(key).and_then(Value::as_array).into_iter().flatten();
        parts.extend(listed.enumerate().map(|(n, part)| (format!(".{key}[{n}]"), part)));
    }
    for key in ONE {
        let one = schema.get(key).filter(|part| part.is_object());
        parts.extend(one.map(|part| (format!(".{key}"), part)));
    }
    for key in NAMED {
        let named = schema.get(key).and_then(Value::as_object).into_iter().flatten();
        parts.extend(named.map(|(name, part)| (format!(".{key}.{name}"), part)));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(schema: Value) -> String {
        schema_fault(&schema).expect("a fault").path
    }

    #[test]
    fn what_can_be_followed_has_no_fault() {
        let schema = json!({
            "type": "object",
            "title": "A node",
            "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}},
            "required": ["n"],
            "additionalProperties": false,
            "$defs": {"node": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        });
        assert_eq!(schema_fault(&schema), None);
        assert_eq!(schema_fault(&json!({})), None);
    }

    #[test]
    fn the_place_of_a_keyword_that_is_not_supported_is_told() {
        let odd = json!({"type": "string", "not": {"const": "a"}});
        let fault = schema_fault(&json!({"type": "object", "properties": {"b": odd}}));
        let fault = fault.expect("a fault");
        assert_eq!(fault.path, ".properties.b");
        assert!(fault.reason.contains("not"), "{}", fault.reason);
        let list = json!({"type": "array", "items": {"anyOf": [{"type": "null"}, odd]}});
        assert_eq!(path(json!({"properties": {"c": list}})), ".properties.c.items.anyOf[1]");
        assert_eq!(path(odd), "");
        assert_eq!(path(json!({"properties": {"a": {"$ref": "#/nowhere"}}})), ".properties.a");
    }

    #[test]
    fn a_schema_beyond_its_bounds_is_a_fault_as_a_whole() {
        let mut deep = json!({});
        for _ in 0..200 {
            deep = json!({"items": deep});
        }
        assert_eq!(path(deep), "");
        let wide: serde_json::Map<String, Value> =
            (0..2000).map(|n| (format!("p{n}"), json!({"type": "string"}))).collect();
        let mut wide = json!({"properties": wide});
        wide["properties"]["z"] = json!({"type": "nope"});
        assert_eq!(path(wide), "");
    }
}
