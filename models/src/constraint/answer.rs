//! Grammars of whole answers: reasoning where the model reasons, then a text, or calls, or either.
//!
//! Called by the doors' node for requests that force a call, bind the text, or offer tools whose
//! schemas every call must follow: the result is a Lark grammar for [`super::Grammar::Lark`]. A
//! call is spelled as the model was trained to write it (`calls.rs`), its name is one of the
//! tools', its arguments follow the tool's schema. What is a control token of the vocabulary is
//! asked for by its id, everything else by its text.
//! Errors: [`ConstraintError`] when a schema cannot be one. Source: published chat templates.
//! Absent on purpose: free text beside forced calls; calls beside a bound text in formats whose
//! calls are bare JSON, for nothing tells the two apart.

use serde_json::Value;

use super::{ConstraintError, calls::Format, grammar};
use crate::chat_output::OutputFormat;
use crate::tokenizer::{EncodeOptions, TokenType, Tokenizer};

/// What the answer is behind its reasoning: a text or calls, whichever of them is given.
#[derive(Debug, Clone, Copy)]
pub struct AnswerRules<'a> {
    /// The text; without one there must be calls.
    pub text: Option<AnswerText<'a>>,
    /// The calls; without them there are none.
    pub calls: Option<AnswerCalls<'a>>,
}

/// The text of an answer.
#[derive(Debug, Clone, Copy)]
pub enum AnswerText<'a> {
    /// Any; calls may stand behind it.
    Free,
    /// JSON that is valid under this schema.
    Json(&'a Value),
    /// A text that matches as a whole.
    Regex(&'a str),
}

/// The calls of an answer, at least one.
#[derive(Debug, Clone, Copy)]
pub struct AnswerCalls<'a> {
    /// Of these tools (`{"function":{"name","parameters"}}`).
    pub tools: &'a [Value],
    /// Exactly one.
    pub single: bool,
}

/// The Lark grammar of an answer. `template` is the source of the model's chat template, which
/// decides between the variants of a format; `in_reasoning` says that the prompt opened reasoning.
pub fn answer_grammar(
    (output, template): (&OutputFormat, &str),
    in_reasoning: bool,
    rules: AnswerRules<'_>,
    tokenizer: &Tokenizer,
) -> Result<String, ConstraintError> {
    let mut lark = Lark { tokenizer, rules: Vec::new() };
    let format = Format { calls: output.tool_calls, template };
    let marker = format.marker();
    let calls = rules.calls.map(|calls| format.calls(calls, &mut lark)).transpose()?;
    let is_free = matches!(rules.text, Some(AnswerText::Free));
    let body = match (rules.text, calls) {
        (None, calls) => {
            let marker = marker.map_or_else(String::new, |marker| lark.text(marker));
            format!("{marker} {}", calls.unwrap_or_default())
        }
        (Some(AnswerText::Free), calls) => {
            let mut never = format.never_free(rules.calls);
            let opening = output.reasoning.filter(|_| !in_reasoning).map(|tags| tags.open);
            never.extend(opening.map(|tag| format!("\\s*{}(?s:.*)", escaped(tag))));
            lark.free(never, marker, calls.as_deref())
        }
        (Some(text), calls) => {
            let text = lark.bound(text)?;
            match calls.zip(marker) {
                Some((calls, marker)) => format!("({text} | {} {calls})", lark.text(marker)),
                None => text,
            }
        }
    };
    let reasoning = match output.reasoning {
        None => String::new(),
        Some(tags) => {
            let mut thoughts = lark.anything_until(tags.close);
            // A free text has its own white space.
            if !is_free {
                lark.rules.push("SPACE: /[ \\n]+/".to_owned());
                thoughts += " SPACE?";
            }
            match in_reasoning {
                true => format!("{thoughts} "),
                false => format!("({} {thoughts})? ", lark.text(tags.open)),
            }
        }
    };
    Ok(format!("start: {reasoning}{body}\n{}\n", lark.rules.join("\n")))
}

/// A text as a regular expression that matches it alone.
pub(super) fn escaped(text: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_punctuation() || c == '<' || c == '>';
    let escape = |c| if is_plain(c) { String::from(c) } else { format!("\\{c}") };
    text.chars().map(escape).collect::<String>().replace('\n', "\\n")
}

/// A grammar being written.
pub(super) struct Lark<'t> {
    tokenizer: &'t Tokenizer,
    pub(super) rules: Vec<String>,
}

impl Lark<'_> {
    /// A text as it is spelled here: a control token by its id, everything else letter by letter.
    pub(super) fn text(&self, text: &str) -> String {
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

    /// Any text that matches none of `never`, calls behind it where there are some.
    fn free(
        &mut self,
        mut never: Vec<String>,
        marker: Option<&str>,
        calls: Option<&str>,
    ) -> String {
        let but = |never: &[String]| -> String {
            never.iter().map(|pattern| format!(" & ~/{pattern}/")).collect()
        };
        let calls = match (marker, calls) {
            (Some(marker), Some(calls)) => match self.text(marker) {
                control if control.starts_with('<') => format!(" ({control} {calls})?"),
                _ => {
                    let until = format!("UNTIL: /(?s:.*){}/{}", escaped(marker), but(&never));
                    self.rules.extend([until, "until[lazy]: UNTIL".to_owned()]);
                    never.push(format!("(?s:.*){}(?s:.*)", escaped(marker)));
                    format!(" | until {calls}")
                }
            },
            (None, Some(calls)) => format!(" | {calls}"),
            (_, None) => String::new(),
        };
        self.rules.push(format!("FREE: /(?s:.+)/{}", but(&never)));
        format!("(FREE?{calls})")
    }

    /// A text that is bound by more than its tags.
    fn bound(&mut self, text: AnswerText<'_>) -> Result<String, ConstraintError> {
        let pattern = match text {
            AnswerText::Json(schema) => return self.json(schema),
            AnswerText::Regex(pattern) => pattern,
            AnswerText::Free => "(?s:.*)",
        };
        self.rules.push(format!("BOUND: /{}/", pattern.replace('/', "\\/")));
        Ok("BOUND".to_owned())
    }

    /// A rule for JSON under a schema; its name.
    pub(super) fn json(&mut self, schema: &Value) -> Result<String, ConstraintError> {
        let name = format!("json{}", self.rules.len());
        let schema = grammar::checked_schema(schema)?;
        self.rules.push(format!("{name}: %json {schema}"));
        Ok(name)
    }

    /// One argument's value where arguments are tagged, and the tag behind it: text as it is,
    /// everything else as JSON.
    pub(super) fn tagged_value(
        &mut self,
        schema: &Value,
        close: &str,
    ) -> Result<String, ConstraintError> {
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
