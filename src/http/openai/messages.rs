//! The messages of a chat body, brought into the one form that templates take.
//!
//! Called by `chat_request.rs`; the form is that of [`Chat::messages`](crate::generate::Chat).
//! `developer` becomes `system`; the old `function` becomes `tool`, and an old `function_call` a
//! call; parts of text become one text. Arguments of calls, which travel as a text, become an
//! object. A text that is none, because an earlier answer broke off in it, stays readable as
//! `{"arguments": TEXT}`: refusing it would end that conversation for good.
//! Nothing that was said is dropped silently: parts that are no text are refused.
//! Errors: 400 [`ApiError`] with the place, such as `messages[3].content`.
//! Source: OpenAI API reference, chat completions.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::http::errors::ApiError;

/// A chat is never longer; each message costs tokens, and contexts end far below.
const MESSAGES_MAX: usize = 65_536;

/// Reads all messages.
pub(super) fn read(messages: Vec<Value>) -> Result<Value, ApiError> {
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        let message = format!("`messages` has from 1 to {MESSAGES_MAX} of them");
        return Err(ApiError::invalid(message, Some("messages")));
    }
    let mut names = HashMap::new();
    let read = |(index, message)| Place(index).message(message, &mut names);
    messages.into_iter().enumerate().map(read).collect::<Result<Vec<Value>, _>>().map(Value::Array)
}

/// Which message is read.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    fn wrong(self, field: &str, message: impl Into<String>) -> ApiError {
        ApiError::invalid(message, Some(&format!("messages[{}]{field}", self.0)))
    }

    fn unsupported(self, field: &str, message: impl Into<String>) -> ApiError {
        ApiError { code: Some("unsupported_content"), ..self.wrong(field, message) }
    }

    /// `names` are those of the calls so far, by their ids.
    fn message(
        self,
        message: Value,
        names: &mut HashMap<String, String>,
    ) -> Result<Value, ApiError> {
        let Value::Object(mut message) = message else {
            return Err(self.wrong("", "a message is an object"));
        };
        let role = message.remove("role");
        match role.as_ref().and_then(Value::as_str) {
            Some("system" | "developer") => self.plain("system", message),
            Some("user") => self.plain("user", message),
            Some("assistant") => self.assistant(message, names),
            Some("tool" | "function") => self.tool(message, names),
            other => {
                let found = other.unwrap_or("nothing");
                let message =
                    format!("role must be system, developer, user, assistant or tool, got {found}");
                Err(self.wrong(".role", message))
            }
        }
    }

    fn plain(self, role: &str, mut message: Map<String, Value>) -> Result<Value, ApiError> {
        let content = self.content(&mut message)?;
        let content = content.ok_or_else(|| {
            self.wrong(".content", "content is missing; it is a text or an array of parts")
        })?;
        let mut read = json!({"role": role, "content": content});
        if let Some(name) = self.text(&mut message, "name")? {
            read["name"] = name.into();
        }
        Ok(read)
    }

    fn assistant(
        self,
        mut message: Map<String, Value>,
        names: &mut HashMap<String, String>,
    ) -> Result<Value, ApiError> {
        if message.get("audio").is_some_and(|audio| !audio.is_null()) {
            return Err(self.unsupported(".audio", "what was spoken can't be heard here"));
        }
        // Who only called functions said nothing; who refused said why.
        let refusal = self.text(&mut message, "refusal")?;
        let content = self.content(&mut message)?.or(refusal);
        let mut read = json!({"role": "assistant", "content": content});
        if let Some(reasoning) = self.text(&mut message, "reasoning_content")? {
            read["reasoning_content"] = reasoning.into();
        }
        let calls = match (message.remove("tool_calls"), message.remove("function_call")) {
            (None | Some(Value::Null), None | Some(Value::Null)) => Vec::new(),
            (None | Some(Value::Null), Some(function)) => {
                let call = json!({"type": "function", "function": function});
                vec![self.call(0, call, ".function_call")?]
            }
            (Some(Value::Array(calls)), _) => {
                let read = |(n, call)| self.call(n, call, ".tool_calls");
                calls.into_iter().enumerate().map(read).collect::<Result<Vec<Value>, _>>()?
            }
            _ => return Err(self.wrong(".tool_calls", "tool_calls is an array")),
        };
        for call in &calls {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            names.insert(text(&call["id"]), text(&call["function"]["name"]));
        }
        if !calls.is_empty() {
            read["tool_calls"] = calls.into();
        }
        Ok(read)
    }

    /// A call of the assistant's; the old form comes without an id.
    fn call(self, n: usize, mut call: Value, field: &str) -> Result<Value, ApiError> {
        let wrong = |message: &str| self.wrong(field, message);
        if !matches!(call["type"].as_str(), None | Some("function")) {
            return Err(self.unsupported(field, "only calls of type function can be read"));
        }
        let id = match call.get("id") {
            Some(Value::String(id)) => id.clone(),
            None | Some(Value::Null) => format!("call_{}_{n}", self.0),
            Some(_) => return Err(wrong("the id of a call is a text")),
        };
        let Some(Value::Object(function)) = call.get_mut("function") else {
            return Err(wrong("a call has a `function` with `name` and `arguments`"));
        };
        let Some(Value::String(name)) = function.remove("name") else {
            return Err(wrong("a call has the `name` of its function"));
        };
        let arguments = match function.remove("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(arguments @ Value::Object(_)) => arguments,
            Some(Value::String(text)) => arguments_of(text),
            Some(_) => return Err(wrong("`arguments` is a text that holds a JSON object")),
        };
        let function = json!({"name": name, "arguments": arguments});
        Ok(json!({"id": id, "type": "function", "function": function}))
    }

    fn tool(
        self,
        mut message: Map<String, Value>,
        names: &HashMap<String, String>,
    ) -> Result<Value, ApiError> {
        let content = self.content(&mut message)?.unwrap_or_default();
        let mut read = json!({"role": "tool", "content": content});
        let id = self.text(&mut message, "tool_call_id")?;
        let given = self.text(&mut message, "name")?;
        if let Some(name) = given.or_else(|| names.get(id.as_ref()?).cloned()) {
            read["name"] = name.into();
        }
        if let Some(id) = id {
            read["tool_call_id"] = id.into();
        }
        Ok(read)
    }

    fn text(self, from: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
        match from.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(&format!(".{name}"), format!("{name} is a text"))),
        }
    }

    fn content(self, from: &mut Map<String, Value>) -> Result<Option<String>, ApiError> {
        match from.remove("content") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Array(parts)) => self.joined(&parts).map(Some),
            Some(_) => Err(self.wrong(".content", "content is a text or an array of parts")),
        }
    }

    fn joined(self, parts: &[Value]) -> Result<String, ApiError> {
        let mut text = String::new();
        for part in parts {
            let kind = part["type"].as_str().unwrap_or("nothing");
            let piece = match kind {
                "text" | "refusal" => part[kind].as_str(),
                _ => {
                    let message = format!("this model reads text only, not a part of type {kind}");
                    return Err(self.unsupported(".content", message));
                }
            };
            text.push_str(piece.ok_or_else(|| {
                self.wrong(".content", format!("a part of type {kind} has its text in `{kind}`"))
            })?);
        }
        Ok(text)
    }
}

fn arguments_of(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(arguments @ Value::Object(_)) => arguments,
        _ if text.trim().is_empty() => json!({}),
        _ => json!({"arguments": text}),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::testing::any_json;

    fn one(message: Value) -> Result<Value, ApiError> {
        Place(3).message(message, &mut HashMap::new())
    }

    #[test]
    fn parts_of_text_are_joined_and_others_refused() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let message = one(json!({"role": "developer", "content": parts}));
        assert_eq!(message.expect("text"), json!({"role": "system", "content": "ab"}));
        for kind in ["image_url", "input_audio", "file"] {
            let content = json!([{"type": "text", "text": "a"}, {"type": kind}]);
            let error = one(json!({"role": "user", "content": content})).expect_err(kind);
            assert_eq!((error.status.as_u16(), error.code), (400, Some("unsupported_content")));
            assert_eq!(error.param.as_deref(), Some("messages[3].content"));
        }
    }

    #[test]
    fn an_assistant_may_be_silent_and_others_may_not() {
        let silent = json!({"role": "assistant", "content": null});
        assert_eq!(one(json!({"role": "assistant", "tool_calls": []})).expect("silent"), silent);
        assert_eq!(one(silent.clone()).expect("silent"), silent);
        let refused = json!({"role": "assistant", "content": null, "refusal": "I may not."});
        assert_eq!(one(refused).expect("said")["content"], "I may not.");
        let spoken = json!({"role": "assistant", "content": null, "audio": {"id": "a"}});
        assert_eq!(one(spoken).expect_err("no text").param.as_deref(), Some("messages[3].audio"));
        assert!(one(json!({"role": "user"})).is_err());
        let empty = one(json!({"role": "user", "content": [{"type": "text"}]})).expect_err("text");
        assert_eq!((empty.code, empty.message.contains("`text`")), (None, true));
        assert!(one(json!({"role": "user", "content": 3})).is_err());
        assert_eq!(
            one(json!({"role": "x"})).expect_err("x").param.as_deref(),
            Some("messages[3].role")
        );
    }

    #[test]
    fn calls_and_their_answers_take_the_form_of_templates() {
        let call = json!({
            "id": "call_1", "type": "function",
            "function": {"name": "now", "arguments": "{\"zone\": \"UTC\"}"},
        });
        let read = read(vec![
            json!({"role": "user", "content": "When?", "name": "ann"}),
            json!({"role": "assistant", "content": "", "reasoning_content": "hm", "refusal": null,
                "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "call_1", "content": "noon"}),
        ]);
        let call = json!({
            "id": "call_1", "type": "function",
            "function": {"name": "now", "arguments": {"zone": "UTC"}},
        });
        let expected = json!([
            {"role": "user", "content": "When?", "name": "ann"},
            {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call]},
            {"role": "tool", "content": "noon", "name": "now", "tool_call_id": "call_1"},
        ]);
        assert_eq!(read.expect("valid"), expected);
    }

    #[test]
    fn the_old_form_of_a_call_is_translated() {
        let read = read(vec![
            json!({"role": "assistant", "content": null,
                "function_call": {"name": "now", "arguments": ""}}),
            json!({"role": "function", "name": "now", "content": "noon"}),
        ]);
        let function = json!({"name": "now", "arguments": {}});
        let call = json!({"id": "call_0_0", "type": "function", "function": function});
        let expected = json!([
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "content": "noon", "name": "now"},
        ]);
        assert_eq!(read.expect("valid"), expected);
    }

    #[test]
    fn arguments_that_broke_off_stay_readable() {
        assert_eq!(arguments_of("{\"a\": 1}".into()), json!({"a": 1}));
        assert_eq!(arguments_of("{\"a\": ".into()), json!({"arguments": "{\"a\": "}));
        assert_eq!(arguments_of("[1]".into()), json!({"arguments": "[1]"}));
        assert_eq!(arguments_of(" ".into()), json!({}));
        let custom = json!({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]});
        assert_eq!(one(custom).expect_err("custom").code, Some("unsupported_content"));
    }

    proptest! {
        #[test]
        fn any_messages_are_read_or_refused(messages in prop::collection::vec(any_json(), 0..5)) {
            if let Ok(read) = read(messages) {
                for message in read.as_array().expect("an array") {
                    let role = message["role"].as_str().expect("a role");
                    prop_assert!(["system", "user", "assistant", "tool"].contains(&role));
                    let content = &message["content"];
                    prop_assert!(content.is_string() || content.is_null() && role == "assistant");
                    for call in message["tool_calls"].as_array().into_iter().flatten() {
                        prop_assert!(call["function"]["arguments"].is_object());
                    }
                }
            }
        }
    }
}
