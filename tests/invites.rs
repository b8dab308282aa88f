//! Invite codes between real nodes: how often they let somebody in, what is said when they do not,
//! and what is left of them after a crash.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Folder, Node, json_stdout, run, signal, stderr};

/// A code of this node, made with these flags.
fn invite(node: &Node, flags: &[&str]) -> (String, String) {
    let made = json_stdout(&node.run(&[&["invite", "--json"], flags].concat()));
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("code"), text("id"))
}

fn list(node: &Node) -> Value {
    json_stdout(&node.run(&["invite", "list", "--json"]))["invites"].clone()
}

/// Waits until the node is connected with another.
fn wait_for_peer(node: &Node, other: &Node) {
    let wanted = &other.ready["peer_id"];
    node.control().wait_until("peers", |answer| {
        let peers = answer["peers"].as_array().expect("peers");
        peers.iter().any(|peer| peer["peer_id"] == *wanted && peer["state"] == "connected")
    });
}

/// Settings of a network that lets members in and nobody else.
fn members_only(folder: &Folder) -> String {
    let path = folder.path().join("members.toml");
    fs::write(&path, "[peers]\nadmission = \"members\"\n").expect("writable");
    path.to_string_lossy().into_owned()
}

#[test]
fn a_code_for_one_lets_one_in_and_tells_the_next_that_it_was_used_up() {
    let inviter = Node::serve(&[]);
    let (code, id) = invite(&inviter, &[]);
    let mut first = Node::serve(&["--join", &code]);
    first.log.wait_for("Admitted {");
    wait_for_peer(&first, &inviter);
    let mut second = Node::serve(&["--join", &code]);
    second.log.wait_for("this invite code was used up; ask for a new one");
    // Nobody is left of whom it had only the code.
    second.control().wait_until("peers", |answer| answer["peers"] == json!([]));
    let invites = list(&inviter);
    assert_eq!((&invites[0]["id"], &invites[0]["state"]), (&json!(id), &json!("used_up")));
    assert_eq!(invites[0]["redeemed_by"], json!([first.ready["peer_id"]]));
    // It comes again with the same line, and its membership is what counts.
    let folder = std::mem::replace(&mut first.folder, Folder::new());
    drop(first);
    let again = Node::serve_in(folder, &["--join", &code]);
    wait_for_peer(&again, &inviter);
}

#[test]
fn a_code_for_two_lets_two_in_whoever_has_it() {
    let inviter = Node::serve(&[]);
    let (code, _) = invite(&inviter, &["--uses", "2", "--role", "observer"]);
    let guests = [Node::serve(&["--join", &code]), Node::serve(&["--join", &code])];
    for guest in &guests {
        wait_for_peer(guest, &inviter);
    }
    let mut third = Node::serve(&["--join", &code]);
    third.log.wait_for("was used up");
    let shown = inviter.run(&["invite", "list"]);
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(shown.contains("used up  observer  2 of 2"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_code_is_said_before_anything_is_sent() {
    let inviter = Node::serve(&[]);
    let (code, _) = invite(&inviter, &[]);
    let (past, _) = invite(&inviter, &["--expires", "1s"]);
    let folder = Folder::new();
    let data = folder.path().to_string_lossy().into_owned();
    let refused = |code: &str, more: &[&str]| {
        let base = ["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"];
        let output = run(&[&base, [data.as_str(), "--join", code].as_slice(), more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        // The code is a key: it stays out of the message.
        assert!(!stderr(&output).contains(&code[40..]), "{}", stderr(&output));
        stderr(&output)
    };
    let middle = code.len() / 2;
    let other = if code.as_bytes()[middle] == b'a' { "b" } else { "a" };
    let altered = format!("{}{other}{}", &code[..middle], &code[middle + 1..]);
    assert!(refused(&altered, &[]).contains("cut or altered"));
    assert!(refused(&code[..code.len() - 9], &[]).contains("cut or altered"));
    let foreign = refused(&code, &["--network", "elsewhere"]);
    assert!(foreign.contains("for the network main, this node is in elsewhere"), "{foreign}");
    // Its second has passed when the list says so.
    inviter.control().wait_until("invite.list", |answer| {
        answer["invites"].as_array().expect("invites").iter().any(|one| one["state"] == "expired")
    });
    assert!(refused(&past, &[]).contains("expired"));
}

#[test]
fn a_code_that_was_taken_back_or_forgotten_lets_nobody_in() {
    let mut inviter = Node::serve(&[]);
    let (code, id) = invite(&inviter, &["--uses", "0"]);
    let said = inviter.run(&["invite", "revoke", &id]);
    assert!(said.status.success(), "{}", stderr(&said));
    let mut guest = Node::serve(&["--join", &code]);
    guest.log.wait_for("this invite code was revoked");
    assert_eq!(list(&inviter)[0]["state"], "revoked");
    let unknown = inviter.run(&["invite", "revoke", &"0".repeat(32)]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("was made here"), "{}", stderr(&unknown));
    // Without its log a node can't tell one code from another: no stranger learns which there were.
    let (code, _) = invite(&inviter, &[]);
    let listen = inviter.listen();
    inviter.close_stdin();
    assert!(inviter.wait().success());
    let folder = std::mem::replace(&mut inviter.folder, Folder::new());
    fs::remove_file(folder.path().join("invites.log")).expect("there");
    let _again = Node::start(folder, &["--listen", &listen, "--no-mdns"]);
    let mut guest = Node::serve(&["--join", &code]);
    guest.log.wait_for("it does not know the code any more");
}

#[test]
fn an_inviter_that_was_killed_remembers_who_came() {
    let mut inviter = Node::serve(&[]);
    let (code, _) = invite(&inviter, &[]);
    let listen = inviter.listen();
    let mut guest = Node::serve(&["--join", &code]);
    guest.log.wait_for("Admitted {");
    signal("KILL", inviter.pid());
    inviter.wait();
    let folder = std::mem::replace(&mut inviter.folder, Folder::new());
    let mut again = Node::start(folder, &["--listen", &listen, "--no-mdns"]);
    again.log.wait_for("PeerConnected");
    wait_for_peer(&guest, &again);
    assert_eq!(list(&again)[0]["redeemed_by"], json!([guest.ready["peer_id"]]));
    let mut second = Node::serve(&["--join", &code]);
    second.log.wait_for("was used up");
}

#[test]
fn members_come_in_with_what_they_have_and_strangers_are_told_how() {
    let settings = Folder::new();
    let config = members_only(&settings);
    let inviter = Node::serve(&["--config", &config]);
    let mut stranger = Node::serve(&["--join", &inviter.listen()]);
    stranger.log.wait_for("that node admits members only: ask someone there for an invite code");
    let (code, _) = invite(&inviter, &["--uses", "2"]);
    let first = Node::serve(&["--config", &config, "--join", &code]);
    let second = Node::serve(&["--config", &config, "--join", &code]);
    wait_for_peer(&first, &inviter);
    wait_for_peer(&second, &inviter);
    // Neither has seen the other before: the inviter's word is enough, and only for members.
    wait_for_peer(&first, &second);
    let peers = inviter.control().result("peers", json!({}));
    let ids: Vec<_> =
        peers["peers"].as_array().expect("peers").iter().map(|p| &p["peer_id"]).collect();
    assert!(!ids.contains(&&stranger.ready["peer_id"]), "{peers}");
    assert_eq!(stranger.control().result("status", json!({}))["n_peers"], 0);
}

#[test]
fn members_of_a_revoked_invite_are_sent_away_everywhere() {
    let settings = Folder::new();
    let config = members_only(&settings);
    let inviter = Node::serve(&["--config", &config]);
    let (code, _) = invite(&inviter, &[]);
    let (doubtful, id) = invite(&inviter, &[]);
    let friend = Node::serve(&["--config", &config, "--join", &code]);
    wait_for_peer(&friend, &inviter);
    let mut guest = Node::serve(&["--join", &doubtful]);
    wait_for_peer(&guest, &friend);
    let said = inviter.run(&["invite", "revoke", &id, "--members"]);
    assert!(said.status.success(), "{}", stderr(&said));
    guest.log.wait_for("whoever invited this node has ended its membership");
    guest.control().wait_until("status", |status| status["n_peers"] == 0);
    wait_for_peer(&friend, &inviter);
}

#[test]
fn a_code_is_in_no_log_and_no_event() {
    let mut inviter = Node::serve(&[]);
    let mut events = inviter.control();
    assert_eq!(events.call("events.subscribe", json!({})).1["result"]["subscribed"], true);
    let (code, _) = invite(&inviter, &[]);
    let mut guest = Node::serve(&["--join", &code]);
    guest.log.wait_for("Admitted {");
    let event = events.wait_for_event(&["invite_redeemed"]);
    assert_eq!(event["peer"], guest.ready["peer_id"]);
    for node in [&mut inviter, &mut guest] {
        node.close_stdin();
        assert!(node.wait().success());
        let log = node.log.seen.join("\n");
        // The secret is at the end of the code.
        assert!(!log.contains(&code[code.len() - 40..]), "{log}");
    }
}
