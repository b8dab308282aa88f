//! What a template's operations cost, beyond what the engine charges itself.
//!
//! The engine pays for instructions, text and items on one level, but not for values that share
//! parts (`[v, v]`, thirty times over, is spelled out a thousand million times) or that are not
//! there yet (lists added or repeated). Here a value's full, spelled-out size is paid for before
//! anything walks it, and lists that are not there yet are made, item by item, while fuel lasts.
//! Called by `operators.rs`, `guard.rs` and `python.rs`. Unit: 64 bytes are one unit of fuel.
//! Errors: out of fuel; values nested deeper than [`MAX_DEPTH`], which holds for cycles too.

use minijinja::{
    Error, ErrorKind, State,
    value::{Tuple, Value, ValueKind},
};

/// Deepest list or mapping that is looked into.
pub(super) const MAX_DEPTH: usize = 128;
/// Bytes that one unit of fuel pays for, as in the engine.
const BYTES_PER_FUEL: u64 = 64;
/// Price of a list's slot or of one node of a value.
const SLOT_BYTES: u64 = 32;

/// Collects small amounts and takes them from the rendering's fuel.
pub(super) struct Meter<'s, 't, 'e> {
    state: &'s State<'t, 'e>,
    owed: u64,
}

impl<'s, 't, 'e> Meter<'s, 't, 'e> {
    pub(super) fn new(state: &'s State<'t, 'e>) -> Meter<'s, 't, 'e> {
        Meter { state, owed: 0 }
    }

    /// Pays for `bytes`.
    pub(super) fn pay(&mut self, bytes: u64) -> Result<(), Error> {
        self.owed = self.owed.saturating_add(bytes);
        if self.owed >= BYTES_PER_FUEL {
            self.state.consume_fuel(self.owed / BYTES_PER_FUEL)?;
            self.owed %= BYTES_PER_FUEL;
        }
        Ok(())
    }

    /// Pays for `count` slots of a list.
    pub(super) fn pay_slots(&mut self, count: usize) -> Result<(), Error> {
        self.pay((count as u64).saturating_mul(SLOT_BYTES))
    }

    /// Refuses what the fuel that is left could not pay for, without paying.
    pub(super) fn ensure(&self, bytes: u64) -> Result<(), Error> {
        match self.state.fuel_levels() {
            Some((_, left)) if bytes / BYTES_PER_FUEL >= left => {
                Err(Error::from(ErrorKind::OutOfFuel))
            }
            _ => Ok(()),
        }
    }

    /// Pays for walking through all of `value` once, shared parts as often as they occur.
    /// Returns that size in bytes.
    pub(super) fn walk(&mut self, value: &Value) -> Result<u64, Error> {
        self.walk_at(value, 0)
    }

    fn walk_at(&mut self, value: &Value, depth: usize) -> Result<u64, Error> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let mut size = SLOT_BYTES + value.as_str().map_or(0, |text| text.len() as u64);
        self.pay(size)?;
        let kind = value.kind();
        if !is_container(kind) {
            return Ok(size);
        }
        for item in value.try_iter()?.checked() {
            let item = item?;
            size = size.saturating_add(self.walk_at(&item, depth + 1)?);
            if kind == ValueKind::Map {
                let field = value.get_item(&item)?;
                size = size.saturating_add(self.walk_at(&field, depth + 1)?);
            }
        }
        Ok(size)
    }

    /// [`Meter::walk`] for values that contain others; plain ones cost nothing.
    pub(super) fn walk_container(&mut self, value: &Value) -> Result<u64, Error> {
        match value.kind() {
            kind if is_container(kind) => self.walk(value),
            _ => Ok(value.as_str().map_or(0, |text| text.len() as u64)),
        }
    }

    /// The items of a list, paid for one by one.
    pub(super) fn items(&mut self, value: &Value) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        for item in value.try_iter()?.checked() {
            self.pay_slots(1)?;
            items.push(item?);
        }
        Ok(items)
    }

    /// The value itself, or the list that it stands for.
    pub(super) fn settle(&mut self, value: Value) -> Result<Value, Error> {
        match value.kind() {
            ValueKind::Iterable => Ok(Value::from(self.items(&value)?)),
            _ => Ok(value),
        }
    }
}

pub(super) fn too_deep() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a value is nested too deeply (recursion limit)")
}

pub(super) fn is_container(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// Whether it is a list, a tuple or something that gives items in order.
pub(super) fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// A list of the items, or a tuple where `like` is one.
pub(super) fn list_like(like: &Value, items: Vec<Value>) -> Value {
    if like.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) }
}
