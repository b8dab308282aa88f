//! A request as the body of an Anthropic message.
//!
//! Called by `fallback.rs`, before anything leaves; what can't be said here was refused in
//! `openai_encode.rs`. System messages at the start become `system`; later ones are said by the
//! user, for there is no other place. Results of calls are the user's as well, and neighbours of
//! one role are one message. Empty texts are left out: the API refuses them.
//! Source: Anthropic API reference, messages.

use serde_json::{Map, Value, json};

use super::openai_encode::{offered, short};
use crate::generate::{AnswerFormat, Chat, GenerateRequest, Prompt, ToolChoice};

/// The API wants a limit; every model of today takes this one.
const MAX_TOKENS: u32 = 8192;

/// The body; the request has no refusal.
pub(super) fn body(model: &str, request: &GenerateRequest) -> Value {
    let plain;
    let chat = match &request.prompt {
        Prompt::Chat(chat) => chat,
        Prompt::Text(text) => {
            plain = Chat::of_messages(json!([{"role": "user", "content": text}]));
            &plain
        }
        Prompt::Tokens(_) | Prompt::Infill { .. } => &Chat::default(),
    };
    let (system, messages) = conversation(chat);
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("model", model.into());
    put("max_tokens", request.max_tokens.unwrap_or(MAX_TOKENS).into());
    put("stream", true.into());
    if !system.is_empty() {
        put("system", system.into());
    }
    put("messages", messages.into());
    // The API goes from 0 to 1, and newer models take one of the two.
    let (temperature, top_p) = (request.sampling.temperature.min(1.0), request.sampling.top_p);
    if temperature < 1.0 {
        put("temperature", short(temperature));
    } else if top_p < 1.0 {
        put("top_p", short(top_p));
    }
    let stops: Vec<&String> = request.stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
    if !stops.is_empty() {
        put("stop_sequences", json!(stops));
    }
    if let AnswerFormat::JsonSchema(schema) = &request.format {
        put("output_config", json!({"format": {"type": "json_schema", "schema": schema}}));
    }
    put_tools(chat, &mut body);
    Value::Object(body)
}

fn put_tools(chat: &Chat, body: &mut Map<String, Value>) {
    let tool = |tool: &&Value| {
        let function = &tool["function"];
        let mut out = Map::new();
        out.insert("name".to_owned(), function["name"].clone());
        if function["description"].is_string() {
            out.insert("description".to_owned(), function["description"].clone());
        }
        let schema = Some(&function["parameters"]).filter(|schema| schema.is_object());
        let schema = schema.cloned().unwrap_or_else(|| json!({"type": "object"}));
        out.insert("input_schema".to_owned(), schema);
        if function["strict"] == true {
            out.insert("strict".to_owned(), true.into());
        }
        Value::Object(out)
    };
    let tools: Vec<Value> = offered(chat).iter().map(tool).collect();
    if tools.is_empty() {
        return;
    }
    let mut choice = match &chat.tool_choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::OneOf(names) if names.len() == 1 => json!({"type": "tool", "name": names[0]}),
        ToolChoice::Required | ToolChoice::OneOf(_) => json!({"type": "any"}),
    };
    if chat.single_call && chat.tool_choice != ToolChoice::None {
        choice["disable_parallel_tool_use"] = true.into();
    }
    body.insert("tools".to_owned(), tools.into());
    body.insert("tool_choice".to_owned(), choice);
}

/// The system text, and messages of user and assistant in turn.
fn conversation(chat: &Chat) -> (String, Vec<Value>) {
    let (mut system, mut turns) = (Vec::new(), Vec::<(&str, Vec<Value>)>::new());
    for message in chat.messages.as_array().into_iter().flatten() {
        let content = message["content"].as_str().unwrap_or_default();
        let (role, blocks) = match message["role"].as_str().unwrap_or_default() {
            "system" if turns.is_empty() => {
                system.push(content);
                continue;
            }
            "assistant" => ("assistant", assistant(message, content)),
            "tool" => {
                let id = tool_id(&message["tool_call_id"]);
                let block = json!({"type": "tool_result", "tool_use_id": id, "content": content});
                ("user", vec![block])
            }
            _ => ("user", text(content)),
        };
        match turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push((role, blocks)),
        }
    }
    let message = |(role, blocks)| json!({"role": role, "content": Value::Array(blocks)});
    (system.join("\n\n"), turns.into_iter().map(message).collect())
}

fn text(content: &str) -> Vec<Value> {
    let is_empty = content.trim().is_empty();
    if is_empty { Vec::new() } else { vec![json!({"type": "text", "text": content})] }
}

fn assistant(message: &Value, content: &str) -> Vec<Value> {
    let mut blocks = text(content);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let input = match &function["arguments"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            other => other.clone(),
        };
        let input = if input.is_object() { input } else { json!({}) };
        let (id, name) = (tool_id(&call["id"]), &function["name"]);
        blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    blocks
}

/// The id of a call in the letters that the API takes.
fn tool_id(id: &Value) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain = |c: char| if allowed(c) { c } else { '_' };
    match id.as_str() {
        Some(id) if !id.is_empty() => id.chars().map(plain).collect(),
        _ => "call".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(chat: Chat) -> Value {
        body("m", &GenerateRequest::new("demo", Prompt::Chat(chat)))
    }

    #[test]
    fn a_conversation_takes_turns() {
        let call = json!({"id": "c.1", "function": {"name": "run", "arguments": {"x": 1}}});
        let sent = sent(Chat::of_messages(json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c.1", "content": "done"},
            {"role": "system", "content": "and quick"},
            {"role": "user", "content": "next"},
        ])));
        assert_eq!(sent["system"], "be brief");
        let text = |text: &str| json!({"type": "text", "text": text});
        let input = json!({"x": 1});
        let expected = json!([
            {"role": "user", "content": [text("go")]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c_1", "name": "run", "input": input}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c_1", "content": "done"},
                text("and quick"), text("next")]},
        ]);
        assert_eq!(sent["messages"], expected);
        assert_eq!((&sent["max_tokens"], &sent["temperature"]), (&json!(8192), &json!(0.0)));
    }

    #[test]
    fn tools_have_schemas_and_may_be_demanded() {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let chat = Chat {
            messages: json!([{"role": "user", "content": "go"}]),
            tools: vec![tool("a"), tool("b")],
            tool_choice: ToolChoice::Required,
            single_call: true,
            ..Chat::default()
        };
        let sent = sent(chat);
        assert_eq!(sent["tools"][0], json!({"name": "a", "input_schema": {"type": "object"}}));
        let choice = json!({"type": "any", "disable_parallel_tool_use": true});
        assert_eq!(sent["tool_choice"], choice);
    }

    #[test]
    fn any_messages_are_read() {
        for odd in [json!(null), json!([1, {}, {"role": 3}]), json!([{"role": "tool"}])] {
            assert!(sent(Chat::of_messages(odd))["messages"].is_array());
        }
    }
}
