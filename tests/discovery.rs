//! How nodes find each other: by what they remember, and by what they tell each other.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Folder, Node};

/// Names the folder of a node that has ended, so that another may start in it.
fn kept(node: Node) -> Folder {
    let mut node = node;
    node.close_stdin();
    assert!(node.wait().success());
    std::mem::replace(&mut node.folder, Folder::new())
}

fn connected(answer: &Value) -> Vec<String> {
    let peers = answer["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let connected = peers.iter().filter(|peer| peer["state"] == "connected");
    connected.map(|peer| peer["peer_id"].as_str().expect("an id").to_owned()).collect()
}

/// Waits until a node has so many sessions.
fn wait_for_sessions(node: &Node, count: usize) {
    node.control().wait_until("peers", |answer| connected(answer).len() >= count);
}

fn reachability(node: &Node) -> Value {
    node.control().result("net.check", json!({}))
}

fn layer<'a>(reachability: &'a Value, via: &str) -> &'a Value {
    let layers = reachability["layers"].as_array().expect("layers");
    layers.iter().find(|layer| layer["via"] == via).expect("that layer")
}

/// A swarm of which every node but the first was told of the first alone.
fn swarm(count: usize, listen: &str) -> Vec<Node> {
    let start = |more: &[&str]| {
        Node::start(Folder::new(), &[&["--listen", listen, "--no-mdns"], more].concat())
    };
    let mut nodes = vec![start(&[])];
    let first = nodes[0].listen();
    nodes.extend((1..count).map(|_| start(&["--join", &first])));
    nodes
}

#[test]
fn nodes_that_know_one_address_meet_each_other_and_find_back_from_what_they_remember() {
    let mut nodes = swarm(10, "127.0.0.1:0");
    for node in &nodes {
        wait_for_sessions(node, 9);
    }
    let told = nodes.iter().map(|node| {
        layer(&reachability(node), "peer_exchange")["found"].as_u64().expect("a number")
    });
    assert!(told.sum::<u64>() > 0);
    // The last one comes back without being told of anybody.
    let folder = kept(nodes.pop().expect("ten nodes"));
    for node in &nodes {
        node.control().wait_until("peers", |answer| connected(answer).len() == 8);
    }
    let before = Instant::now();
    let node = Node::serve_in(folder, &[]);
    let ready = Instant::now();
    wait_for_sessions(&node, 8);
    let took = ready.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?} ({:?} in all)", before.elapsed());
    let known = reachability(&node);
    assert_eq!(known["reachable"], true);
    assert!(layer(&known, "cache")["connected"].as_u64() >= Some(1), "{known}");
    // Its peers say where they see it, and they agree.
    let is_seen_by_8 = |known: &Value| known["heard"][0]["sessions"].as_u64() >= Some(8);
    let known = node.control().wait_until("net.check", is_seen_by_8);
    let is_answered = |path: &Value| path["datagram_ms"].is_number();
    assert!(
        known["paths"].as_array().is_some_and(|paths| paths.iter().all(is_answered)),
        "{known}"
    );
    let shown = node.run(&["net", "check"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("ms by datagram") && shown.contains("\npeer_exchange  on"), "{shown}");
    let heard = &known["heard"][0];
    assert_eq!((&heard["address"], &heard["believed"]), (&json!("127.0.0.1"), &json!(true)));
}

#[test]
fn a_damaged_memory_starts_empty_and_says_so() {
    let nodes = swarm(2, "127.0.0.1:0");
    wait_for_sessions(&nodes[1], 1);
    let mut nodes = nodes.into_iter();
    let first = nodes.next().expect("two nodes");
    let folder = kept(nodes.next().expect("two nodes"));
    let path = folder.path().join("peers.cache");
    let mut bytes = std::fs::read(&path).expect("what it remembers");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let node = Node::serve_in(folder, &["--join", &first.listen()]);
    let said = node.log.seen.iter().find(|line| line.contains("peer cache starts empty"));
    assert!(said.is_some_and(|line| line.contains("cut or altered")), "{:?}", node.log.seen);
    // And it does its work as before.
    wait_for_sessions(&node, 1);
    assert_eq!(layer(&reachability(&node), "cache")["found"], 0);
}

#[test]
fn an_offline_node_dials_nobody_beyond_its_own_network() {
    let near = Node::serve(&[]);
    let far = "198.51.100.7:8810";
    let node = Node::serve(&["--offline", "--join", far, "--join", &near.listen()]);
    wait_for_sessions(&node, 1);
    let known = node
        .control()
        .wait_until("net.check", |known| layer(known, "join")["last_error"].is_string());
    let error = layer(&known, "join")["last_error"].as_str().expect("an error");
    assert!(error.contains(far) && error.contains("offline mode"), "{error}");
    assert_eq!((&known["offline"], &known["connected"]), (&json!(true), &json!(1)));
    // A name would have to be asked for.
    let folder = Folder::new();
    let named = support::run(&[
        "serve",
        "--offline",
        "--join",
        "swarm.example:8810",
        "--data-dir",
        &folder.path().to_string_lossy(),
    ]);
    assert!(!named.status.success());
    assert!(support::stderr(&named).contains("offline mode"), "{}", support::stderr(&named));
}

#[test]
fn both_address_families_work() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    for node in &swarm(3, "[::1]:0") {
        wait_for_sessions(node, 2);
        assert_eq!(reachability(node)["addresses"][0], json!(node.listen()));
    }
    // A node that listens on both is found by either.
    let both = Node::start(Folder::new(), &["--listen", "[::]:0", "--no-mdns"]);
    let (_, port) =
        both.listen().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a port");
    let mut nodes = Vec::new();
    for listen in ["127.0.0.1", "[::1]"] {
        let join = format!("{listen}:{port}");
        nodes.push(Node::start(
            Folder::new(),
            &["--listen", &format!("{listen}:0"), "--no-mdns", "--join", &join],
        ));
    }
    wait_for_sessions(&both, 2);
    let peers = both.control().result("peers", json!({}));
    let addresses = peers["peers"].to_string();
    assert!(addresses.contains("\"127.0.0.1:") && !addresses.contains("ffff"), "{addresses}");
}
