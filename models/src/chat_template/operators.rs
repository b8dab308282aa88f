//! The operators of templates, each paying for what it copies or walks before it does.
//!
//! `guard.rs` puts them in the place of the engine's own, which join and repeat lists for nothing.
//! Results are Python's. Errors: out of fuel, kinds that an operator does not take, overflow.
//! Absent on purpose: integers beyond 128 bits.

use minijinja::{
    Error, ErrorKind, State,
    value::{Value, ValueKind},
};

use super::{
    meter::{Meter, is_container, is_list, list_like},
    python,
};

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    let reason = format!("{operator} does not take {} and {}", left.kind(), right.kind());
    Error::new(ErrorKind::InvalidOperation, reason)
}

/// Whole numbers, where both are (Booleans count as 0 and 1).
fn integers(left: &Value, right: &Value) -> Option<(i128, i128)> {
    let integer = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    Some((integer(left)?, integer(right)?))
}

fn floats(left: &Value, right: &Value) -> Option<(f64, f64)> {
    let float = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    Some((float(left)?, float(right)?))
}

fn number(
    operator: &str,
    (left, right): (&Value, &Value),
    integer: fn(i128, i128) -> Option<i128>,
    float: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    if let Some((a, b)) = integers(left, right) {
        let overflow = || Error::new(ErrorKind::InvalidOperation, format!("{operator} overflows"));
        let result = integer(a, b).ok_or_else(overflow)?;
        return Ok(i64::try_from(result).map_or_else(|_| Value::from(result), Value::from));
    }
    let (a, b) = floats(left, right).ok_or_else(|| unsupported(operator, left, right))?;
    Ok(Value::from(float(a, b)))
}

/// `left + right`.
pub(super) fn add(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let mut meter = Meter::new(state);
    if is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple() {
        let mut items = meter.items(left)?;
        items.append(&mut meter.items(right)?);
        return Ok(list_like(left, items));
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        meter.ensure((a.len() + b.len()) as u64)?;
        return Ok(Value::from([a, b].concat()));
    }
    number("+", (left, right), i128::checked_add, |a, b| a + b)
}

/// `left * right`.
pub(super) fn multiply(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let mut meter = Meter::new(state);
    let repeated = |value: &Value| is_list(value) || value.as_str().is_some();
    let (value, count) = if repeated(left) { (left, right) } else { (right, left) };
    if !repeated(value) {
        return number("*", (left, right), i128::checked_mul, |a, b| a * b);
    }
    let (count, _) = integers(count, count).ok_or_else(|| unsupported("*", left, right))?;
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = value.as_str() {
        meter.ensure((text.len() as u64).saturating_mul(count as u64))?;
        return Ok(Value::from(text.repeat(count)));
    }
    let items = meter.items(value)?;
    meter.pay_slots(items.len().saturating_mul(count))?;
    Ok(list_like(value, std::iter::repeat_n(items, count).flatten().collect()))
}

/// `left ~ right`.
pub(super) fn concatenate(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let mut text = python::text(state, left)?;
    let end = python::text(state, right)?;
    Meter::new(state).ensure((text.len() + end.len()) as u64)?;
    text.push_str(&end);
    Ok(Value::from(text))
}

/// Pays for comparing the two.
pub(super) fn pay_for_comparison(state: &State, left: &Value, right: &Value) -> Result<(), Error> {
    let mut meter = Meter::new(state);
    match (left.as_str(), right.as_str()) {
        (Some(a), Some(b)) => meter.pay(a.len().min(b.len()) as u64),
        _ if is_container(left.kind()) && is_container(right.kind()) => {
            meter.walk(left)?;
            meter.walk(right).map(drop)
        }
        _ => Ok(()),
    }
}

/// `value in container`.
pub(super) fn contains(state: &State, value: &Value, container: &Value) -> Result<bool, Error> {
    let mut meter = Meter::new(state);
    if container.is_undefined() {
        return Ok(false);
    }
    if let Some(text) = container.as_str() {
        meter.pay(text.len() as u64)?;
        return Ok(match value.as_str() {
            Some(part) => text.contains(part),
            None => text.contains(&python::text(state, value)?),
        });
    }
    meter.walk_container(value)?;
    match container.kind() {
        ValueKind::Map => {
            Ok(container.as_object().is_some_and(|map| map.get_value(value).is_some()))
        }
        _ if is_list(container) => {
            for item in container.try_iter()?.checked() {
                let item = item?;
                meter.walk(&item)?;
                if item == *value {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(unsupported("in", value, container)),
    }
}

/// `container[key]`.
pub(super) fn item(state: &State, container: &Value, key: &Value) -> Result<Value, Error> {
    let mut meter = Meter::new(state);
    meter.walk_container(key)?;
    if container.kind() == ValueKind::Iterable {
        meter.pay_slots(container.len().unwrap_or(0))?;
    }
    container.get_item(key)
}

/// `value[start:stop:step]`.
pub(super) fn slice(
    state: &State,
    value: &Value,
    start: Option<i64>,
    stop: Option<i64>,
    step: Option<i64>,
) -> Result<Value, Error> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "a slice cannot have step 0"));
    }
    let mut meter = Meter::new(state);
    if let Some(text) = value.as_str() {
        meter.pay((text.len() as u64).saturating_mul(4))?;
        let characters: Vec<char> = text.chars().collect();
        return Ok(Value::from(picked(&characters, start, stop, step).collect::<String>()));
    }
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    if !is_list(value) {
        let reason = format!("a value of kind {} cannot be sliced", value.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    let items = meter.items(value)?;
    Ok(list_like(value, picked(&items, start, stop, step).collect()))
}

/// The elements that Python's slice takes, in its order.
fn picked<T: Clone>(
    items: &[T],
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = T> {
    let length = items.len() as i64;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |at: i64| {
        let at = if at < 0 { at.saturating_add(length) } else { at };
        at.clamp(lowest, highest)
    };
    let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (first, end) = (start.map_or(first, bound), stop.map_or(end, bound));
    std::iter::successors(Some(first), move |at| at.checked_add(step))
        .take_while(move |at| if step > 0 { *at < end } else { *at > end })
        .map(|at| items[at as usize].clone())
}
