//! Tools of a request in the form that templates take, and whether they must be called.
//!
//! Called by `request.rs`. Tools that the caller runs become OpenAI functions; those a hosted
//! service would run, and kinds nobody knows, are left out: they cost tokens and lead nowhere.
//! Errors: [`ApiError`] with the field. Source: Anthropic API reference, tools.

use serde_json::{Value, json};

use super::super::errors::ApiError;
use crate::generate::ToolChoice;

/// Longest name, as the API has it.
const NAME_MAX_BYTES: usize = 128;

/// What may be called, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Tools {
    pub(super) offered: Vec<Value>,
    pub(super) choice: ToolChoice,
    pub(super) single_call: bool,
}

/// Reads `tools` and `tool_choice`.
pub(super) fn parse(tools: Vec<Value>, choice: Option<Value>) -> Result<Tools, ApiError> {
    let mut offered = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        offered.extend(function(&format!("tools.{index}"), tool)?);
    }
    let Some(choice) = choice else {
        return Ok(Tools { offered, choice: ToolChoice::Auto, single_call: false });
    };
    let single_call = match choice.get("disable_parallel_tool_use") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(single)) => *single,
        Some(_) => {
            let field = "tool_choice.disable_parallel_tool_use";
            return Err(ApiError::invalid("is true or false", Some(field)));
        }
    };
    Ok(Tools { choice: tool_choice(&choice, &offered)?, offered, single_call })
}

fn tool_choice(choice: &Value, offered: &[Value]) -> Result<ToolChoice, ApiError> {
    let invalid = |message: &str| Err(ApiError::invalid(message, Some("tool_choice")));
    let choice = match choice.get("type").and_then(Value::as_str) {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("any") => ToolChoice::Required,
        Some("tool") => match choice.get("name").and_then(Value::as_str) {
            Some(name) if offered.iter().any(|tool| tool["function"]["name"] == name) => {
                ToolChoice::OneOf(vec![name.to_owned()])
            }
            Some(_) => return invalid("names a tool that is not among those this node can offer"),
            None => return invalid("of type tool names one in `name`"),
        },
        _ => return invalid("is an object whose type is auto, any, tool or none"),
    };
    match choice {
        ToolChoice::Required if offered.is_empty() => {
            invalid("asks for a call, but there is no tool this node can offer")
        }
        choice => Ok(choice),
    }
}

/// The function a tool is; none where the caller would not run it.
fn function(at: &str, tool: &Value) -> Result<Option<Value>, ApiError> {
    let invalid =
        |field: &str, message: &str| Err(ApiError::invalid(message, Some(&format!("{at}{field}"))));
    if !tool.is_object() {
        return invalid("", "a tool is an object");
    }
    match tool.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "custom" => {}
        Some(Value::String(_)) => return Ok(None),
        Some(_) => return invalid(".type", "is a text"),
    }
    let name = match tool.get("name").and_then(Value::as_str) {
        Some(name) if (1..=NAME_MAX_BYTES).contains(&name.len()) => name,
        _ => return invalid(".name", &format!("is a text of 1 to {NAME_MAX_BYTES} bytes")),
    };
    let description = match tool.get("description") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return invalid(".description", "is a text"),
    };
    let parameters = match tool.get("input_schema") {
        None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => return invalid(".input_schema", "is an object"),
    };
    let mut function = json!({"name": name, "description": description, "parameters": parameters});
    match tool.get("strict") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => function["strict"] = true.into(),
        Some(_) => return invalid(".strict", "is true or false"),
    }
    Ok(Some(json!({"type": "function", "function": function})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather() -> Value {
        json!({
            "name": "get_weather", "description": "The weather", "defer_loading": true,
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            "cache_control": {"type": "ephemeral"},
        })
    }

    fn choice_of(choice: Value) -> Result<Tools, ApiError> {
        parse(vec![weather()], Some(choice))
    }

    #[test]
    fn a_tool_becomes_a_function_and_what_others_would_run_is_left_out() {
        let search = json!({"type": "web_search_20250305", "name": "web_search"});
        let tools = parse(vec![weather(), search, json!({"type": "custom", "name": "x"})], None);
        let tools = tools.expect("valid");
        assert_eq!(tools.offered.len(), 2);
        let expected = json!({"type": "function", "function": {
            "name": "get_weather", "description": "The weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        }});
        assert_eq!(tools.offered[0], expected);
        assert_eq!((tools.choice, tools.single_call), (ToolChoice::Auto, false));
    }

    #[test]
    fn every_choice_is_understood() {
        let choice = |value| choice_of(value).expect("valid").choice;
        assert_eq!(choice(json!({"type": "auto"})), ToolChoice::Auto);
        assert_eq!(choice(json!({"type": "none"})), ToolChoice::None);
        assert_eq!(choice(json!({"type": "any"})), ToolChoice::Required);
        let one = ToolChoice::OneOf(vec!["get_weather".to_owned()]);
        assert_eq!(choice(json!({"type": "tool", "name": "get_weather"})), one);
        let single = json!({"type": "auto", "disable_parallel_tool_use": true});
        assert!(choice_of(single).expect("valid").single_call);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let field = |result: Result<Tools, ApiError>| result.expect_err("refused").param;
        let choice = |value| field(choice_of(value));
        assert_eq!(choice(json!({"type": "tool", "name": "x"})).as_deref(), Some("tool_choice"));
        assert_eq!(choice(json!({"type": "tool"})).as_deref(), Some("tool_choice"));
        assert_eq!(choice(json!("any")).as_deref(), Some("tool_choice"));
        let none = parse(Vec::new(), Some(json!({"type": "any"})));
        assert_eq!(field(none).as_deref(), Some("tool_choice"));
        let tool = |tool| field(parse(vec![weather(), tool], None));
        assert_eq!(tool(json!("x")).as_deref(), Some("tools.1"));
        assert_eq!(tool(json!({"name": ""})).as_deref(), Some("tools.1.name"));
        let schema = json!({"name": "x", "input_schema": "s"});
        assert_eq!(tool(schema).as_deref(), Some("tools.1.input_schema"));
    }
}
