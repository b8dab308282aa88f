//! Grammars of whole answers: reasoning where the model reasons, then calls or a bound text.
//!
//! Called by the doors' node for requests that force a call or bind the text: the result is a Lark
//! grammar for [`super::Grammar::Lark`]. A call is spelled as the model was trained to write it
//! ([`ToolCallFormat`]), its name is one of the tools', its arguments follow the tool's schema.
//! What is a control token of the vocabulary is asked for by its id, everything else by its text.
//! Errors: [`ConstraintError`] when a schema cannot be one. Source: published chat templates.
//! Absent on purpose: free text beside forced calls; grammars for calls that nobody forces.

use serde_json::{Map, Value};

use super::{ConstraintError, grammar};
use crate::chat_output::{OutputFormat, ToolCallFormat};
use crate::tokenizer::{EncodeOptions, TokenType, Tokenizer};

/// Calls in one answer; more are never meant.
const CALLS_MAX: u32 = 16;

/// What the answer is behind its reasoning.
#[derive(Debug, Clone, Copy)]
pub enum AnswerBody<'a> {
    /// Calls of these tools (`{"function":{"name","parameters"}}`), at least one.
    Calls {
        /// The tools.
        tools: &'a [Value],
        /// Exactly one call.
        single: bool,
    },
    /// JSON that is valid under this schema.
    Json(&'a Value),
    /// A text that matches as a whole.
    Regex(&'a str),
}

/// The Lark grammar of an answer. `template` is the source of the model's chat template, which
/// decides between the variants of a format; `in_reasoning` says that the prompt opened reasoning.
pub fn answer_grammar(
    (output, template): (&OutputFormat, &str),
    in_reasoning: bool,
    body: AnswerBody<'_>,
    tokenizer: &Tokenizer,
) -> Result<String, ConstraintError> {
    let mut lark = Lark { tokenizer, rules: Vec::new() };
    let body = match body {
        AnswerBody::Json(schema) => lark.json(schema)?,
        AnswerBody::Regex(text) => {
            lark.rules.push(format!("BOUND: /{}/", text.replace('/', "\\/")));
            "BOUND".to_owned()
        }
        AnswerBody::Calls { tools, single } => {
            let format = Format { calls: output.tool_calls, template };
            let calls: Result<Vec<String>, _> =
                tools.iter().map(|tool| format.call(tool, &mut lark)).collect();
            lark.rules.push(format!("call: {}", calls?.join("\n  | ")));
            format.calls(single, &mut lark)
        }
    };
    let reasoning = match output.reasoning {
        None => String::new(),
        Some(tags) => {
            let thoughts = lark.anything_until(tags.close);
            lark.rules.push("SPACE: /[ \\n]+/".to_owned());
            match in_reasoning {
                true => format!("{thoughts} SPACE? "),
                false => format!("({} {thoughts} SPACE?)? ", lark.text(tags.open)),
            }
        }
    };
    Ok(format!("start: {reasoning}{body}\n{}\n", lark.rules.join("\n")))
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_punctuation() || c == '<' || c == '>';
    let escape = |c| if is_plain(c) { String::from(c) } else { format!("\\{c}") };
    text.chars().map(escape).collect::<String>().replace('\n', "\\n")
}

/// A grammar being written.
struct Lark<'t> {
    tokenizer: &'t Tokenizer,
    rules: Vec<String>,
}

impl Lark<'_> {
    /// A text as it is spelled here: a control token by its id, everything else letter by letter.
    fn text(&self, text: &str) -> String {
        let options = EncodeOptions { add_special: false, parse_special: true };
        match self.tokenizer.encode(text, options)[..] {
            [id] if self.tokenizer.token_type(id) == Some(TokenType::Control) => {
                format!("<[{id}]>")
            }
            _ => Value::from(text).to_string(),
        }
    }

    /// Whatever comes before the first `end`, and that; often nothing.
    fn anything_until(&mut self, end: &str) -> String {
        let (number, end_here) = (self.rules.len(), self.text(end));
        if end_here.starts_with('<') {
            self.rules.push(format!("TEXT{number}: /(?s:.+)/"));
            return format!("TEXT{number}? {end_here}");
        }
        // Lazy: it ends where the text can end first.
        self.rules.push(format!("text{number}[lazy]: /(?s:.*){}/", escaped(end)));
        format!("text{number}")
    }

    /// A rule for JSON under a schema; its name.
    fn json(&mut self, schema: &Value) -> Result<String, ConstraintError> {
        let name = format!("json{}", self.rules.len());
        let schema = grammar::checked_schema(schema)?;
        self.rules.push(format!("{name}: %json {schema}"));
        Ok(name)
    }

    /// One argument's value where arguments are tagged, and the tag behind it: text as it is,
    /// everything else as JSON.
    fn tagged_value(&mut self, schema: &Value, close: &str) -> Result<String, ConstraintError> {
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Ok(format!("{} {}", self.one_of(values), self.text(close)));
        }
        if schema.get("type").and_then(Value::as_str) == Some("string") {
            return Ok(self.anything_until(close));
        }
        Ok(format!("{} {}", self.json(schema)?, self.text(close)))
    }

    fn one_of(&self, values: &[Value]) -> String {
        let text = |value: &Value| match value.as_str() {
            Some(text) => self.text(text),
            None => self.text(&value.to_string()),
        };
        format!("({})", values.iter().map(text).collect::<Vec<_>>().join(" | "))
    }
}

/// How calls are written.
struct Format<'a> {
    calls: ToolCallFormat,
    template: &'a str,
}

impl Format<'_> {
    /// One call of a tool, without what is around all calls.
    fn call(&self, tool: &Value, lark: &mut Lark<'_>) -> Result<String, ConstraintError> {
        let function = tool.get("function").unwrap_or(tool);
        let name = function["name"].as_str().unwrap_or_default();
        let any = serde_json::json!({"type": "object"});
        let schema = function.get("parameters").filter(|schema| schema.is_object());
        let schema = schema.unwrap_or(&any);
        let quoted = Value::from(name).to_string();
        Ok(match self.calls {
            ToolCallFormat::QwenCoder => {
                let head = lark.text(&format!("\n<function={name}>\n"));
                let around = ["<parameter=", ">\n", "\n</parameter>\n"];
                let arguments = tagged(schema, around, lark)?;
                let (open, close) = (lark.text("<tool_call>"), lark.text("</tool_call>"));
                let end = lark.text("</function>\n");
                format!("{open} {head} {arguments} {end} {close}")
            }
            ToolCallFormat::Glm45 => {
                let head = lark.text(&format!("{name}\n"));
                let around = ["<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"];
                let arguments = tagged(schema, around, lark)?;
                let (open, close) = (lark.text("<tool_call>"), lark.text("</tool_call>"));
                format!("{open} {head} {arguments} {close}")
            }
            ToolCallFormat::DeepSeek => self.deepseek(name, schema, lark)?,
            ToolCallFormat::Mistral if self.template.contains("[ARGS]") => {
                let arguments = lark.json(schema)?;
                let (marker, separator) = (lark.text("[TOOL_CALLS]"), lark.text("[ARGS]"));
                format!("{marker} {} {separator} {arguments}", lark.text(name))
            }
            ToolCallFormat::Glm4 => {
                let arguments = lark.json(schema)?;
                format!("{} {arguments}", lark.text(&format!("{name}\n")))
            }
            ToolCallFormat::Hermes => {
                let arguments = lark.json(schema)?;
                let (open, close) = (lark.text("<tool_call>"), lark.text("</tool_call>"));
                let head = lark.text(&format!("\n{{\"name\": {quoted}, \"arguments\": "));
                format!("{open} {head} {arguments} {} {close}", lark.text("}\n"))
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

    /// All calls of an answer, of the rule `call`.
    fn calls(&self, single: bool, lark: &mut Lark<'_>) -> String {
        let more = |between: &str| match single {
            true => "call".to_owned(),
            false => format!("call ({between} call){{0,{}}}", CALLS_MAX - 1),
        };
        match self.calls {
            ToolCallFormat::DeepSeek => {
                let tag = |word: &str| format!("<\u{ff5c}tool\u{2581}calls\u{2581}{word}\u{ff5c}>");
                let (begin, end) = (lark.text(&tag("begin")), lark.text(&tag("end")));
                format!("{begin} {} {end}", more("\"\\n\"?"))
            }
            ToolCallFormat::Mistral if !self.template.contains("[ARGS]") => {
                format!("{} \"[\" {} \"]\"", lark.text("[TOOL_CALLS]"), more("\", \""))
            }
            ToolCallFormat::Mistral => more(""),
            ToolCallFormat::Hermes | ToolCallFormat::QwenCoder | ToolCallFormat::Glm45 => {
                more("\"\\n\"?")
            }
            // The form has no second call.
            ToolCallFormat::Llama3
            | ToolCallFormat::BareJson
            | ToolCallFormat::Glm4
            | ToolCallFormat::None => "call".to_owned(),
        }
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
