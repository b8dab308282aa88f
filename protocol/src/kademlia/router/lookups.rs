//! What a router asks: lookups under way, from their first question to their outcome.
//!
//! Whom to ask is `lookup.rs`'s; here are questions, records and the end. Units: milliseconds.
//! Errors: none; a lookup that finds nothing says so.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;

use super::{LookupId, LookupOutcome, Now, Purpose, Router, RouterOutput};
use crate::{
    ids::PeerId,
    kademlia::{
        contact::Contact,
        key::DhtKey,
        lookup::{Aim, Beginning, CandidateId, Lookup},
        messages::{Answer, Question, WriteToken},
        record::ProviderRecord,
    },
};

/// Lookups at once; one beyond that ends at once.
const LOOKUPS_MAX: usize = 256;
/// Providers that one lookup remembers.
const PROVIDERS_MAX: usize = 1_024;
/// Questions for more records, of one lookup.
const PAGES_MAX: usize = 64;
/// Own contacts that a lookup begins with, in buckets.
const SEEDS_IN_BUCKETS: usize = 5;

/// What a lookup is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Somebody wants to know the nodes.
    Nodes,
    /// The table wants to be refreshed; nobody is told.
    Refresh,
    /// Somebody wants so many providers.
    Providers { enough: usize },
    /// This record is to be stored.
    Announce { record: Bytes },
}

/// An answer, and whose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) from: &'a Contact,
    pub(super) answer: &'a Answer,
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Running {
    lookup: Lookup,
    goal: Goal,
    started_ms: u64,
    /// Providers found, with the sequence of their record.
    found: BTreeMap<PeerId, u64>,
    pages: usize,
    /// Questions for more records and to store that can still be answered.
    others_in_flight: usize,
    holders: usize,
    held_ms: Option<u64>,
    messages: u32,
}

impl Router {
    /// Looks for the nodes nearest to a point; [`DhtKey::of_peer`] finds one node.
    pub fn find_nodes(&mut self, now: Now, key: DhtKey) -> LookupId {
        self.start(now, key, Aim::Nodes, Goal::Nodes)
    }

    /// Looks for providers until there are `enough` of them or everybody near was asked. A record
    /// proves who made it, not that its maker is any good: who needs one honest provider asks for
    /// several.
    pub fn find_providers(&mut self, now: Now, key: DhtKey, enough: usize) -> LookupId {
        self.start(now, key, Aim::Providers, Goal::Providers { enough })
    }

    /// Stores this node's record with all nodes near one of its keys. To be repeated with a newer
    /// record every [`REPUBLISH_EVERY_S`](crate::kademlia::REPUBLISH_EVERY_S).
    pub fn announce(&mut self, now: Now, key: DhtKey, record: &ProviderRecord) -> LookupId {
        let record = record.as_bytes().clone();
        self.start(now, key, Aim::Announce, Goal::Announce { record })
    }

    /// Ends a lookup nobody waits for; it says nothing more.
    pub fn cancel(&mut self, lookup: LookupId) {
        self.lookups.remove(&lookup);
    }

    /// Estimated distance to the last of a bucket of nodes nearest to any key.
    pub(super) fn radius(&self) -> u64 {
        let size = self.settings.bucket_size;
        let around = self.view.nearest(&self.own_key, size);
        self.region.radius(around.get(size - 1).map(|(distance, _)| distance.high()))
    }

    pub(super) fn start(&mut self, now: Now, key: DhtKey, aim: Aim, goal: Goal) -> LookupId {
        self.last_number += 1;
        let id = LookupId(self.last_number);
        if self.lookups.len() >= LOOKUPS_MAX {
            if goal != Goal::Refresh {
                let outcome = LookupOutcome::default();
                self.outputs.push_back(RouterOutput::Finished { lookup: id, outcome });
            }
            return id;
        }
        let count = SEEDS_IN_BUCKETS * self.settings.bucket_size;
        let seeds = self.view.nearest(&key, count);
        let beginning = Beginning {
            key,
            aim,
            own: Contact { peer: self.peer, address: (Ipv4Addr::UNSPECIFIED, 0).into() },
            radius: self.radius(),
            seeds: seeds.into_iter().map(|(_, contact)| contact).collect(),
            entropy: self.generator.bytes(),
        };
        let lookup = Lookup::new(&self.settings, beginning);
        let is_own_place = self.settings.is_server && lookup.is_own_place();
        let running = Running {
            lookup,
            goal,
            started_ms: now.ms,
            found: BTreeMap::new(),
            pages: 0,
            others_in_flight: 0,
            holders: 0,
            held_ms: None,
            messages: 0,
        };
        self.lookups.insert(id, running);
        self.start_at_home(now, id, key, is_own_place);
        self.drive(now, id);
        id
    }

    /// This node may be near the key itself.
    fn start_at_home(&mut self, now: Now, id: LookupId, key: DhtKey, is_own_place: bool) {
        let Some(running) = self.lookups.get(&id) else { return };
        match running.goal.clone() {
            Goal::Providers { .. } => {
                let records = self.store.at(&key, now.unix_s);
                self.take_records(now, id, &records);
            }
            Goal::Announce { record } if is_own_place => {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let is_kept = self.keep(now, here, key, &record).is_ok();
                if let Some(running) = self.lookups.get_mut(&id) {
                    running.holders += usize::from(is_kept);
                }
            }
            _ => {}
        }
    }

    /// A candidate answered.
    pub(super) fn found(
        &mut self,
        now: Now,
        id: LookupId,
        candidate: CandidateId,
        heard: Heard<'_>,
    ) {
        let Heard { from, answer } = heard;
        let (token, total, records, contacts) = match answer {
            Answer::Providers { token, total, records, contacts } => {
                (*token, usize::from(*total), records.as_slice(), contacts)
            }
            Answer::Nodes { token, contacts } => (*token, 0, [].as_slice(), contacts),
            _ => (WriteToken([0; 16]), 0, [].as_slice(), &Vec::new()),
        };
        let has_records = self.take_records(now, id, records);
        let Some(running) = self.lookups.get_mut(&id) else { return };
        running.lookup.answered(candidate, contacts, token, has_records);
        self.ask_for_more(now, id, from, (records.len(), total));
        self.drive(now, id);
    }

    /// More records of one who had many.
    pub(super) fn paged(&mut self, now: Now, id: LookupId, skip: u16, heard: Heard<'_>) {
        let Heard { from, answer } = heard;
        if let Answer::Providers { records, total, .. } = answer {
            self.take_records(now, id, records);
            if !records.is_empty() {
                let had = usize::from(skip) + records.len();
                self.ask_for_more(now, id, from, (had, usize::from(*total)));
            }
        }
        self.page_ended(now, id);
    }

    /// A question for more records has ended one way or the other.
    pub(super) fn page_ended(&mut self, now: Now, id: LookupId) {
        if let Some(running) = self.lookups.get_mut(&id) {
            running.others_in_flight -= 1;
            self.drive(now, id);
        }
    }

    /// A question to store has ended.
    pub(super) fn stored(&mut self, now: Now, id: LookupId, is_kept: bool) {
        if let Some(running) = self.lookups.get_mut(&id) {
            running.others_in_flight -= 1;
            running.holders += usize::from(is_kept);
            if running.holders * 2 >= self.settings.bucket_size {
                running.held_ms.get_or_insert(now.ms.saturating_sub(running.started_ms));
            }
            self.drive(now, id);
        }
    }

    /// A candidate takes long.
    pub(super) fn overdue(&mut self, now: Now, id: LookupId, candidate: CandidateId) {
        if let Some(running) = self.lookups.get_mut(&id) {
            running.lookup.overdue(candidate);
            self.drive(now, id);
        }
    }

    /// A candidate did not answer.
    pub(super) fn silent(&mut self, now: Now, id: LookupId, candidate: CandidateId) {
        if let Some(running) = self.lookups.get_mut(&id) {
            running.lookup.silent(candidate);
            self.drive(now, id);
        }
    }

    /// Asks for the records behind those that one answer had, while more are wanted.
    fn ask_for_more(&mut self, now: Now, id: LookupId, from: &Contact, had: (usize, usize)) {
        let Some(running) = self.lookups.get_mut(&id) else { return };
        let (count, total) = had;
        let Ok(skip) = u16::try_from(count) else { return };
        if count == 0 || total <= count || running.pages >= PAGES_MAX {
            return;
        }
        running.pages += 1;
        running.others_in_flight += 1;
        running.messages += 1;
        let question = Question::FindProviders { key: running.lookup.key, skip };
        self.ask(now, *from, Purpose::Page { lookup: id, skip }, question);
    }

    /// Checks records and reports those that are new; whether any of them holds.
    fn take_records(&mut self, now: Now, id: LookupId, records: &[Bytes]) -> bool {
        let Some(running) = self.lookups.get_mut(&id) else { return false };
        let Goal::Providers { enough } = running.goal else { return false };
        let mut has_any = false;
        let mut new = Vec::new();
        for record in records {
            let Ok(record) = ProviderRecord::read(record, &self.network, now.unix_s) else {
                continue;
            };
            if !record.stands_at(&running.lookup.key) {
                continue;
            }
            has_any = true;
            let sequence = record.facts().sequence;
            let held = running.found.get(&record.peer());
            let is_new = held.is_none_or(|held| *held < sequence);
            if is_new && (held.is_some() || running.found.len() < PROVIDERS_MAX) {
                running.found.insert(record.peer(), sequence);
                new.push(record);
            }
        }
        let is_enough = running.found.len() >= enough;
        if !new.is_empty() {
            self.outputs.push_back(RouterOutput::Found { lookup: id, records: new });
        }
        if is_enough {
            self.finish(now, id);
        }
        has_any
    }

    /// Asks whomever the lookup wants asked, and ends it when there is nobody left.
    fn drive(&mut self, now: Now, id: LookupId) {
        let Some(mut running) = self.lookups.remove(&id) else { return };
        let key = running.lookup.key;
        loop {
            while let Some((candidate, contact)) = running.lookup.next_ask() {
                let question = match running.goal {
                    Goal::Providers { .. } => Question::FindProviders { key, skip: 0 },
                    _ => Question::FindNode { key },
                };
                running.messages += 1;
                self.ask(now, contact, Purpose::Find { lookup: id, candidate }, question);
            }
            if !running.lookup.widen_if_idle() {
                break;
            }
        }
        let is_exhausted = running.lookup.is_exhausted();
        if let Goal::Announce { record } = &running.goal {
            let is_last = running.lookup.is_idle();
            while let Some((to, token)) = running.lookup.next_holder(is_last) {
                running.messages += 1;
                running.others_in_flight += 1;
                let question = Question::Store { key, token, record: record.clone() };
                self.ask(now, to, Purpose::Store { lookup: id }, question);
            }
        }
        let is_over = is_exhausted && running.others_in_flight == 0;
        self.lookups.insert(id, running);
        if is_over {
            self.finish(now, id);
        }
    }

    fn finish(&mut self, now: Now, id: LookupId) {
        let Some(running) = self.lookups.remove(&id) else { return };
        let nearest = running.lookup.nearest();
        let last = nearest.get(self.settings.bucket_size - 1);
        if let (Some((distance, _)), false) = (last, self.is_search(&running.goal)) {
            self.learn_region(*distance);
        }
        if running.goal == Goal::Refresh {
            if self.bootstrap_left > 0 {
                self.bootstrap_left -= 1;
                self.refresh(now);
            }
            return;
        }
        let outcome = LookupOutcome {
            nearest: nearest.into_iter().map(|(_, contact)| contact).collect(),
            providers: running.found.len(),
            holders: running.holders,
            held_ms: running.held_ms,
            messages: running.messages,
            elapsed_ms: now.ms.saturating_sub(running.started_ms),
        };
        self.outputs.push_back(RouterOutput::Finished { lookup: id, outcome });
    }

    /// A search for records ends anywhere near a key; it says nothing of how crowded it is there.
    fn is_search(&self, goal: &Goal) -> bool {
        matches!(goal, Goal::Providers { .. })
    }
}
