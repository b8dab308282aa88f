//! What a stranger on the peer port can do: be refused. A node that meets garbage, oversized
//! frames, stalls, floods and liars goes on answering, and says in its events whom it refused.

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/peer.rs"]
mod peer;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use peer::{Peer, open_stage, token_rows};
use serde_json::json;
use support::{DEADLINE, Folder, Node, get, post};
use swarmllm_protocol::connection::{Connection, ConnectionConfig};
use swarmllm_protocol::ids::{InviteId, LayerRange, ModelId, NetworkId, RequestId};
use swarmllm_protocol::membership::{Grant, MemberCertificate, MemberFacts, MemberRole};
use swarmllm_protocol::wire::{Body, Message, OpenStage};

fn address(node: &Node) -> std::net::SocketAddr {
    node.listen().parse().expect("an address")
}

fn connect(node: &Node, seed: u64) -> Peer {
    Peer::connect(address(node), seed).expect("the node lets it in")
}

fn send(peer: &mut Peer, message: Message) {
    peer.send(message).expect("the node reads");
}

fn wait_for(peer: &mut Peer, fits: impl Fn(&Body) -> bool) -> Body {
    peer.wait_for(fits).expect("the node answers")
}

fn dial(node: &Node) -> TcpStream {
    peer::dial(address(node)).expect("the node listens")
}

/// The node must close a connection by itself.
fn closes(mut socket: TcpStream) {
    let mut rest = Vec::new();
    // A reset is a way of closing too.
    if let Err(error) = socket.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
}

/// The node still does its work.
fn answers(node: &Node) {
    let body = json!({"model": "demo", "max_tokens": 4, "temperature": 0,
        "messages": [{"role": "user", "content": "What is a node?"}]});
    assert_eq!(post(node.http(), "/v1/chat/completions", &body).status, 200);
    assert_eq!(get(node.http(), "/health").status, 200);
}

#[test]
fn garbage_before_during_and_after_the_handshake_ends_only_its_own_connection() {
    let node = Node::serve(&[]);
    let mut events = node.control();
    events.result("events.subscribe", json!({}));
    // Before: no handshake, an empty record, a length that no handshake has.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0], &[0xff, 0xff, 1, 2, 3]] {
        let mut socket = dial(&node);
        socket.write_all(bytes).expect("accepted");
        closes(socket);
        events.wait_for_event(&["session_refused"]);
    }
    // During: a record of the right length and nothing else right about it.
    let mut socket = dial(&node);
    let mut record = vec![0x5a; 2 + 256];
    record[..2].copy_from_slice(&256u16.to_le_bytes());
    socket.write_all(&record).expect("accepted");
    closes(socket);
    events.wait_for_event(&["session_refused"]);
    // After: a real peer whose next record does not open.
    let mut peer = connect(&node, 1);
    peer.socket.write_all(&[32, 0]).expect("accepted");
    peer.socket.write_all(&[7; 32]).expect("accepted");
    closes(peer.socket);
    events.wait_for_event(&["peer_disconnected"]);
    answers(&node);
}

#[test]
fn a_stranger_makes_itself_nobodys_inviter_and_is_not_let_in() {
    let node = Node::serve(&[]);
    let mut peer = connect(&node, 4);
    let identity = peer::identity(4);
    let local = node.ready["peer_id"].as_str().and_then(|text| text.parse().ok());
    let facts = MemberFacts {
        issuer: identity.peer_id(),
        member: local.expect("a peer id"),
        grant: Grant { role: MemberRole::Member, pool: None },
        invite: InviteId([1; 16]),
        serial: 1,
        issued_at_unix_s: 0,
        expires_at_unix_s: 0,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let gift = MemberCertificate::issue(&identity, &NetworkId::default(), facts, now);
    send(&mut peer, Message::new(Body::Admitted { certificate: gift.as_bytes().to_vec() }));
    send(&mut peer, Message::new(Body::Ping { nonce: 5 }));
    wait_for(&mut peer, |body| *body == Body::Pong { nonce: 5 });
    // Had it been kept, it would be there by now.
    assert!(!node.folder.names().contains(&"membership".to_owned()), "{:?}", node.folder.names());

    let settings = Folder::new();
    let config = settings.path().join("members.toml");
    std::fs::write(&config, "[peers]\nadmission = \"members\"\n").expect("writable");
    let node = Node::serve(&["--config", &config.to_string_lossy()]);
    for first in [
        Message::new(Body::Present { certificates: vec![gift.as_bytes().to_vec()] }),
        Message::new(Body::Inventory { offers: Vec::new() }),
        Message::new(Body::OpenStage(open_stage(
            RequestId([1; 16]),
            ModelId([9; 32]),
            LayerRange { start: 0, end: 6 },
        ))),
    ] {
        let mut peer = connect(&node, 4);
        send(&mut peer, first);
        // Nothing else is said to it before.
        let told = wait_for(&mut peer, |_| true);
        assert!(matches!(told, Body::NotAdmitted { .. }), "{told:?}");
        closes(peer.socket);
    }
    answers(&node);
}

#[test]
fn a_stalled_handshake_is_ended_and_holds_nobody_up() {
    let node = Node::serve(&[]);
    let silent: Vec<TcpStream> = (0..40).map(|_| dial(&node)).collect();
    let mut halfway = dial(&node);
    halfway.write_all(&[0, 1, 9, 9]).expect("accepted");
    answers(&node);
    connect(&node, 2);
    closes(halfway);
    for socket in silent {
        closes(socket);
    }
    answers(&node);
}

#[test]
fn a_peer_that_breaks_the_rules_of_a_stage_is_told_and_harms_no_other() {
    let node = Node::serve(&[]);
    let mut peer = connect(&node, 3);
    let (model, layers) = peer.offered().expect("a model");
    let refused = |peer: &mut Peer, open: OpenStage| {
        send(peer, Message::new(Body::OpenStage(open)));
        wait_for(peer, |body| matches!(body, Body::StageRefused { .. }));
    };
    let request = |n: u8| RequestId([n; 16]);
    refused(&mut peer, open_stage(request(1), ModelId([9; 32]), layers));
    let half = LayerRange { start: 0, end: 3 };
    refused(&mut peer, open_stage(request(2), model, half));
    let endless = OpenStage { max_positions: 100_000, ..open_stage(request(3), model, layers) };
    refused(&mut peer, endless);
    let failed = |body: &Body| matches!(body, Body::StageFailed { .. });
    // Rows at the wrong position, tokens beyond the vocabulary, rows without a sequence.
    let bad: [&dyn Fn(RequestId) -> Message; 2] =
        [&|request| token_rows(request, 5, &[1]), &|request| token_rows(request, 0, &[u32::MAX])];
    for (n, message) in bad.iter().enumerate() {
        let request = request(10 + n as u8);
        send(&mut peer, Message::new(Body::OpenStage(open_stage(request, model, layers))));
        wait_for(&mut peer, |body| matches!(body, Body::StageOpened { .. }));
        send(&mut peer, message(request));
        wait_for(&mut peer, failed);
    }
    send(&mut peer, token_rows(request(99), 0, &[1]));
    // The same session still works as a session.
    let good = request(50);
    send(&mut peer, Message::new(Body::OpenStage(open_stage(good, model, layers))));
    wait_for(&mut peer, |body| matches!(body, Body::StageOpened { .. }));
    send(&mut peer, token_rows(good, 0, &[1, 2, 3]));
    wait_for(
        &mut peer,
        |body| matches!(body, Body::TokenSampled(sampled) if sampled.position == 3),
    );
    answers(&node);
    // A peer that leaves with an open sequence leaves no pages behind.
    drop(peer);
    node.control().wait_until("status", |status| status["kv_pages"][0] == 0);
}

/// Three thousand strangers connect and say nothing, garbage, or a first message whose answer they
/// never read, while honest nodes come in.
#[test]
#[cfg(target_os = "linux")]
fn honest_nodes_come_in_through_a_flood() {
    let node = Node::serve(&[]);
    let before = hostile::resident_bytes(node.pid());
    let config = ConnectionConfig::new(Arc::new(peer::identity(9)), NetworkId::default());
    let mut opening = BytesMut::new();
    Connection::initiator(config, [9; 64], 0).poll_transmit(&mut opening);
    let words: [&[u8]; 3] = [&[], &[0x55; 258], &opening];
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let listen = node.listen();
    let honest = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut open = std::collections::VecDeque::new();
            for number in 0..3_000 {
                // A full backlog refuses; that is the kernel's own defence.
                if let Ok(mut socket) = TcpStream::connect(&listen) {
                    let _ = socket.write_all(words[number % words.len()]);
                    open.push_back(socket);
                }
                if open.len() > 400 {
                    open.pop_front();
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut honest = 0;
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            connect(&node, 10 + honest);
            honest += 1;
        }
        flood.join().expect("it only connects");
        honest
    });
    assert!(honest >= 10, "{honest}: the flood was too short to show anything");
    let grown_mib = hostile::resident_bytes(node.pid()).saturating_sub(before) >> 20;
    assert!(grown_mib < 32, "{grown_mib} MiB more");
    answers(&node);
}

/// The ways in which peers of other networks were brought down in 2022 to 2026, by a hundred peers
/// at once; `swarmllm-lab -- hostile` does the same with a thousand.
#[test]
#[cfg(target_os = "linux")]
fn known_attacks_cost_little_memory_and_no_session() {
    let node = Node::serve(&[]);
    answers(&node);
    let target = hostile::Target { listen: address(&node), pid: node.pid() };
    for report in hostile::replay(target, 100).expect("an honest session") {
        assert_eq!(report.honest_error, None, "{}: {report:?}", report.class);
        assert!(report.honest_answers > 0 && report.let_in >= 10, "{report:?}");
        assert!(report.honest_slowest_ms < DEADLINE.as_secs_f64() * 1_000.0, "{report:?}");
        assert!(report.grown_mib < 64.0, "{report:?}");
    }
    answers(&node);
}
