//! JSON schemas of tools, made from our own types, in the form that clients get along with.
//!
//! Called by `tools/`. Dialect 2020-12 without `$schema`, `$ref` and `format`: some clients refuse
//! the formats that are not the dialect's own (`uint32`), and every word of a schema is read by a
//! model. What may be left out is not said to be nullable as well: clients that make forms or
//! arguments out of a schema want one type. Pure.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// What a tool accepts.
pub fn of_input<T: JsonSchema>() -> Map<String, Value> {
    cleaned::<T>(SchemaSettings::draft2020_12())
}

/// What a tool returns.
pub fn of_output<T: JsonSchema>() -> Map<String, Value> {
    cleaned::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn cleaned<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut schema);
    match schema {
        Value::Object(mut schema) => {
            schema.remove("title");
            schema.remove("description");
            schema
        }
        _ => Map::new(),
    }
}

fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A property may be called so; a keyword is a text.
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            drop_null(object);
            object.values_mut().for_each(simplify);
        }
        Value::Array(list) => list.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// Of a type or null, the type.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                // What is said of the field goes before what is said of its type.
                object.entry(key).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Outer {
        /// How many.
        count: u32,
        /// What is in it.
        inner: Option<Inner>,
        other: Option<u8>,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Inner {
        format: String,
    }

    #[test]
    fn a_schema_stands_alone_and_speaks_plain_json_schema() {
        let schema = Value::Object(of_input::<Outer>());
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["required"], json!(["count"]));
        assert_eq!(schema["properties"]["count"]["description"], "How many.");
        let text = schema.to_string();
        assert!(!text.contains("$ref") && !text.contains("uint32"), "{text}");
        assert!(text.contains("\"format\":{\"type\":\"string\"}"), "{text}");
        assert_eq!(schema["properties"]["inner"]["type"], "object");
        assert_eq!(schema["properties"]["inner"]["description"], "What is in it.");
        assert!(!text.contains("null"), "{text}");
    }
}
