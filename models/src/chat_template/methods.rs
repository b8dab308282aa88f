//! Python's methods of text, mappings and lists, paid for before they run.
//!
//! The methods themselves are minijinja's. `guard.rs` installs this as the engine's last resort
//! for methods that a value does not have. Errors: out of fuel, unknown methods.

use minijinja::{Error, State, value::Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::meter::{Meter, is_list};

/// Calls `value.name(arguments)`.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let mut meter = Meter::new(state);
    let mut argument_bytes: u64 = 0;
    for argument in arguments {
        argument_bytes = argument_bytes.saturating_add(meter.walk_container(argument)?);
    }
    match (value.as_str(), name) {
        (Some(text), "replace") => meter.pay(replaced_bytes(text, arguments))?,
        (Some(text), "split" | "splitlines") => meter.pay_slots(pieces(text, arguments))?,
        (Some(text), "format") => meter.pay(formatted_bytes(text, argument_bytes))?,
        (Some(separator), "join") => {
            let count = arguments.first().and_then(Value::len).unwrap_or(0) as u64;
            meter.pay(count.saturating_mul(separator.len() as u64))?;
        }
        (None, "count") if is_list(value) => {
            meter.walk(value)?;
        }
        _ => {}
    }
    let result = unknown_method_callback(state, value, name, arguments)?;
    Meter::new(state).settle(result)
}

/// What `replace(old, new)` makes at most.
fn replaced_bytes(text: &str, arguments: &[Value]) -> u64 {
    let part = |at: usize| arguments.get(at).and_then(Value::as_str).unwrap_or_default();
    let count = match part(0) {
        "" => text.len() + 1,
        old => text.matches(old).count(),
    };
    (count as u64).saturating_mul(part(1).len() as u64).saturating_add(text.len() as u64)
}

/// How many pieces `split` or `splitlines` gives at most.
pub(super) fn pieces(text: &str, arguments: &[Value]) -> usize {
    1 + match arguments.first().and_then(Value::as_str) {
        Some("") => text.len(),
        Some(separator) => text.matches(separator).count(),
        None => text.chars().filter(|character| character.is_whitespace()).count(),
    }
}

/// What `format` makes at most: every field as long as all arguments, plus the widths it names.
fn formatted_bytes(text: &str, argument_bytes: u64) -> u64 {
    let fields = text.bytes().filter(|byte| *byte == b'{').count() as u64;
    let numbers = text.split(|character: char| !character.is_ascii_digit());
    let widths = numbers.filter(|digits| !digits.is_empty());
    let widths = widths.map(|digits| digits.parse().unwrap_or(u64::MAX).saturating_mul(4));
    let filled = fields.saturating_mul(argument_bytes.saturating_add(64));
    widths.fold(filled, u64::saturating_add)
}
