//! Tests of `rekey.rs`: new keys under full load, whoever starts, and peers that do not play along.

use std::collections::VecDeque;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::{
    ids::RequestId,
    limits::{
        RECORD_LENGTH_BYTES, REKEY_AFTER_MS, REKEY_AFTER_RECORDS, REKEY_EARLIEST_MS, REKEY_GRACE_MS,
    },
    testing::{Pair, config, messages},
    wire::{Body, RowEncoding, Rows},
};

fn established() -> Pair {
    Pair::established().expect("two honest nodes")
}

fn rows(mark: u8) -> Message {
    let header = Rows {
        request: RequestId([mark; 16]),
        first_position: 0,
        n_rows: 1_000,
        hidden: 32,
        encoding: RowEncoding::F16,
        sample: false,
        trace: Vec::new(),
    };
    Message::rows(header, vec![mark; 64_000].into())
}

fn records(connection: &mut Connection) -> Vec<BytesMut> {
    let mut records = Vec::new();
    let mut out = BytesMut::new();
    while connection.poll_transmit(&mut out) {
        records.push(out.split().split_off(RECORD_LENGTH_BYTES));
    }
    records
}

#[test]
fn keys_are_new_every_two_minutes_and_the_name_stays() {
    let mut pair = Pair::new(config(1), config(2));
    pair.run().expect("two honest nodes");
    for round in 1..=5 {
        assert_eq!([&pair.initiator, &pair.responder].map(Connection::handshakes), [round; 2]);
        pair.now_ms += REKEY_AFTER_MS - 1;
        pair.run().expect("nothing is due");
        assert_eq!(pair.initiator.handshakes(), round);
        pair.now_ms += 1;
        pair.initiator.send(rows(round as u8)).expect("room");
        let [_, events] = pair.run().expect("honest");
        assert_eq!(messages(&events), [rows(round as u8)]);
    }
}

#[test]
fn new_keys_come_with_many_records_too() {
    let mut pair = established();
    let State::Established(side) = &mut pair.initiator.state else { panic!("open") };
    side.keys.transport.sending.set_counter(REKEY_AFTER_RECORDS - 1);
    let State::Established(side) = &mut pair.responder.state else { panic!("open") };
    side.keys.transport.receiving.set_counter(REKEY_AFTER_RECORDS - 1);
    pair.run().expect("not yet");
    assert_eq!(pair.initiator.handshakes(), 1);
    pair.initiator.send(Message::new(Body::Ping { nonce: 1 })).expect("room");
    pair.run().expect("honest");
    assert_eq!([&pair.initiator, &pair.responder].map(Connection::handshakes), [2; 2]);
}

#[test]
fn the_dialled_side_takes_over_when_nothing_comes() {
    let mut pair = established();
    pair.now_ms = REKEY_AFTER_MS + REKEY_GRACE_MS;
    // Only the responder looks at its clock.
    let mut fresh = [9; 64];
    pair.responder.poll(pair.now_ms, || fresh).expect("due");
    for record in records(&mut pair.responder) {
        pair.initiator.receive_record(record, pair.now_ms).expect("honest");
    }
    fresh[0] = 1;
    pair.initiator.poll(pair.now_ms, || fresh).expect("asked");
    pair.run().expect("honest");
    assert_eq!([&pair.initiator, &pair.responder].map(Connection::handshakes), [2; 2]);
}

#[test]
fn when_both_begin_at_once_one_handshake_counts() {
    let mut pair = established();
    pair.now_ms = REKEY_AFTER_MS + REKEY_GRACE_MS;
    pair.poll().expect("both are due");
    pair.initiator.send(rows(1)).expect("room");
    pair.responder.send(rows(2)).expect("room");
    let (ours, theirs) = (records(&mut pair.initiator), records(&mut pair.responder));
    let mut arrived = Vec::new();
    for record in ours {
        arrived.extend(pair.responder.receive_record(record, pair.now_ms).expect("honest"));
    }
    for record in theirs {
        arrived.extend(pair.initiator.receive_record(record, pair.now_ms).expect("honest"));
    }
    assert_eq!(messages(&arrived), [rows(1), rows(2)]);
    pair.run().expect("honest");
    assert_eq!([&pair.initiator, &pair.responder].map(Connection::handshakes), [2; 2]);
    pair.now_ms += REKEY_AFTER_MS;
    pair.run().expect("and the next round works");
    assert_eq!(pair.responder.handshakes(), 3);
}

#[test]
fn a_peer_that_makes_no_new_keys_is_left() {
    let mut pair = established();
    let late = KEY_LIFETIME_MAX_MS + 1;
    // It still sends, sealed with the old key.
    pair.initiator.send(Message::new(Body::Ping { nonce: 1 })).expect("room");
    let record = records(&mut pair.initiator).remove(0);
    assert_eq!(pair.responder.receive_record(record, late), Err(ConnectionError::KeyExpired));
    // It says nothing at all.
    let mut pair = established();
    let result = pair.initiator.poll(late, || [1; 64]);
    assert_eq!(result, Err(ConnectionError::KeyExpired));
    assert_eq!(pair.initiator.send(rows(1)), Err(SendError::Closed));
    // It takes the first message and never answers.
    let mut pair = established();
    pair.initiator.poll(REKEY_AFTER_MS, || [1; 64]).expect("due");
    assert_eq!(records(&mut pair.initiator).len(), 1);
    pair.initiator.poll(KEY_LIFETIME_MAX_MS, || [1; 64]).expect("not over");
    let result = pair.initiator.poll(late, || [1; 64]);
    assert_eq!(result, Err(ConnectionError::KeyExpired));
}

#[test]
fn a_peer_may_not_ask_for_new_keys_all_the_time() {
    let mut pair = established();
    pair.initiator.poll(REKEY_AFTER_MS, || [1; 64]).expect("due by its clock");
    let opening = records(&mut pair.initiator).remove(0);
    let soon = pair.responder.receive_record(opening, REKEY_EARLIEST_MS - 1);
    assert_eq!(soon, Err(ConnectionError::RekeyOutOfTurn));
    // Two at once, or an answer to nothing.
    for text in [&[2_u8; 48][..], &[3; 192], &[4; 160], &[]] {
        let mut pair = established();
        let State::Established(rogue) = &mut pair.initiator.state else { panic!("open") };
        let kind = match text.len() {
            0 => 5,
            _ => text[0],
        };
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut sealed = BytesMut::from(&[signal::SIGNAL_FLAG, kind][..]);
            sealed.extend_from_slice(text);
            rogue.keys.transport.sending.seal_tail(&[], &mut sealed, 0).expect("seals");
            answers.push(pair.responder.receive_record(sealed, REKEY_AFTER_MS));
        }
        let is_opening = kind == 2;
        assert_eq!(answers[0].is_ok(), is_opening);
        assert!(answers[1].is_err());
    }
}

#[test]
fn no_clock_overflows() {
    let mut late = Connection::initiator(config(1), [1; 64], u64::MAX);
    assert_eq!(late.poll(u64::MAX, || [1; 64]), Ok(()));
    let mut pair = established();
    assert_eq!(pair.initiator.poll(u64::MAX, || [1; 64]), Err(ConnectionError::KeyExpired));
    // A clock that goes back is a clock that stands.
    let mut pair = Pair::new(config(1), config(2));
    pair.now_ms = 1_000;
    pair.run().expect("two honest nodes");
    pair.now_ms = 0;
    pair.run().expect("nothing is due");
    assert_eq!(pair.responder.handshakes(), 1);
}

#[test]
fn new_keys_are_for_the_same_two_nodes() {
    // The peer's connection falls into the hands of another identity, old keys and all.
    let mut pair = established();
    let State::Established(stolen) = &mut pair.responder.state else { panic!("open") };
    stolen.keys.set_identity(config(3).identity);
    pair.now_ms = REKEY_AFTER_MS;
    let (expected, got) = (config(2).identity.peer_id(), config(3).identity.peer_id());
    assert_eq!(pair.run().expect_err("another"), ConnectionError::WrongPeer { expected, got });
}

/// Both sides, the records under way in each direction, and what was sent and has arrived.
struct Link {
    sides: [Connection; 2],
    /// Records from each side, no more than a socket would hold.
    ways: [VecDeque<BytesMut>; 2],
    sent: [u8; 2],
    arrived: [u8; 2],
    entropy: u8,
}

/// What happens to one side in one step of time.
#[derive(Debug, Clone)]
struct Turn {
    polls_first: bool,
    messages: usize,
    transmits: usize,
    delivers: usize,
}

fn turn() -> impl Strategy<Value = Turn> {
    (any::<bool>(), 0..3_usize, 0..20_usize, 8..40_usize).prop_map(
        |(polls_first, messages, transmits, delivers)| Turn {
            polls_first,
            messages,
            transmits,
            delivers,
        },
    )
}

impl Link {
    fn new() -> Self {
        let Pair { initiator, responder, .. } = established();
        let (ways, sent, arrived) = Default::default();
        Self { sides: [initiator, responder], ways, sent, arrived, entropy: 0 }
    }

    fn poll(&mut self, side: usize, now_ms: u64) {
        self.entropy = self.entropy.wrapping_add(1);
        let entropy = [self.entropy; 64];
        self.sides[side].poll(now_ms, || entropy).expect("in time");
    }

    fn take(&mut self, side: usize, turn: &Turn, now_ms: u64) {
        if turn.polls_first {
            self.poll(side, now_ms);
        }
        for _ in 0..turn.messages {
            if self.sides[side].queued_bytes(Lane::Tensor) < 1 << 18 && self.sent[side] < 250 {
                self.sent[side] += 1;
                self.sides[side].send(rows(self.sent[side])).expect("room");
            }
        }
        let mut out = BytesMut::new();
        for _ in 0..turn.transmits {
            if self.ways[side].len() < 32 && self.sides[side].poll_transmit(&mut out) {
                self.ways[side].push_back(out.split().split_off(RECORD_LENGTH_BYTES));
            }
        }
        self.deliver(1 - side, turn.delivers, now_ms);
        self.poll(side, now_ms);
    }

    /// Hands records of one side to the other.
    fn deliver(&mut self, from: usize, count: usize, now_ms: u64) {
        let to = 1 - from;
        for _ in 0..count {
            let Some(record) = self.ways[from].pop_front() else { break };
            let event = self.sides[to].receive_record(record, now_ms).expect("honest");
            if let Some(ConnectionEvent::Message(message, credit)) = event {
                self.arrived[from] += 1;
                assert_eq!(message, rows(self.arrived[from]));
                self.sides[to].release(credit);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Both directions full of data, records delayed, clocks apart: every message arrives once and
    /// in order over several rounds of keys.
    #[test]
    fn nothing_is_lost_whenever_keys_change(
        steps in proptest::collection::vec((0_u64..2_500, turn(), turn()), 250..350),
        ahead_ms in 0_u64..2 * REKEY_GRACE_MS,
    ) {
        let mut link = Link::new();
        let mut now_ms = 0;
        for (passed_ms, one, two) in &steps {
            now_ms += passed_ms;
            link.take(0, one, now_ms);
            link.take(1, two, now_ms + ahead_ms);
        }
        let rest = Turn { polls_first: true, messages: 0, transmits: 32, delivers: 32 };
        for _ in 0..200 {
            link.take(0, &rest, now_ms);
            link.take(1, &rest, now_ms + ahead_ms);
        }
        prop_assert_eq!(link.arrived, link.sent);
        let handshakes = link.sides.each_ref().map(Connection::handshakes);
        prop_assert!(handshakes[0] > 2, "{handshakes:?} in {now_ms} ms");
        prop_assert_eq!(handshakes[0], handshakes[1]);
    }
}
