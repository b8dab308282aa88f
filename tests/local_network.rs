//! What a node does on a local network and what it never does: hosts in namespaces, real multicast,
//! every packet that would leave counted.

mod support;

use std::time::{Duration, Instant};

use support::{Folder, Node, network::Network};

/// A pair on one network is connected so soon after the second node is ready.
const PAIR_WITHIN: Duration = Duration::from_secs(2);
/// An address that is nobody's, outside of every private range (RFC 5737).
const OUTSIDE: &str = "203.0.113.7:4001";

fn start(network: &Network, host: usize, more: &[&str]) -> Node {
    let listen = ["--listen", "0.0.0.0:0", "--model", "demo-draft"];
    Node::start_through(&network.on_host(host), Folder::new(), &[&listen, more].concat())
}

#[test]
fn two_hosts_are_connected_within_two_seconds() {
    let Some(network) = Network::new(2) else { return };
    let mut first = start(&network, 0, &[]);
    let mut second = start(&network, 1, &[]);
    let began = Instant::now();
    for node in [&mut first, &mut second] {
        node.log.wait_for("PeerConnected");
    }
    let took = began.elapsed();
    eprintln!("connected {took:.2?} after the second was ready");
    assert!(took <= PAIR_WITHIN, "{took:?}");
}

#[test]
fn networks_of_other_names_stay_apart() {
    let Some(network) = Network::new(3) else { return };
    let mut here = start(&network, 0, &["--network", "here"]);
    let there = start(&network, 1, &["--network", "there"]);
    // A third of the first name shows that multicast works: what was to be found is found.
    let _third = start(&network, 2, &["--network", "here"]);
    here.log.wait_for("PeerConnected");
    let peers = there.control().result("peers", serde_json::json!({}));
    assert_eq!(peers["peers"], serde_json::json!([]));
}

#[test]
fn offline_not_one_packet_leaves_the_local_network() {
    let Some(network) = Network::new(3) else { return };
    let before = [0, 1, 2].map(|host| network.packets_outside(host));
    let mut first = start(&network, 0, &["--offline", "--join", OUTSIDE]);
    let second = start(&network, 1, &["--offline", "--join", OUTSIDE]);
    first.log.wait_for("PeerConnected");
    // The same without the flag does call there, so the counter counts.
    let _third = start(&network, 2, &["--no-mdns", "--join", OUTSIDE]);
    let end = Instant::now() + support::DEADLINE;
    while network.packets_outside(2) == before[2] {
        assert!(Instant::now() < end, "a node that may call outside never did");
    }
    // Both have been told of the outside as long as the third, and each other since.
    second.control().wait_until("peers", |answer| answer["peers"][0]["state"] == "connected");
    for host in [0, 1] {
        assert_eq!(network.packets_outside(host), before[host], "host {host}");
    }
}
