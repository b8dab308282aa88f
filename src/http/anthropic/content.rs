//! Messages of a request as templates take them: one text per turn, calls and results in the
//! OpenAI form.
//!
//! Called by `request.rs`. Texts of one turn are lines (an assistant's follow each other as they
//! are), turns of one role that follow each other are one turn; a `system` message in the middle
//! stays where it is. Thinking counts only with a signature of ours. What is no text is refused by
//! name, never dropped; blocks of tools that a hosted service ran are kept as their JSON. Marks of
//! a cache never become text. The first line of instructions that begin with [`BILLING`] is
//! dropped: it changes with every session, and nothing behind it could be shared.
//! Errors: [`ApiError`] with the path of the block. Source: Anthropic API reference, messages.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{super::errors::ApiError, signature::Signer};

/// What Claude Code's line about billing begins with.
const BILLING: &str = "x-anthropic-billing-header";

/// A conversation being read.
pub(super) struct Conversation<'a> {
    model: &'a str,
    signer: &'a Signer,
    messages: Vec<Value>,
    /// Names of the tools that were called, by call id.
    names: HashMap<String, String>,
}

/// One block of a message.
struct Block<'v> {
    at: String,
    kind: &'v str,
    value: &'v Value,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(model: &'a str, signer: &'a Signer) -> Conversation<'a> {
        Conversation { model, signer, messages: Vec::new(), names: HashMap::new() }
    }

    /// The messages, for the template.
    pub(super) fn into_messages(self) -> Vec<Value> {
        self.messages
    }

    /// Adds the instructions that stand before everything.
    pub(super) fn system(&mut self, at: &str, content: &Value) -> Result<(), ApiError> {
        let texts = texts(&blocks(at, content)?)?;
        let text = joined(texts.iter().map(|text| without_billing(text)));
        if !text.is_empty() {
            self.messages.push(json!({"role": "system", "content": text}));
        }
        Ok(())
    }

    /// Adds a message.
    pub(super) fn message(&mut self, at: &str, message: &Value) -> Result<(), ApiError> {
        let content = message.get("content").unwrap_or(&Value::Null);
        let content_at = format!("{at}.content");
        match message.get("role").and_then(Value::as_str) {
            Some("user") => self.user(blocks(&content_at, content)?),
            Some("assistant") => self.assistant(blocks(&content_at, content)?),
            Some("system") => self.system(&content_at, content),
            _ => {
                let field = format!("{at}.role");
                Err(ApiError::invalid("is user, assistant or system", Some(&field)))
            }
        }
    }

    /// Results go before and behind texts in the order they came in.
    fn user(&mut self, blocks: Vec<Block<'_>>) -> Result<(), ApiError> {
        let is_silent = blocks.is_empty();
        for block in &blocks {
            match block.kind {
                "tool_result" => self.result(block)?,
                _ => self.user_text(&text_of(block)?),
            }
        }
        if is_silent {
            self.messages.push(json!({"role": "user", "content": ""}));
        }
        Ok(())
    }

    fn user_text(&mut self, text: &str) {
        let last = self.messages.last_mut().filter(|last| last["role"] == "user");
        match last.and_then(|last| last.get_mut("content")) {
            Some(Value::String(content)) => *content = joined([content.as_str(), text]),
            _ => self.messages.push(json!({"role": "user", "content": text})),
        }
    }

    fn result(&mut self, block: &Block<'_>) -> Result<(), ApiError> {
        let id = text_field(block, "tool_use_id")?;
        let content = match block.value.get("content") {
            None | Some(Value::Null) => String::new(),
            Some(content) => joined(texts(&blocks(&format!("{}.content", block.at), content)?)?),
        };
        let content = match block.value.get("is_error") {
            None | Some(Value::Null | Value::Bool(false)) => content,
            Some(Value::Bool(true)) => format!("Error: {content}"),
            Some(_) => return Err(block.invalid(".is_error", "is true or false")),
        };
        let name = self.names.get(id).map_or("unknown", String::as_str);
        let message = json!({"role": "tool", "tool_call_id": id, "name": name, "content": content});
        self.messages.push(message);
        Ok(())
    }

    fn assistant(&mut self, blocks: Vec<Block<'_>>) -> Result<(), ApiError> {
        let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
        for block in &blocks {
            match block.kind {
                "thinking" => {
                    let thinking = text_field(block, "thinking")?;
                    let signature = block.value.get("signature").and_then(Value::as_str);
                    let signature = signature.unwrap_or_default();
                    if let Some(thought) = self.signer.thought(self.model, thinking, signature) {
                        reasoning.push_str(&thought);
                    }
                }
                // Sealed by another service; nobody here can open it.
                "redacted_thinking" => {}
                "tool_use" => calls.push(self.call(block)?),
                _ => text.push_str(&text_of(block)?),
            }
        }
        self.assistant_turn(&text, &reasoning, calls);
        Ok(())
    }

    fn call(&mut self, block: &Block<'_>) -> Result<Value, ApiError> {
        let (id, name) = (text_field(block, "id")?, text_field(block, "name")?);
        let arguments = match block.value.get("input") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(input @ Value::Object(_)) => input.clone(),
            Some(_) => return Err(block.invalid(".input", "is an object")),
        };
        self.names.insert(id.to_owned(), name.to_owned());
        let function = json!({"name": name, "arguments": arguments});
        Ok(json!({"id": id, "type": "function", "function": function}))
    }

    fn assistant_turn(&mut self, text: &str, reasoning: &str, calls: Vec<Value>) {
        let follows = self.messages.last().is_some_and(|last| last["role"] == "assistant");
        if !follows {
            self.messages.push(json!({"role": "assistant", "content": null}));
        }
        let Some(Value::Object(turn)) = self.messages.last_mut() else { return };
        append(turn, "content", text);
        append(turn, "reasoning_content", reasoning);
        if calls.is_empty() {
            return silence(turn);
        }
        match turn.entry("tool_calls").or_insert_with(|| json!([])) {
            Value::Array(all) => all.extend(calls),
            other => *other = calls.into(),
        }
    }
}

impl Block<'_> {
    fn invalid(&self, field: &str, message: &str) -> ApiError {
        ApiError::invalid(message, Some(&format!("{}{field}", self.at)))
    }

    fn unsupported(&self, what: &str) -> ApiError {
        let message = format!("this node reads text only, not {what}; send its text instead");
        ApiError { code: Some("unsupported_content"), ..ApiError::unsupported(message, &self.at) }
    }
}

/// Appends to a text of an object; an empty one changes nothing.
fn append(object: &mut Map<String, Value>, key: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    match object.get_mut(key) {
        Some(Value::String(before)) => before.push_str(text),
        _ => {
            object.insert(key.to_owned(), text.into());
        }
    }
}

/// One who said nothing and called nothing has an empty text; templates know no such null.
fn silence(turn: &mut Map<String, Value>) {
    if turn["content"].is_null() && !turn.contains_key("tool_calls") {
        turn.insert("content".to_owned(), "".into());
    }
}

/// The blocks of a content that is a text or a list of blocks.
fn blocks<'v>(at: &str, content: &'v Value) -> Result<Vec<Block<'v>>, ApiError> {
    let blocks = match content {
        Value::String(_) => {
            return Ok(vec![Block { at: at.to_owned(), kind: "text", value: content }]);
        }
        Value::Array(blocks) => blocks,
        _ => return Err(ApiError::invalid("is a text or a list of blocks", Some(at))),
    };
    let block = |(index, value): (usize, &'v Value)| {
        let at = format!("{at}.{index}");
        match value.get("type").and_then(Value::as_str) {
            Some(kind) => Ok(Block { at, kind, value }),
            None => Err(ApiError::invalid("a block is an object with a `type`", Some(&at))),
        }
    };
    blocks.iter().enumerate().map(block).collect()
}

fn texts(blocks: &[Block<'_>]) -> Result<Vec<String>, ApiError> {
    blocks.iter().map(text_of).collect()
}

/// Texts as lines; empty ones, which keep streams alive, leave no trace.
fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut all = String::new();
    for text in texts {
        if !all.is_empty() && !text.as_ref().is_empty() {
            all.push('\n');
        }
        all.push_str(text.as_ref());
    }
    all
}

fn text_of(block: &Block<'_>) -> Result<String, ApiError> {
    let value = block.value;
    match block.kind {
        "text" => {
            let text = value.as_str().or_else(|| value.get("text").and_then(Value::as_str));
            Ok(text.ok_or_else(|| block.invalid(".text", "is a text"))?.to_owned())
        }
        "document" => document(block),
        "search_result" => {
            let found = value.get("content").unwrap_or(&Value::Null);
            let found = joined(texts(&blocks(&format!("{}.content", block.at), found)?)?);
            Ok(titled(value, &["title", "source"], &found))
        }
        "tool_reference" => {
            Ok(format!("The tool {} is available.", text_field(block, "tool_name")?))
        }
        "image" | "audio" | "video" | "container_upload" => {
            Err(block.unsupported(&format!("a block of type {}", block.kind)))
        }
        "tool_use" | "tool_result" | "thinking" | "redacted_thinking" => {
            Err(block.invalid("", &format!("a block of type {} can't stand here", block.kind)))
        }
        _ => Ok(as_json(value)),
    }
}

fn document(block: &Block<'_>) -> Result<String, ApiError> {
    let source = block.value.get("source").unwrap_or(&Value::Null);
    let at = format!("{}.source", block.at);
    let text = match source.get("type").and_then(Value::as_str) {
        Some("text") => {
            let data = source.get("data").and_then(Value::as_str);
            data.ok_or_else(|| block.invalid(".source.data", "is a text"))?.to_owned()
        }
        Some("content") => {
            let content = source.get("content").unwrap_or(&Value::Null);
            joined(texts(&blocks(&format!("{at}.content"), content)?)?)
        }
        Some(kind) => return Err(block.unsupported(&format!("a document of type {kind}"))),
        None => return Err(block.invalid(".source", "is an object with a `type`")),
    };
    Ok(titled(block.value, &["title", "context"], &text))
}

/// A text under those of these fields that are there.
fn titled(value: &Value, fields: &[&str], text: &str) -> String {
    let heads = fields.iter().filter_map(|field| value.get(*field)?.as_str());
    joined(heads.chain([text]))
}

/// A block of another service as it is, without its mark of a cache.
fn as_json(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(block) = value.as_object_mut() {
        block.shift_remove("cache_control");
    }
    value.to_string()
}

fn without_billing(text: &str) -> &str {
    match text.trim_start().starts_with(BILLING) {
        true => text.trim_start().split_once('\n').map_or("", |(_, rest)| rest),
        false => text,
    }
}

/// A field of a block that must be a text.
fn text_field<'v>(block: &Block<'v>, field: &str) -> Result<&'v str, ApiError> {
    let found = block.value.get(field).and_then(Value::as_str);
    found.ok_or_else(|| block.invalid(&format!(".{field}"), "is a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new([7; 32])
    }

    fn read(system: Value, messages: Value) -> Result<Value, ApiError> {
        let signer = signer();
        let mut conversation = Conversation::new("demo", &signer);
        if !system.is_null() {
            conversation.system("system", &system)?;
        }
        for (index, message) in messages.as_array().expect("a list").iter().enumerate() {
            conversation.message(&format!("messages.{index}"), message)?;
        }
        Ok(conversation.into_messages().into())
    }

    fn user(content: Value) -> Result<Value, ApiError> {
        Ok(read(Value::Null, json!([{"role": "user", "content": content}]))?[0]["content"].take())
    }

    #[test]
    fn instructions_are_one_text_without_the_line_that_changes() {
        let billing = "x-anthropic-billing-header: cc_version=2.1.197.abc; cc_entrypoint=sdk;";
        let mark = json!({"type": "ephemeral"});
        let system = json!([
            {"type": "text", "text": billing},
            {"type": "text", "text": "You are kind.", "cache_control": mark},
            {"type": "text", "text": "Be short."},
        ]);
        let asked = json!([{"role": "user", "content": "hi"}]);
        let expected = json!([
            {"role": "system", "content": "You are kind.\nBe short."},
            {"role": "user", "content": "hi"},
        ]);
        assert_eq!(read(system, asked.clone()).expect("valid"), expected);
        let text = json!(format!("{billing}\nYou are kind.\nBe short."));
        assert_eq!(read(text, asked.clone()).expect("valid"), expected);
        assert_eq!(read(json!(billing), asked).expect("valid")[0]["role"], "user");
    }

    #[test]
    fn turns_of_one_role_are_one_and_a_system_message_stays_in_the_middle() {
        let messages = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": ""},
            ]},
            {"role": "user", "content": "b"},
            {"role": "system", "content": [{"type": "text", "text": "c"}]},
            {"role": "assistant", "content": [{"type": "text", "text": ""}]},
            {"role": "user", "content": []},
        ]);
        let expected = json!([
            {"role": "user", "content": "a\nb"},
            {"role": "system", "content": "c"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": ""},
        ]);
        assert_eq!(read(Value::Null, messages).expect("valid"), expected);
    }

    #[test]
    fn calls_and_results_take_the_form_of_templates() {
        let messages = json!([
            {"role": "assistant", "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {"path": "/"}},
                {"type": "tool_use", "id": "toolu_2", "name": "pwd"},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                    {"type": "text", "text": "bin"}, {"type": "text", "text": "etc"},
                ]},
                {
                    "type": "tool_result", "tool_use_id": "toolu_2", "is_error": true,
                    "content": "no",
                },
                {"type": "tool_result", "tool_use_id": "toolu_9"},
                {"type": "text", "text": "go on"},
            ]},
        ]);
        let call = |id: &str, name: &str, arguments: Value| {
            let function = json!({"name": name, "arguments": arguments});
            json!({"id": id, "type": "function", "function": function})
        };
        let calls =
            [call("toolu_1", "ls", json!({"path": "/"})), call("toolu_2", "pwd", json!({}))];
        let result = |id: &str, name: &str, content: &str| {
            let mut said = json!({"role": "tool", "tool_call_id": id, "name": name});
            said["content"] = content.into();
            said
        };
        let expected = json!([
            {"role": "assistant", "content": "Let me look.", "tool_calls": calls},
            result("toolu_1", "ls", "bin\netc"),
            result("toolu_2", "pwd", "Error: no"),
            result("toolu_9", "unknown", ""),
            {"role": "user", "content": "go on"},
        ]);
        assert_eq!(read(Value::Null, messages).expect("valid"), expected);
    }

    #[test]
    fn only_thinking_of_ours_is_believed() {
        let turn = |thinking: &str, signature: &str| {
            let messages = json!([{"role": "assistant", "content": [
                {"type": "thinking", "thinking": thinking, "signature": signature},
                {"type": "redacted_thinking", "data": "EqQB"},
                {"type": "text", "text": "4"},
            ]}]);
            read(Value::Null, messages).expect("valid")[0].clone()
        };
        let signature = signer().sign("demo", "2+2");
        let bare = json!({"role": "assistant", "content": "4"});
        assert_eq!(turn("2+2", &signature)["reasoning_content"], "2+2");
        assert_eq!(turn("2+3", &signature), bare);
        assert_eq!(turn("2+2", "of another service"), bare);
        assert_eq!(turn("", &signer().sign("demo", "")), bare);
        assert_eq!(turn("", &signer().seal("demo", "2+2"))["reasoning_content"], "2+2");
    }

    #[test]
    fn texts_in_other_clothes_are_read() {
        let plain = json!({"type": "text", "media_type": "text/plain", "data": "words"});
        let document = json!([{"type": "document", "title": "T", "source": plain}]);
        assert_eq!(user(document).expect("a text"), "T\nwords");
        let found = json!([{"type": "text", "text": "found"}]);
        let result =
            json!([{"type": "search_result", "title": "T", "source": "S", "content": found}]);
        assert_eq!(user(result).expect("a text"), "T\nS\nfound");
        let foreign = json!([{"type": "code_execution_tool_result", "x": 1, "cache_control": {}}]);
        let kept = r#"{"type":"code_execution_tool_result","x":1}"#;
        assert_eq!(user(foreign).expect("kept"), kept);
    }

    #[test]
    fn what_is_no_text_is_refused_where_it_stands() {
        let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": ""});
        let cases = [
            (json!([{"type": "image", "source": {}}]), "messages.0.content.0"),
            (json!([{"type": "document", "source": pdf}]), "messages.0.content.0"),
            (json!([{"type": "text", "text": "a"}, {"text": "b"}]), "messages.0.content.1"),
            (json!([{"type": "text", "text": 3}]), "messages.0.content.0.text"),
            (json!([{"type": "tool_result"}]), "messages.0.content.0.tool_use_id"),
            (json!({"type": "text"}), "messages.0.content"),
            (json!([{"type": "thinking", "thinking": ""}]), "messages.0.content.0"),
        ];
        for (content, at) in cases {
            let error = user(content).expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(at)));
        }
        let narrator = json!([{"role": "narrator", "content": "a"}]);
        let error = read(Value::Null, narrator).expect_err("refused");
        assert_eq!(error.param.as_deref(), Some("messages.0.role"));
    }
}
