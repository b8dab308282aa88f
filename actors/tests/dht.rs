//! The DHT's actors over real UDP sockets on loopback: finding records, floods, forged answers,
//! IPv6, offline mode.
//!
//! Nothing waits by sleeping: conditions are asked for again and again, a round trip apart, with a
//! deadline.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use swarmllm_actors::clock::Clock;
use swarmllm_actors::dht_router::{
    DhtFacts, DhtLinks, DhtRouter, DhtStatus, FindProviders, GetDhtStatus, PeerReachable,
};
use swarmllm_actors::dht_socket::{
    AttachRouter, DhtSocket, GetSocketCounts, MeasurePath, SocketCounts,
};
use swarmllm_protocol::dht_datagram::{DatagramKeys, REQUEST_ENTROPY_BYTES, SizeClass};
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{LayerRange, ModelId, NetworkId, PeerId};
use swarmllm_protocol::kademlia::{Contact, DhtSettings, ProviderFacts, Question, Request};

const DEADLINE: Duration = Duration::from_secs(60);
const MODEL: ModelId = ModelId([7; 32]);
const N_LAYERS: u32 = 20;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Node {
    peer: PeerId,
    address: SocketAddr,
    socket: Addr<DhtSocket>,
    router: Addr<DhtRouter>,
}

impl Node {
    /// A node on an address of this machine that holds some layers of the model.
    fn start(seed: u8, ip: IpAddr, layers: Option<LayerRange>, offline: bool) -> Node {
        let clock = Clock::start();
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let udp = UdpSocket::bind((ip, 0)).expect("a socket");
        udp.set_nonblocking(true).expect("non-blocking");
        let address = udp.local_addr().expect("bound");
        let (peer, network) = (identity.peer_id(), NetworkId::default());
        let keys = DatagramKeys::new(&identity, network.clone());
        let socket = DhtSocket::new(udp, keys, offline, clock).start();
        let shards = layers.map(|layers| (MODEL, layers)).into_iter().collect();
        let settings = DhtSettings::default();
        let (addresses, own_ips) = (vec![address], vec![address.ip()]);
        let facts = DhtFacts { identity, network, addresses, own_ips, shards, offline, settings };
        let links =
            DhtLinks { ask: socket.clone().recipient(), answer: socket.clone().recipient() };
        let router = DhtRouter::new(facts, links, clock).start();
        let (answered, asked) = (router.clone().recipient(), router.clone().recipient());
        socket.try_send(AttachRouter { answered, asked }).expect("an empty box");
        Node { peer, address, socket, router }
    }

    fn plain(seed: u8) -> Node {
        Node::start(seed, V4, None, false)
    }

    fn contact(&self) -> Contact {
        Contact { peer: self.peer, address: self.address }
    }

    async fn meet(&self, other: &Node) {
        let reachable = PeerReachable { peer: other.peer, addresses: vec![other.address] };
        self.router.send(reachable).await.expect("alive");
    }

    async fn providers(&self) -> Vec<ProviderFacts> {
        let find = FindProviders { model: MODEL, n_layers: N_LAYERS };
        self.router.send(find).await.expect("alive")
    }

    async fn rtt_us(&self, to: Contact) -> Option<u32> {
        self.socket.send(MeasurePath { to }).await.expect("alive")
    }

    async fn counts(&self) -> SocketCounts {
        self.socket.send(GetSocketCounts).await.expect("alive")
    }

    async fn wait_until(&self, wished: impl Fn(&DhtStatus) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.router.send(GetDhtStatus).await.expect("alive");
            if wished(&status) {
                return;
            }
            assert!(Instant::now() < end, "{status:?}");
        }
    }

    async fn wait_for_counts(&self, wished: impl Fn(&SocketCounts) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let counts = self.counts().await;
            if wished(&counts) {
                return;
            }
            assert!(Instant::now() < end, "{counts:?}");
        }
    }
}

/// Another end of the line, under the test's control.
fn stranger() -> UdpSocket {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}

/// A question to `to` by somebody who asks by hand.
fn question(to: PeerId, number: u16) -> Vec<u8> {
    let keys = DatagramKeys::new(&Identity::from_seed([99; 32]), NetworkId::default());
    let mut entropy = [3; REQUEST_ENTROPY_BYTES];
    entropy[..2].copy_from_slice(&number.to_le_bytes());
    let body = Request { server: None, question: Question::Ping }.encode().expect("short");
    keys.request(&to, SizeClass::Probe, &body, entropy).expect("seals").0
}

#[actix::test]
async fn twenty_nodes_that_know_one_find_a_record_by_another() {
    let layers = LayerRange { start: 4, end: 12 };
    let first = Node::plain(0);
    let holder = Node::start(1, V4, Some(layers), false);
    let others: Vec<Node> = (2..20).map(Node::plain).collect();
    for node in others.iter().chain([&holder]) {
        node.meet(&first).await;
    }
    for node in others.iter().chain([&holder, &first]) {
        node.wait_until(|status| status.contacts >= 15).await;
    }
    holder.wait_until(|status| status.holders >= 10).await;
    for node in &others {
        let found = node.providers().await;
        let [record] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((record.peer, record.layers), (holder.peer, layers));
        assert_eq!(record.addresses, [holder.address]);
    }
    assert!(holder.providers().await.is_empty(), "a node is not its own provider");
    let keeping = first.router.send(GetDhtStatus).await.expect("alive");
    assert!(keeping.is_server && keeping.answered > 0 && keeping.records > 0, "{keeping:?}");
    assert_eq!(keeping.heard[0].0, V4);
}

#[actix::test]
async fn floods_do_not_stop_honest_questions() {
    let (asking, asked) = (Node::plain(1), Node::plain(2));
    let flood = stranger();
    let mut garbage = vec![0_u8; SizeClass::Long.bytes()];
    for round in 0..50_u32 {
        for datagram in 0..50_u32 {
            garbage[..4].copy_from_slice(&(round * 50 + datagram).to_le_bytes());
            flood.send_to(&garbage, asked.address).expect("sent");
        }
        let rtt_us = asking.rtt_us(asked.contact()).await;
        assert!(rtt_us.is_some_and(|us| us > 0), "round {round}");
    }
    let counts = asked.counts().await;
    assert!(counts.refused > 1_000, "{counts:?}");
    assert_eq!(counts.over_rate, 0, "garbage takes nobody's share: {counts:?}");
    assert_eq!(counts.sent, 50, "garbage is not answered: {counts:?}");
    // Questions that open, far more than one source may ask.
    let before = counts.received;
    for number in 0..200 {
        flood.send_to(&question(asked.peer, number), asked.address).expect("sent");
        asked.wait_for_counts(|counts| counts.received > before + u64::from(number)).await;
    }
    assert!(asked.counts().await.over_rate > 50);
    assert!(asking.rtt_us(asked.contact()).await.is_some());
}

#[actix::test]
async fn questions_under_many_addresses_do_not_stop_whoever_shows_a_cookie() {
    let (asking, asked) = (Node::plain(1), Node::plain(2));
    // On one machine every port is a source of its own.
    let flood: Vec<UdpSocket> = (0..40).map(|_| stranger()).collect();
    for round in 0..10 {
        let before = asked.counts().await.received;
        for number in 0..200_u16 {
            let from = &flood[usize::from(number) % flood.len()];
            let question = question(asked.peer, round * 200 + number);
            from.send_to(&question, asked.address).expect("sent");
        }
        asked.wait_for_counts(|counts| counts.received >= before + 40).await;
        assert!(asking.rtt_us(asked.contact()).await.is_some(), "round {round}");
    }
    let (asking, asked) = (asking.counts().await, asked.counts().await);
    assert!(asked.over_rate > 0, "{asked:?}");
    assert!(asking.sent >= 10 && asking.refused == 0, "{asking:?}");
}

#[actix::test]
async fn an_answer_from_elsewhere_or_under_another_key_is_ignored() {
    let (asking, asked) = (Node::plain(1), Node::plain(2));
    // The question goes to a stranger's address, who passes it on to the node it is meant for.
    let (front, back) = (stranger(), stranger());
    let address = front.local_addr().expect("bound");
    let path = asking.rtt_us(Contact { peer: asked.peer, address });
    let relay = async {
        let mut buffer = [0; 2048];
        asking.wait_for_counts(|counts| counts.sent == 1).await;
        let (length, from) = front.recv_from(&mut buffer).expect("the question");
        assert_eq!((length, from), (SizeClass::Probe.bytes(), asking.address));
        back.send_to(&buffer[..length], asked.address).expect("sent");
        asked.wait_for_counts(|counts| counts.sent == 1).await;
        let (length, _) = back.recv_from(&mut buffer).expect("the answer");
        let refused = async |expected| {
            asking.wait_for_counts(|counts| counts.refused == expected).await;
        };
        // Guesses, one of them sealed by somebody: nobody but the asked node knows the reply id.
        front.send_to(&[5; 128], asking.address).expect("sent");
        refused(1).await;
        front.send_to(&question(PeerId([1; 32]), 0), asking.address).expect("sent");
        refused(2).await;
        // The true answer, from where the question did not go.
        back.send_to(&buffer[..length], asking.address).expect("sent");
        refused(3).await;
        front.send_to(&buffer[..length], asking.address).expect("sent");
    };
    let (rtt_us, ()) = futures_util::join!(path, relay);
    assert!(rtt_us.is_some(), "the true answer from the right place counts");
    assert_eq!(asking.counts().await.refused, 3);
    // Asked under a key that is not its own, a node says nothing.
    let wrong = Contact { peer: asking.peer, address: asked.address };
    assert_eq!(asking.rtt_us(wrong).await, None);
    assert_eq!(asked.counts().await.refused, 1);
}

#[actix::test]
async fn ipv6_and_both_families_on_one_socket() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let layers = Some(LayerRange { start: 0, end: N_LAYERS });
    let (asking, holder) = (Node::start(1, v6, None, false), Node::start(2, v6, layers, false));
    holder.meet(&asking).await;
    holder.wait_until(|status| status.announced > 0).await;
    asking.wait_until(|status| status.contacts == 1).await;
    assert_eq!(asking.providers().await[0].addresses, [holder.address]);
    // A socket on all addresses speaks to IPv4 as well, and sees plain IPv4 addresses.
    let both = Node::start(3, IpAddr::V6(Ipv6Addr::UNSPECIFIED), None, false);
    let old = Node::plain(4);
    assert!(both.rtt_us(old.contact()).await.is_some());
    let address = SocketAddr::new(V4, both.address.port());
    assert!(old.rtt_us(Contact { peer: both.peer, address }).await.is_some());
    both.meet(&old).await;
    both.wait_until(|status| status.heard.iter().any(|(ip, _)| *ip == V4)).await;
}

#[actix::test]
async fn offline_nodes_send_nothing_beyond_private_ranges() {
    let node = Node::start(1, V4, None, true);
    let far: SocketAddr = "203.0.113.1:9".parse().expect("an address");
    let peer = Identity::from_seed([2; 32]).peer_id();
    node.router.send(PeerReachable { peer, addresses: vec![far] }).await.expect("alive");
    assert_eq!(node.rtt_us(Contact { peer, address: far }).await, None);
    let counts = node.counts().await;
    assert_eq!((counts.sent, counts.unsent), (0, 1));
}
