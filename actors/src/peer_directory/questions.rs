//! What the directory is asked: who is there, who holds which layers, what works.

use std::collections::HashMap;
use std::net::SocketAddr;

use actix::{Handler, MessageResult};
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::route::Candidate;
use swarmllm_protocol::wire::ShardOffer;

use super::known::Known;
use super::{
    Candidates, FindCandidates, GetPeers, GetReachability, PeerDirectory, PeerRecord, PeerState,
    Reachability,
};

impl Handler<FindCandidates> for PeerDirectory {
    type Result = MessageResult<FindCandidates>;

    fn handle(&mut self, find: FindCandidates, _: &mut Self::Context) -> Self::Result {
        let mut candidates = Vec::new();
        let mut addresses = HashMap::new();
        let mut add = |peer: PeerId, rtt_us: u32, offers: &[ShardOffer], at: &[SocketAddr]| {
            for offer in offers.iter().filter(|offer| offer.model == find.model) {
                candidates.push(Candidate { peer, layers: offer.layers, rtt_us });
                addresses.insert(peer, at.to_vec());
            }
        };
        add(self.local, 0, &self.facts.offers, &self.own.addresses());
        for (peer, known) in self.connected() {
            if let Some(session) = &known.session {
                add(*peer, session.handle.rtt_us(), &known.offers, &known.addresses);
            }
        }
        MessageResult(Candidates { candidates, addresses })
    }
}

fn record_of(peer: PeerId, known: &Known) -> PeerRecord {
    let state = match &known.session {
        Some(_) => PeerState::Connected,
        None if known.attempts.is_under_way => PeerState::Connecting,
        None => PeerState::Known,
    };
    let rtt_us = known.session.as_ref().map(|session| session.handle.rtt_us());
    PeerRecord {
        peer,
        state,
        addresses: known.addresses.clone(),
        via: known.via,
        rtt_us: rtt_us.filter(|rtt_us| *rtt_us > 0),
        offers: known.offers.clone(),
    }
}

impl Handler<GetPeers> for PeerDirectory {
    type Result = MessageResult<GetPeers>;

    fn handle(&mut self, _: GetPeers, _: &mut Self::Context) -> Self::Result {
        let met = self.peers.iter().map(|(peer, known)| record_of(*peer, known));
        let remembered = self.book.cache().peers();
        let others = remembered.filter(|known| !self.peers.contains_key(&known.peer));
        let others = others.map(|known| PeerRecord {
            peer: known.peer,
            state: PeerState::Known,
            addresses: known.addresses.clone(),
            via: known.method.into(),
            rtt_us: None,
            offers: Vec::new(),
        });
        MessageResult(met.chain(others).collect())
    }
}

impl Handler<GetReachability> for PeerDirectory {
    type Result = MessageResult<GetReachability>;

    fn handle(&mut self, _: GetReachability, _: &mut Self::Context) -> Self::Result {
        MessageResult(Reachability {
            is_offline: self.facts.is_offline,
            addresses: self.own.addresses(),
            is_reachable: self.own.is_reachable(),
            heard: self.observed.heard(),
            believed: self.observed.believed(),
            cached: self.book.cache().counts(),
            connected: self.connected().count(),
            wanted: self.wanted(),
            layers: self.layers.reports(),
        })
    }
}
