//! What is fuzzed: everything that reads bytes of others, and the state machines behind it.
//!
//! Called by `main.rs` with bytes of the fuzzer's choice. A target panics when a rule of the code
//! under test is broken: what is accepted writes back as it was, memory stays within its bound,
//! nothing is accepted that was not signed.

use bytes::{Bytes, BytesMut};
use swarmllm_protocol::{
    address,
    connection::Connection,
    frame,
    ids::NetworkId,
    invite::InviteCode,
    lanes::Receiver,
    node_record::NodeRecord,
    prefix,
    testing::{self, Pair},
    wire::Message,
};

use crate::network_targets as network;

/// Name and body of each.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("address", read_address),
    ("dht-datagram", network::open_dht_datagram),
    ("dht-node", network::run_dht_node),
    ("dht-request", network::read_dht_request),
    ("dht-response", network::read_dht_response),
    ("frame", read_frames),
    ("handshake-initiator", answer_an_initiator),
    ("handshake-responder", call_a_responder),
    ("invite", read_invite),
    ("lan-announcement", network::read_announcement),
    ("lanes", receive_fragments),
    ("membership", network::read_membership),
    ("node-record", read_node_record),
    ("peer-cache", network::read_peer_cache),
    ("peer-exchange", network::hear_peer_exchange),
    ("prefix-keys", read_prefix_keys),
    ("provider-record", network::read_provider_record),
    ("redemption-log", network::read_redemption_log),
    ("session", talk_in_a_session),
    ("wire-message", read_message),
];

/// A time within the life of nothing in particular.
pub(crate) const NOW_UNIX_S: u64 = 1_800_000_000;

/// Cuts the input into pieces: a length byte pair before each.
pub(crate) fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        data = rest;
        Some(piece)
    })
}

fn read_address(data: &[u8]) {
    let mut rest = data;
    if let Some(found) = address::read(&mut rest) {
        let mut again = Vec::new();
        address::write(&found, &mut again);
        assert_eq!(again, data[..data.len() - rest.len()]);
    }
}

fn read_frames(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(record)) = frame::take_record(&mut buffer, 4096) {
        assert!(record.len() <= 4096);
    }
}

fn call_a_responder(data: &[u8]) {
    let mut responder = Connection::responder(testing::config(2), [7; 64], 0);
    for piece in pieces(data) {
        // Nobody proves an identity by chance.
        assert_eq!(responder.receive_record(BytesMut::from(piece), 1).unwrap_or(None), None);
        assert_eq!(responder.peer(), None);
    }
}

fn answer_an_initiator(data: &[u8]) {
    let mut initiator = Connection::initiator(testing::config(1), [7; 64], 0);
    for piece in pieces(data) {
        assert_eq!(initiator.receive_record(BytesMut::from(piece), 1).unwrap_or(None), None);
        assert_eq!(initiator.peer(), None);
    }
}

fn read_invite(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        // A signature and a checksum are not found by chance.
        assert!(InviteCode::parse(text).is_err());
    }
}

fn receive_fragments(data: &[u8]) {
    let mut receiver = Receiver::default();
    for piece in pieces(data) {
        if receiver.take(BytesMut::from(piece)).is_err() {
            return;
        }
    }
}

fn read_node_record(data: &[u8]) {
    assert!(NodeRecord::read(data, &NetworkId::default(), NOW_UNIX_S).is_err());
}

fn read_prefix_keys(data: &[u8]) {
    assert_eq!(prefix::payload_of(&prefix::keys_of(data)).len() % 16, 0);
}

fn talk_in_a_session(data: &[u8]) {
    let mut pair = Pair::established().expect("two honest sides");
    for piece in pieces(data) {
        let Ok(message) = Message::decode(Bytes::copy_from_slice(piece)) else { continue };
        if pair.initiator.send(message).is_ok() && pair.run().is_err() {
            panic!("a message that may be sent was not accepted");
        }
    }
}

fn read_message(data: &[u8]) {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(data)) else { return };
    message.validate().expect("decoding validates");
    let mut again = message.encode_header().expect("what was read can be written");
    again.extend_from_slice(&message.payload);
    assert_eq!(Message::decode(Bytes::from(again)), Ok(message));
}
