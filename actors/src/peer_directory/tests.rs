//! Tests of the directory as an actor, with a dialer that only writes down whom it should dial.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use actix::Addr;
use swarmllm_protocol::peer_cache::PeerCache;

use super::*;
use crate::event_log::EventLog;
use crate::peer_session::{CloseSession, RetireSession, SendFrame, SessionHandle, SessionOpened};

/// Takes whatever a session or a dialer is told.
#[derive(Clone, Default)]
struct Sink {
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Dial> for Sink {
    type Result = ();

    fn handle(&mut self, dial: Dial, _: &mut Self::Context) {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner).extend(dial.addresses);
    }
}

impl Handler<SendFrame> for Sink {
    type Result = ();

    fn handle(&mut self, _: SendFrame, _: &mut Self::Context) {}
}

impl Handler<CloseSession> for Sink {
    type Result = ();

    fn handle(&mut self, _: CloseSession, _: &mut Self::Context) {}
}

impl Handler<RetireSession> for Sink {
    type Result = ();

    fn handle(&mut self, _: RetireSession, _: &mut Self::Context) {}
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

/// A directory whose dials are written down.
async fn directory(is_offline: bool) -> (Addr<PeerDirectory>, Addr<Sink>, Sink) {
    let facts = SelfFacts {
        identity: Arc::new(Identity::from_seed([1; 32])),
        network: NetworkId::default(),
        agent: "test".to_owned(),
        listen: ([127, 0, 0, 1], 9).into(),
        interfaces: Arc::new(|| vec![([127, 0, 0, 1], 9).into()]),
        offers: Vec::new(),
        exchange: true,
        is_offline,
        cache_path: std::env::temp_dir().join("swarmllm-directory-test-nowhere/peers.cache"),
    };
    let events = EventLog::default().start().recipient();
    let cache = PeerCache::new([2; 32]);
    let directory = PeerDirectory::new(facts, cache, events, Clock::start()).start();
    let sink = Sink::default();
    let dialer = sink.clone().start();
    directory.send(AttachDialer(dialer.clone().recipient())).await.unwrap();
    (directory, dialer, sink)
}

/// A session that a peer at this address opened.
fn opened(peer: PeerId, at: &str, sink: &Addr<Sink>) -> SessionOpened {
    let handle = SessionHandle {
        peer,
        id: 1,
        send: sink.clone().recipient(),
        close: sink.clone().recipient(),
        retire: sink.clone().recipient(),
        link: Arc::default(),
        used_at_ms: Arc::new(AtomicU64::new(0)),
    };
    SessionOpened {
        handle,
        remote: at.parse().unwrap(),
        dialled: None,
        pre_shared: None,
        binding: [0; 32],
    }
}

async fn dialled(sink: &Sink, dialer: &Addr<Sink>) -> Vec<String> {
    // Whoever is sent to behind the dials is handled behind them.
    dialer.send(RetireSession).await.unwrap();
    let dialled = sink.dialled.lock().unwrap_or_else(PoisonError::into_inner);
    dialled.iter().map(ToString::to_string).collect()
}

#[actix::test]
async fn a_requester_makes_its_stages_dial_a_victim_twice_a_minute_at_most() {
    let (directory, dialer, sink) = directory(false).await;
    directory.send(opened(peer(7), "203.0.113.7:50000", &dialer)).await.unwrap();
    let ask = |n: u8, asked_by: PeerId, address: String| {
        let addresses = vec![address.parse().unwrap()];
        let find = FindSession { peer: peer(n), addresses, asked_by: Some(asked_by) };
        // The answer comes seconds later; the dials are what counts.
        drop(directory.try_send(find));
    };
    for n in 100..140 {
        ask(n, peer(7), format!("198.51.100.{n}:80"));
    }
    // Nor into this node's own network, nor for somebody who is not there.
    ask(200, peer(7), "192.168.0.1:80".to_owned());
    ask(201, peer(8), "192.0.2.1:80".to_owned());
    directory.send(GetPeers).await.unwrap();
    assert_eq!(dialled(&sink, &dialer).await, ["198.51.100.100:80", "198.51.100.101:80"]);
}

#[actix::test]
async fn an_offline_node_dials_no_address_of_the_internet_whoever_names_it() {
    let (directory, dialer, sink) = directory(true).await;
    let far: Vec<SocketAddr> =
        vec!["198.51.100.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
    for (n, via) in Via::ALL.into_iter().enumerate() {
        let (n, addresses) = (100 + n as u8, far.clone());
        directory
            .send(PeerSeen { peer: Some(peer(n)), addresses, via, invite: None })
            .await
            .unwrap();
        let addresses = far.clone();
        directory.send(PeerSeen { peer: None, addresses, via, invite: None }).await.unwrap();
    }
    let find = FindSession { peer: peer(3), addresses: far, asked_by: None };
    drop(directory.try_send(find));
    let near = vec!["192.168.0.4:4".parse().unwrap()];
    let seen = PeerSeen { peer: None, addresses: near, via: Via::Join, invite: None };
    directory.send(seen).await.unwrap();
    directory.send(GetPeers).await.unwrap();
    assert_eq!(dialled(&sink, &dialer).await, ["192.168.0.4:4"]);
}

#[actix::test]
async fn what_the_dht_finds_is_remembered_and_dialled() {
    let (directory, dialer, sink) = directory(false).await;
    let addresses = vec!["198.51.100.1:1".parse().unwrap()];
    let seen = PeerSeen { peer: Some(peer(5)), addresses, via: Via::Dht, invite: None };
    directory.send(seen).await.unwrap();
    let known = directory.send(GetReachability).await.unwrap();
    assert_eq!((known.cached, known.wanted), ((0, 1), 1));
    let found: Vec<u64> = known.layers.iter().map(|layer| layer.found).collect();
    assert_eq!(found.iter().sum::<u64>(), 1);
    assert_eq!(dialled(&sink, &dialer).await, ["198.51.100.1:1"]);
}
