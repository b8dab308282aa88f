//! One lookup: whom to ask next, and when it is over.
//!
//! A lookup has one or several paths. They share the contacts that this node's own table gave, and
//! nobody is asked twice; but what an answer brings belongs to the path that asked, so whoever
//! misleads one path misleads that one only (S/Kademlia). A lookup for records starts with few
//! paths and ends at the first checked record. When somebody so near that it should keep the record
//! has none, either nobody announced it or somebody withholds it: then all paths start.
//!
//! Inside the region (`region.rs`) every node is as good as another: they are asked in an order of
//! this lookup's own, not by distance, so that nodes ground to be nearest are not asked first.
//! Outside, nearer goes first. Each path keeps [`DhtSettings::alpha`] of its best unanswered
//! contacts asked; one that lets us wait longer than its patience frees its place, though its
//! answer stays welcome.
//!
//! Called by the router. Units: the 64 most significant bits of distances. Errors: none.
//! Absent on purpose: time and messages; the router has them.

use std::collections::BTreeMap;

use crate::{
    address::{self, AddressGroup, WideAddressGroup},
    kademlia::{
        contact::Contact,
        generator::Generator,
        key::{DhtKey, Distance},
        messages::WriteToken,
        settings::DhtSettings,
    },
};

/// Contacts that one lookup remembers.
const CANDIDATES_MAX: usize = 512;
/// Nodes of one /16 or /32 that keep the same record.
const HOLDERS_PER_WIDE_GROUP: usize = 4;

/// Place of a candidate in its lookup.
pub(crate) type CandidateId = usize;

/// What a lookup is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The nearest nodes, all of them.
    Nodes,
    /// Records.
    Providers,
    /// Everybody in the region, to store with.
    Announce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Waiting { path: usize },
    Overdue { path: usize },
    Answered { path: usize },
    Silent,
}

#[derive(Debug, Clone)]
struct Candidate {
    contact: Contact,
    distance: Distance,
    /// Smaller goes first: inside the region any number, outside the distance.
    order: (bool, u64),
    state: State,
    token: Option<WriteToken>,
    is_store_asked: bool,
}

/// See the head of this file.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    pub(crate) key: DhtKey,
    aim: Aim,
    settings: DhtSettings,
    own: Contact,
    /// Within this a node should keep the record.
    radius: u64,
    candidates: Vec<Candidate>,
    known: BTreeMap<Contact, CandidateId>,
    /// Each path's candidates, best first.
    paths: Vec<Vec<CandidateId>>,
    seeds: Vec<CandidateId>,
    asked_of_group: BTreeMap<AddressGroup, usize>,
    holders_of_group: BTreeMap<AddressGroup, usize>,
    holders_of_wide: BTreeMap<WideAddressGroup, usize>,
    holders: usize,
    generator: Generator,
    /// Of those who answered, how many stand in the region.
    near_answers: usize,
    pub(crate) messages: usize,
    pub(crate) in_flight: usize,
}

/// What a lookup begins with.
pub(crate) struct Beginning {
    pub(crate) key: DhtKey,
    pub(crate) aim: Aim,
    /// This node; it is never asked.
    pub(crate) own: Contact,
    /// Estimated distance to the last of a bucket of nodes nearest to the key.
    pub(crate) radius: u64,
    /// Nearest first.
    pub(crate) seeds: Vec<Contact>,
    pub(crate) entropy: [u8; 32],
}

impl Lookup {
    pub(crate) fn new(settings: &DhtSettings, beginning: Beginning) -> Self {
        let Beginning { key, aim, own, radius, seeds, entropy } = beginning;
        let percent = match aim {
            Aim::Announce => settings.announce_radius_percent,
            _ => settings.find_radius_percent,
        };
        let radius = u128::from(radius) * u128::from(percent) / 100;
        let mut lookup = Self {
            key,
            aim,
            settings: *settings,
            own,
            radius: u64::try_from(radius).unwrap_or(u64::MAX),
            candidates: Vec::new(),
            known: BTreeMap::new(),
            paths: Vec::new(),
            seeds: Vec::new(),
            asked_of_group: BTreeMap::new(),
            holders_of_group: BTreeMap::new(),
            holders_of_wide: BTreeMap::new(),
            holders: 0,
            generator: Generator::new(entropy),
            near_answers: 0,
            messages: 0,
            in_flight: 0,
        };
        for contact in seeds {
            if let Some(id) = lookup.remember(contact) {
                lookup.seeds.push(id);
            }
        }
        let first = match aim {
            Aim::Providers => settings.paths_first,
            Aim::Announce => settings.paths,
            Aim::Nodes => 1,
        };
        (0..first.max(1)).for_each(|_| lookup.start_path());
        lookup
    }

    /// Whom to ask now; the caller asks it and says what becomes of that.
    pub(crate) fn next_ask(&mut self) -> Option<(CandidateId, Contact)> {
        let limit = match self.aim {
            Aim::Announce => self.settings.announce_messages_max,
            _ => self.settings.find_messages_max,
        };
        if self.messages >= limit {
            return None;
        }
        for path in 0..self.paths.len() {
            let alpha = if path < self.settings.paths_first {
                self.settings.alpha
            } else {
                self.settings.alpha_wide
            };
            if let Some(id) = self.next_of_path(path, alpha) {
                let candidate = &mut self.candidates[id];
                candidate.state = State::Waiting { path };
                if let Some(group) = candidate.contact.group() {
                    *self.asked_of_group.entry(group).or_default() += 1;
                }
                self.messages += 1;
                self.in_flight += 1;
                return Some((id, self.candidates[id].contact));
            }
        }
        None
    }

    /// An answer came, with these contacts and, of a search for records, with some or none.
    pub(crate) fn answered(
        &mut self,
        id: CandidateId,
        contacts: &[Contact],
        token: WriteToken,
        has_records: bool,
    ) {
        let Some(path) = self.end(id) else { return };
        self.candidates[id].state = State::Answered { path };
        let candidate = &mut self.candidates[id];
        candidate.token = Some(token);
        let (giver, distance) = (candidate.contact, candidate.distance);
        let mut taken: Vec<(Distance, Contact)> = contacts
            .iter()
            .filter(|contact| contact.may_be_named_from(&giver.address))
            .map(|contact| (contact.key().distance(&self.key), *contact))
            .filter(|(far, _)| {
                self.aim != Aim::Providers || *far < distance || far.high() <= self.radius
            })
            .collect();
        taken.sort_unstable();
        let take = match self.aim {
            Aim::Providers => self.settings.take_per_answer,
            _ => self.settings.bucket_size,
        };
        for (_, contact) in taken.into_iter().take(take) {
            if let Some(id) = self.remember(contact) {
                self.join(path, id);
            }
        }
        if distance.high() <= self.radius {
            self.near_answers += 1;
            if self.aim == Aim::Providers && !has_records {
                self.widen();
            }
        }
    }

    /// Somebody takes long: its place on its path is free.
    pub(crate) fn overdue(&mut self, id: CandidateId) {
        if let Some(Candidate { state, .. }) = self.candidates.get_mut(id)
            && let State::Waiting { path } = *state
        {
            *state = State::Overdue { path };
        }
    }

    /// Somebody did not answer.
    pub(crate) fn silent(&mut self, id: CandidateId) {
        if self.end(id).is_some() {
            self.candidates[id].state = State::Silent;
        }
    }

    /// Whether nobody who was asked is still within our patience.
    pub(crate) fn is_idle(&self) -> bool {
        !self.candidates.iter().any(|c| matches!(c.state, State::Waiting { .. }))
    }

    /// After [`Self::next_ask`] had nobody: starts all paths if that is still to be done, and says
    /// whether it did.
    pub(crate) fn widen_if_idle(&mut self) -> bool {
        self.is_idle() && self.widen()
    }

    /// Whether nobody is left to ask and nobody asked can still answer.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.in_flight == 0
    }

    /// With whom to store next, of those who answered: everybody in the region, and when `is_last`,
    /// the nearest others up to a bucket of them. Of neighbours only a few.
    pub(crate) fn next_holder(&mut self, is_last: bool) -> Option<(Contact, WriteToken)> {
        if self.holders >= self.settings.holders_max {
            return None;
        }
        let needs_more = is_last && self.holders < self.settings.bucket_size;
        let mut best: Option<(Distance, CandidateId)> = None;
        for (id, candidate) in self.candidates.iter().enumerate() {
            let is_near = candidate.distance.high() <= self.radius || needs_more;
            if candidate.token.is_some()
                && !candidate.is_store_asked
                && is_near
                && self.may_hold(&candidate.contact)
                && best.is_none_or(|(distance, _)| candidate.distance < distance)
            {
                best = Some((candidate.distance, id));
            }
        }
        let (_, id) = best?;
        let candidate = &mut self.candidates[id];
        candidate.is_store_asked = true;
        let (contact, token) = (candidate.contact, candidate.token?);
        if let Some(group) = contact.group() {
            *self.holders_of_group.entry(group).or_default() += 1;
            let wide = WideAddressGroup::of(contact.address.ip());
            *self.holders_of_wide.entry(wide).or_default() += 1;
        }
        self.holders += 1;
        Some((contact, token))
    }

    /// Whether this node itself stands in the region.
    pub(crate) fn is_own_place(&self) -> bool {
        self.own.key().distance(&self.key).high() <= self.radius
    }

    /// Who answered, nearest first, at most a bucket.
    pub(crate) fn nearest(&self) -> Vec<(Distance, Contact)> {
        let answered = self.candidates.iter().filter(|c| matches!(c.state, State::Answered { .. }));
        let mut all: Vec<_> = answered.map(|c| (c.distance, c.contact)).collect();
        all.sort_unstable();
        all.truncate(self.settings.bucket_size);
        all
    }

    fn next_of_path(&mut self, path: usize, alpha: usize) -> Option<CandidateId> {
        let waiting = |state: State| matches!(state, State::Waiting { path: of } if of == path);
        let is_in_region = |c: &Candidate| !c.order.0;
        // In the region there is no better one: whoever waits there takes a place, wherever it is.
        let near = self.candidates.iter().filter(|c| is_in_region(c) && waiting(c.state)).count();
        let mut places = alpha.saturating_sub(near);
        let is_suspicious = self.is_suspicious();
        let reach = self.settings.bucket_size * if is_suspicious { 3 } else { 1 };
        let mut looked_at = 0;
        for &id in &self.paths[path] {
            let candidate = &self.candidates[id];
            if places == 0 || looked_at >= reach && !is_in_region(candidate) {
                return None;
            }
            match candidate.state {
                State::Fresh if self.may_ask(&candidate.contact) => return Some(id),
                State::Fresh | State::Silent => continue,
                // Whom other paths asked might be there to keep this one busy.
                State::Answered { path: of } if of != path && is_suspicious => continue,
                state if waiting(state) && !is_in_region(candidate) => places -= 1,
                _ => {}
            }
            looked_at += 1;
        }
        None
    }

    /// A search that found nothing where it should have is suspicious. So is an announcement where
    /// far fewer answer near the key than the estimate says stand there, for others are kept from
    /// us, or far more, for somebody put them there. Then neighbours farther away are worth asking
    /// too: they may name those who are missing.
    fn is_suspicious(&self) -> bool {
        let (bucket, near) = (self.settings.bucket_size, self.near_answers * 100);
        let (sparse, crowded) = self.settings.expected_near_percent;
        match self.aim {
            Aim::Nodes => false,
            Aim::Providers => self.paths.len() == self.settings.paths,
            Aim::Announce => !(bucket * sparse..=bucket * crowded).contains(&near),
        }
    }

    fn may_ask(&self, contact: &Contact) -> bool {
        let asked = contact.group().and_then(|group| self.asked_of_group.get(&group));
        asked.is_none_or(|asked| *asked < self.settings.per_group_lookup)
    }

    fn may_hold(&self, contact: &Contact) -> bool {
        let Some(group) = contact.group() else { return true };
        let wide = WideAddressGroup::of(contact.address.ip());
        let of_group = self.holders_of_group.get(&group).copied().unwrap_or(0);
        let of_wide = self.holders_of_wide.get(&wide).copied().unwrap_or(0);
        of_group < self.settings.per_group_lookup && of_wide < HOLDERS_PER_WIDE_GROUP
    }

    /// Takes a candidate's question as ended; the path that asked, unless it had ended before.
    fn end(&mut self, id: CandidateId) -> Option<usize> {
        let candidate = self.candidates.get(id)?;
        let (State::Waiting { path } | State::Overdue { path }) = candidate.state else {
            return None;
        };
        self.in_flight -= 1;
        Some(path)
    }

    fn remember(&mut self, contact: Contact) -> Option<CandidateId> {
        if contact.peer == self.own.peer || !address::is_dialable(&contact.address) {
            return None;
        }
        if let Some(id) = self.known.get(&contact) {
            return Some(*id);
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            return None;
        }
        let id = self.candidates.len();
        let distance = contact.key().distance(&self.key);
        let is_far = distance.high() > self.radius || self.aim == Aim::Nodes;
        let order = (is_far, if is_far { distance.high() } else { self.generator.number() });
        let (state, token) = (State::Fresh, None);
        let is_store_asked = false;
        self.candidates.push(Candidate { contact, distance, order, state, token, is_store_asked });
        self.known.insert(contact, id);
        Some(id)
    }

    fn join(&mut self, path: usize, id: CandidateId) {
        let order = self.candidates[id].order;
        let at = self.paths[path].partition_point(|held| self.candidates[*held].order < order);
        if self.paths[path].get(at) != Some(&id) {
            self.paths[path].insert(at, id);
        }
    }

    fn start_path(&mut self) {
        self.paths.push(Vec::new());
        let path = self.paths.len() - 1;
        for seed in 0..self.seeds.len() {
            self.join(path, self.seeds[seed]);
        }
    }

    /// Starts all paths; whether one was still to be started.
    fn widen(&mut self) -> bool {
        let can_widen = self.aim == Aim::Providers && self.paths.len() < self.settings.paths;
        while can_widen && self.paths.len() < self.settings.paths {
            self.start_path();
        }
        can_widen
    }
}
