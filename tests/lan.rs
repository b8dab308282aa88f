//! Nodes on one local network find each other by mDNS, without being told an address.

mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Stdio;

use serde_json::json;
use support::{Control, Folder, Lines, program};

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
    let mut nodes = Vec::new();
    for layers in ["0-3", "3-6"] {
        let folder = Folder::new();
        let mut command = program();
        command
            .args(["serve", "--http", "127.0.0.1:0", "--listen", "0.0.0.0:0", "--layers", layers])
            .args(["--network", &network, "--until-stdin-closes", "--data-dir"])
            .arg(folder.path())
            .env("SWARMLLM_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut log = Lines::of(child.stderr.take().expect("piped"));
        log.wait_for("ready: OpenAI API at");
        nodes.push((child, log, folder));
    }
    for (_, log, _) in &mut nodes {
        log.wait_for("PeerConnected");
    }
    // Each of them may ask: the one with the last layers is the next hop of the one with the first.
    let question = json!({"temperature": 0, "max_tokens": 8,
        "messages": [{"role": "user", "content": "What is a shard?"}]});
    let answers = nodes.iter().map(|(_, _, folder)| {
        let mut control = Control::connect(&folder.path().join("control.sock"));
        control.wait_until("models", |answer| answer["models"][0]["servable"] == true);
        control.result("generate", question.clone())["token_ids"].clone()
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].as_array().map(Vec::len), Some(8));
    for (mut child, mut log, folder) in nodes {
        drop(child.stdin.take());
        log.wait_for_end();
        assert!(child.wait().expect("an ended child").success());
        drop(folder);
    }
}
