//! Nodes on one local network find each other by mDNS, without being told an address.

mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use serde_json::json;
use support::{Folder, Node};

/// Whether this machine has a network that carries multicast; loopback alone has none.
fn has_multicast() -> bool {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("a socket");
    let group = Ipv4Addr::new(224, 0, 0, 251);
    socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).is_ok()
        && socket.send_to(&[0; 12], (group, 5353)).is_ok()
}

#[test]
fn two_nodes_on_a_network_find_each_other_by_themselves() {
    if !has_multicast() {
        eprintln!("SKIPPED: no network with multicast here");
        return;
    }
    // A network of this run alone, so that nodes of other people stay out of it.
    let network = format!("test-{}", std::process::id());
    let start = |layers| {
        let listen = ["--listen", "0.0.0.0:0", "--network", &network, "--layers", layers];
        Node::start(Folder::new(), &listen)
    };
    let mut nodes = [start("0-3"), start("3-6")];
    for node in &mut nodes {
        node.log.wait_for("PeerConnected");
    }
    // Each of them may ask: the one with the last layers is the next hop of the one with the first.
    let question = json!({"temperature": 0, "max_tokens": 8,
        "messages": [{"role": "user", "content": "What is a shard?"}]});
    let answers = nodes.iter().map(|node| {
        let mut control = node.control();
        control.wait_until("models", |answer| answer["models"][0]["servable"] == true);
        control.result("generate", question.clone())["token_ids"].clone()
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].as_array().map(Vec::len), Some(8));
    for node in &mut nodes {
        node.close_stdin();
        assert!(node.wait().success());
    }
}
