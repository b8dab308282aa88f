//! The contacts that all buckets have listed, as the router sees them, and the limits of the whole
//! table: so many of one address group, one of one address.
//!
//! Units: milliseconds. Errors: none. Absent on purpose: liveness; the buckets decide it.

use std::collections::BTreeMap;

use crate::{
    address::is_private,
    kademlia::{
        contact::Contact,
        key::{DhtKey, Distance},
    },
};

/// A listed contact.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) contact: Contact,
    pub(crate) rtt_ms: u32,
}

/// See the head of this file.
#[derive(Debug, Clone)]
pub(crate) struct View {
    per_group: usize,
    listed: BTreeMap<DhtKey, Listed>,
}

impl View {
    pub(crate) fn new(per_group: usize) -> Self {
        Self { per_group, listed: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    pub(crate) fn get(&self, key: &DhtKey) -> Option<&Listed> {
        self.listed.get(key)
    }

    /// Any of them, by number.
    pub(crate) fn nth(&self, place: usize) -> Option<DhtKey> {
        self.listed.keys().nth(place).copied()
    }

    /// Lists a contact unless the table has enough of its kind; whether it did.
    pub(crate) fn insert(&mut self, contact: Contact, rtt_ms: u32) -> bool {
        let key = contact.key();
        let is_there = self.listed.get(&key).is_some_and(|held| held.contact == contact);
        if !is_there && !self.has_room_beside(&key, &contact) {
            return false;
        }
        self.listed.insert(key, Listed { contact, rtt_ms });
        true
    }

    /// A listed contact took so long to answer.
    pub(crate) fn learn_rtt(&mut self, key: &DhtKey, rtt_ms: u32) {
        if let Some(held) = self.listed.get_mut(key) {
            held.rtt_ms = (held.rtt_ms / 2).saturating_add(rtt_ms / 2);
        }
    }

    pub(crate) fn remove(&mut self, key: &DhtKey) {
        self.listed.remove(key);
    }

    /// The contacts nearest to a point, nearest first.
    pub(crate) fn nearest(&self, key: &DhtKey, count: usize) -> Vec<(Distance, Contact)> {
        let mut all: Vec<_> =
            self.listed.iter().map(|(at, held)| (at.distance(key), held.contact)).collect();
        if count < all.len() {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable();
        all
    }

    fn has_room_beside(&self, key: &DhtKey, contact: &Contact) -> bool {
        let ip = contact.address.ip().to_canonical();
        let mut others = self.listed.iter().filter(|(at, _)| *at != key).map(|(_, held)| held);
        if is_private(ip) {
            return others.all(|held| held.contact.address != contact.address);
        }
        let (group, mut near) = (contact.group(), 0);
        others.all(|held| {
            near += usize::from(held.contact.group() == group);
            held.contact.address.ip().to_canonical() != ip && near < self.per_group
        })
    }
}
