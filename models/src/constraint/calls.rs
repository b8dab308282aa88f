//! Calls as rules of a Lark grammar: how each format spells them.
//!
//! Called by `answer.rs`, which puts what announces calls before them. The parsers of the same
//! formats are in `crate::chat_output`. Errors: [`ConstraintError`] when a tool's schema cannot be
//! followed. Source: published chat templates.

use serde_json::{Map, Value};

use super::{
    ConstraintError,
    answer::{AnswerCalls, Lark, escaped},
};
use crate::chat_output::ToolCallFormat;

/// Calls in one answer; more are never meant.
const CALLS_MAX: u32 = 16;

/// How calls are written.
pub(super) struct Format<'a> {
    pub(super) calls: ToolCallFormat,
    pub(super) template: &'a str,
}

impl Format<'_> {
    /// What announces calls wherever they stand.
    pub(super) fn marker(&self) -> Option<&'static str> {
        // Llama's announces code, its calls are bare.
        self.calls.marker().filter(|_| self.calls != ToolCallFormat::Llama3)
    }

    /// Beginnings of texts that would be read as calls that follow no schema.
    pub(super) fn never_free(&self, calls: Option<AnswerCalls<'_>>) -> Vec<String> {
        let Some(AnswerCalls { tools, .. }) = calls else { return Vec::new() };
        match self.calls {
            ToolCallFormat::BareJson | ToolCallFormat::Llama3 | ToolCallFormat::None => {
                let keys = "(?:name|arguments|parameters|id|type)";
                let code = escaped("<|python_tag|>");
                vec![format!("\\s*\\{{\\s*\"{keys}\"(?s:.*)"), format!("(?s:.*){code}(?s:.*)")]
            }
            ToolCallFormat::Glm4 => {
                let names: Vec<String> = tools.iter().map(|tool| escaped(name_of(tool))).collect();
                vec![
                    format!("\\s*(?:{})\\n(?s:.*)", names.join("|")),
                    "\\s*[\\w\\-.:\\/]+\\n\\s*\\{(?s:.*)".to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// One call of a tool, without what is around all calls.
    fn call(&self, tool: &Value, lark: &mut Lark<'_>) -> Result<String, ConstraintError> {
        let function = tool.get("function").unwrap_or(tool);
        let name = name_of(tool);
        let any = serde_json::json!({"type": "object"});
        let schema = function.get("parameters").filter(|schema| schema.is_object());
        let schema = schema.unwrap_or(&any);
        let quoted = Value::from(name).to_string();
        Ok(match self.calls {
            ToolCallFormat::QwenCoder => {
                let head = lark.text(&format!("\n<function={name}>\n"));
                let around = ["<parameter=", ">\n", "\n</parameter>\n"];
                let arguments = tagged(schema, around, lark)?;
                let (end, close) = (lark.text("</function>\n"), lark.text("</tool_call>"));
                format!("{head} {arguments} {end} {close}")
            }
            ToolCallFormat::Glm45 => {
                let head = lark.text(&format!("{name}\n"));
                let around = ["<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"];
                let arguments = tagged(schema, around, lark)?;
                format!("{head} {arguments} {}", lark.text("</tool_call>"))
            }
            ToolCallFormat::DeepSeek => self.deepseek(name, schema, lark)?,
            ToolCallFormat::Mistral if self.template.contains("[ARGS]") => {
                let arguments = lark.json(schema)?;
                format!("{} {} {arguments}", lark.text(name), lark.text("[ARGS]"))
            }
            ToolCallFormat::Glm4 => {
                let arguments = lark.json(schema)?;
                format!("{} {arguments}", lark.text(&format!("{name}\n")))
            }
            ToolCallFormat::Hermes => {
                let arguments = lark.json(schema)?;
                let close = lark.text("</tool_call>");
                let head = lark.text(&format!("\n{{\"name\": {quoted}, \"arguments\": "));
                format!("{head} {arguments} {} {close}", lark.text("}\n"))
            }
            ToolCallFormat::Llama3
            | ToolCallFormat::BareJson
            | ToolCallFormat::Mistral
            | ToolCallFormat::None => {
                let is_llama = self.calls == ToolCallFormat::Llama3;
                let key = if is_llama { "parameters" } else { "arguments" };
                let arguments = lark.json(schema)?;
                let head = lark.text(&format!("{{\"name\": {quoted}, \"{key}\": "));
                format!("{head} {arguments} \"}}\"")
            }
        })
    }

    fn deepseek(
        &self,
        name: &str,
        schema: &Value,
        lark: &mut Lark<'_>,
    ) -> Result<String, ConstraintError> {
        let tag = |word: &str| format!("<\u{ff5c}tool\u{2581}{word}\u{ff5c}>");
        let arguments = lark.json(schema)?;
        let begin = lark.text(&tag("call\u{2581}begin"));
        let (separator, end) = (lark.text(&tag("sep")), lark.text(&tag("call\u{2581}end")));
        Ok(match self.template.contains("```json") {
            true => {
                let head = lark.text(&format!("{name}\n```json\n"));
                let tail = lark.text("\n```");
                format!("{begin} \"function\" {separator} {head} {arguments} {tail} {end}")
            }
            false => format!("{begin} {} {separator} {arguments} {end}", lark.text(name)),
        })
    }

    /// All calls of an answer behind what announces them.
    pub(super) fn calls(
        &self,
        AnswerCalls { tools, single }: AnswerCalls<'_>,
        lark: &mut Lark<'_>,
    ) -> Result<String, ConstraintError> {
        let calls: Result<Vec<String>, _> =
            tools.iter().map(|tool| self.call(tool, lark)).collect();
        lark.rules.push(format!("call: {}", calls?.join("\n  | ")));
        let more = |between: &str| match single {
            true => "call".to_owned(),
            false => format!("call ({between} call){{0,{}}}", CALLS_MAX - 1),
        };
        Ok(match self.calls {
            ToolCallFormat::DeepSeek => {
                let end = "<\u{ff5c}tool\u{2581}calls\u{2581}end\u{ff5c}>";
                format!("{} {}", more("\"\\n\"?"), lark.text(end))
            }
            ToolCallFormat::Mistral if !self.template.contains("[ARGS]") => {
                format!("\"[\" {} \"]\"", more("\", \""))
            }
            ToolCallFormat::Mistral => more(&lark.text("[TOOL_CALLS]")),
            ToolCallFormat::Hermes | ToolCallFormat::QwenCoder | ToolCallFormat::Glm45 => {
                more(&format!("\"\\n\"? {}", lark.text("<tool_call>")))
            }
            // The form has no second call.
            ToolCallFormat::Llama3
            | ToolCallFormat::BareJson
            | ToolCallFormat::Glm4
            | ToolCallFormat::None => "call".to_owned(),
        })
    }
}

/// Arguments one by one in the order of the schema; those that are not required may be missing.
fn tagged(
    schema: &Value,
    [before_key, before_value, after_value]: [&str; 3],
    lark: &mut Lark<'_>,
) -> Result<String, ConstraintError> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    let mut parts = Vec::with_capacity(properties.len());
    for (key, property) in properties {
        let head = lark.text(&format!("{before_key}{key}{before_value}"));
        let value = lark.tagged_value(property, after_value)?;
        let is_required = required.is_some_and(|all| all.iter().any(|name| name == key.as_str()));
        parts.push(match is_required {
            true => format!("{head} {value}"),
            false => format!("({head} {value})?"),
        });
    }
    Ok(parts.join(" "))
}

fn name_of(tool: &Value) -> &str {
    tool.get("function").unwrap_or(tool)["name"].as_str().unwrap_or_default()
}
