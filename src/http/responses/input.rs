//! Input items: checked, brought to one form that is kept, and turned into messages.
//!
//! Called by `request.rs` and `store.rs`. Pure. A message's `content` becomes a list of parts;
//! items without an id get one. Reasoning is kept where it is this node's: with its text in the
//! clear (`content`), or in `encrypted_content` behind our mark. Reasoning of other services can't
//! be read and is dropped; an `item_reference` is the item of a kept answer; kinds nobody here
//! knows are skipped. An assistant's reasoning, text and calls that follow each other become one
//! message; `developer` is `system`, and what a caller says first as such becomes one message with
//! the instructions.
//! Errors: [`ApiError`] with the field. Source: OpenAI API reference, responses.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::store::ResponseStore;
use crate::http::errors::ApiError;
use crate::http::fields::Fields;

/// No conversation is longer; each item costs tokens, and contexts end far below.
const ITEMS_MAX: usize = 65_536;
/// Longest id that is kept as it came.
const ID_MAX_BYTES: usize = 256;
/// In front of reasoning that goes through a caller who wants it opaque. The text behind it is the
/// caller's own, so there is nothing to hide or to sign.
const OPAQUE_MARK: &str = "swarmllm:1:";

/// Reasoning in the form of `encrypted_content`.
pub(super) fn opaque(text: &str) -> String {
    format!("{OPAQUE_MARK}{text}")
}

/// Reads `input`: a text is a user's message. `suffix` makes ids.
pub(super) fn read(
    input: Value,
    suffix: &str,
    store: &ResponseStore,
) -> Result<Vec<Value>, ApiError> {
    let items = match input {
        Value::String(text) => vec![json!({"role": "user", "content": text})],
        Value::Array(items) => items,
        _ => {
            let message = "`input` must be a text or a list of items";
            return Err(ApiError::invalid(message, Some("input")));
        }
    };
    if items.len() > ITEMS_MAX {
        let message = format!("`input` has more than {ITEMS_MAX} items");
        return Err(ApiError::invalid(message, Some("input")));
    }
    let mut kept = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let mut item = Fields::of_value(item, &format!("input[{index}]"))?;
        let given: Option<String> = item.optional("id")?;
        let id = given.clone().filter(|id| (1..=ID_MAX_BYTES).contains(&id.len()));
        let made = |prefix: &str| format!("{prefix}_{suffix}i{index}");
        let id = |prefix: &str| id.clone().unwrap_or_else(|| made(prefix));
        let read = match item.kind()?.as_str() {
            "message" => Some(message(item, id("msg"))?),
            "" if item.has("role") => Some(message(item, id("msg"))?),
            // A reference needs no type.
            "" if given.is_none() => return Err(item.wrong("type", "is missing")),
            "" | "item_reference" => Some(referred(&item, given.as_deref(), store)?),
            "function_call" => Some(function_call(item, id("fc"))?),
            "function_call_output" => Some(call_output(item, id("fco"))?),
            "reasoning" => reasoning(item, id("rs"))?,
            _ => None,
        };
        kept.extend(read);
    }
    Ok(kept)
}

/// An item of an answer that was kept; leaving it out would change the conversation.
fn referred(item: &Fields, id: Option<&str>, store: &ResponseStore) -> Result<Value, ApiError> {
    let kept = id.and_then(|id| store.output_item(id));
    kept.ok_or_else(|| {
        item.wrong("id", "is no item of an answer that is kept here; send the item itself")
    })
}

fn message(mut item: Fields, id: String) -> Result<Value, ApiError> {
    let role: String = item.required("role")?;
    if !["user", "assistant", "system", "developer"].contains(&role.as_str()) {
        return Err(item.wrong("role", "must be user, assistant, system or developer"));
    }
    let content = match item.optional::<Value>("content")? {
        Some(content) => texts(content, &item.path("content"))?,
        None if role == "assistant" => Vec::new(),
        None => return Err(item.wrong("content", "is missing")),
    };
    let part = |text: String| match role.as_str() {
        "assistant" => json!({"type": "output_text", "text": text, "annotations": []}),
        _ => json!({"type": "input_text", "text": text}),
    };
    let content: Vec<Value> = content.into_iter().map(part).collect();
    Ok(json!({
        "id": id, "type": "message", "role": role, "status": "completed", "content": content,
    }))
}

/// The texts of a content: one text, or parts.
fn texts(content: Value, path: &str) -> Result<Vec<String>, ApiError> {
    let parts = match content {
        Value::String(text) => return Ok(vec![text]),
        Value::Array(parts) => parts,
        _ => {
            let message = format!("`{path}` must be a text or a list of parts");
            return Err(ApiError::invalid(message, Some(path)));
        }
    };
    let text = |(index, part): (usize, Value)| {
        let path = format!("{path}[{index}]");
        let mut part = Fields::of_value(part, &path)?;
        match part.kind()?.as_str() {
            "input_text" | "output_text" | "text" => part.required("text"),
            "refusal" => part.required("refusal"),
            kind => {
                let message = format!("text alone is read here, not a part of type `{kind}`");
                let error = ApiError::unsupported(message, &path);
                Err(ApiError { code: Some("unsupported_content"), ..error })
            }
        }
    };
    parts.into_iter().enumerate().map(text).collect()
}

fn function_call(mut item: Fields, id: String) -> Result<Value, ApiError> {
    let call_id: String = item.required("call_id")?;
    let name: String = item.required("name")?;
    let arguments: String = item.optional("arguments")?.unwrap_or_default();
    Ok(json!({
        "id": id, "type": "function_call", "status": "completed",
        "call_id": call_id, "name": name, "arguments": arguments,
    }))
}

fn call_output(mut item: Fields, id: String) -> Result<Value, ApiError> {
    let call_id: String = item.required("call_id")?;
    let output = match item.optional::<Value>("output")? {
        Some(Value::String(text)) => json!(text),
        Some(parts) => {
            let texts = texts(parts, &item.path("output"))?.into_iter();
            texts.map(|text| json!({"type": "input_text", "text": text})).collect()
        }
        None => return Err(item.wrong("output", "is missing")),
    };
    Ok(json!({
        "id": id, "type": "function_call_output", "status": "completed",
        "call_id": call_id, "output": output,
    }))
}

/// None when it is not ours.
fn reasoning(mut item: Fields, id: String) -> Result<Option<Value>, ApiError> {
    let content: Vec<Value> = item.optional("content")?.unwrap_or_default();
    let encrypted: Option<String> = item.optional("encrypted_content")?;
    let clear = joined(&content);
    let text = match encrypted.as_deref().and_then(|text| text.strip_prefix(OPAQUE_MARK)) {
        Some(text) if clear.is_empty() => text.to_owned(),
        _ => clear,
    };
    Ok((!text.is_empty()).then(|| reasoning_item(id, &text)))
}

fn reasoning_item(id: impl Into<Value>, text: &str) -> Value {
    json!({
        "id": id.into(), "type": "reasoning", "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    })
}

/// An item of an answer as an item of the next input.
pub(super) fn remembered(output: &Value) -> Value {
    // The summary of an answer of ours is its reasoning.
    match output["summary"].as_array() {
        Some(summary) if output["type"] == "reasoning" && !summary.is_empty() => {
            reasoning_item(output["id"].clone(), &joined(summary))
        }
        _ => output.clone(),
    }
}

fn joined(parts: &[Value]) -> String {
    parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
}

/// The conversation for the model's template, from items in their one form.
pub(super) fn messages(
    instructions: Option<&str>,
    items: &[Value],
) -> Result<Vec<Value>, ApiError> {
    let is_system = |item: &&Value| {
        item["type"] == "message" && (item["role"] == "system" || item["role"] == "developer")
    };
    let n_leading = items.iter().take_while(is_system).count();
    let (leading, rest) = items.split_at(n_leading);
    let mut system: Vec<String> = instructions.map(str::to_owned).into_iter().collect();
    system.extend(leading.iter().map(content));
    let mut conversation = Conversation::default();
    if !system.is_empty() {
        let system = system.join("\n\n");
        conversation.messages.push(json!({"role": "system", "content": system}));
    }
    for item in rest {
        conversation.add(item)?;
    }
    conversation.flush();
    Ok(conversation.messages)
}

fn content(message: &Value) -> String {
    joined(message["content"].as_array().map_or(&[], Vec::as_slice))
}

/// Messages so far, and what an assistant said since the last one.
#[derive(Default)]
struct Conversation {
    messages: Vec<Value>,
    reasoning: String,
    text: Option<String>,
    calls: Vec<Value>,
    /// Names of the functions called, by the call's id.
    names: HashMap<String, String>,
}

impl Conversation {
    fn add(&mut self, item: &Value) -> Result<(), ApiError> {
        let text_of = |field: &str| item[field].as_str().unwrap_or_default();
        match (text_of("type"), text_of("role")) {
            ("message", "assistant") => {
                if self.text.is_some() || !self.calls.is_empty() {
                    self.flush();
                }
                self.text = Some(content(item));
            }
            ("message", role) => {
                self.flush();
                let role = if role == "developer" { "system" } else { role };
                self.messages.push(json!({"role": role, "content": content(item)}));
            }
            ("reasoning", _) => {
                if self.text.is_some() || !self.calls.is_empty() {
                    self.flush();
                }
                self.reasoning.push_str(&joined(item["content"].as_array().map_or(&[], |c| c)));
            }
            ("function_call", _) => {
                let (id, name) = (text_of("call_id"), text_of("name"));
                self.names.insert(id.to_owned(), name.to_owned());
                let arguments = arguments(text_of("arguments"));
                self.calls.push(json!({
                    "id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }));
            }
            _ => self.add_output(item)?,
        }
        Ok(())
    }

    fn add_output(&mut self, item: &Value) -> Result<(), ApiError> {
        self.flush();
        let id = item["call_id"].as_str().unwrap_or_default();
        let Some(name) = self.names.get(id) else {
            let message = format!(
                "`input` has the output of a call `{id}`, but not the call; send the \
                 `function_call` item in front of it"
            );
            return Err(ApiError::invalid(message, Some("input")));
        };
        let output = match &item["output"] {
            Value::Array(parts) => joined(parts),
            output => output.as_str().unwrap_or_default().to_owned(),
        };
        self.messages.push(json!({
            "role": "tool", "tool_call_id": id, "name": name, "content": output,
        }));
        Ok(())
    }

    /// What the assistant said becomes a message. Reasoning that led to nothing is left out.
    fn flush(&mut self) {
        let reasoning = std::mem::take(&mut self.reasoning);
        let calls = std::mem::take(&mut self.calls);
        let text = self.text.take();
        if text.is_none() && calls.is_empty() {
            return;
        }
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        message.insert("content".to_owned(), text.into());
        if !reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), reasoning.into());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), calls.into());
        }
        self.messages.push(Value::Object(message));
    }
}

/// Templates take an object; what broke off while it was written comes back as its text.
fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Value::Object(arguments),
        _ if text.trim().is_empty() => json!({}),
        _ => json!({"unreadable_arguments": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing was kept before.
    fn read_fresh(input: Value) -> Result<Vec<Value>, ApiError> {
        read(input, "s", &ResponseStore::default())
    }

    fn conversation(instructions: Option<&str>, input: Value) -> Value {
        let items = read_fresh(input).expect("valid");
        Value::Array(messages(instructions, &items).expect("valid"))
    }

    #[test]
    fn a_text_is_a_message_of_the_user() {
        let expected = json!([{"role": "user", "content": "hi"}]);
        assert_eq!(conversation(None, json!("hi")), expected);
        let item = json!([{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]);
        assert_eq!(conversation(None, item), expected);
    }

    #[test]
    fn instructions_and_what_is_said_first_become_one_system_message() {
        let input = json!([
            {"type": "message", "role": "developer", "content": "b", "id": "msg_1"},
            {"role": "system", "content": "c"},
            {"role": "user", "content": "d"},
            {"role": "developer", "content": "e"},
        ]);
        let expected = json!([
            {"role": "system", "content": "a\n\nb\n\nc"},
            {"role": "user", "content": "d"},
            {"role": "system", "content": "e"},
        ]);
        assert_eq!(conversation(Some("a"), input), expected);
    }

    #[test]
    fn reasoning_text_and_calls_are_one_message_and_outputs_find_their_call() {
        let input = json!([
            {"role": "user", "content": "go"},
            {"type": "reasoning", "summary": [], "encrypted_content": opaque("hm")},
            {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f",
                "arguments": "{\"a\":1}", "status": "completed"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{\"a"},
            {"type": "function_call_output", "call_id": "c2", "output": "two"},
            {"type": "function_call_output", "call_id": "c1",
                "output": [{"type": "input_text", "text": "o"}, {"type": "text", "text": "ne"}]},
            {"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "x"}],
                "encrypted_content": "gAAA"},
            {"role": "assistant", "content": "done"},
        ]);
        let call = |id: &str, name: &str, arguments: Value| {
            let function = json!({"name": name, "arguments": arguments});
            json!({"id": id, "type": "function", "function": function})
        };
        let calls = [
            call("c1", "f", json!({"a": 1})),
            call("c2", "g", json!({"unreadable_arguments": "{\"a"})),
        ];
        let expected = json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "ok", "reasoning_content": "hm", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c2", "name": "g", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "one"},
            {"role": "assistant", "content": "done"},
        ]);
        assert_eq!(conversation(None, input), expected);
    }

    #[test]
    fn an_assistant_that_only_called_said_nothing() {
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let conversation = conversation(None, json!([call]));
        assert_eq!(conversation[0]["content"], Value::Null);
    }

    #[test]
    fn unknown_kinds_are_skipped_and_ids_are_made() {
        let input = json!([
            {"type": "computer_call", "id": "cu_0"},
            {"type": "web_search_call", "id": "ws_0", "status": "completed"},
            {"role": "user", "content": "hi"},
        ]);
        let items = read_fresh(input).expect("valid");
        assert_eq!(items.len(), 1);
        assert_eq!(items[0]["id"], "msg_si2");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let image = json!({"type": "input_image", "image_url": "data:"});
        for (item, param) in [
            (json!({"role": "user", "content": [image]}), "input[0].content[0]"),
            (json!({"role": "user", "content": 3}), "input[0].content"),
            (json!({"role": "user"}), "input[0].content"),
            (json!({"role": "narrator", "content": ""}), "input[0].role"),
            (json!({"type": "function_call", "name": "f"}), "input[0].call_id"),
            (json!({"type": "function_call_output", "call_id": "c"}), "input[0].output"),
            (json!({"content": "x"}), "input[0].type"),
            (json!({"type": 3, "role": "user", "content": "x"}), "input[0].type"),
            (json!({"id": "x"}), "input[0].id"),
            (json!(3), "input[0]"),
        ] {
            let error = read_fresh(json!([item])).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{error}");
        }
        assert!(read_fresh(json!(3)).is_err());
        let orphan = json!([{"type": "function_call_output", "call_id": "c", "output": ""}]);
        let items = read_fresh(orphan).expect("well formed");
        assert!(messages(None, &items).is_err());
    }

    #[test]
    fn an_answer_s_summary_is_remembered_as_reasoning() {
        let summary = json!([{"type": "summary_text", "text": "hm"}]);
        let output = json!({"id": "rs_1", "type": "reasoning", "summary": summary});
        let item = remembered(&output);
        assert_eq!(item["content"][0]["text"], "hm");
        let text = json!({"type": "message", "id": "msg_1", "content": []});
        assert_eq!(remembered(&text), text);
    }
}
