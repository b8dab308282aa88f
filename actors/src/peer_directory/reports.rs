//! What connected peers say of themselves and of others, and what they are told.

use std::net::{IpAddr, SocketAddr};

use actix::Handler;
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::limits;
use swarmllm_protocol::node_record::NodeRecord;
use swarmllm_protocol::peer_cache::Heard;
use swarmllm_protocol::wire::{Body, Message};

use super::known::{Known, Session};
use super::{PeerDirectory, Via, policy};
use crate::dht_router::PeerReachable;
use crate::mailbox::offer;
use crate::peer_session::{PeerReported, SendFrame};

fn frame(body: Body) -> SendFrame {
    SendFrame { message: Message::new(body), replies: None }
}

impl PeerDirectory {
    /// Who this node is, for a peer that it sees there.
    fn hello(&self, observed: SocketAddr) -> Body {
        Body::Hello {
            version: limits::PROTOCOL_VERSION,
            agent: self.facts.agent.clone(),
            listen: vec![self.facts.listen],
            record: self.own.bytes().to_vec(),
            observed,
        }
    }

    /// The first words of a session.
    pub(super) fn greet(&self, session: &Session) {
        let send = &session.handle.send;
        offer(send, frame(self.hello(session.remote)));
        offer(send, frame(Body::Inventory { offers: self.facts.offers.clone() }));
    }

    /// Tells every connected peer where this node is now.
    pub(super) fn greet_again(&self) {
        let sessions = self.peers.values().filter_map(|known| known.session.as_ref());
        for session in sessions.filter(|session| session.is_greeted) {
            offer(&session.handle.send, frame(self.hello(session.remote)));
        }
    }

    /// Tells each peer what changed about the others, when it is time for that.
    pub(super) fn tell_news(&mut self) {
        if !self.facts.exchange {
            return;
        }
        let now_ms = self.clock.now_ms();
        let worth_telling = |known: &Known| {
            let seen_at = known.session.as_ref()?.remote.ip();
            known.record.clone().filter(|it| policy::is_worth_telling(it.facts(), seen_at))
        };
        let records: Vec<NodeRecord> = self.peers.values().filter_map(worth_telling).collect();
        for (peer, known) in &mut self.peers {
            let Some(session) = known.session.as_mut().filter(|session| session.is_greeted) else {
                continue;
            };
            if let Some(said) = session.told.next(*peer, records.iter(), now_ms) {
                let body = Body::PeerExchange { added: said.added, dropped: said.dropped };
                offer(&session.handle.send, frame(body));
            }
        }
    }

    /// A peer says who it is. Its record counts for itself alone, in this network and time.
    fn heard_hello(&mut self, peer: PeerId, listen: &[SocketAddr], record: &[u8]) {
        let now = self.now();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let (via, Some(session)) = (known.via, known.session.as_mut()) else { return };
        session.is_greeted = true;
        let (seen_at, is_ours, remote) = (session.remote.ip(), session.is_ours, session.remote);
        known.addresses = policy::reachable_at(listen, seen_at);
        if let Some(dht) = &self.dht {
            offer(dht, PeerReachable { peer, addresses: known.addresses.clone() });
        }
        if is_ours {
            known.add_addresses(&[remote]);
        }
        if record.is_empty() {
            return;
        }
        let record = match NodeRecord::read(record, &self.facts.network, now.unix_s) {
            Ok(record) if record.peer() == peer => record,
            Ok(_) => return,
            Err(error) => {
                return self.layers.failed(via, &format!("peer {}: {error}", peer.short()));
            }
        };
        known.add_addresses(&record.facts().addresses);
        if policy::is_worth_telling(record.facts(), seen_at) {
            let (addresses, sequence) = (&record.facts().addresses[..], record.facts().sequence);
            let (method, source, source_ip) = (via.method(), peer, seen_at);
            let heard = Heard { peer, addresses, sequence, method, source, source_ip };
            let is_new = self.book.hear(heard, now);
            self.layers.found(via, usize::from(is_new && via == Via::Incoming));
            if is_ours {
                self.book.reached(&peer, remote, now);
            }
        }
        known.record = Some(record);
    }

    /// A peer tells of others. What it may not say now is left unheard, and costs it nothing more.
    fn heard_exchange(&mut self, source: (PeerId, IpAddr), added: &[Vec<u8>], dropped: &[PeerId]) {
        match self.book.hear_exchange(source, (added, dropped), self.now()) {
            Ok(heard) => {
                self.layers.found(Via::PeerExchange, heard.found);
                if heard.bad > 0 {
                    let reason = format!(
                        "peer {}: {} records that are altered, out of date (is a clock wrong?) \
                         or of another network",
                        source.0.short(),
                        heard.bad
                    );
                    self.layers.failed(Via::PeerExchange, &reason);
                }
                self.maintain();
            }
            Err(refusal) => {
                let reason = format!("peer {} is not heard: {refusal}", source.0.short());
                tracing::debug!(reason, "peer exchange");
                self.layers.failed(Via::PeerExchange, &reason);
            }
        }
    }
}

impl Handler<PeerReported> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, reported: PeerReported, _: &mut Self::Context) {
        let PeerReported { peer, session, remote, body } = reported;
        let current = self.peers.get(&peer).and_then(|known| known.session.as_ref());
        if current.is_none_or(|current| current.handle.id != session) {
            return;
        }
        match body {
            Body::Hello { listen, agent, record, observed, .. } => {
                tracing::debug!(peer = peer.short(), agent, ?listen, %observed, "hello");
                self.observed.vote(peer, remote.ip(), observed.ip());
                self.heard_hello(peer, &listen, &record);
                self.tell_news();
            }
            Body::Inventory { offers } => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.offers = offers;
                }
            }
            Body::PeerExchange { added, dropped } if self.facts.exchange => {
                self.heard_exchange((peer, remote.ip()), &added, &dropped);
            }
            _ => {}
        }
    }
}
