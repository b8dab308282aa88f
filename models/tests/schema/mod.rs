//! Whether a value is valid under a JSON schema, for the keywords that the tests use.
//!
//! Written against the specification (draft 2020-12), independently of the compiler that it judges.

use regex_automata::meta::Regex;
use serde_json::Value;

/// Checks `value`; `root` is what references refer to.
pub(crate) fn check(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else { return Ok(()) };
    for (keyword, wanted) in keywords {
        if !holds(value, (keyword, wanted), schema, root)? {
            return Err(format!("{value} breaks {keyword}: {wanted}"));
        }
    }
    Ok(())
}

fn holds(
    value: &Value,
    (keyword, wanted): (&str, &Value),
    schema: &Value,
    root: &Value,
) -> Result<bool, String> {
    let number = |found: Option<f64>, is_right: fn(&f64, &f64) -> bool| {
        found.is_none_or(|found| is_right(&found, &wanted.as_f64().unwrap_or(f64::NAN)))
    };
    let items = value.as_array().map(|items| items.len() as f64);
    let length = value.as_str().map(|text| text.chars().count() as f64);
    Ok(match keyword {
        "type" => has_type(value, wanted.as_str().unwrap_or_default()),
        "const" => value == wanted,
        "enum" => wanted.as_array().is_some_and(|choices| choices.contains(value)),
        "minimum" => number(value.as_f64(), f64::ge),
        "maximum" => number(value.as_f64(), f64::le),
        "minItems" => number(items, f64::ge),
        "maxItems" => number(items, f64::le),
        "minLength" => number(length, f64::ge),
        "maxLength" => number(length, f64::le),
        "pattern" => {
            let pattern = Regex::new(wanted.as_str().unwrap_or_default());
            let pattern = pattern.map_err(|error| error.to_string())?;
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "items" => {
            for item in value.as_array().into_iter().flatten() {
                check(item, wanted, root)?;
            }
            true
        }
        "properties" => {
            for (name, inner) in wanted.as_object().into_iter().flatten() {
                if let Some(field) = value.get(name) {
                    check(field, inner, root)?;
                }
            }
            true
        }
        "required" => {
            let mut names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
            !value.is_object() || names.all(|name| value.get(name).is_some())
        }
        "additionalProperties" => {
            let mut names = value.as_object().into_iter().flatten().map(|(name, _)| name);
            wanted != &Value::Bool(false)
                || names.all(|name| schema["properties"].get(name).is_some())
        }
        "anyOf" => {
            let mut choices = wanted.as_array().into_iter().flatten();
            choices.any(|choice| check(value, choice, root).is_ok())
        }
        "$ref" => {
            let path = wanted.as_str().unwrap_or_default().trim_start_matches('#');
            let inner = root.pointer(path).ok_or_else(|| format!("no {wanted}"))?;
            check(value, inner, root)?;
            true
        }
        "$defs" => true,
        other => return Err(format!("the judge does not know {other}")),
    })
}

fn has_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}
