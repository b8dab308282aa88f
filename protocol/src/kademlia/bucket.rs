//! One bucket of the table: which contacts at one range of distances are worth telling others of.
//!
//! Each non-empty bucket is one actor, or one entry of [`DhtNode`](super::DhtNode); the router
//! carries news in ([`BucketNews`]) and takes what the bucket wants out ([`BucketOutput`]).
//!
//! The rules:
//! - Only who answered us is listed; whoever is merely heard of waits in a small cache and is asked
//!   when there is room.
//! - A full bucket of nodes that answer takes no newcomer: old nodes live longest, and nobody gets
//!   in by knocking.
//! - A contact that does not answer is told to nobody until it does, is asked again a little later,
//!   and then gives its place up.
//! - Of one group of neighbours only a few, of one address one, except where everybody shares one
//!   network.
//!
//! Units: milliseconds of the caller's clock. Errors: none; news that fits nothing changes nothing.
//! Absent on purpose: the limits of the whole table and the pace of checking. The router sees all
//! buckets. Sources: Maymounkov and Mazieres 2002; discv5's liveness before listing.

use std::collections::VecDeque;

use crate::{
    address::is_private,
    ids::PeerId,
    kademlia::{contact::Contact, settings::DhtSettings},
};

/// Questions to contacts that never answered yet, at once.
const PROBES_MAX: usize = 3;
/// After this a question whose end nobody reported is forgotten.
const PROBE_FORGOTTEN_MS: u64 = 10_000;

/// What a bucket hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketNews {
    /// Somebody named this contact, perhaps itself.
    Seen(Contact),
    /// This contact answered.
    Answered {
        /// Who, and from where.
        contact: Contact,
        /// After how long.
        rtt_ms: u32,
    },
    /// This one was asked and did not answer.
    Failed(PeerId),
    /// The whole table has enough of its kind.
    Remove(PeerId),
    /// It is this bucket's turn to check somebody.
    Revalidate,
}

/// What a bucket wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketOutput {
    /// Ask whether this one is there.
    Ping(Contact),
    /// This one may be told to others and used by lookups.
    Listed {
        /// Who, and where.
        contact: Contact,
        /// How long its last answer took.
        rtt_ms: u32,
    },
    /// This one no longer.
    Unlisted(PeerId),
}

/// A contact with a place.
#[derive(Debug, Clone, Copy)]
struct Place {
    contact: Contact,
    answered_ms: u64,
    failures: u8,
    /// When to ask again, for one that failed.
    retry_ms: u64,
}

/// One bucket. See the head of this file.
#[derive(Debug, Clone)]
pub struct Bucket {
    size: usize,
    replacements_max: usize,
    per_group: usize,
    failures_max: u8,
    retry_after_ms: u64,
    places: Vec<Place>,
    /// Heard of, oldest first.
    replacements: VecDeque<Contact>,
    /// Asked for the first time, and when.
    probes: Vec<(Contact, u64)>,
    outputs: VecDeque<BucketOutput>,
}

impl Bucket {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &DhtSettings) -> Self {
        Self {
            size: settings.bucket_size,
            replacements_max: settings.replacements,
            per_group: settings.per_group_bucket,
            failures_max: settings.failures_max,
            retry_after_ms: settings.retry_after_ms,
            places: Vec::new(),
            replacements: VecDeque::new(),
            probes: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes news.
    pub fn handle(&mut self, now_ms: u64, news: BucketNews) {
        match news {
            BucketNews::Seen(contact) => self.seen(contact),
            BucketNews::Answered { contact, rtt_ms } => self.answered(now_ms, contact, rtt_ms),
            BucketNews::Failed(peer) => self.failed(now_ms, &peer),
            BucketNews::Remove(peer) => {
                self.forget(&peer);
                if let Some(place) = self.position(&peer) {
                    self.vacate(place);
                }
            }
            BucketNews::Revalidate => self.revalidate(),
        }
        self.fill(now_ms);
    }

    /// When [`Self::handle_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        self.places.iter().filter(|place| place.failures > 0).map(|place| place.retry_ms).min()
    }

    /// Asks those again that failed.
    pub fn handle_wakeup(&mut self, now_ms: u64) {
        for place in &mut self.places {
            if place.failures > 0 && place.retry_ms <= now_ms {
                place.retry_ms = now_ms.saturating_add(PROBE_FORGOTTEN_MS);
                self.outputs.push_back(BucketOutput::Ping(place.contact));
            }
        }
        self.fill(now_ms);
    }

    /// What the bucket wants next.
    pub fn poll_output(&mut self) -> Option<BucketOutput> {
        self.outputs.pop_front()
    }

    /// Contacts that others may be told of.
    pub fn listed(&self) -> impl Iterator<Item = &Contact> {
        self.places.iter().filter(|place| place.failures == 0).map(|place| &place.contact)
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.replacements.is_empty() && self.probes.is_empty()
    }

    fn seen(&mut self, contact: Contact) {
        let is_probed = self.probes.iter().any(|(probe, _)| probe.peer == contact.peer);
        // A place that answers keeps its address; only its own answer moves it.
        let is_held = self
            .position(&contact.peer)
            .is_some_and(|at| self.places[at].failures == 0 || self.places[at].contact == contact);
        if !is_probed && !is_held {
            self.keep(contact);
        }
    }

    fn answered(&mut self, now_ms: u64, contact: Contact, rtt_ms: u32) {
        self.forget(&contact.peer);
        let fresh = Place { contact, answered_ms: now_ms, failures: 0, retry_ms: 0 };
        if let Some(at) = self.position(&contact.peer) {
            let held = self.places[at];
            if held.contact != contact && !self.has_room_beside(&contact) {
                return;
            }
            self.places[at] = fresh;
            if held.failures > 0 || held.contact != contact {
                self.outputs.push_back(BucketOutput::Listed { contact, rtt_ms });
            }
            return;
        }
        if !self.has_room_beside(&contact) {
            return;
        }
        if self.places.len() >= self.size {
            let worst = self.places.iter().enumerate().max_by_key(|(_, place)| place.failures);
            match worst {
                Some((at, place)) if place.failures > 0 => self.vacate(at),
                _ => return self.keep(contact),
            }
        }
        self.places.push(fresh);
        self.outputs.push_back(BucketOutput::Listed { contact, rtt_ms });
    }

    fn failed(&mut self, now_ms: u64, peer: &PeerId) {
        self.forget(peer);
        let Some(at) = self.position(peer) else { return };
        let has_successor = !self.replacements.is_empty();
        let place = &mut self.places[at];
        place.failures = place.failures.saturating_add(1);
        place.retry_ms = now_ms.saturating_add(self.retry_after_ms);
        let (failures, is_first) = (place.failures, place.failures == 1);
        if failures >= self.failures_max || (failures > 1 && has_successor) {
            self.places.swap_remove(at);
        }
        if is_first {
            self.outputs.push_back(BucketOutput::Unlisted(*peer));
        }
    }

    /// Checks whoever has been silent for longest.
    fn revalidate(&mut self) {
        let healthy = self.places.iter().filter(|place| place.failures == 0);
        if let Some(place) = healthy.min_by_key(|place| place.answered_ms) {
            self.outputs.push_back(BucketOutput::Ping(place.contact));
        }
    }

    /// Asks those who were heard of, newest first, while places are free.
    fn fill(&mut self, now_ms: u64) {
        self.probes.retain(|(_, asked_ms)| asked_ms.saturating_add(PROBE_FORGOTTEN_MS) > now_ms);
        let failing = self.places.iter().filter(|place| place.failures > 0).count();
        let mut free = (self.size + failing).saturating_sub(self.places.len());
        while free > self.probes.len() && self.probes.len() < PROBES_MAX {
            let Some(contact) = self.replacements.pop_back() else { return };
            if self.has_room_beside(&contact) {
                self.probes.push((contact, now_ms));
                self.outputs.push_back(BucketOutput::Ping(contact));
            } else {
                free = free.min(self.size);
            }
        }
    }

    /// Remembers somebody who was heard of.
    fn keep(&mut self, contact: Contact) {
        self.replacements.retain(|held| held.peer != contact.peer);
        let is_near = |held: &&Contact| held.group().is_some() && held.group() == contact.group();
        if self.replacements.iter().filter(is_near).count() >= self.per_group {
            return;
        }
        if self.replacements.len() >= self.replacements_max {
            self.replacements.pop_front();
        }
        self.replacements.push_back(contact);
    }

    /// Whether the limits per group and address allow this contact beside the others.
    fn has_room_beside(&self, contact: &Contact) -> bool {
        let others = self.places.iter().map(|place| &place.contact);
        let mut others = others.filter(|held| held.peer != contact.peer);
        let ip = contact.address.ip().to_canonical();
        if is_private(ip) {
            return others.all(|held| held.address != contact.address);
        }
        let mut near = 0;
        others.all(|held| {
            near += usize::from(held.group() == contact.group());
            held.address.ip().to_canonical() != ip && near < self.per_group
        })
    }

    fn position(&self, peer: &PeerId) -> Option<usize> {
        self.places.iter().position(|place| place.contact.peer == *peer)
    }

    /// Forgets that somebody was heard of or is being asked.
    fn forget(&mut self, peer: &PeerId) {
        self.replacements.retain(|held| held.peer != *peer);
        self.probes.retain(|(probe, _)| probe.peer != *peer);
    }

    fn vacate(&mut self, at: usize) {
        let place = self.places.swap_remove(at);
        if place.failures == 0 {
            self.outputs.push_back(BucketOutput::Unlisted(place.contact.peer));
        }
    }
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
