//! Tools and the choice among them: from this dialect's flat form to the one that templates take.
//!
//! Called by `request.rs`. Pure. Functions are kept; tools of other kinds (`namespace`,
//! `web_search`, `custom`, ...) run elsewhere or speak no JSON, and are skipped: agents send them
//! unasked. Allowed tools in mode `auto` are the only ones that are shown to the model.
//! Errors: [`ApiError`] with the field. Source: OpenAI API reference, responses.

use serde_json::{Map, Value, json};

use crate::generate::ToolChoice;
use crate::http::errors::ApiError;
use crate::http::fields::Fields;
use crate::http::generation_fields::{FUNCTION_NAME, is_function_name};

/// More tools than any agent has.
const TOOLS_MAX: usize = 4096;

/// What may be called.
#[derive(Debug, PartialEq)]
pub(super) struct Tools {
    /// As templates take them.
    pub(super) functions: Vec<Value>,
    /// Whether they must be.
    pub(super) choice: ToolChoice,
    /// As the response repeats them.
    pub(super) echo: Vec<Value>,
    /// The choice as the response repeats it.
    pub(super) choice_echo: Value,
}

/// Reads `tools` and `tool_choice`.
pub(super) fn read(fields: &mut Fields) -> Result<Tools, ApiError> {
    let given: Vec<Value> = fields.optional("tools")?.unwrap_or_default();
    if given.len() > TOOLS_MAX {
        return Err(fields.wrong("tools", &format!("has more than {TOOLS_MAX} tools")));
    }
    let mut tools = Tools {
        functions: Vec::new(),
        choice: ToolChoice::Auto,
        echo: Vec::new(),
        choice_echo: json!("auto"),
    };
    for (index, tool) in given.into_iter().enumerate() {
        let mut tool = Fields::of_value(tool, &format!("tools[{index}]"))?;
        match tool.kind()?.as_str() {
            "function" => tools.add(tool)?,
            "" => return Err(tool.wrong("type", "is missing; `function` is one")),
            _ => {}
        }
    }
    if let Some(choice) = fields.optional::<Value>("tool_choice")? {
        tools.choose(choice)?;
    }
    Ok(tools)
}

impl Tools {
    fn add(&mut self, mut tool: Fields) -> Result<(), ApiError> {
        let name: String = tool.required("name")?;
        if !is_function_name(&name) {
            return Err(tool.wrong("name", FUNCTION_NAME));
        }
        let description: Option<String> = tool.optional("description")?;
        let parameters: Option<Map<String, Value>> = tool.optional("parameters")?;
        let strict: bool = tool.optional("strict")?.unwrap_or(false);
        self.echo.push(json!({
            "type": "function", "name": name, "description": description,
            "parameters": parameters, "strict": strict,
        }));
        let parameters = parameters.map_or_else(no_parameters, Value::Object);
        let mut function = json!({"name": name, "parameters": parameters});
        if let Some(description) = description {
            function["description"] = description.into();
        }
        if strict {
            function["strict"] = true.into();
        }
        self.functions.push(json!({"type": "function", "function": function}));
        Ok(())
    }

    fn choose(&mut self, choice: Value) -> Result<(), ApiError> {
        self.choice_echo = choice.clone();
        if let Value::String(choice) = choice {
            self.choice = match choice.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" if self.functions.is_empty() => {
                    return Err(wrong("is `required`, but `tools` has no function to call"));
                }
                "required" => ToolChoice::Required,
                _ => return Err(wrong("must be `auto`, `none`, `required` or an object")),
            };
            return Ok(());
        }
        let mut choice = Fields::of_value(choice, "tool_choice")?;
        match choice.kind()?.as_str() {
            "function" => {
                let name: String = choice.required("name")?;
                if !self.has(&name) {
                    let message = format!("`{name}` is no function among `tools`");
                    return Err(ApiError::invalid(message, Some("tool_choice")));
                }
                self.choice = ToolChoice::OneOf(vec![name]);
                Ok(())
            }
            "allowed_tools" => self.allow(choice),
            _ => Err(ApiError::unsupported(
                "only functions can be called here: `tool_choice` of type `function` or \
                 `allowed_tools`",
                "tool_choice",
            )),
        }
    }

    fn allow(&mut self, mut choice: Fields) -> Result<(), ApiError> {
        let allowed: Vec<Value> = choice.required("tools")?;
        let names = allowed.iter().filter_map(|tool| tool.get("name").and_then(Value::as_str));
        let names: Vec<String> = names.filter(|name| self.has(name)).map(str::to_owned).collect();
        match choice.optional::<String>("mode")?.as_deref() {
            None | Some("auto") => {
                self.functions.retain(|tool| names.iter().any(|name| is_named(tool, name)));
                Ok(())
            }
            Some("required") if names.is_empty() => {
                Err(wrong("allows none of the functions in `tools`, but requires one"))
            }
            Some("required") => {
                self.choice = ToolChoice::OneOf(names);
                Ok(())
            }
            Some(_) => Err(choice.wrong("mode", "must be `auto` or `required`")),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.functions.iter().any(|tool| is_named(tool, name))
    }
}

fn is_named(tool: &Value, name: &str) -> bool {
    tool["function"]["name"] == name
}

fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

fn wrong(what: &str) -> ApiError {
    ApiError::invalid(format!("`tool_choice` {what}"), Some("tool_choice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(choice: Value) -> Result<Tools, ApiError> {
        let tools = json!([
            {"type": "function", "name": "a", "description": "A", "parameters": {"type": "object"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "x"}]},
            {"type": "web_search"},
            {"type": "function", "name": "b", "parameters": null, "strict": true},
        ]);
        let body = json!({"tools": tools, "tool_choice": choice}).to_string();
        read(&mut Fields::of_bytes(body.as_bytes()).expect("JSON"))
    }

    #[test]
    fn functions_take_the_nested_form_and_other_kinds_are_skipped() {
        let tools = read_with(Value::Null).expect("valid");
        let expected = json!([
            {"type": "function", "function":
                {"name": "a", "description": "A", "parameters": {"type": "object"}}},
            {"type": "function", "function":
                {"name": "b", "parameters": {"type": "object", "properties": {}}, "strict": true}},
        ]);
        assert_eq!(Value::Array(tools.functions), expected);
        assert_eq!(tools.echo.len(), 2);
        assert_eq!((&tools.echo[1]["name"], &tools.echo[1]["strict"]), (&json!("b"), &json!(true)));
    }

    #[test]
    fn every_choice_has_its_meaning() {
        let allowed = |mode: &str| {
            let tools = json!([{"type": "function", "name": "b"}, {"type": "web_search"}]);
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        };
        let one = |name: &str| ToolChoice::OneOf(vec![name.to_owned()]);
        for (choice, n_tools, expected) in [
            (json!("auto"), 2, ToolChoice::Auto),
            (json!("none"), 2, ToolChoice::None),
            (json!("required"), 2, ToolChoice::Required),
            (json!({"type": "function", "name": "a"}), 2, one("a")),
            (allowed("auto"), 1, ToolChoice::Auto),
            (allowed("required"), 2, one("b")),
        ] {
            let tools = read_with(choice.clone()).expect("valid");
            assert_eq!((tools.functions.len(), tools.choice), (n_tools, expected), "{choice}");
            assert_eq!(tools.choice_echo, choice);
        }
    }

    #[test]
    fn a_choice_that_nothing_can_fulfil_is_refused() {
        for choice in [
            json!("maybe"),
            json!(3),
            json!({"type": "function", "name": "n"}),
            json!({"type": "function"}),
            json!({"type": "web_search"}),
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "x"}]}),
        ] {
            let error = read_with(choice.clone()).expect_err("refused");
            assert!(error.param.expect("a field").starts_with("tool_choice"), "{choice}");
        }
        let body = br#"{"tool_choice": "required"}"#;
        assert!(read(&mut Fields::of_bytes(body).expect("JSON")).is_err());
    }
}
