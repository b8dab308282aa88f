//! Functions that a chat body offers, and whether one must be called.
//!
//! Called by `chat_request.rs`. The old `functions` and `function_call` are the same in other
//! words; an answer to them has at most one call. Of tools that are `allowed_tools` of mode `auto`,
//! the others are not offered. Errors: 400 [`ApiError`] with the field.
//! Source: OpenAI API reference, chat completions. Absent on purpose: custom tools, whose input is
//! free text.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    generate::ToolChoice,
    http::{
        errors::ApiError,
        fields::Fields,
        generation_fields::{FUNCTION_NAME, is_function_name},
    },
};

/// Most tools of one request.
const TOOLS_MAX: usize = 1024;

/// What may be called.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offer {
    /// The functions, in the form of templates.
    pub(super) tools: Vec<Value>,
    /// Whether they must be called.
    pub(super) choice: ToolChoice,
    /// One call at most.
    pub(super) single_call: bool,
    /// The answer speaks of calls in the old form.
    pub(super) is_old: bool,
}

#[derive(Deserialize)]
struct Allowed {
    mode: String,
    tools: Vec<Value>,
}

/// Reads the fields that speak of tools.
pub(super) fn read(fields: &mut Fields) -> Result<Offer, ApiError> {
    let tools: Option<Vec<Value>> = fields.optional("tools")?;
    let functions: Option<Vec<Value>> = fields.optional("functions")?;
    let old_choice: Option<Value> = fields.optional("function_call")?;
    let choice: Option<Value> = fields.optional("tool_choice")?;
    let parallel: Option<bool> = fields.optional("parallel_tool_calls")?;
    let Some(functions) = functions else {
        let read = |(n, tool)| tool_of(tool, &format!("tools[{n}]"));
        let tools = bounded(tools.unwrap_or_default(), "tools")?;
        let tools = tools.into_iter().enumerate().map(read).collect::<Result<Vec<Value>, _>>()?;
        let offer = Offer { tools, single_call: parallel == Some(false), ..Offer::default() };
        return offer.with_choice(choice, "tool_choice");
    };
    if tools.is_some() {
        let message = "`functions` is the old form of `tools`; send one of them";
        return Err(ApiError::invalid(message, Some("functions")));
    }
    let read = |(n, function): (usize, Value)| function_of(&function, &format!("functions[{n}]"));
    let functions = bounded(functions, "functions")?;
    let tools = functions.into_iter().enumerate().map(read).collect::<Result<Vec<Value>, _>>()?;
    let offer = Offer { tools, single_call: true, is_old: true, ..Offer::default() };
    let named = |name: &Value| json!({"type": "function", "function": {"name": name}});
    let choice = old_choice.map(|choice| choice.get("name").map(named).unwrap_or(choice));
    offer.with_choice(choice, "function_call")
}

fn bounded(tools: Vec<Value>, param: &str) -> Result<Vec<Value>, ApiError> {
    match tools.len() {
        0..=TOOLS_MAX => Ok(tools),
        _ => Err(ApiError::invalid(format!("at most {TOOLS_MAX} of them"), Some(param))),
    }
}

fn tool_of(tool: Value, place: &str) -> Result<Value, ApiError> {
    match tool["type"].as_str() {
        Some("function") => function_of(&tool["function"], &format!("{place}.function")),
        kind => {
            let kind = kind.unwrap_or("nothing");
            let message = format!("only tools of type function can be called here, not {kind}");
            Err(ApiError::unsupported(message, place))
        }
    }
}

fn function_of(function: &Value, place: &str) -> Result<Value, ApiError> {
    let wrong = |field: &str, message: &str| {
        Err(ApiError::invalid(message, Some(&format!("{place}{field}"))))
    };
    let Value::Object(function) = function else {
        return wrong("", "a function is an object with a name");
    };
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_function_name(name) {
        return wrong(".name", &format!("`{place}.name` {FUNCTION_NAME}"));
    }
    let mut read = json!({"name": name});
    match function.get("description") {
        None | Some(Value::Null) => {}
        Some(description @ Value::String(_)) => read["description"] = description.clone(),
        Some(_) => return wrong(".description", "a description is a text"),
    }
    read["parameters"] = match function.get("parameters") {
        None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
        Some(parameters @ Value::Object(_)) => parameters.clone(),
        Some(_) => return wrong(".parameters", "parameters are a JSON schema, an object"),
    };
    match function.get("strict") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => read["strict"] = true.into(),
        Some(_) => return wrong(".strict", "strict is true or false"),
    }
    Ok(json!({"type": "function", "function": read}))
}

fn name_of(tool: &Value) -> Option<&str> {
    tool["function"]["name"].as_str()
}

impl Offer {
    fn with_choice(mut self, choice: Option<Value>, param: &str) -> Result<Offer, ApiError> {
        let wrong = || {
            let message = "it is \"none\", \"auto\", \"required\", a function by its name, or \
                           allowed_tools with a mode and tools";
            ApiError::invalid(message, Some(param))
        };
        let choice = choice.unwrap_or_else(|| "auto".into());
        self.choice = match (choice.as_str(), choice["type"].as_str()) {
            (Some("none"), _) => ToolChoice::None,
            (Some("auto"), _) => ToolChoice::Auto,
            (Some("required"), _) => ToolChoice::Required,
            (None, Some("function")) => {
                let name = name_of(&choice).ok_or_else(wrong)?.to_owned();
                ToolChoice::OneOf(vec![name])
            }
            (None, Some("allowed_tools")) => return self.allowed(&choice, param),
            (None, Some("custom")) => {
                return Err(ApiError::unsupported("custom tools can't be called here", param));
            }
            _ => return Err(wrong()),
        };
        self.checked(param)
    }

    fn allowed(mut self, choice: &Value, param: &str) -> Result<Offer, ApiError> {
        let wrong = |message: &str| ApiError::invalid(message, Some(param));
        let allowed = serde_json::from_value(choice["allowed_tools"].clone());
        let Allowed { mode, tools } =
            allowed.map_err(|_| wrong("allowed_tools has a `mode` and `tools`"))?;
        let names = tools.iter().map(|tool| name_of(tool).map(str::to_owned));
        let names: Option<Vec<String>> = names.collect();
        let names = names.filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| wrong("allowed_tools names at least one function"))?;
        match mode.as_str() {
            "required" => {
                self.choice = ToolChoice::OneOf(names);
                self.checked(param)
            }
            "auto" => {
                let is_allowed =
                    |tool: &Value| names.iter().any(|name| name_of(tool) == Some(name));
                self.tools.retain(is_allowed);
                self.choice = ToolChoice::OneOf(names);
                Ok(Offer { choice: ToolChoice::Auto, ..self.checked(param)? })
            }
            _ => Err(wrong("the mode of allowed_tools is \"auto\" or \"required\"")),
        }
    }

    /// What must be called must be there.
    fn checked(self, param: &str) -> Result<Offer, ApiError> {
        let has = |name: &String| self.tools.iter().any(|tool| name_of(tool) == Some(name));
        let missing = match &self.choice {
            ToolChoice::Required if self.tools.is_empty() => {
                Some("a call is required, but there are no tools".to_owned())
            }
            ToolChoice::OneOf(names) => {
                let missing = names.iter().find(|name| !has(name));
                missing.map(|name| format!("there is no tool named {name:?}"))
            }
            _ => None,
        };
        match missing {
            Some(message) => Err(ApiError::invalid(message, Some(param))),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "strict": true}})
    }

    fn read_tool(name: &str) -> Value {
        let parameters = json!({"type": "object", "properties": {}});
        let function = json!({"name": name, "parameters": parameters, "strict": true});
        json!({"type": "function", "function": function})
    }

    fn offer(body: Value) -> Result<Offer, ApiError> {
        read(&mut Fields::of_bytes(body.to_string().as_bytes())?)
    }

    fn chosen(choice: Value) -> Offer {
        offer(json!({"tools": [tool("a"), tool("b")], "tool_choice": choice})).expect("valid")
    }

    #[test]
    fn every_choice_is_understood() {
        assert_eq!(offer(json!({})).expect("nothing"), Offer::default());
        assert_eq!(chosen(Value::Null).choice, ToolChoice::Auto);
        assert_eq!(chosen("auto".into()).tools, [read_tool("a"), read_tool("b")]);
        assert_eq!(chosen("none".into()).choice, ToolChoice::None);
        assert_eq!(chosen("required".into()).choice, ToolChoice::Required);
        assert_eq!(chosen(tool("b")).choice, ToolChoice::OneOf(vec!["b".into()]));
        let allowed = |mode: &str| {
            chosen(json!({
                "type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool("b")]},
            }))
        };
        let required = allowed("required");
        assert_eq!(required.choice, ToolChoice::OneOf(vec!["b".into()]));
        assert_eq!(required.tools.len(), 2);
        let auto = allowed("auto");
        assert_eq!((auto.choice, auto.tools), (ToolChoice::Auto, vec![read_tool("b")]));
    }

    #[test]
    fn parallel_calls_may_be_forbidden() {
        let one = offer(json!({"tools": [tool("a")], "parallel_tool_calls": false}));
        assert!(one.expect("valid").single_call);
        let many = offer(json!({"tools": [tool("a")], "parallel_tool_calls": true}));
        assert!(!many.expect("valid").single_call);
    }

    #[test]
    fn the_old_form_is_translated() {
        let functions = json!([{"name": "a", "strict": true}, {"name": "b", "strict": true}]);
        let old = offer(json!({"functions": functions, "function_call": {"name": "a"}}));
        let old = old.expect("valid");
        assert_eq!(old.choice, ToolChoice::OneOf(vec!["a".into()]));
        assert_eq!(old.tools, [read_tool("a"), read_tool("b")]);
        assert!(old.is_old && old.single_call);
        let none = offer(json!({"functions": functions, "function_call": "none"}));
        assert_eq!(none.expect("valid").choice, ToolChoice::None);
    }

    #[test]
    fn what_can_t_be_called_is_told_by_its_place() {
        let named =
            |name: &str| json!({"tools": [{"type": "function", "function": {"name": name}}]});
        let with = |choice: Value| json!({"tools": [tool("a")], "tool_choice": choice});
        let none: [Value; 0] = [];
        let cases = [
            (json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}), "tools[0]"),
            (json!({"tools": [3]}), "tools[0]"),
            (json!({"tools": 3}), "tools"),
            (named(""), "tools[0].function.name"),
            (named("a b"), "tools[0].function.name"),
            (json!({"tools": [tool("a"), {"type": "function"}]}), "tools[1].function"),
            (json!({"functions": [{"name": "a", "parameters": 1}]}), "functions[0].parameters"),
            (json!({"functions": none, "tools": none}), "functions"),
            (with("always".into()), "tool_choice"),
            (with(tool("b")), "tool_choice"),
            (with(json!({"type": "custom", "custom": {"name": "x"}})), "tool_choice"),
            (with(json!({"type": "allowed_tools"})), "tool_choice"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (json!({"functions": [], "function_call": {"name": "a"}}), "function_call"),
        ];
        for (body, param) in cases {
            let error = offer(body.clone()).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some(param)),
                "{body}"
            );
        }
    }
}
