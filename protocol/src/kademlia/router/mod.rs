//! The part of a node that sees all buckets: answers questions, looks things up, keeps records.
//!
//! One actor (`dht_router`), or one half of [`DhtNode`](super::DhtNode). What it wants is polled
//! ([`RouterOutput`]); buckets hear of everybody who was named, answered or was silent, and say
//! whom they list. `answers.rs` has what it answers, `lookups.rs` what it asks.
//!
//! - Silence of everybody is this node's own network being down: nobody loses a place by it.
//! - Now and then one contact of the whole table is checked, and more rarely a lookup refreshes it
//!   ([`DhtSettings`]): an idle node is nearly silent.
//!
//! Units: [`Now`]. Errors: none; an answer that does not fit its question counts as silence.
//! Absent on purpose: sealing and sending. Requests are sealed to the contact's key, so an answer
//! with the right number is by that contact.

mod answers;
mod lookups;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use crate::{
    ids::{NetworkId, PeerId},
    kademlia::{
        bucket::{BucketNews, BucketOutput},
        contact::Contact,
        generator::Generator,
        key::{BucketIndex, DhtKey, Distance},
        lookup::{Aim, CandidateId},
        messages::{Answer, Question, Request, Response},
        observed::Observed,
        record::ProviderRecord,
        region::Region,
        settings::DhtSettings,
        store::RecordStore,
        token::WriteTokens,
        view::View,
    },
};
use lookups::{Heard, Running};

/// Contacts of one answer that buckets hear of.
const SEEN_PER_ANSWER: usize = 4;
/// How often expired records are dropped.
const EXPIRE_EVERY_MS: u64 = 60_000;
/// After so many silent nodes in a row it is this node that nobody hears.
const SILENCES_BELIEVED: u32 = 3;
/// What a round trip is taken for before anybody answered.
const RTT_FIRST_MS: u64 = 200;

/// The time, as every entry takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back.
    pub ms: u64,
    /// Unix seconds, for what is signed.
    pub unix_s: u64,
}

/// Number of a lookup of one router, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// What a router wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterOutput {
    /// Seal this to the contact's key and send it; its answer comes back to
    /// [`Router::handle_response`] with the same number. Nothing is to be sent twice: the router
    /// notices silence itself.
    Send {
        /// To whom.
        to: Contact,
        /// Of this router, never used twice.
        request_id: u64,
        /// What to ask.
        request: Request,
    },
    /// News for a bucket; it begins to exist with its first. What the bucket then wants goes to
    /// [`Router::handle_bucket`].
    Bucket {
        /// Which.
        index: BucketIndex,
        /// The news.
        news: BucketNews,
    },
    /// Checked records that a lookup did not have before.
    Found {
        /// Which lookup.
        lookup: LookupId,
        /// At most one per provider; a newer one of the same provider may follow.
        records: Vec<ProviderRecord>,
    },
    /// A lookup has ended.
    Finished {
        /// Which lookup.
        lookup: LookupId,
        /// With what.
        outcome: LookupOutcome,
    },
}

/// How a lookup ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookupOutcome {
    /// Nodes that answered, nearest to the key first, at most a bucket of them.
    pub nearest: Vec<Contact>,
    /// Providers found.
    pub providers: usize,
    /// Nodes that keep the record, of an announcement; this one included.
    pub holders: usize,
    /// After how long half a bucket of nodes kept the record, if so many do.
    pub held_ms: Option<u64>,
    /// Questions sent.
    pub messages: u32,
    /// How long it took, the wait for those who never answered included.
    pub elapsed_ms: u64,
}

/// What a question is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A bucket wants to know whether somebody is there.
    Ping,
    /// A lookup asks a candidate.
    Find { lookup: LookupId, candidate: CandidateId },
    /// A lookup asks for more records of one who had many.
    Page { lookup: LookupId, skip: u16 },
    /// A lookup stores with one.
    Store { lookup: LookupId },
}

/// A question without an answer so far.
#[derive(Debug, Clone, Copy)]
struct Pending {
    to: Contact,
    sent_ms: u64,
    give_up_ms: u64,
    purpose: Purpose,
    is_overdue: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Router {
    peer: PeerId,
    own_key: DhtKey,
    network: NetworkId,
    settings: DhtSettings,
    generator: Generator,
    view: View,
    region: Region,
    observed: Observed,
    tokens: WriteTokens,
    store: RecordStore,
    lookups: BTreeMap<LookupId, Running>,
    pending: BTreeMap<u64, Pending>,
    /// When a pending question is overdue or given up.
    due: BTreeSet<(u64, u64)>,
    outputs: VecDeque<RouterOutput>,
    last_number: u64,
    /// Questions given up since the last answer.
    silences: u32,
    rtt_ms: u64,
    next_revalidate_ms: Option<u64>,
    next_refresh_ms: Option<u64>,
    next_expire_ms: Option<u64>,
    /// Lookups still to be made to fill a table that just came to life.
    bootstrap_left: u16,
}

impl Router {
    /// Of the node `peer`, with an empty table. The seed must be secret and new at every start.
    #[must_use]
    pub fn new(peer: PeerId, network: NetworkId, settings: DhtSettings, seed: [u8; 32]) -> Self {
        let mut generator = Generator::new(seed);
        Self {
            peer,
            own_key: DhtKey::of_peer(&peer),
            network,
            settings,
            view: View::new(settings.per_group_table),
            region: Region::default(),
            observed: Observed::default(),
            tokens: WriteTokens::new(generator.bytes()),
            store: RecordStore::new(generator.bytes()),
            generator,
            lookups: BTreeMap::new(),
            pending: BTreeMap::new(),
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_number: 0,
            silences: 0,
            rtt_ms: RTT_FIRST_MS,
            next_revalidate_ms: None,
            next_refresh_ms: None,
            next_expire_ms: None,
            bootstrap_left: 0,
        }
    }

    /// Says whether others may ask this node, as soon as that is known or changes.
    pub fn set_server(&mut self, is_server: bool) {
        self.settings.is_server = is_server;
    }

    /// Hears of contacts, from the peer cache, peer exchange or a person; they are asked before
    /// they are believed. The first that answers starts lookups that fill the table. To be repeated
    /// with other contacts while [`Self::listed`] stays 0.
    pub fn handle_contacts(&mut self, contacts: &[Contact]) {
        for contact in contacts {
            self.tell(&contact.key(), BucketNews::Seen(*contact));
        }
    }

    /// Takes the answer to a question.
    pub fn handle_response(&mut self, now: Now, request_id: u64, response: &Response) {
        let Some(pending) = self.pending.get(&request_id).copied() else { return };
        if !fits(&pending.purpose, &response.answer) {
            return;
        }
        self.pending.remove(&request_id);
        let rtt_ms = u32::try_from(now.ms.saturating_sub(pending.sent_ms)).unwrap_or(u32::MAX);
        self.silences = 0;
        self.observed.vote(pending.to.address.ip(), response.observed);
        self.learn_answered(pending.to, rtt_ms);
        self.learn_named(&pending.to, &response.answer);
        let heard = Heard { from: &pending.to, answer: &response.answer };
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Find { lookup, candidate } => self.found(now, lookup, candidate, heard),
            Purpose::Page { lookup, skip } => self.paged(now, lookup, skip, heard),
            Purpose::Store { lookup } => {
                self.stored(now, lookup, response.answer == Answer::Stored);
            }
        }
    }

    /// Takes what a bucket wants.
    pub fn handle_bucket(&mut self, now: Now, output: BucketOutput) {
        match output {
            BucketOutput::Ping(contact) => {
                self.ask(now, contact, Purpose::Ping, Question::Ping);
            }
            BucketOutput::Listed { contact, rtt_ms } => {
                if !self.view.insert(contact, rtt_ms) {
                    self.tell(&contact.key(), BucketNews::Remove(contact.peer));
                } else if self.view.len() == 1 {
                    self.begin(now);
                }
            }
            BucketOutput::Unlisted(peer) => self.view.remove(&DhtKey::of_peer(&peer)),
        }
    }

    /// When [`Self::handle_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        let first_due = self.due.first().map(|(due_ms, _)| *due_ms);
        let regular = [self.next_revalidate_ms, self.next_refresh_ms, self.next_expire_ms];
        regular.into_iter().chain([first_due]).flatten().min()
    }

    /// Does what is due: gives up on answers, checks contacts, refreshes the table.
    pub fn handle_wakeup(&mut self, now: Now) {
        while let Some(&(due_ms, request_id)) = self.due.first() {
            if due_ms > now.ms {
                break;
            }
            self.due.pop_first();
            self.handle_due(now, request_id);
        }
        let is_due = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| at_ms <= now.ms);
        if is_due(self.next_revalidate_ms) {
            let place = self.generator.below(self.view.len());
            if let Some(key) = self.view.nth(place) {
                self.tell(&key, BucketNews::Revalidate);
            }
            self.next_revalidate_ms = self.later(now, self.settings.revalidate_every_ms);
        }
        if is_due(self.next_refresh_ms) {
            self.refresh(now);
            self.next_refresh_ms = self.later(now, self.settings.refresh_every_ms);
        }
        if is_due(self.next_expire_ms) {
            self.store.expire(now.unix_s);
            let has_records = self.store.len() > 0;
            self.next_expire_ms = has_records.then(|| now.ms.saturating_add(EXPIRE_EVERY_MS));
        }
    }

    /// What the router wants next.
    pub fn poll_output(&mut self) -> Option<RouterOutput> {
        self.outputs.pop_front()
    }

    /// Where others see this node, once three networks agree.
    #[must_use]
    pub fn observed_address(&self) -> Option<SocketAddr> {
        self.observed.address()
    }

    /// Contacts listed by the buckets.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.view.len()
    }

    /// Records kept for others.
    #[must_use]
    pub fn kept_records(&self) -> usize {
        self.store.len()
    }

    /// Lookups under way.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.lookups.len()
    }

    /// Somebody answered: learns how long that takes and tells its bucket.
    pub(super) fn learn_answered(&mut self, contact: Contact, rtt_ms: u32) {
        self.rtt_ms = (self.rtt_ms * 7 + u64::from(rtt_ms)) / 8;
        let key = contact.key();
        self.view.learn_rtt(&key, rtt_ms);
        self.tell(&key, BucketNews::Answered { contact, rtt_ms });
    }

    /// So far from a key stood the last of a bucket of nearest nodes.
    pub(super) fn learn_region(&mut self, distance: Distance) {
        self.region.learn(distance.high());
    }

    /// The first contact is listed: fills the table and begins to look after it.
    fn begin(&mut self, now: Now) {
        self.next_revalidate_ms = self.later(now, self.settings.revalidate_every_ms);
        self.next_refresh_ms = self.later(now, self.settings.refresh_every_ms);
        if self.settings.fills_itself {
            self.bootstrap_left = 8;
            self.start(now, self.own_key, Aim::Nodes, lookups::Goal::Refresh);
        }
    }

    /// A lookup somewhere in the key space, to hear of who is new and who is gone.
    fn refresh(&mut self, now: Now) {
        let neighbours = self.view.nearest(&self.own_key, 1);
        let depth = neighbours.first().map_or(0, |(distance, _)| distance.common_bits());
        let bit = self.generator.below(usize::from(depth) + 1).min(255);
        let mut key = DhtKey(self.generator.bytes());
        // Shares `bit` bits with us, differs in the next one, any others.
        for place in 0..=bit {
            let mask = 0x80 >> (place % 8);
            let own = self.own_key.0[place / 8] & mask;
            let wanted = if place == bit { own ^ mask } else { own };
            key.0[place / 8] = key.0[place / 8] & !mask | wanted;
        }
        self.start(now, key, Aim::Nodes, lookups::Goal::Refresh);
    }

    /// Sends a question and remembers what for.
    fn ask(&mut self, now: Now, to: Contact, purpose: Purpose, question: Question) {
        if to.peer == self.peer {
            return;
        }
        self.last_number += 1;
        let request_id = self.last_number;
        let known_ms = self.view.get(&to.key()).map(|listed| u64::from(listed.rtt_ms));
        let rtt_ms = known_ms.unwrap_or(self.rtt_ms);
        let after = |percent: u64, (low, high): (u64, u64)| {
            now.ms.saturating_add((rtt_ms.saturating_mul(percent) / 100).clamp(low, high))
        };
        let due_ms = after(self.settings.patience_percent, self.settings.patience_ms);
        let give_up_ms = match purpose {
            // Whether somebody is there is asked once in a while, and nobody waits for it.
            Purpose::Ping => now.ms.saturating_add(self.settings.give_up_ms.1),
            _ => after(self.settings.give_up_percent, self.settings.give_up_ms),
        };
        let (sent_ms, is_overdue) = (now.ms, false);
        let pending = Pending { to, sent_ms, give_up_ms, purpose, is_overdue };
        self.pending.insert(request_id, pending);
        self.due.insert((due_ms.min(give_up_ms), request_id));
        let server = self.settings.is_server.then_some(self.peer);
        let request = Request { server, question };
        self.outputs.push_back(RouterOutput::Send { to, request_id, request });
    }

    /// A question is overdue, or was for so long that nobody waits any more.
    fn handle_due(&mut self, now: Now, request_id: u64) {
        let Some(pending) = self.pending.get_mut(&request_id) else { return };
        if !pending.is_overdue && pending.give_up_ms > now.ms {
            pending.is_overdue = true;
            self.due.insert((pending.give_up_ms, request_id));
            if let Purpose::Find { lookup, candidate } = pending.purpose {
                self.overdue(now, lookup, candidate);
            }
            return;
        }
        let Some(pending) = self.pending.remove(&request_id) else { return };
        self.silences = self.silences.saturating_add(1);
        if self.silences <= SILENCES_BELIEVED {
            self.tell(&pending.to.key(), BucketNews::Failed(pending.to.peer));
        }
        match pending.purpose {
            Purpose::Ping => {}
            Purpose::Find { lookup, candidate } => self.silent(now, lookup, candidate),
            Purpose::Page { lookup, .. } => self.page_ended(now, lookup),
            Purpose::Store { lookup } => self.stored(now, lookup, false),
        }
    }

    /// Tells buckets of some of the contacts an answer names, those nearest to us: there the table
    /// has room.
    fn learn_named(&mut self, giver: &Contact, answer: &Answer) {
        let (Answer::Nodes { contacts, .. } | Answer::Providers { contacts, .. }) = answer else {
            return;
        };
        let mut near: Vec<_> = contacts
            .iter()
            .filter(|contact| contact.may_be_named_from(&giver.address))
            .map(|contact| (contact.key(), contact))
            .filter(|(key, _)| self.view.get(key).is_none())
            .map(|(key, contact)| (key.distance(&self.own_key), key, *contact))
            .collect();
        near.sort_unstable();
        for (_, key, contact) in near.into_iter().take(SEEN_PER_ANSWER) {
            self.tell(&key, BucketNews::Seen(contact));
        }
    }

    fn tell(&mut self, key: &DhtKey, news: BucketNews) {
        let distance = key.distance(&self.own_key);
        if let Some(index) = BucketIndex::of(&distance, self.settings.split_bits) {
            self.outputs.push_back(RouterOutput::Bucket { index, news });
        }
    }

    /// About so much later; nodes that began together do not stay in step.
    fn later(&mut self, now: Now, every_ms: u64) -> Option<u64> {
        let spread = usize::try_from(every_ms / 2).unwrap_or(usize::MAX);
        let after_ms =
            (every_ms - every_ms / 4).saturating_add(self.generator.below(spread) as u64);
        Some(now.ms.saturating_add(after_ms))
    }
}

/// Whether an answer is one to what was asked.
fn fits(purpose: &Purpose, answer: &Answer) -> bool {
    match purpose {
        Purpose::Ping => *answer == Answer::Pong,
        Purpose::Find { .. } => matches!(answer, Answer::Nodes { .. } | Answer::Providers { .. }),
        Purpose::Page { .. } => matches!(answer, Answer::Providers { .. }),
        Purpose::Store { .. } => matches!(answer, Answer::Stored | Answer::Refused { .. }),
    }
}
