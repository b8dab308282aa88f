//! Tests of whole nodes, a few of them in memory: what a user of the table would notice.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    identity::Identity,
    ids::{LayerRange, ModelId},
    kademlia::{
        messages::{Answer, Question, RefusalReason, WriteToken},
        record::ProviderFacts,
        router::LookupOutcome,
    },
};

/// Nodes that hear each other at once; who has no place here answers nothing.
struct Net {
    nodes: Vec<(Contact, DhtNode)>,
    now_ms: u64,
    found: Vec<ProviderRecord>,
    finished: Vec<LookupOutcome>,
    sent: usize,
}

fn now(ms: u64) -> Now {
    Now { ms, unix_s: 1_800_000_000 + ms / 1000 }
}

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn record(number: u8) -> ProviderRecord {
    let facts = ProviderFacts {
        peer: identity(number).peer_id(),
        model: ModelId([1; 32]),
        layers: LayerRange { start: 0, end: 8 },
        capacity_class: 1,
        sequence: 1,
        expires_at_unix_s: 1_800_000_000 + 3_000,
        addresses: Vec::new(),
    };
    ProviderRecord::sign(&identity(number), &NetworkId::default(), facts).expect("signs")
}

impl Net {
    /// So many nodes on one local network, all servers, each told of the first.
    fn new(count: u8) -> Self {
        let mut net =
            Self { nodes: Vec::new(), now_ms: 0, found: Vec::new(), finished: Vec::new(), sent: 0 };
        for number in 0..count {
            net.join(number, true);
        }
        net.pass(60_000);
        net
    }

    fn join(&mut self, number: u8, is_server: bool) -> usize {
        let settings = DhtSettings { is_server, ..DhtSettings::default() };
        let peer = identity(number).peer_id();
        let address = ([10, 0, 0, number + 1], 4001).into();
        let mut node = DhtNode::new(peer, NetworkId::default(), settings, [number; 32]);
        if let Some((first, _)) = self.nodes.first() {
            node.handle_contacts(now(self.now_ms), &[*first]);
        }
        self.nodes.push((Contact { peer, address }, node));
        self.settle();
        self.nodes.len() - 1
    }

    fn settle(&mut self) {
        loop {
            let mut sends = Vec::new();
            for (asker, (_, node)) in self.nodes.iter_mut().enumerate() {
                while let Some(output) = node.poll_output() {
                    match output {
                        RouterOutput::Send { to, request_id, request } => {
                            sends.push((asker, to, request_id, request));
                        }
                        RouterOutput::Found { records, .. } => self.found.extend(records),
                        RouterOutput::Finished { outcome, .. } => self.finished.push(outcome),
                        RouterOutput::Bucket { .. } => unreachable!("the node carries those"),
                    }
                }
            }
            if sends.is_empty() {
                return;
            }
            self.sent += sends.len();
            for (asker, to, request_id, request) in sends {
                let (now, from) = (now(self.now_ms), self.nodes[asker].0.address);
                let recipient = self.nodes.iter_mut().find(|(contact, _)| *contact == to);
                let response = recipient.map(|(_, node)| node.handle_request(now, from, &request));
                if let Some(response) = response {
                    self.nodes[asker].1.handle_response(now, request_id, &response);
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) =
            self.nodes.iter().filter_map(|(_, node)| node.next_wakeup_ms()).min()
            && due_ms <= end_ms
        {
            self.now_ms = self.now_ms.max(due_ms);
            let now = now(self.now_ms);
            self.nodes.iter_mut().for_each(|(_, node)| node.handle_wakeup(now));
            self.settle();
        }
        self.now_ms = end_ms;
    }

    fn announce(&mut self, by: usize, record: &ProviderRecord) -> LookupOutcome {
        let now = now(self.now_ms);
        self.nodes[by].1.announce(now, record.keys()[0], record);
        self.settle();
        self.pass(5_000);
        self.finished.pop().expect("an announcement ends")
    }

    fn find(&mut self, by: usize, key: DhtKey, enough: usize) -> usize {
        self.found.clear();
        let now = now(self.now_ms);
        self.nodes[by].1.find_providers(now, key, enough);
        self.settle();
        self.pass(5_000);
        self.finished.pop().expect("a search ends").providers
    }
}

#[test]
fn what_one_node_announces_another_finds() {
    let mut net = Net::new(8);
    for (_, node) in &net.nodes {
        assert_eq!(node.router().listed(), 7, "everybody knows everybody");
    }
    let outcome = net.announce(3, &record(3));
    assert_eq!(outcome.holders, 8, "the one who announces keeps it too");
    let key = record(3).keys()[0];
    assert_eq!(net.find(6, key, 1), 1);
    assert_eq!(net.found, [record(3)]);
    assert_eq!(net.find(6, DhtKey([9; 32]), 1), 0, "nobody announced that");
    // An hour later nobody has it any more.
    net.pass(3_600_000);
    assert_eq!(net.find(6, key, 1), 0);
    assert!(net.nodes.iter().all(|(_, node)| node.router().kept_records() == 0));
}

#[test]
fn a_client_asks_and_is_asked_nothing() {
    let mut net = Net::new(5);
    let client = net.join(100, false);
    net.pass(60_000);
    assert_eq!(net.nodes[client].1.router().listed(), 5);
    for (_, node) in &net.nodes[..5] {
        assert_eq!(node.router().listed(), 4, "a client is in nobody's table");
    }
    assert_eq!(net.announce(client, &record(100)).holders, 5);
    assert_eq!(net.find(0, record(100).keys()[0], 1), 1);
}

#[test]
fn many_providers_of_one_key_are_all_found() {
    let mut net = Net::new(3);
    for number in 100..150 {
        net.announce(usize::from(number) % 3, &record(number));
    }
    assert_eq!(net.find(0, record(100).keys()[0], 1_000), 50);
    let client = net.join(99, false);
    net.pass(10_000);
    assert_eq!(net.find(client, record(100).keys()[0], 1_000), 50);
    let mut peers: Vec<_> = net.found.iter().map(ProviderRecord::peer).collect();
    peers.dedup();
    assert_eq!(peers.len(), net.found.len(), "nobody is named twice");
}

#[test]
fn who_left_is_forgotten_and_an_idle_node_is_nearly_silent() {
    let mut net = Net::new(6);
    net.nodes.remove(5);
    net.pass(600_000);
    for (_, node) in &net.nodes {
        assert_eq!(node.router().listed(), 4);
    }
    let before = net.sent;
    net.pass(3_600_000);
    let per_second = (net.sent - before) as f64 / 3_600.0 / 5.0;
    assert!(per_second < 0.3, "{per_second} questions a second and node");
}

#[test]
fn a_node_whose_network_is_down_keeps_its_table() {
    let mut net = Net::new(6);
    let mut rest = net.nodes.split_off(1);
    net.pass(600_000);
    assert!(net.nodes[0].1.router().listed() >= 2);
    rest.insert(0, net.nodes.remove(0));
    net.nodes = rest;
    net.pass(60_000);
    assert_eq!(net.nodes[0].1.router().listed(), 5);
    assert_eq!(net.announce(0, &record(0)).holders, 6);
}

#[test]
fn a_record_is_kept_only_with_a_token_of_its_sender() {
    let mut net = Net::new(1);
    let (from, key) = (([10, 0, 0, 9], 1).into(), record(1).keys()[0]);
    let mut ask = |from, question| {
        let request = Request { server: None, question };
        net.nodes[0].1.handle_request(now(100_000), from, &request).answer
    };
    let record = record(1).as_bytes().clone();
    let store = |key, token, record: &Bytes| Question::Store { key, token, record: record.clone() };
    let refused = |reason| Answer::Refused { reason };
    let unasked = ask(from, store(key, WriteToken([0; 16]), &record));
    assert_eq!(unasked, refused(RefusalReason::Token));
    let Answer::Nodes { token, .. } = ask(from, Question::FindNode { key }) else {
        panic!("nodes");
    };
    let other = ([10, 0, 0, 8], 1).into();
    assert_eq!(ask(other, store(key, token, &record)), refused(RefusalReason::Token));
    let mut forged = record.to_vec();
    forged[40] ^= 1;
    assert_eq!(ask(from, store(key, token, &forged.into())), refused(RefusalReason::Record));
    assert_eq!(ask(from, store(key, token, &record)), Answer::Stored);
    // A record does not stand at any key its sender likes.
    let elsewhere = DhtKey([5; 32]);
    let Answer::Nodes { token, .. } = ask(from, Question::FindNode { key: elsewhere }) else {
        panic!("nodes");
    };
    assert_eq!(ask(from, store(elsewhere, token, &record)), refused(RefusalReason::Record));
}

#[test]
fn a_stranger_sends_nobody_into_their_own_network() {
    let settings = DhtSettings::default();
    let mut node = DhtNode::new(identity(1).peer_id(), NetworkId::default(), settings, [1; 32]);
    let contact = |number: u8, address: &str| Contact {
        peer: PeerId([number; 32]),
        address: address.parse().expect("an address"),
    };
    node.restore(now(0), contact(1, "60.1.1.1:4001"), 50);
    while node.poll_output().is_some() {}
    node.find_nodes(now(0), DhtKey([3; 32]));
    let mut asked = Vec::new();
    let named = ["10.0.0.7:22", "127.0.0.1:4001", "[fd00::1]:4001", "61.1.1.1:4001"];
    while let Some(output) = node.poll_output() {
        let RouterOutput::Send { to, request_id, .. } = output else { continue };
        asked.push(to.address);
        let contacts = named.iter().zip(2..).map(|(text, number)| contact(number, text)).collect();
        let answer = Answer::Nodes { token: WriteToken([0; 16]), contacts };
        let response = Response { observed: to.address, answer };
        node.handle_response(now(10), request_id, &response);
    }
    asked.sort_unstable();
    asked.dedup();
    let public: Vec<SocketAddr> =
        ["60.1.1.1:4001", "61.1.1.1:4001"].map(|text| text.parse().expect("an address")).to_vec();
    assert_eq!(asked, public);
}

proptest! {
    #[test]
    fn whatever_is_said_to_a_node_it_stays_bounded(
        acts in vec((0_u8..8, any::<[u8; 8]>(), 0_u64..4_000), 1..120)
    ) {
        let settings = DhtSettings::default();
        let mut node = DhtNode::new(identity(1).peer_id(), NetworkId::default(), settings, [1; 32]);
        let mut ms = 0;
        let mut ids = vec![0];
        for (kind, bytes, later_ms) in acts {
            ms += later_ms;
            let now = now(ms);
            let contacts: Vec<Contact> = (0..20_u8).map(|place| {
                let byte = bytes[usize::from(place) % 8].wrapping_add(place);
                let address = ([bytes[0], bytes[1], place, byte], u16::from(bytes[2])).into();
                Contact { peer: PeerId([byte; 32]), address }
            }).collect();
            let (key, token) = (DhtKey([bytes[3]; 32]), WriteToken([bytes[4]; 16]));
            let observed = contacts[0].address;
            let server = Some(contacts[1].peer);
            let request_id = ids[usize::from(bytes[5]) % ids.len()];
            let answer = match bytes[6] % 5 {
                0 => Answer::Pong,
                1 => Answer::Nodes { token, contacts: contacts.clone() },
                2 => Answer::Providers {
                    token,
                    total: u16::from(bytes[7]) * 200,
                    records: vec![record(1).as_bytes().clone(), Bytes::from_static(b"none")],
                    contacts: contacts.clone(),
                },
                3 => Answer::Stored,
                _ => Answer::Refused { reason: RefusalReason::Quota },
            };
            let question = match bytes[6] % 4 {
                0 => Question::Ping,
                1 => Question::FindNode { key },
                2 => Question::FindProviders { key, skip: u16::from(bytes[7]) * 200 },
                _ => Question::Store { key, token, record: record(2).as_bytes().clone() },
            };
            match kind {
                0 => node.handle_contacts(now, &contacts),
                1 => {
                    let request = Request { server, question };
                    let response = node.handle_request(now, observed, &request);
                    prop_assert!(response.encode().is_ok());
                }
                2 | 3 => node.handle_response(now, request_id, &Response { observed, answer }),
                4 => {
                    node.find_providers(now, record(1).keys()[0], 3);
                }
                5 => {
                    node.announce(now, record(1).keys()[0], &record(1));
                }
                6 => {
                    node.find_nodes(now, key);
                }
                _ => node.handle_wakeup(now),
            }
            while let Some(output) = node.poll_output() {
                if let RouterOutput::Send { request_id, request, .. } = output {
                    prop_assert!(request.encode().is_ok());
                    ids.push(request_id);
                }
            }
        }
        // Nobody answers any more: everything ends by itself.
        for _ in 0..1_000 {
            ms += 1_000;
            node.handle_wakeup(now(ms));
            while node.poll_output().is_some() {}
            if node.router().lookups() == 0 {
                break;
            }
        }
        prop_assert_eq!(node.router().lookups(), 0);
    }
}
