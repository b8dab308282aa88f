//! Python's spelling of values: `str`, `repr` and `json.dumps`.
//!
//! Called by the template environment wherever a value becomes text. Nesting is bounded
//! (`MAX_DEPTH`), because a template can build values deeper than any stack.
//! Text is paid for while it grows. Errors: values that Python refuses too (undefined in JSON),
//! nesting, out of fuel. Source: CPython's `float.__repr__`, `json.encoder`.
//! Absent on purpose: `__repr__` of objects other than JSON has.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, Output, State,
    value::{Value, ValueKind},
};

use super::meter::{MAX_DEPTH, Meter, too_deep};

/// How JSON is laid out; all absent is `json.dumps`' default.
#[derive(Debug, Default)]
pub(super) struct JsonStyle {
    pub(super) indent: Option<usize>,
    pub(super) separators: Option<(String, String)>,
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
}

/// The environment's formatter: what `{{ value }}` writes.
pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(Error::from);
    }
    out.write_str(&text(state, value)?).map_err(Error::from)
}

/// `str(value)`; undefined is empty, as in Jinja.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    if !value.is_undefined() {
        repr(value, 0, &mut Meter::new(state), &mut out)?;
    }
    Ok(out)
}

/// Pays for what is about to be spelled of `value` itself; escapes lengthen text by up to six.
fn pay(meter: &mut Meter, value: &Value) -> Result<(), Error> {
    meter.pay(32 + 2 * value.as_str().map_or(0, |text| text.len() as u64))
}

fn repr(value: &Value, depth: usize, meter: &mut Meter, out: &mut String) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    pay(meter, value)?;
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => number(value, out),
        ValueKind::String => repr_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (at, item) in value.try_iter()?.enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                repr(&item, depth + 1, meter, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                repr(&key, depth + 1, meter, out)?;
                out.push_str(": ");
                repr(&value.get_item(&key)?, depth + 1, meter, out)?;
            }
            out.push('}');
        }
        _ => write!(out, "{value}").map_err(Error::from)?,
    }
    Ok(())
}

/// A key of a JSON object.
fn key_text(key: &Value, meter: &mut Meter) -> Result<String, Error> {
    if let Some(text) = key.as_str() {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    repr(key, 0, meter, &mut out)?;
    Ok(out)
}

fn repr_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn number(value: &Value, out: &mut String) {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => out.push_str(&float_text(float)),
        _ => out.push_str(&value.to_string()),
    }
}

/// `repr` of a float: shortest digits, an exponent outside 1e-4 to 1e16.
fn float_text(float: f64) -> String {
    if !float.is_finite() {
        let name = if float.is_nan() { "nan" } else { "inf" };
        return if float < 0.0 { format!("-{name}") } else { name.to_owned() };
    }
    if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        return match float.to_string() {
            text if text.contains('.') => text,
            text => text + ".0",
        };
    }
    let text = format!("{float:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

/// `json.dumps(value)` in the given style.
pub(super) fn json(state: &State, value: &Value, style: &JsonStyle) -> Result<String, Error> {
    let (item, key) = match (&style.separators, style.indent) {
        (Some((item, key)), _) => (item.as_str(), key.as_str()),
        (None, Some(_)) => (",", ": "),
        (None, None) => (", ", ": "),
    };
    let meter = Meter::new(state);
    let mut writer = JsonWriter { style, item, key, meter, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct JsonWriter<'s, 'm> {
    style: &'s JsonStyle,
    item: &'s str,
    key: &'s str,
    meter: Meter<'m, 'm, 'm>,
    out: String,
}

impl JsonWriter<'_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        pay(&mut self.meter, value)?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => {
                let mut text = String::new();
                number(value, &mut text);
                let text = text.replace("inf", "Infinity").replace("nan", "NaN");
                self.out.push_str(&text);
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = self.meter.items(value)?;
                self.out.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.begin(at, depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                self.end(items.len(), depth)?;
                self.out.push(']');
            }
            ValueKind::Map => {
                let mut keys = self.meter.items(value)?;
                if self.style.sort_keys {
                    self.meter.walk(value)?;
                    keys.sort();
                }
                self.out.push('{');
                for (at, key) in keys.iter().enumerate() {
                    self.begin(at, depth + 1)?;
                    pay(&mut self.meter, key)?;
                    let key_text = key_text(key, &mut self.meter)?;
                    self.string(&key_text);
                    self.out.push_str(self.key);
                    self.value(&value.get_item(key)?, depth + 1)?;
                }
                self.end(keys.len(), depth)?;
                self.out.push('}');
            }
            kind => {
                let reason = format!("{kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::InvalidOperation, reason));
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, depth: usize) -> Result<(), Error> {
        self.meter.pay((self.item.len() + self.key.len()) as u64)?;
        self.out.push_str(if at > 0 { self.item } else { "" });
        self.line(depth)
    }

    fn end(&mut self, count: usize, depth: usize) -> Result<(), Error> {
        if count > 0 { self.line(depth) } else { Ok(()) }
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        let Some(indent) = self.style.indent else { return Ok(()) };
        // Wider indents than anybody reads would only serve to fill memory.
        let spaces = indent.min(16) * depth;
        self.meter.pay(spaces as u64)?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', spaces));
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if u32::from(c) < 0x20 || (self.style.ensure_ascii && !c.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_spelled_as_python_does() {
        let pairs = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (-0.0, "-0.0"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (float, text) in pairs {
            assert_eq!(float_text(float), text);
        }
    }

    #[test]
    fn repr_chooses_quotes_as_python_does() {
        let spell = |text: &str| {
            let mut out = String::new();
            repr_text(text, &mut out);
            out
        };
        assert_eq!(spell("a\n"), r"'a\n'");
        assert_eq!(spell("it's"), "\"it's\"");
        assert_eq!(spell("it's \"x\""), "'it\\'s \"x\"'");
    }
}
