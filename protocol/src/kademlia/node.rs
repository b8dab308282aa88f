//! A router and its buckets in one, for simulations and tests; actors join the same parts by
//! messages.
//!
//! Units: [`Now`]. Errors: none. Absent on purpose: anything but carrying news between the two.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use crate::{
    ids::{NetworkId, PeerId},
    kademlia::{
        bucket::Bucket,
        contact::Contact,
        key::{BucketIndex, DhtKey, Distance},
        messages::{Request, Response},
        record::ProviderRecord,
        router::{LookupId, Now, Router, RouterOutput},
        settings::DhtSettings,
    },
};

/// See the head of this file. What it wants is [`RouterOutput`] without the buckets' part.
#[derive(Debug)]
pub struct DhtNode {
    settings: DhtSettings,
    router: Router,
    buckets: BTreeMap<BucketIndex, Bucket>,
    outputs: VecDeque<RouterOutput>,
}

impl DhtNode {
    /// Of the node `peer`, with an empty table. The seed must be secret and new at every start.
    #[must_use]
    pub fn new(peer: PeerId, network: NetworkId, settings: DhtSettings, seed: [u8; 32]) -> Self {
        let router = Router::new(peer, network, settings, seed);
        Self { settings, router, buckets: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// The router, for what needs no carrying.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// A contact that has answered this node before, as a simulation fills tables.
    pub fn restore(&mut self, now: Now, contact: Contact, rtt_ms: u32) {
        self.router.learn_answered(contact, rtt_ms);
        self.carry(now);
    }

    /// A lookup that this node has made before ended this far from its key, at the last node of a
    /// bucket: what it knows of how crowded the network is.
    pub fn restore_region(&mut self, distance: Distance) {
        self.router.learn_region(distance);
    }

    /// See [`Router::handle_contacts`].
    pub fn handle_contacts(&mut self, now: Now, contacts: &[Contact]) {
        self.router.handle_contacts(contacts);
        self.carry(now);
    }

    /// See [`Router::handle_request`].
    pub fn handle_request(&mut self, now: Now, from: SocketAddr, request: &Request) -> Response {
        let response = self.router.handle_request(now, from, request);
        self.carry(now);
        response
    }

    /// See [`Router::handle_response`].
    pub fn handle_response(&mut self, now: Now, request_id: u64, response: &Response) {
        self.router.handle_response(now, request_id, response);
        self.carry(now);
    }

    /// See [`Router::find_nodes`].
    pub fn find_nodes(&mut self, now: Now, key: DhtKey) -> LookupId {
        let lookup = self.router.find_nodes(now, key);
        self.carry(now);
        lookup
    }

    /// See [`Router::find_providers`].
    pub fn find_providers(&mut self, now: Now, key: DhtKey, enough: usize) -> LookupId {
        let lookup = self.router.find_providers(now, key, enough);
        self.carry(now);
        lookup
    }

    /// See [`Router::announce`].
    pub fn announce(&mut self, now: Now, key: DhtKey, record: &ProviderRecord) -> LookupId {
        let lookup = self.router.announce(now, key, record);
        self.carry(now);
        lookup
    }

    /// When [`Self::handle_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        let buckets = self.buckets.values().filter_map(Bucket::next_wakeup_ms);
        buckets.chain(self.router.next_wakeup_ms()).min()
    }

    /// Does what is due.
    pub fn handle_wakeup(&mut self, now: Now) {
        self.router.handle_wakeup(now);
        for bucket in self.buckets.values_mut() {
            if bucket.next_wakeup_ms().is_some_and(|due_ms| due_ms <= now.ms) {
                bucket.handle_wakeup(now.ms);
            }
        }
        for index in self.buckets.keys().copied().collect::<Vec<_>>() {
            self.carry_bucket(now, index);
        }
        self.carry(now);
    }

    /// What the node wants next.
    pub fn poll_output(&mut self) -> Option<RouterOutput> {
        self.outputs.pop_front()
    }

    /// Carries news between router and buckets until there is none.
    fn carry(&mut self, now: Now) {
        while let Some(output) = self.router.poll_output() {
            let RouterOutput::Bucket { index, news } = output else {
                self.outputs.push_back(output);
                continue;
            };
            let bucket = self.buckets.entry(index).or_insert_with(|| Bucket::new(&self.settings));
            bucket.handle(now.ms, news);
            self.carry_bucket(now, index);
        }
    }

    fn carry_bucket(&mut self, now: Now, index: BucketIndex) {
        let Some(bucket) = self.buckets.get_mut(&index) else { return };
        while let Some(output) = bucket.poll_output() {
            self.router.handle_bucket(now, output);
        }
        if bucket.is_empty() {
            self.buckets.remove(&index);
        }
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
