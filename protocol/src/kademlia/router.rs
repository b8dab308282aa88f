//! The part of a node that sees all buckets: answers questions, looks things up, keeps records.
//!
//! One actor (`dht_router`), or one half of [`DhtNode`](super::DhtNode).

use std::net::SocketAddr;

use crate::{
    ids::{NetworkId, PeerId},
    kademlia::{
        bucket::{BucketNews, BucketOutput},
        contact::Contact,
        key::{BucketIndex, DhtKey},
        messages::{Request, Response},
        record::ProviderRecord,
        settings::DhtSettings,
    },
};

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
    /// Records that a lookup has found so far did not have; checked.
    Found {
        /// Which lookup.
        lookup: LookupId,
        /// At most one per provider and its newer ones.
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
    /// Nodes that keep the record, of an announcement.
    pub holders: usize,
    /// Questions sent.
    pub messages: u32,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Router {}

impl Router {
    /// Of the node `peer`, with an empty table. The seed must be secret and new at every start.
    #[must_use]
    pub fn new(peer: PeerId, network: NetworkId, settings: DhtSettings, seed: [u8; 32]) -> Self {
        let _ = (peer, network, settings, seed);
        Self {}
    }

    /// Says whether others may ask this node, as soon as that is known or changes.
    pub fn set_server(&mut self, is_server: bool) {
        let _ = is_server;
    }

    /// Hears of contacts, from the peer cache, peer exchange or a person; they are asked before
    /// they are believed. The first ones start a lookup of this node's own place.
    pub fn handle_contacts(&mut self, now: Now, contacts: &[Contact]) {
        let _ = (now, contacts);
    }

    /// Answers a question that came from `from`; `None` where an answer would be more than is due.
    pub fn handle_request(
        &mut self,
        now: Now,
        from: SocketAddr,
        request: &Request,
    ) -> Option<Response> {
        let _ = (now, from, request);
        None
    }

    /// Takes the answer to a question.
    pub fn handle_response(&mut self, now: Now, request_id: u64, response: &Response) {
        let _ = (now, request_id, response);
    }

    /// Takes what a bucket wants.
    pub fn handle_bucket(&mut self, now: Now, index: BucketIndex, output: BucketOutput) {
        let _ = (now, index, output);
    }

    /// Looks for the nodes nearest to a point; [`DhtKey::of_peer`] finds one node.
    pub fn find_nodes(&mut self, now: Now, key: DhtKey) -> LookupId {
        let _ = (now, key);
        LookupId(0)
    }

    /// Looks for providers until there are `enough` of them or everybody near was asked.
    pub fn find_providers(&mut self, now: Now, key: DhtKey, enough: usize) -> LookupId {
        let _ = (now, key, enough);
        LookupId(0)
    }

    /// Stores this node's record with all nodes near one of its keys. To be repeated with a newer
    /// record every [`REPUBLISH_EVERY_S`](super::REPUBLISH_EVERY_S).
    pub fn announce(&mut self, now: Now, key: DhtKey, record: &ProviderRecord) -> LookupId {
        let _ = (now, key, record);
        LookupId(0)
    }

    /// Ends a lookup nobody waits for; it says nothing more.
    pub fn cancel(&mut self, lookup: LookupId) {
        let _ = lookup;
    }

    /// When [`Self::handle_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        None
    }

    /// Does what is due: gives up on answers, checks contacts, refreshes the table.
    pub fn handle_wakeup(&mut self, now: Now) {
        let _ = now;
    }

    /// What the router wants next.
    pub fn poll_output(&mut self) -> Option<RouterOutput> {
        None
    }

    /// Where others see this node, once three networks agree.
    #[must_use]
    pub fn observed_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Contacts listed by the buckets.
    #[must_use]
    pub fn listed(&self) -> usize {
        0
    }
}
