//! The page of the documentation, written from the OpenAPI document.
//!
//! Called once by `mod.rs`. HTML without scripts; all texts are escaped. A reader sees each path
//! with what it takes and answers, one below the other, and opens those of interest.

use serde_json::Value;

const STYLE: &str = include_str!("page.css");
/// Methods in the order in which they are shown.
const METHODS: [&str; 4] = ["get", "head", "post", "delete"];

/// The whole page.
pub(super) fn render(document: &Value) -> String {
    let info = &document["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    let groups: String = list(&document["tags"]).iter().map(|tag| group(document, tag)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} API</title><style>{STYLE}</style></head><body><main>\
         <h1>{title} {version}</h1><p>{about}</p>\
         <p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>{groups}\
         </main></body></html>\n",
        about = text(&info["description"]),
    )
}

fn group(document: &Value, tag: &Value) -> String {
    let mut html = format!("<h2>{}</h2><p>{}</p>", text(&tag["name"]), text(&tag["description"]));
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let operation = &item[method];
            if operation["tags"][0] == tag["name"] {
                html.push_str(&operation_html(document, (method, path), operation));
            }
        }
    }
    html
}

fn operation_html(document: &Value, (method, path): (&str, &str), operation: &Value) -> String {
    let mut html = format!(
        "<details><summary><span class=\"method\">{}</span><span class=\"path\">{}</span>\
         <span class=\"about\">{}</span></summary><div>",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"]),
    );
    let parameters: String = list(&operation["parameters"]).iter().map(parameter_row).collect();
    if !parameters.is_empty() {
        html.push_str(&table("Parameters", &parameters));
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    html.push_str(&fields("Body", document, body));
    for (media, content) in
        operation["responses"]["200"]["content"].as_object().into_iter().flatten()
    {
        let heading = format!("Answer: {media}");
        match content["schema"].is_null() {
            true => html.push_str(&format!("<h4>{}</h4>", escape(&heading))),
            false => html.push_str(&fields(&heading, document, &content["schema"])),
        }
    }
    html + "</div></details>"
}

fn parameter_row(parameter: &Value) -> String {
    let kind = format!("in the {}", text(&parameter["in"]));
    row(&text(&parameter["name"]), &kind, &text(&parameter["description"]))
}

/// The fields of an object.
fn fields(heading: &str, document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let Some(properties) = schema["properties"].as_object() else { return String::new() };
    let required = list(&schema["required"]);
    let rows = properties.iter().map(|(name, property)| {
        let needed = required.iter().any(|one| one == name);
        let kind = format!("{}{}", kind(document, property), if needed { ", needed" } else { "" });
        row(&escape(name), &kind, &text(&property["description"]))
    });
    table(heading, &rows.collect::<String>())
}

/// The type of a field, in words.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let of_union = |name| list(&schema[name]).iter().find(|one| one["type"] != "null");
    if let Some(one) = of_union("oneOf").or(of_union("anyOf")) {
        return kind(document, one);
    }
    let name = match &schema["type"] {
        Value::Array(several) => several.iter().find(|one| *one != "null").map(text),
        one @ Value::String(_) => Some(text(one)),
        _ => None,
    };
    match name.as_deref() {
        Some("array") => format!("array of {}", kind(document, &schema["items"])),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    }
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

fn table(heading: &str, rows: &str) -> String {
    format!(
        "<h4>{}</h4><table><tr><th>Name</th><th>Type</th><th>Meaning</th></tr>{rows}</table>",
        escape(heading)
    )
}

/// A row of cells that are HTML already.
fn row(name: &str, kind: &str, about: &str) -> String {
    format!("<tr><td><code>{name}</code></td><td class=\"kind\">{kind}</td><td>{about}</td></tr>")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text of the document; what stands between backticks is code.
fn text(value: &Value) -> String {
    let parts = value.as_str().unwrap_or_default().split('`').enumerate();
    let part = |(index, part): (usize, &str)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.map(part).collect()
}

fn escape(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_is_shown_with_its_fields() {
        let document = json!({
            "info": {"title": "T", "version": "1", "description": "a < b"},
            "tags": [{"name": "G", "description": "about `x`"}],
            "paths": {"/p/{id}": {"post": {
                "tags": ["G"], "summary": "Does it.",
                "parameters": [{"name": "id", "in": "path"}],
                "requestBody": {"content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/B"}}}},
                "responses": {"200": {"content": {"text/plain": {}}}},
            }}},
            "components": {"schemas": {"B": {"required": ["a"], "properties": {
                "a": {"type": "array", "items": {"type": "string"}, "description": "<b>"},
                "o": {"oneOf": [{"type": "null"}, {"type": ["integer", "null"]}]},
            }}}},
        });
        let html = render(&document);
        for part in [
            "a &lt; b",
            "about <code>x</code>",
            "<span class=\"method\">POST</span><span class=\"path\">/p/{id}</span>",
            "array of string, needed</td><td>&lt;b&gt;",
            "<code>o</code></td><td class=\"kind\">integer<",
            "Answer: text/plain",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }
}
