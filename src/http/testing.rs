//! Hostile bodies for the properties of the doors' readers; compiled for tests only.

use proptest::{prelude::*, strategy::Strategy};
use serde_json::{Map, Value};

/// Any JSON, for the properties of the doors' readers.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
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
pub(super) fn any_body(names: &[&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let field = (proptest::sample::select(names.to_vec()), any_json());
    prop::collection::vec(field, 0..6).prop_map(|fields| {
        let mut body = Map::from_iter([("model".to_owned(), Value::from("m"))]);
        body.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(body).to_string().into_bytes()
    })
}
