//! A call written as one JSON object: `{"name": ..., "arguments": {...}}`.
//!
//! Called by `json_block.rs` character by character. The arguments (also spelled `parameters`) are
//! passed on as they come once the name is known; when they come first they wait for it. `id` and
//! `type` may occur and are dropped.
//! Errors: [`Malformed`] for anything that is not such an object, other keys included.
//! Absent on purpose: arguments as a string that holds JSON.

use super::{
    event::{EventSink, is_name},
    json_value::{JsonValue, Malformed, Progress},
};

/// Longest key, and longest name with its quotes.
const MAX_WORD_BYTES: usize = 256;

#[derive(Debug)]
enum State {
    Open,
    KeyOrClose,
    Key,
    Colon,
    Value(Field, JsonValue),
    CommaOrClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Other,
}

/// A call being read.
#[derive(Debug)]
pub(super) struct JsonCall {
    state: State,
    /// The key or name that is being read.
    word: String,
    name: Option<String>,
    has_begun: bool,
    has_arguments: bool,
    /// Arguments that wait for the name.
    waiting: String,
}

impl JsonCall {
    pub(super) fn new() -> JsonCall {
        JsonCall {
            state: State::Open,
            word: String::new(),
            name: None,
            has_begun: false,
            has_arguments: false,
            waiting: String::new(),
        }
    }

    /// Reads a character; true when it was the call's last.
    pub(super) fn push(&mut self, c: char, out: &mut EventSink) -> Result<bool, Malformed> {
        if let State::Value(field, value) = &mut self.state {
            let field = *field;
            let is_in_string = value.is_in_string();
            let progress = value.push(c)?;
            if progress != Progress::EndedBefore {
                self.value_character(field, c, is_in_string, out)?;
            }
            if progress == Progress::Inside {
                return Ok(false);
            }
            self.state = State::CommaOrClose;
            self.field_ended(field, out)?;
            if progress == Progress::Ended {
                return Ok(false);
            }
        }
        match (&self.state, c) {
            (State::Key, '"') => self.state = State::Colon,
            (State::Key, '\\') => return Err(Malformed),
            (State::Key, c) => return self.word_character(c).map(|()| false),
            (_, ' ' | '\t' | '\n' | '\r') => {}
            (State::Open, '{') => self.state = State::KeyOrClose,
            (State::KeyOrClose, '"') => {
                self.word.clear();
                self.state = State::Key;
            }
            (State::Colon, ':') => self.state = State::Value(self.field()?, JsonValue::new()),
            (State::CommaOrClose, ',') => self.state = State::KeyOrClose,
            (State::CommaOrClose, '}') if self.has_begun && self.has_arguments => {
                out.end();
                return Ok(true);
            }
            _ => return Err(Malformed),
        }
        Ok(false)
    }

    /// The field of the key that was read; every field comes once.
    fn field(&mut self) -> Result<Field, Malformed> {
        let field = match self.word.as_str() {
            "name" if self.name.is_none() => Field::Name,
            "arguments" | "parameters" if !self.has_arguments => Field::Arguments,
            "name" | "arguments" | "parameters" => return Err(Malformed),
            "id" | "type" => Field::Other,
            _ => return Err(Malformed),
        };
        self.word.clear();
        Ok(field)
    }

    fn word_character(&mut self, c: char) -> Result<(), Malformed> {
        self.word.push(c);
        if self.word.len() > MAX_WORD_BYTES { Err(Malformed) } else { Ok(()) }
    }

    fn value_character(
        &mut self,
        field: Field,
        c: char,
        is_in_string: bool,
        out: &mut EventSink,
    ) -> Result<(), Malformed> {
        match field {
            Field::Name => self.word_character(c),
            Field::Other => Ok(()),
            Field::Arguments => {
                if !self.has_arguments {
                    match c {
                        '{' => self.has_arguments = true,
                        c if c.is_whitespace() => return Ok(()),
                        _ => return Err(Malformed),
                    }
                    self.begin(out);
                }
                match self.has_begun {
                    true => out.argument_character(c, is_in_string),
                    false => self.waiting.push(c),
                }
                Ok(())
            }
        }
    }

    fn field_ended(&mut self, field: Field, out: &mut EventSink) -> Result<(), Malformed> {
        if field == Field::Name {
            let name: String = serde_json::from_str(self.word.trim()).map_err(|_| Malformed)?;
            if !is_name(&name) {
                return Err(Malformed);
            }
            self.name = Some(name);
            if self.has_arguments {
                self.begin(out);
                let mut value = JsonValue::new();
                for c in std::mem::take(&mut self.waiting).chars() {
                    let is_in_string = value.is_in_string();
                    value.push(c)?;
                    out.argument_character(c, is_in_string);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut EventSink) {
        if let (Some(name), false) = (&self.name, self.has_begun) {
            out.begin(name);
            self.has_begun = true;
        }
    }
}
