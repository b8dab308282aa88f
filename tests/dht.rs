//! An answer from peers that nobody told the asking node of: it looks their layers up in the DHT
//! and connects to them on demand.

mod support;

use serde_json::{Value, json};
use support::{Node, chain};

const QUESTION: &str = "What is a provider record?";

fn question() -> Value {
    json!({"messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 12})
}

/// How a node found another; `None` where it does not know it.
fn via(node: &Node, other: &Node) -> Option<String> {
    let peers = node.control().result("peers", json!({}));
    let mut known = peers["peers"].as_array().expect("a list").iter();
    let peer = known.find(|peer| peer["peer_id"] == other.ready["peer_id"])?;
    peer["via"].as_str().map(str::to_owned)
}

#[test]
fn layers_are_found_through_the_dht_and_give_the_tokens_of_one_node() {
    let alone = chain(&[&[]])[0].control().result("generate", question());
    // Everybody knows the first node, which tells nobody of anybody. Neither it nor the asking node
    // has the layers for an answer.
    let hub = Node::serve(&["--layers", "0-1", "--no-peer-exchange"]);
    let join = hub.listen();
    let holder = |layers| Node::serve(&["--layers", layers, "--join", &join]);
    let holders = [holder("0-3"), holder("3-6")];
    for node in &holders {
        node.control().wait_until("status", |status| status["dht"]["holders"].as_u64() >= Some(2));
    }
    let asking = Node::serve(&["--layers", "0-1", "--join", &join]);
    assert!(holders.iter().all(|holder| via(&asking, holder).is_none()));
    asking.control().wait_until("models", |answer| answer["models"][0]["servable"] == true);
    let answer = asking.control().result("generate", question());
    assert_eq!(answer["token_ids"], alone["token_ids"]);
    let stages = answer["route"].as_array().expect("a route");
    let used: Vec<&Value> = stages.iter().map(|stage| &stage["peer"]).collect();
    assert_eq!(used, holders.iter().map(|node| &node.ready["peer_id"]).collect::<Vec<_>>());
    for holder in &holders {
        assert_eq!(via(&asking, holder).as_deref(), Some("dht"));
    }
    let status = asking.control().result("status", json!({}));
    assert_eq!(status["dht"]["is_server"], true, "{status}");
    assert!(status["dht"]["lookups_done"].as_u64() > Some(0), "{status}");
}

#[test]
fn tcp_and_udp_share_a_port() {
    let node = Node::serve(&["--layers", "0-1"]);
    let address = node.listen();
    let taken = std::net::UdpSocket::bind(&address).expect_err("the node has it");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert!(std::net::TcpStream::connect(&address).is_ok());
}
