//! Calls whose arguments are tagged one by one.
//!
//! - GLM 4.5 on: `<tool_call>NAME`, then pairs of `<arg_key>KEY</arg_key>` and
//!   `<arg_value>VALUE</arg_value>`, then `</tool_call>`.
//! - Qwen 3 Coder and 3.5: `<tool_call><function=NAME>`, then `<parameter=KEY>VALUE</parameter>`,
//!   then `</function></tool_call>`.
//!
//! Called by the parser in `mod.rs`. Each argument becomes JSON when its value is complete: a value
//! that is JSON (and not a string) as it stands, everything else as a string.
//! Errors: a step that says malformed. Source: the families' published chat templates.
//! Absent on purpose: the tools' schemas, which would tell the text `5` from the number.

use super::{
    block::{CallBlock, Step, choose, skip_space, start_of_part, word_until},
    event::{EventSink, is_name},
};

const CLOSE: &str = "</tool_call>";

/// The tags of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tags {
    before_name: &'static str,
    after_name: &'static [&'static str],
    before_key: &'static str,
    after_key: &'static str,
    before_value: &'static str,
    after_value: &'static str,
    /// Ends the arguments; `CLOSE` may follow.
    after_arguments: &'static str,
}

/// The tags of [`GLM`] inside and after a call.
pub(super) const GLM_TAGS: &[&str] =
    &["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", CLOSE];

pub(super) const GLM: Tags = Tags {
    before_name: "",
    after_name: &["\n", "<arg_key>", CLOSE],
    before_key: "<arg_key>",
    after_key: "</arg_key>",
    before_value: "<arg_value>",
    after_value: "</arg_value>",
    after_arguments: CLOSE,
};

pub(super) const QWEN_CODER: Tags = Tags {
    before_name: "<function=",
    after_name: &[">"],
    before_key: "<parameter=",
    after_key: ">",
    before_value: "",
    after_value: "</parameter>",
    after_arguments: "</function>",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeName,
    Name,
    BeforeKey,
    Key,
    BeforeValue,
    Value,
    AfterArguments,
    Finished,
}

/// The block's parser.
#[derive(Debug)]
pub(super) struct TaggedBlock {
    tags: &'static Tags,
    state: State,
    key: String,
    /// The value so far.
    value: String,
    n_arguments: usize,
}

impl TaggedBlock {
    pub(super) fn new(tags: &'static Tags) -> TaggedBlock {
        let (key, value) = (String::new(), String::new());
        TaggedBlock { tags, state: State::BeforeName, key, value, n_arguments: 0 }
    }

    fn then(&mut self, state: State, bytes: usize) -> Step {
        self.state = state;
        Step::Take(bytes)
    }

    /// White space, then `wanted`, then on to `state`.
    fn expect(&mut self, text: &str, wanted: &'static str, state: State) -> Step {
        skip_space(text).unwrap_or_else(|| match choose(text, &[wanted]) {
            Ok(_) => self.then(state, wanted.len()),
            Err(step) => step,
        })
    }

    fn name(&mut self, text: &str, out: &mut EventSink) -> Step {
        let (name, end) = match word_until(text, self.tags.after_name) {
            Ok(found) => found,
            Err(step) => return step,
        };
        if !is_name(name.trim()) {
            return Step::Malformed;
        }
        out.begin(name.trim());
        let is_own = matches!(end, "\n" | ">");
        self.then(State::BeforeKey, name.len() + if is_own { end.len() } else { 0 })
    }

    fn before_key(&mut self, text: &str, out: &mut EventSink) -> Step {
        if let Some(step) = skip_space(text) {
            return step;
        }
        match choose(text, &[self.tags.before_key, self.tags.after_arguments]) {
            Ok(found) if found == self.tags.before_key => self.then(State::Key, found.len()),
            Ok(found) => {
                out.arguments(if self.n_arguments == 0 { "{}" } else { "}" });
                out.end();
                let is_closed = found == CLOSE;
                self.then(
                    if is_closed { State::Finished } else { State::AfterArguments },
                    found.len(),
                )
            }
            Err(step) => step,
        }
    }

    fn key(&mut self, text: &str) -> Step {
        let (key, end) = match word_until(text, &[self.tags.after_key]) {
            Ok(found) => found,
            Err(step) => return step,
        };
        self.key = key.trim().into();
        let next =
            if self.tags.before_value.is_empty() { State::Value } else { State::BeforeValue };
        self.then(next, key.len() + end.len())
    }

    fn value(&mut self, text: &str, out: &mut EventSink) -> Step {
        let end = self.tags.after_value;
        let Some(length) = text.find(end) else {
            let sure = start_of_part(text, end);
            self.value.push_str(&text[..sure]);
            return if sure == 0 { Step::More } else { Step::Take(sure) };
        };
        self.value.push_str(&text[..length]);
        let value = std::mem::take(&mut self.value);
        // Qwen writes values on lines of their own.
        let is_on_lines = self.tags.before_value.is_empty();
        let line = value.strip_prefix('\n').unwrap_or(&value);
        let line = line.strip_suffix('\n').unwrap_or(line);
        let value = if is_on_lines { line } else { &value };
        out.arguments(if self.n_arguments == 0 { "{" } else { ", " });
        out.arguments(&format!("{}: {}", quoted(&self.key), json(value)));
        self.n_arguments += 1;
        self.then(State::BeforeKey, length + end.len())
    }

    fn after_arguments(&mut self, text: &str) -> Step {
        skip_space(text).unwrap_or_else(|| match choose(text, &[CLOSE]) {
            Ok(_) => self.then(State::Finished, CLOSE.len()),
            Err(Step::More) => Step::More,
            Err(_) => Step::Leave,
        })
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as JSON.
fn json(value: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(parsed) if !parsed.is_string() => value.trim().into(),
        _ => quoted(value),
    }
}

impl CallBlock for TaggedBlock {
    fn step(&mut self, text: &str, out: &mut EventSink) -> Step {
        match self.state {
            State::BeforeName => self.expect(text, self.tags.before_name, State::Name),
            State::Name => self.name(text, out),
            State::BeforeKey => self.before_key(text, out),
            State::Key => self.key(text),
            State::BeforeValue => self.expect(text, self.tags.before_value, State::Value),
            State::Value => self.value(text, out),
            State::AfterArguments => self.after_arguments(text),
            State::Finished => Step::Leave,
        }
    }
}
