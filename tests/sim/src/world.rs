//! Nodes, links and the event heap: everything around the state machines.
//!
//! Each node is a [`DhtNode`], the code that runs in the service; a node that is gone answers
//! nothing, a colluder answers at once with its own kind and keeps every record to itself.
//! A pair of nodes has one round trip, log-normal with median 80 ms; each datagram adds some jitter
//! and may be lost. Events are ordered by time and then by number, so a seed replays: the trace
//! hash covers time, kind, sender, recipient and size of every delivery.
//! Units: microseconds inside, milliseconds for nodes. Absent on purpose: sealing, bandwidth,
//! queues; DHT datagrams are few and small.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
};

use swarmllm_protocol::{
    identity::Identity,
    ids::{NetworkId, PeerId},
    kademlia::{
        Answer, Contact, DhtKey, DhtNode, DhtSettings, LookupId, LookupOutcome, Now,
        ProviderRecord, Question, Request, Response, RouterOutput, WriteToken,
    },
};

use crate::{
    random::Random,
    ring::{NodeId, Ring},
};

/// Unix time at which every simulation begins.
pub(crate) const BEGINNING_UNIX_S: u64 = 1_800_000_000;
/// Bytes of a sealed request, padded so that no answer is longer.
const REQUEST_BYTES: u64 = 1_200;
/// Bytes of a seal, and of IP and UDP, around an answer.
const SEAL_BYTES: u64 = 48 + 28;

/// What the links are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    pub(crate) median_ms: f64,
    /// Of the logarithm: 0.5 puts one round trip in twenty beyond 182 ms.
    pub(crate) sigma: f64,
    /// Share of datagrams lost.
    pub(crate) loss: f64,
}

impl Default for Links {
    fn default() -> Self {
        Self { median_ms: 80.0, sigma: 0.5, loss: 0.0 }
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Honest,
    /// Answers nothing, but stands in tables.
    Gone,
    /// Answers with colluders only and withholds every record.
    Colluder,
}

pub(crate) struct SimNode {
    pub(crate) identity: Identity,
    pub(crate) contact: Contact,
    pub(crate) key: DhtKey,
    pub(crate) role: Role,
    pub(crate) node: Option<Box<DhtNode>>,
    wakeup_us: Option<u64>,
    /// Bytes sent.
    pub(crate) sent_bytes: u64,
}

#[derive(Debug)]
enum Event {
    Request { to: NodeId, from: NodeId, request_id: u64, request: Request },
    Response { to: NodeId, from: NodeId, request_id: u64, response: Response },
    Wakeup { node: NodeId },
}

/// What a lookup said, for whoever runs the simulation.
#[derive(Debug)]
pub(crate) enum Said {
    Found { records: Vec<ProviderRecord> },
    Finished { outcome: LookupOutcome },
}

/// See the head of this file.
pub(crate) struct World {
    pub(crate) settings: DhtSettings,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) random: Random,
    pub(crate) said: Vec<(NodeId, LookupId, u64, Said)>,
    /// Carry every message as its bytes; slower, and what real nodes do.
    pub(crate) through_bytes: bool,
    pub(crate) delivered: u64,
    colluders: Ring,
    links: Links,
    seed: u64,
    by_address: BTreeMap<SocketAddr, NodeId>,
    events: BTreeMap<u64, Event>,
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    last_event: u64,
    pub(crate) now_us: u64,
    trace: blake3::Hasher,
}

impl World {
    pub(crate) fn new(settings: DhtSettings, links: Links, seed: u64) -> Self {
        Self {
            settings,
            nodes: Vec::new(),
            random: Random::new(seed),
            said: Vec::new(),
            through_bytes: false,
            delivered: 0,
            colluders: Ring::default(),
            links,
            seed,
            by_address: BTreeMap::new(),
            events: BTreeMap::new(),
            heap: BinaryHeap::new(),
            last_event: 0,
            now_us: 0,
            trace: blake3::Hasher::new(),
        }
    }

    /// Adds a node with an empty table.
    pub(crate) fn add(&mut self, identity: Identity, peer: PeerId, address: SocketAddr) -> NodeId {
        let id = self.nodes.len() as NodeId;
        let seed = self.random.bytes();
        let node = DhtNode::new(peer, NetworkId::default(), self.settings, seed);
        let contact = Contact { peer, address };
        let key = contact.key();
        let node = Some(Box::new(node));
        let role = Role::Honest;
        let (wakeup_us, sent_bytes) = (None, 0);
        self.nodes.push(SimNode { identity, contact, key, role, node, wakeup_us, sent_bytes });
        self.by_address.insert(address, id);
        id
    }

    /// Whether an address is taken.
    pub(crate) fn is_taken(&self, address: &SocketAddr) -> bool {
        self.by_address.contains_key(address)
    }

    /// Says who colludes.
    pub(crate) fn set_colluders(&mut self, colluders: &[NodeId]) {
        for id in colluders {
            self.nodes[*id as usize].role = Role::Colluder;
        }
        self.colluders = Ring::new(colluders.iter().map(|id| (self.nodes[*id as usize].key, *id)));
    }

    /// A node leaves without a word.
    pub(crate) fn remove(&mut self, id: NodeId) {
        let node = &mut self.nodes[id as usize];
        node.role = Role::Gone;
        node.node = None;
    }

    pub(crate) fn now(&self) -> Now {
        let ms = self.now_us / 1000;
        Now { ms, unix_s: BEGINNING_UNIX_S + ms / 1000 }
    }

    /// The round trip of a pair, milliseconds.
    pub(crate) fn rtt_ms(&self, a: NodeId, b: NodeId) -> f64 {
        let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
        let mut random = Random::new(self.seed ^ pair.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random.log_normal(self.links.median_ms, self.links.sigma).clamp(1.0, 3_000.0)
    }

    /// Lets a node do something now, and takes what it wants.
    pub(crate) fn with<T>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut DhtNode, Now) -> T,
    ) -> Option<T> {
        let now = self.now();
        let node = self.nodes[id as usize].node.as_mut()?;
        let result = act(node, now);
        self.take_outputs(id);
        Some(result)
    }

    /// Everything until this time.
    pub(crate) fn run_until(&mut self, until_us: u64) {
        while let Some(&Reverse((at_us, number))) = self.heap.peek() {
            if at_us > until_us {
                break;
            }
            self.heap.pop();
            self.now_us = at_us;
            if let Some(event) = self.events.remove(&number) {
                self.handle(event);
            }
        }
        self.now_us = self.now_us.max(until_us);
    }

    /// What happened, as one number.
    pub(crate) fn trace_hash(&self) -> String {
        self.trace.finalize().to_hex()[..32].to_owned()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wakeup { node: id } => self.wake(id),
            Event::Request { to, from, request_id, request } => {
                self.note(1, to, from);
                let Some(response) = self.answer(to, from, &request) else { return };
                let length = match self.through_bytes {
                    true => response.encode().expect("every answer fits").len() as u64,
                    false => 500,
                };
                self.nodes[to as usize].sent_bytes += length + SEAL_BYTES;
                if let Some(at_us) = self.arrival(to, from) {
                    let event = Event::Response { to: from, from: to, request_id, response };
                    self.push(at_us, event);
                }
            }
            Event::Response { to, from, request_id, response } => {
                self.note(2, to, from);
                let response = match self.through_bytes {
                    true => Response::decode(&response.encode().expect("it was encoded before"))
                        .expect("what one node writes another reads"),
                    false => response,
                };
                self.with(to, |node, now| node.handle_response(now, request_id, &response));
            }
        }
    }

    fn answer(&mut self, to: NodeId, from: NodeId, request: &Request) -> Option<Response> {
        let observed = self.nodes[from as usize].contact.address;
        match self.nodes[to as usize].role {
            Role::Gone => None,
            Role::Honest => self.with(to, |node, now| node.handle_request(now, observed, request)),
            Role::Colluder => {
                let token = WriteToken([0; 16]);
                let near = |key: &DhtKey| {
                    let near = self.colluders.nearest(key, 21).into_iter();
                    let contacts = near.filter(|id| *id != to).take(20);
                    contacts.map(|id| self.nodes[id as usize].contact).collect()
                };
                let answer = match &request.question {
                    Question::Ping => Answer::Pong,
                    Question::FindNode { key } => Answer::Nodes { token, contacts: near(key) },
                    Question::FindProviders { key, .. } => Answer::Providers {
                        token,
                        total: 0,
                        records: Vec::new(),
                        contacts: near(key),
                    },
                    Question::Store { .. } => Answer::Stored,
                };
                Some(Response { observed, answer })
            }
        }
    }

    fn wake(&mut self, id: NodeId) {
        let now_us = self.now_us;
        let slot = &mut self.nodes[id as usize];
        if slot.wakeup_us.is_none_or(|wakeup_us| wakeup_us != now_us) {
            return;
        }
        slot.wakeup_us = None;
        self.with(id, |node, now| node.handle_wakeup(now));
    }

    fn take_outputs(&mut self, id: NodeId) {
        let Some(mut node) = self.nodes[id as usize].node.take() else { return };
        while let Some(output) = node.poll_output() {
            match output {
                RouterOutput::Send { to, request_id, request } => {
                    self.send(id, &to, request_id, request);
                }
                RouterOutput::Found { lookup, records } => {
                    self.said.push((id, lookup, self.now_us, Said::Found { records }));
                }
                RouterOutput::Finished { lookup, outcome } => {
                    self.said.push((id, lookup, self.now_us, Said::Finished { outcome }));
                }
                RouterOutput::Bucket { .. } => {}
            }
        }
        let wakeup_us = node.next_wakeup_ms().map(|ms| ms.saturating_mul(1000).max(self.now_us));
        let slot = &mut self.nodes[id as usize];
        slot.node = Some(node);
        if let Some(wakeup_us) = wakeup_us
            && slot.wakeup_us.is_none_or(|planned_us| wakeup_us < planned_us)
        {
            slot.wakeup_us = Some(wakeup_us);
            self.push(wakeup_us, Event::Wakeup { node: id });
        }
    }

    fn send(&mut self, from: NodeId, to: &Contact, request_id: u64, request: Request) {
        self.nodes[from as usize].sent_bytes += REQUEST_BYTES + 28;
        let Some(&id) = self.by_address.get(&to.address) else { return };
        // A datagram sealed to another key than the one at the address is noise to it.
        let recipient = &self.nodes[id as usize];
        if recipient.contact.peer != to.peer || recipient.role == Role::Gone {
            return;
        }
        let request = match self.through_bytes {
            true => Request::decode(&request.encode().expect("every question fits"))
                .expect("what one node writes another reads"),
            false => request,
        };
        if let Some(at_us) = self.arrival(from, id) {
            self.push(at_us, Event::Request { to: id, from, request_id, request });
        }
    }

    /// When a datagram sent now arrives, if it does.
    fn arrival(&mut self, from: NodeId, to: NodeId) -> Option<u64> {
        let jitter = 0.95 + 0.15 * self.random.unit();
        let one_way_ms = self.rtt_ms(from, to) / 2.0 * jitter;
        let is_lost = self.random.unit() < self.links.loss;
        (!is_lost).then(|| self.now_us + (one_way_ms * 1000.0) as u64)
    }

    fn push(&mut self, at_us: u64, event: Event) {
        self.last_event += 1;
        self.events.insert(self.last_event, event);
        self.heap.push(Reverse((at_us, self.last_event)));
    }

    fn note(&mut self, kind: u8, to: NodeId, from: NodeId) {
        self.delivered += 1;
        let mut bytes = [0; 17];
        bytes[0] = kind;
        bytes[1..9].copy_from_slice(&self.now_us.to_le_bytes());
        bytes[9..13].copy_from_slice(&to.to_le_bytes());
        bytes[13..17].copy_from_slice(&from.to_le_bytes());
        self.trace.update(&bytes);
    }
}
