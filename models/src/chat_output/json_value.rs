//! Checks one JSON value character by character.
//!
//! Called by the parsers of tool calls, which must know at every character whether what a model
//! writes is still JSON and where it ends. Nothing is kept but the open brackets and the word that
//! is being read. Errors: [`Malformed`], after which the value is of no use. Source: RFC 8259.
//! One thing is forgiven: control characters inside strings, which models do write; whoever passes
//! the text on asks [`JsonValue::is_in_string`] and escapes them.

/// Deepest nesting.
const MAX_DEPTH: usize = 128;
/// Longest number or literal.
const MAX_SCALAR_BYTES: usize = 400;

/// What was read is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where a value stands after a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The character belongs to the value, more must come.
    Inside,
    /// The character was the value's last.
    Ended,
    /// The value ended before this character.
    EndedBefore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    CommaOrClose,
    Scalar,
    Text { is_key: bool },
    Escaped { is_key: bool },
    Hexadecimal { is_key: bool, left: u8 },
}

/// A value being read.
#[derive(Debug)]
pub(super) struct JsonValue {
    open: Vec<char>,
    expect: Expect,
    scalar: String,
}

impl JsonValue {
    pub(super) fn new() -> JsonValue {
        JsonValue { open: Vec::new(), expect: Expect::Value, scalar: String::new() }
    }

    /// Whether the next character is part of a string.
    pub(super) fn is_in_string(&self) -> bool {
        matches!(self.expect, Expect::Text { .. })
    }

    /// Reads a character.
    pub(super) fn push(&mut self, character: char) -> Result<Progress, Malformed> {
        if self.expect == Expect::Scalar {
            if character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.') {
                self.scalar.push(character);
                return if self.scalar.len() > MAX_SCALAR_BYTES {
                    Err(Malformed)
                } else {
                    inside()
                };
            }
            serde_json::from_str::<serde_json::Value>(&self.scalar).map_err(|_| Malformed)?;
            if self.value_ended() == Progress::Ended {
                return Ok(Progress::EndedBefore);
            }
        }
        match (self.expect, character) {
            (Expect::Text { is_key }, '"') if is_key => self.then(Expect::Colon),
            (Expect::Text { .. }, '"') => Ok(self.value_ended()),
            (Expect::Text { is_key }, '\\') => self.then(Expect::Escaped { is_key }),
            (Expect::Text { .. }, _) => inside(),
            (Expect::Escaped { is_key }, 'u') => self.then(Expect::Hexadecimal { is_key, left: 4 }),
            (Expect::Escaped { is_key }, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                self.then(Expect::Text { is_key })
            }
            (Expect::Hexadecimal { is_key, left }, digit) if digit.is_ascii_hexdigit() => self
                .then(match left {
                    1 => Expect::Text { is_key },
                    _ => Expect::Hexadecimal { is_key, left: left - 1 },
                }),
            (Expect::Escaped { .. } | Expect::Hexadecimal { .. }, _) => Err(Malformed),
            (_, ' ' | '\t' | '\n' | '\r') => inside(),
            (Expect::Value | Expect::ValueOrClose, '{') => self.opened('{', Expect::KeyOrClose),
            (Expect::Value | Expect::ValueOrClose, '[') => self.opened('[', Expect::ValueOrClose),
            (Expect::Value | Expect::ValueOrClose, '"') => {
                self.then(Expect::Text { is_key: false })
            }
            (Expect::Value | Expect::ValueOrClose, c) if c == '-' || c.is_ascii_alphanumeric() => {
                self.scalar.clear();
                self.scalar.push(c);
                self.then(Expect::Scalar)
            }
            (Expect::Key | Expect::KeyOrClose, '"') => self.then(Expect::Text { is_key: true }),
            (Expect::Colon, ':') => self.then(Expect::Value),
            (Expect::CommaOrClose, ',') if self.open.last() == Some(&'{') => self.then(Expect::Key),
            (Expect::CommaOrClose, ',') => self.then(Expect::Value),
            (Expect::CommaOrClose | Expect::KeyOrClose, '}') => self.closed('{'),
            (Expect::CommaOrClose | Expect::ValueOrClose, ']') => self.closed('['),
            _ => Err(Malformed),
        }
    }

    fn then(&mut self, expect: Expect) -> Result<Progress, Malformed> {
        self.expect = expect;
        inside()
    }

    fn opened(&mut self, bracket: char, expect: Expect) -> Result<Progress, Malformed> {
        self.open.push(bracket);
        if self.open.len() > MAX_DEPTH { Err(Malformed) } else { self.then(expect) }
    }

    fn closed(&mut self, bracket: char) -> Result<Progress, Malformed> {
        if self.open.pop() == Some(bracket) { Ok(self.value_ended()) } else { Err(Malformed) }
    }

    fn value_ended(&mut self) -> Progress {
        self.expect = Expect::CommaOrClose;
        if self.open.is_empty() { Progress::Ended } else { Progress::Inside }
    }
}

fn inside() -> Result<Progress, Malformed> {
    Ok(Progress::Inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many characters the value takes.
    fn length(text: &str) -> Result<Option<usize>, Malformed> {
        let mut value = JsonValue::new();
        for (at, character) in text.char_indices() {
            match value.push(character)? {
                Progress::Inside => {}
                Progress::Ended => return Ok(Some(at + character.len_utf8())),
                Progress::EndedBefore => return Ok(Some(at)),
            }
        }
        Ok(None)
    }

    #[test]
    fn ends_where_the_value_ends() {
        for text in ["{}", "[]", "\"a\\\"\\u00e9\"", "[1, {\"a\": [true, null]}, -1.5e3, \"]\"]"] {
            assert_eq!(length(&format!("{text}x")), Ok(Some(text.len())), "{text}");
        }
        assert_eq!(length("12,"), Ok(Some(2)));
        assert_eq!(length("null}"), Ok(Some(4)));
        assert_eq!(length("[1, 2"), Ok(None));
    }

    #[test]
    fn refuses_what_is_no_json() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        let bad =
            ["{a", "[1,]", "{\"a\",", "{\"a\":}", "[1}", "01 ", "truth ", "\"\\x", "\"\\u12g", "}"];
        for text in bad.into_iter().chain([deep.as_str()]) {
            assert_eq!(length(text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn agrees_with_the_library(text in "[\\[\\]{}\",:0-9a\\\\ ]{0,12}") {
            let is_json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // A space lets a number end.
            let found = length(&format!("{text} "));
            let rest_is_space = |end: usize| text[end.min(text.len())..].trim().is_empty();
            let is_found = matches!(found, Ok(Some(end)) if rest_is_space(end));
            prop_assert_eq!(is_json, is_found, "{}", text);
        }
    }
}
