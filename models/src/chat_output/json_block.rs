//! Calls that are JSON objects with a name: after a tag, bare, or in a list.
//!
//! - Hermes and Qwen 2.5 and 3: `<tool_call>{...}</tool_call>`; a closing tag that never comes is
//!   not missed.
//! - Llama 3 (and any model that was told so): an object where the answer begins, or after
//!   `<|python_tag|>`; more after `;`.
//! - Mistral before 2025: `[TOOL_CALLS][{...}, {...}]`, from the list's bracket on.
//!
//! Called by the parser in `mod.rs`. Errors: a step that says malformed.
//! Source: the families' published chat templates and model cards.

use super::{
    block::{Begins, CallBlock, Step, begins, skip_space},
    event::EventSink,
    json_call::JsonCall,
};

/// What is around the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// One object, then this tag.
    Tag(&'static str),
    /// Objects with semicolons between.
    Nothing,
    /// Objects with commas between, then a bracket.
    List,
}

#[derive(Debug)]
enum State {
    ListOpen,
    Before,
    Inside(JsonCall),
    After,
    Broken,
    Finished,
}

/// The block's parser.
#[derive(Debug)]
pub(super) struct JsonBlock {
    around: Around,
    state: State,
}

impl JsonBlock {
    pub(super) fn new(around: Around) -> JsonBlock {
        let state = if around == Around::List { State::ListOpen } else { State::Before };
        JsonBlock { around, state }
    }

    fn list_open(&mut self, text: &str) -> Step {
        if text.starts_with('[') { self.then(State::Before, 1) } else { Step::Malformed }
    }

    fn before(&mut self, text: &str) -> Step {
        if !text.starts_with('{') {
            return Step::Malformed;
        }
        self.state = State::Inside(JsonCall::new());
        Step::Take(0)
    }

    fn after(&mut self, text: &str) -> Step {
        let next = text.chars().next();
        match (self.around, next) {
            (Around::Tag(close), _) => match begins(text, close) {
                Begins::Yes => self.then(State::Finished, close.len()),
                Begins::Perhaps => Step::More,
                Begins::No => Step::Leave,
            },
            (Around::Nothing, Some(';')) | (Around::List, Some(',')) => self.then(State::Before, 1),
            (Around::Nothing, Some('{')) => self.then(State::Before, 0),
            (Around::List, Some(']')) => self.then(State::Finished, 1),
            _ => Step::Leave,
        }
    }

    fn then(&mut self, state: State, bytes: usize) -> Step {
        self.state = state;
        Step::Take(bytes)
    }
}

impl CallBlock for JsonBlock {
    fn step(&mut self, text: &str, out: &mut EventSink) -> Step {
        let State::Inside(call) = &mut self.state else {
            return match self.state {
                State::Finished => Step::Leave,
                State::Broken => Step::Malformed,
                State::ListOpen => skip_space(text).unwrap_or_else(|| self.list_open(text)),
                State::Before => skip_space(text).unwrap_or_else(|| self.before(text)),
                _ => skip_space(text).unwrap_or_else(|| self.after(text)),
            };
        };
        for (at, character) in text.char_indices() {
            match call.push(character, out) {
                Err(_) => return self.then(State::Broken, at),
                Ok(false) => {}
                Ok(true) => return self.then(State::After, at + character.len_utf8()),
            }
        }
        if text.is_empty() { Step::More } else { Step::Take(text.len()) }
    }
}
