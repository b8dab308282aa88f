//! Calls whose name stands before a JSON object of arguments.
//!
//! - DeepSeek V3 and R1: `<|tool_calls_begin|>`, then for every call `<|tool_call_begin|>`,
//!   `function<|tool_sep|>NAME`, a fenced object, `<|tool_call_end|>`; V3.1 writes
//!   `NAME<|tool_sep|>{...}` instead. Its bars are U+FF5C and its underscores U+2581.
//! - Mistral from 2025 on: `[TOOL_CALLS]NAME[ARGS]{...}`, with `[CALL_ID]ID` before the arguments.
//! - GLM-4 of 2024: a line with the name where the answer begins, then the object.
//!
//! Called by the parser in `mod.rs`. Errors: a step that says malformed.
//! Source: the families' published chat templates.

use super::{
    block::{CallBlock, Step, choose, skip_space, word_until},
    event::{EventSink, is_name},
    json_value::{JsonValue, Progress},
};

const CALL_BEGIN: &str = "<\u{ff5c}tool\u{2581}call\u{2581}begin\u{ff5c}>";
const CALL_END: &str = "<\u{ff5c}tool\u{2581}call\u{2581}end\u{ff5c}>";
const CALLS_END: &str = "<\u{ff5c}tool\u{2581}calls\u{2581}end\u{ff5c}>";
const SEPARATOR: &str = "<\u{ff5c}tool\u{2581}sep\u{ff5c}>";
const CALL_ID: &str = "[CALL_ID]";
const ARGUMENTS: &str = "[ARGS]";
/// The tags inside a block of calls.
pub(super) const DEEPSEEK_TAGS: &[&str] = &[CALL_BEGIN, SEPARATOR, CALL_END, CALLS_END];
pub(super) const MISTRAL_TAGS: &[&str] = &[CALL_ID, ARGUMENTS];
const FENCE: &str = "```";
const JSON_FENCE: &str = "```json";

/// The format of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    DeepSeek,
    Mistral,
    Line,
}

#[derive(Debug)]
enum State {
    /// DeepSeek: before a call, or the end of all.
    Between,
    Name,
    /// DeepSeek: a name on its line after `function` and the separator.
    NameLine,
    CallId,
    Arguments(JsonValue),
    AfterArguments,
    Broken,
    Finished,
}

/// The block's parser.
#[derive(Debug)]
pub(super) struct NamedBlock {
    naming: Naming,
    name: String,
    has_fence: bool,
    state: State,
}

impl NamedBlock {
    pub(super) fn new(naming: Naming) -> NamedBlock {
        let state = if naming == Naming::DeepSeek { State::Between } else { State::Name };
        NamedBlock { naming, name: String::new(), has_fence: false, state }
    }

    fn then(&mut self, state: State, bytes: usize) -> Step {
        self.state = state;
        Step::Take(bytes)
    }

    fn between(&mut self, text: &str) -> Step {
        match choose(text, &[CALL_BEGIN, CALLS_END]) {
            Ok(CALL_BEGIN) => self.then(State::Name, CALL_BEGIN.len()),
            Ok(_) => self.then(State::Finished, CALLS_END.len()),
            Err(step) => step,
        }
    }

    fn name(&mut self, text: &str) -> Step {
        let ends: &[&str] = match (&self.state, self.naming) {
            (State::NameLine, _) | (_, Naming::Line) => &["\n"],
            (_, Naming::DeepSeek) => &[SEPARATOR],
            (_, Naming::Mistral) => &[ARGUMENTS, CALL_ID, "{"],
        };
        let (name, end) = match word_until(text, ends) {
            Ok(found) => found,
            Err(step) => return step,
        };
        let taken = name.len() + if end == "{" { 0 } else { end.len() };
        let name = name.trim();
        if end == SEPARATOR && name == "function" {
            return self.then(State::NameLine, taken);
        }
        if !is_name(name) {
            return Step::Malformed;
        }
        self.has_fence = matches!(self.state, State::NameLine);
        self.name = name.into();
        match end {
            CALL_ID => self.then(State::CallId, taken),
            _ => self.then(State::Arguments(JsonValue::new()), taken),
        }
    }

    fn call_id(&mut self, text: &str) -> Step {
        match word_until(text, &[ARGUMENTS]) {
            Ok((id, end)) => self.then(State::Arguments(JsonValue::new()), id.len() + end.len()),
            Err(step) => step,
        }
    }

    fn before_arguments(&mut self, text: &str) -> Option<Step> {
        if let Some(step) = skip_space(text) {
            return Some(step);
        }
        if std::mem::take(&mut self.has_fence) {
            return Some(match choose(text, &[JSON_FENCE]) {
                Ok(fence) => Step::Take(fence.len()),
                Err(step) => {
                    self.has_fence = step == Step::More;
                    step
                }
            });
        }
        if text.starts_with('{') { None } else { Some(Step::Malformed) }
    }

    fn arguments(&mut self, text: &str, out: &mut EventSink) -> Step {
        let State::Arguments(value) = &mut self.state else { return Step::Malformed };
        if !out.is_in_call {
            out.begin(&self.name);
        }
        for (at, character) in text.char_indices() {
            let is_in_string = value.is_in_string();
            match value.push(character) {
                Ok(Progress::Inside) => out.argument_character(character, is_in_string),
                Ok(Progress::Ended) => {
                    out.argument_character(character, is_in_string);
                    out.end();
                    return self.then(State::AfterArguments, at + character.len_utf8());
                }
                Ok(Progress::EndedBefore) | Err(_) => return self.then(State::Broken, at),
            }
        }
        if text.is_empty() { Step::More } else { Step::Take(text.len()) }
    }

    /// The call is complete; what closes it is taken where it comes.
    fn after_arguments(&mut self, text: &str) -> Step {
        if self.naming != Naming::DeepSeek {
            return Step::Leave;
        }
        match choose(text, &[FENCE, CALL_END, CALL_BEGIN, CALLS_END]) {
            Ok(FENCE) => Step::Take(FENCE.len()),
            Ok(CALL_END) => self.then(State::Between, CALL_END.len()),
            Ok(_) => self.then(State::Between, 0),
            Err(step) => step,
        }
    }
}

impl CallBlock for NamedBlock {
    fn step(&mut self, text: &str, out: &mut EventSink) -> Step {
        match &self.state {
            State::Between => skip_space(text).unwrap_or_else(|| self.between(text)),
            State::Name | State::NameLine => self.name(text),
            State::CallId => self.call_id(text),
            State::Arguments(_) if !out.is_in_call => {
                self.before_arguments(text).unwrap_or_else(|| self.arguments(text, out))
            }
            State::Arguments(_) => self.arguments(text, out),
            State::AfterArguments if self.naming == Naming::DeepSeek => {
                skip_space(text).unwrap_or_else(|| self.after_arguments(text))
            }
            State::Broken => Step::Malformed,
            State::AfterArguments | State::Finished => Step::Leave,
        }
    }
}
