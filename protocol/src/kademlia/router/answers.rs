//! What a router answers.
//!
//! One datagram for one datagram, never longer than what was asked for once the question is padded
//! (`dht_datagram`). Only nodes that answered us are named. Units: bytes. Errors: answers.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{EXPIRE_EVERY_MS, Now, Router};
use crate::{
    address::ADDRESS_MAX_BYTES,
    ids::PeerId,
    kademlia::{
        bucket::BucketNews,
        contact::{CONTACT_MAX_BYTES, Contact},
        key::DhtKey,
        messages::{Answer, Question, RefusalReason, Request, Response, TOKEN_BYTES},
        record::ProviderRecord,
    },
    limits::{DHT_CONTACTS_MAX, DHT_MESSAGE_MAX_BYTES},
};

/// Bytes of an answer with providers beside records and contacts: address, tag, token, total, two
/// counts.
const PROVIDERS_HEADER_BYTES: usize = ADDRESS_MAX_BYTES + 1 + TOKEN_BYTES + 2 + 1 + 1;
/// Bytes of records in an answer that also names contacts.
const RECORDS_BESIDE_CONTACTS_BYTES: usize = 540;
/// How much farther than its region a node still keeps records: estimates differ.
const KEEP_WITHIN_REGIONS: u64 = 8;

impl Router {
    /// Answers a question that came from `from`. How many are answered is `source_limit.rs`'s
    /// business, before a question is opened.
    pub fn handle_request(&mut self, now: Now, from: SocketAddr, request: &Request) -> Response {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if let Some(peer) = request.server
            && self.view.get(&DhtKey::of_peer(&peer)).is_none()
        {
            let contact = Contact { peer, address: from };
            self.tell(&contact.key(), BucketNews::Seen(contact));
        }
        let answer = match &request.question {
            Question::Ping => Answer::Pong,
            Question::FindNode { key } => {
                let token = self.tokens.issue(now.ms, from.ip(), key);
                let contacts = self.near(key, request.server, DHT_CONTACTS_MAX);
                Answer::Nodes { token, contacts }
            }
            Question::FindProviders { key, skip } => {
                let (token, server) = (self.tokens.issue(now.ms, from.ip(), key), request.server);
                let (total, records) = self.records_from(now, key, *skip);
                let used: usize = records.iter().map(|record| record.len() + 2).sum();
                let room = DHT_MESSAGE_MAX_BYTES - PROVIDERS_HEADER_BYTES - used;
                let count = if *skip == 0 { room / CONTACT_MAX_BYTES } else { 0 };
                let contacts = self.near(key, server, count.min(DHT_CONTACTS_MAX));
                Answer::Providers { token, total, records, contacts }
            }
            Question::Store { key, token, record } => {
                if self.tokens.holds(now.ms, from.ip(), key, token) {
                    match self.keep(now, from, *key, record) {
                        Ok(()) => Answer::Stored,
                        Err(reason) => Answer::Refused { reason },
                    }
                } else {
                    Answer::Refused { reason: RefusalReason::Token }
                }
            }
        };
        Response { observed: from, answer }
    }

    /// Keeps a record that was sent from `from`, if it holds.
    pub(super) fn keep(
        &mut self,
        now: Now,
        from: SocketAddr,
        key: DhtKey,
        record: &Bytes,
    ) -> Result<(), RefusalReason> {
        let limit = self.radius().saturating_mul(KEEP_WITHIN_REGIONS);
        if self.own_key.distance(&key).high() > limit {
            return Err(RefusalReason::NotNear);
        }
        let record = ProviderRecord::read(record, &self.network, now.unix_s)
            .ok()
            .filter(|record| record.stands_at(&key))
            .ok_or(RefusalReason::Record)?;
        self.next_expire_ms.get_or_insert(now.ms.saturating_add(EXPIRE_EVERY_MS));
        self.store.insert(key, &record, from)
    }

    /// How many records there are, and those of one answer: few enough to name contacts beside
    /// them, or, when some are left out, as many as fit.
    fn records_from(&self, now: Now, key: &DhtKey, skip: u16) -> (u16, Vec<Bytes>) {
        let all = self.store.at(key, now.unix_s);
        let total = u16::try_from(all.len()).unwrap_or(u16::MAX);
        let mut left = match skip {
            0 => RECORDS_BESIDE_CONTACTS_BYTES,
            _ => DHT_MESSAGE_MAX_BYTES - PROVIDERS_HEADER_BYTES,
        };
        let fits = |record: &Bytes| {
            let has_room = left >= record.len() + 2;
            left = left.saturating_sub(record.len() + 2);
            has_room
        };
        (total, all.into_iter().skip(usize::from(skip)).take_while(fits).collect())
    }

    /// Listed contacts near a key, without the one who asks.
    fn near(&self, key: &DhtKey, asker: Option<PeerId>, count: usize) -> Vec<Contact> {
        let near = self.view.nearest(key, count + 1).into_iter().map(|(_, contact)| contact);
        near.filter(|contact| Some(contact.peer) != asker).take(count).collect()
    }
}
