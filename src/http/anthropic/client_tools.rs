//! Tools that a type names and the caller runs: shell, text editor, memory.
//!
//! Called by `tools.rs`. Hosted models know their schemas by heart, so requests do not hold them;
//! other models are told. A type is a kind and its date, which changes details only; the texts are
//! ours. Absent on purpose: screens and browsers, whose results are images.
//! Source: Anthropic API reference, tools of Anthropic's that run at the client's.

use serde_json::{Map, Value, json};

/// Description and schema of a tool of this type; none where the caller would not run it.
pub(super) fn of_type(kind: &str) -> Option<(&'static str, Value)> {
    let (name, _date) = kind.rsplit_once('_')?;
    match name {
        "bash" => Some(("Runs a command in a shell that stays open between calls.", bash())),
        "text_editor" => {
            let commands = ["view", "create", "str_replace", "insert"];
            Some(("Shows, creates and changes text files.", files(&commands, &[])))
        }
        "memory" => {
            let commands = ["view", "create", "str_replace", "insert", "delete", "rename"];
            let more = [
                ("old_path", "string", "What is renamed."),
                ("new_path", "string", "Its new path."),
            ];
            let about = "Keeps notes in files below /memories that outlast this conversation; \
                         look there before a task and write down what will be needed later.";
            Some((about, files(&commands, &more)))
        }
        _ => None,
    }
}

type Field = (&'static str, &'static str, &'static str);

fn bash() -> Value {
    let fields = [
        ("command", "string", "What to run."),
        ("restart", "boolean", "Start a new shell instead, and run nothing."),
    ];
    object(properties(&fields), &["command"])
}

/// The schema of a tool with a command and its operands.
fn files(commands: &[&str], more: &[Field]) -> Value {
    let fields = [
        ("path", "string", "The file or folder."),
        ("file_text", "string", "Of create: what the file holds."),
        ("old_str", "string", "Of str_replace: a text that stands there once."),
        ("new_str", "string", "Of str_replace: what replaces it."),
        ("insert_line", "integer", "Of insert: the line behind which, 0 for the beginning."),
        ("insert_text", "string", "Of insert: the new lines."),
    ];
    let mut all = Map::new();
    all.insert("command".to_owned(), json!({"type": "string", "enum": commands}));
    all.extend(properties(&fields));
    let range = json!({
        "type": "array", "items": {"type": "integer"},
        "description": "Of view: first and last line, -1 for the end.",
    });
    all.insert("view_range".to_owned(), range);
    all.extend(properties(more));
    // What is renamed has no `path`.
    object(all, if more.is_empty() { &["command", "path"] } else { &["command"] })
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn properties(fields: &[Field]) -> Map<String, Value> {
    let property = |(name, kind, about): &Field| {
        ((*name).to_owned(), json!({"type": kind, "description": about}))
    };
    fields.iter().map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_of_a_kind_is_known_and_what_others_run_is_not() {
        for kind in ["bash_20241022", "bash_20250124", "text_editor_20250728", "memory_20250818"] {
            let (about, schema) = of_type(kind).expect("known");
            assert!(!about.is_empty() && schema["type"] == "object", "{kind}");
        }
        let (_, editor) = of_type("text_editor_20250124").expect("known");
        assert_eq!(editor["required"], json!(["command", "path"]));
        assert_eq!(editor["properties"]["insert_line"]["type"], "integer");
        for kind in ["web_search_20250305", "computer_20250124", "bash", "", "_", "something_new"] {
            assert_eq!(of_type(kind), None, "{kind}");
        }
    }
}
