//! Tests of `connection/`: the whole way of a message, and every kind of bad company.

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::{handshake::prologue, opening, proof::STATIC_KEY_DOMAIN, *};
use crate::{
    ids::RequestId,
    limits::{FRAGMENT_DATA_MAX_BYTES, RECORD_LENGTH_BYTES, RECORD_MAX_BYTES, RECORDS_PER_KEY_MAX},
    noise::{Blake2s, Handshake, HandshakeKeys, Role, XX},
    testing::{Pair, carry, config, messages},
    wire::{Body, RowEncoding, Rows, WIRE_VERSION},
};

fn ping(nonce: u64) -> Message {
    Message::new(Body::Ping { nonce })
}

fn rows(payload: Bytes) -> Message {
    let n_rows = u32::try_from(payload.len() / 64).expect("short");
    let header = Rows {
        request: RequestId([3; 16]),
        first_position: 0,
        n_rows,
        hidden: 32,
        encoding: RowEncoding::F16,
        sample: false,
        trace: Vec::new(),
    };
    Message::rows(header, payload)
}

fn record(connection: &mut Connection) -> BytesMut {
    let mut out = BytesMut::new();
    assert!(connection.poll_transmit(&mut out), "something to send");
    out.split_off(RECORD_LENGTH_BYTES)
}

fn established() -> Pair {
    Pair::established().expect("two honest nodes")
}

#[test]
fn two_nodes_prove_who_they_are_and_share_a_binding() {
    let mut pair = Pair::new(config(1), config(2));
    assert_eq!(pair.initiator.handshake_deadline_ms(), Some(HANDSHAKE_TIMEOUT_MS));
    let [initiator, responder] = pair.run().expect("two honest nodes");
    let (
        ConnectionEvent::Established { peer: server, binding, pre_shared: None },
        ConnectionEvent::Established { peer: client, binding: same, pre_shared: None },
    ) = (&initiator[0], &responder[0])
    else {
        panic!("{initiator:?} {responder:?}");
    };
    assert_eq!((*server, *client), (config(2).identity.peer_id(), config(1).identity.peer_id()));
    assert_eq!(binding, same);
    assert_eq!(pair.initiator.peer(), Some(*server));
    assert_eq!(pair.initiator.handshake_deadline_ms(), None);
}

#[test]
fn handshake_messages_have_one_size() {
    let mut pair = Pair::new(config(1), config(2));
    let first = record(&mut pair.initiator);
    assert_eq!(first.len(), HANDSHAKE_MESSAGE_BYTES);
    assert_eq!(pair.responder.receive_record(first, 0), Ok(None));
    let second = record(&mut pair.responder);
    assert_eq!(second.len(), HANDSHAKE_MESSAGE_BYTES);
    assert!(pair.initiator.receive_record(second, 0).expect("honest").is_some());
    // What the initiator says next comes behind its message 3.
    pair.initiator.send(ping(1)).expect("established");
    let third = record(&mut pair.initiator);
    assert_eq!(third.len(), HANDSHAKE_MESSAGE_BYTES);
    assert!(pair.responder.receive_record(third, 0).expect("honest").is_some());
    let fourth = record(&mut pair.initiator);
    let event = pair.responder.receive_record(fourth, 0).expect("honest");
    assert_eq!(messages(event.as_slice()), [ping(1)]);
}

#[test]
fn messages_of_every_size_arrive_both_ways() {
    let mut pair = established();
    for length in [64, 16 * 1024, FRAGMENT_DATA_MAX_BYTES + 64, 128 * 1024, 512 * 1024] {
        let length = length / 64 * 64;
        let message = rows((0..length).map(|at| (at % 251) as u8).collect());
        pair.initiator.send(message.clone()).expect("room");
        pair.responder.send(message.clone()).expect("room");
        let arrived = pair.run().expect("honest").map(|events| messages(&events));
        assert_eq!(arrived, [vec![message.clone()], vec![message]]);
    }
}

#[test]
fn a_16_kib_activation_is_one_record_and_is_not_copied_on_arrival() {
    let mut pair = established();
    pair.initiator.send(rows(vec![7; 16 * 1024].into())).expect("room");
    let sealed = record(&mut pair.initiator);
    assert!(!pair.initiator.poll_transmit(&mut BytesMut::new()));
    let place = sealed.as_ptr() as usize..sealed.as_ptr() as usize + sealed.len();
    let event = pair.responder.receive_record(sealed, 0).expect("honest");
    let Some(ConnectionEvent::Message(message, _)) = event else { panic!("{event:?}") };
    assert_eq!(message.payload, vec![7; 16 * 1024]);
    assert!(place.contains(&(message.payload.as_ptr() as usize)));
}

#[test]
fn control_overtakes_a_prefill() {
    let mut pair = established();
    pair.initiator.send(rows(vec![0; 48 * 1024].into())).expect("room");
    let mut arrived = Vec::new();
    let first = record(&mut pair.initiator);
    arrived.extend(pair.responder.receive_record(first, 0).expect("honest"));
    pair.initiator.send(ping(5)).expect("room");
    carry(&mut pair.initiator, &mut pair.responder, 0, &mut arrived).expect("honest");
    let arrived = messages(&arrived);
    assert_eq!((arrived.len(), &arrived[0]), (2, &ping(5)));
}

#[test]
fn nothing_is_sent_before_the_handshake_and_full_lanes_say_so() {
    let mut pair = Pair::new(config(1), config(2));
    assert_eq!(pair.initiator.send(ping(1)), Err(SendError::NotEstablished));
    pair.run().expect("two honest nodes");
    let refused = loop {
        if let Err(error) = pair.initiator.send(ping(1)) {
            break error;
        }
    };
    assert!(matches!(refused, SendError::Full { lane: Lane::Control, .. }));
    assert_eq!(pair.initiator.queued_bytes(Lane::Bulk), 0);
    // The other lanes still take something, and what was queued arrives.
    pair.initiator.send(rows(vec![0; 64].into())).expect("room");
    let [_, events] = pair.run().expect("honest");
    assert_eq!(events.len(), crate::limits::LANE_QUEUE_MAX_MESSAGES + 1);
    let invalid = Message { payload: vec![1].into(), ..ping(1) };
    assert!(matches!(pair.initiator.send(invalid), Err(SendError::Invalid(_))));
    pair.initiator.send(ping(2)).expect("still open");
}

#[test]
fn the_wrong_peer_is_not_accepted() {
    let expected = config(3).identity.peer_id();
    let expecting = |seed| ConnectionConfig { expected_peer: Some(expected), ..config(seed) };
    let got = config(2).identity.peer_id();
    assert_eq!(answer_as(expecting(1), 2), Some(ConnectionError::WrongPeer { expected, got }));
    let got = config(1).identity.peer_id();
    let error = Pair::new(config(1), expecting(2)).run().expect_err("not whom we wait for");
    assert_eq!(error, ConnectionError::WrongPeer { expected, got });
    assert!(Pair::new(expecting(1), config(3)).run().is_ok());
}

/// What an initiator says to a responder that puts any payload into message 2.
fn answer_to(
    initiator: ConnectionConfig,
    payload: impl FnOnce([u8; 32]) -> Vec<u8>,
) -> Option<ConnectionError> {
    let prologue = prologue(&initiator.network, &[0; 16]);
    let expected = initiator.expected_peer;
    let mut initiator = Connection::initiator(initiator, [1; 64], 0);
    let keys = HandshakeKeys {
        static_private: Some([7; 32].into()),
        ephemeral_private: Some([8; 32].into()),
        ..HandshakeKeys::default()
    };
    let mut responder =
        Handshake::<Blake2s>::new(XX, Role::Responder, &prologue, keys).expect("XX");
    let opening = record(&mut initiator);
    let opening = opening::read(&opening, &expected.unwrap_or(PeerId([2; 32]))).expect("for us");
    responder.read_message(opening.noise).expect("honest");
    let mut payload = payload(responder.local_static().expect("given"));
    payload.resize(160, 0);
    let mut message = BytesMut::new();
    responder.write_message(&payload, &mut message).expect("our turn");
    initiator.receive_record(message, 0).err()
}

/// The same with the honest proof of another node than the one that was called.
fn answer_as(initiator: ConnectionConfig, seed: u8) -> Option<ConnectionError> {
    let owner = config(seed).identity;
    answer_to(initiator, |key| {
        let signature = owner.sign(STATIC_KEY_DOMAIN, &[&key]);
        [owner.peer_id().0.as_slice(), &signature].concat()
    })
}

#[test]
fn a_proof_is_for_one_identity_and_one_session() {
    let owner = config(2).identity;
    let answer_to = |payload: &dyn Fn([u8; 32]) -> Vec<u8>| answer_to(config(1), payload);
    let proof = |peer: PeerId, signature: [u8; 64]| [peer.0.as_slice(), &signature].concat();
    let signed = |key: [u8; 32]| owner.sign(STATIC_KEY_DOMAIN, &[&key]);
    assert_eq!(answer_to(&|key| proof(owner.peer_id(), signed(key))), None);
    let bad = |peer| Some(ConnectionError::Identity(IdentityError::BadSignature(peer)));
    assert_eq!(answer_to(&|_| proof(owner.peer_id(), [0; 64])), bad(owner.peer_id()));
    // A proof that its owner once gave for another session.
    assert_eq!(answer_to(&|_| proof(owner.peer_id(), signed([9; 32]))), bad(owner.peer_id()));
    // Somebody's own signature under another's name.
    let victim = config(3).identity.peer_id();
    assert_eq!(answer_to(&|key| proof(victim, signed(key))), bad(victim));
    // Signed, but as something else.
    let invite = |key: [u8; 32]| owner.sign("swarmllm/1 invite code", &[&key]);
    assert_eq!(answer_to(&|key| proof(owner.peer_id(), invite(key))), bad(owner.peer_id()));
    // A key for which one signature fits everything.
    let mut weak = PeerId([0; 32]);
    weak.0[0] = 1;
    let mut anything = [0; 64];
    anything[0] = 1;
    let refused = ConnectionError::Identity(IdentityError::NotAKey(weak));
    assert_eq!(answer_to(&|_| proof(weak, anything)), Some(refused));
    let padded = |key: [u8; 32]| [proof(owner.peer_id(), signed(key)), vec![1]].concat();
    assert_eq!(answer_to(&padded), Some(ConnectionError::Padding));
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let error = Pair::new(config(1), config(1)).run().expect_err("one node");
    assert_eq!(error, ConnectionError::SelfConnection);
}

/// What both sides hear when one dials with a secret and the other keeps these.
fn meet(shown: u8, kept: &[(u8, u8)]) -> [Result<Vec<ConnectionEvent>, ConnectionError>; 2] {
    let dialling = ConnectionConfig {
        pre_shared: Some(PreSharedKey::new([shown; 16], [shown; 32])),
        ..config(1)
    };
    let dialled = config(2);
    for (id, key) in kept {
        dialled.accepted_keys.insert(PreSharedKey::new([*id; 16], [*key; 32]));
    }
    let mut pair = Pair::new(dialling, dialled);
    let mut events = [Vec::new(), Vec::new()];
    carry(&mut pair.initiator, &mut pair.responder, 0, &mut events[1]).expect("message 1");
    carry(&mut pair.responder, &mut pair.initiator, 0, &mut events[0]).expect("message 2");
    let mut last = Vec::new();
    let third = carry(&mut pair.initiator, &mut pair.responder, 0, &mut last);
    [Ok(std::mem::take(&mut events[0])), third.map(|_| last)]
}

#[test]
fn a_shared_secret_is_named_and_proved() {
    let [dialling, dialled] = meet(7, &[(6, 6), (7, 7)]);
    for events in [dialling, dialled] {
        let events = events.expect("both have the key");
        let [ConnectionEvent::Established { pre_shared, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(*pre_shared, Some([7; 16]));
    }
}

#[test]
fn a_secret_that_is_not_shared_ends_the_handshake_at_its_end() {
    let wrong = ConnectionError::Handshake(NoiseError::Decrypt);
    let [same, refused] = meet(7, &[(7, 8)]);
    assert_eq!(refused, Err(wrong));
    // To the side that dials, an unknown name looks like a wrong key.
    let [unknown, refused] = meet(7, &[(8, 7)]);
    assert_eq!(refused, Err(ConnectionError::UnknownPreSharedKey));
    let heard = |events: Result<Vec<_>, _>| events.expect("message 2 tells nothing").len();
    assert_eq!((heard(same), heard(unknown)), (1, 1));
    // A secret that was taken back opens no more.
    let keys = PreSharedKeys::default();
    keys.insert(PreSharedKey::new([7; 16], [7; 32]));
    assert!(keys.remove(&[7; 16]) && !keys.remove(&[7; 16]));
    assert_eq!(keys.get(&[7; 16]), None);
    assert!(!format!("{:?}", PreSharedKey::new([1; 16], [0x5a; 32])).contains("90, 90"));
}

#[test]
fn the_name_of_a_secret_is_bound_to_the_handshake() {
    let dialling = |id| ConnectionConfig {
        pre_shared: Some(PreSharedKey::new([id; 16], [9; 32])),
        ..config(1)
    };
    let dialled = config(2);
    for id in [7, 8] {
        dialled.accepted_keys.insert(PreSharedKey::new([id; 16], [9; 32]));
    }
    // Somebody on the way writes another name into message 1, and the same key is behind both.
    let mut pair = Pair::new(dialling(7), dialled);
    let first = record(&mut pair.initiator);
    let noise = opening::read(&first, &PeerId([0; 32])).expect("for anyone").noise;
    let renamed = opening::write(&[8; 16], noise, None);
    let error = pair.responder.receive_record(renamed, 0).expect_err("bound");
    assert_eq!(error, ConnectionError::Handshake(NoiseError::Decrypt));
}

#[test]
fn an_echo_is_no_peer() {
    let mut initiator = Connection::initiator(config(1), [1; 64], 0);
    let echo = record(&mut initiator);
    let error = initiator.receive_record(echo, 0).expect_err("our own message");
    assert_eq!(error, ConnectionError::Handshake(NoiseError::Decrypt));
}

#[test]
fn other_networks_fail_the_handshake() {
    let other = ConnectionConfig { network: "other".parse().expect("network"), ..config(2) };
    let error = Pair::new(config(1), other).run().expect_err("another network");
    assert_eq!(error, ConnectionError::Handshake(NoiseError::Decrypt));
    assert!(error.to_string().contains("another network"));
}

#[test]
fn strangers_are_told_apart() {
    let answer = |change: fn(&mut BytesMut)| {
        let mut pair = Pair::new(config(1), config(2));
        let mut first = record(&mut pair.initiator);
        change(&mut first);
        pair.responder.receive_record(first, 0).expect_err("refused")
    };
    let length = ConnectionError::HandshakeLength { length: 255 };
    assert_eq!(answer(|first| first.truncate(255)), length);
    assert_eq!(answer(|first| first[0] = b'H'), ConnectionError::NotSwarmLlm);
    assert_eq!(answer(|first| first[8] = 9), ConnectionError::Version { theirs: 9 });
    // The name of a secret, a cookie, the ephemeral key, the padding, the tag.
    for altered in [10, 30, 42, 200, 255] {
        let mut pair = Pair::new(config(1), config(2));
        let mut first = record(&mut pair.initiator);
        first[altered] ^= 1;
        assert_eq!(pair.responder.receive_record(first, 0), Err(ConnectionError::NotForUs));
    }
    let elsewhere = config(3).identity.peer_id();
    let calling = ConnectionConfig { expected_peer: Some(elsewhere), ..config(1) };
    let error = Pair::new(calling, config(2)).run().expect_err("not for this node");
    assert_eq!(error, ConnectionError::NotForUs);
}

/// Message 1 with a Noise message of the test's own, properly tagged.
fn forged_opening(noise: &[u8]) -> Result<Option<ConnectionEvent>, ConnectionError> {
    let message = opening::write(&[0; 16], noise, None);
    Pair::new(config(1), config(2)).responder.receive_record(message, 0)
}

#[test]
fn a_tag_proves_nothing() {
    let mut noise = vec![9; 32];
    noise.resize(opening::NOISE_BYTES, 0);
    assert_eq!(forged_opening(&noise), Ok(None));
    noise[100] = 1;
    assert_eq!(forged_opening(&noise), Err(ConnectionError::Padding));
    let low_order = ConnectionError::Handshake(NoiseError::LowOrderKey);
    assert_eq!(forged_opening(&[0; opening::NOISE_BYTES]), Err(low_order));
}

#[test]
fn a_late_handshake_is_over() {
    let mut pair = Pair::new(config(1), config(2));
    let first = record(&mut pair.initiator);
    let deadline = pair.responder.handshake_deadline_ms().expect("a deadline");
    let error = pair.responder.receive_record(first, deadline + 1).expect_err("late");
    assert_eq!(error, ConnectionError::HandshakeTimeout);
    assert_eq!(pair.responder.handshake_deadline_ms(), None);
}

#[test]
fn after_an_error_everything_is_closed() {
    let mut pair = established();
    pair.responder.send(ping(1)).expect("open");
    let garbage = BytesMut::from(&[0x55; 100][..]);
    let error = pair.responder.receive_record(garbage.clone(), 0).expect_err("garbage");
    assert_eq!(error, ConnectionError::Record(NoiseError::Decrypt));
    assert_eq!(pair.responder.receive_record(garbage, 0), Err(ConnectionError::Closed));
    assert_eq!(pair.responder.send(ping(1)), Err(SendError::Closed));
    assert!(!pair.responder.poll_transmit(&mut BytesMut::new()));
    assert_eq!(pair.responder.peer(), None);
}

#[test]
fn replayed_and_reordered_records_are_refused() {
    let mut pair = established();
    for nonce in 0..2 {
        pair.initiator.send(ping(nonce)).expect("room");
    }
    let (first, second) = (record(&mut pair.initiator), record(&mut pair.initiator));
    let refused = Err(ConnectionError::Record(NoiseError::Decrypt));
    assert!(pair.responder.receive_record(first.clone(), 0).is_ok());
    assert_eq!(pair.responder.receive_record(first, 0), refused);
    let mut pair = established();
    assert_eq!(pair.responder.receive_record(second, 0), refused);
}

#[test]
fn a_used_up_key_closes_the_connection() {
    let mut pair = established();
    let State::Established(established) = &mut pair.initiator.state else { panic!("open") };
    established.keys.transport.sending.set_counter(RECORDS_PER_KEY_MAX);
    pair.initiator.send(ping(1)).expect("queued");
    let mut out = BytesMut::new();
    assert!(!pair.initiator.poll_transmit(&mut out));
    assert!(out.is_empty());
    assert_eq!(pair.initiator.send(ping(1)), Err(SendError::Closed));
}

/// Seals a fragment as an authenticated peer that does not keep to the rules.
fn rogue(pair: &mut Pair, fragment: &[u8]) -> ConnectionError {
    let State::Established(established) = &mut pair.initiator.state else { panic!("open") };
    let mut sealed = BytesMut::from(fragment);
    established.keys.transport.sending.seal_tail(&[], &mut sealed, 0).expect("seals");
    pair.responder.receive_record(sealed, 0).expect_err("refused")
}

#[test]
fn an_authenticated_peer_must_keep_to_the_rules_too() {
    let refused = |fragment: &[u8]| rogue(&mut established(), fragment);
    assert!(matches!(refused(&[]), ConnectionError::Lane(LaneError::Malformed { length: 0 })));
    let huge = [0b100, 0xff, 0xff, 0xff, 0xff, 0];
    assert!(matches!(refused(&huge), ConnectionError::Lane(LaneError::TooLong { .. })));
    let unknown = [0b100, 4, 0, 0, 0, WIRE_VERSION, 1, 0, 99];
    assert!(matches!(refused(&unknown), ConnectionError::Message(WireError::Codec(_))));
    let old = [0b100, 4, 0, 0, 0, 0, 1, 0, 3];
    assert_eq!(refused(&old), ConnectionError::Message(WireError::Version { theirs: 0 }));
    // A ping (tag 3, nonce 1) by the bulk lane.
    let lane = Lane::Bulk;
    let misplaced = [0b110, 5, 0, 0, 0, WIRE_VERSION, 2, 0, 3, 1];
    assert_eq!(refused(&misplaced), ConnectionError::WrongLane { lane });
}

/// The records of a whole conversation, in the order both sides wrote them; true: to the responder.
fn transcript() -> Vec<(bool, BytesMut)> {
    let mut pair = Pair::new(config(1), config(2));
    let mut records = Vec::new();
    let mut pass = |pair: &mut Pair, to_responder: bool| {
        let (from, to) = match to_responder {
            true => (&mut pair.initiator, &mut pair.responder),
            false => (&mut pair.responder, &mut pair.initiator),
        };
        let record = record(from);
        records.push((to_responder, record.clone()));
        to.receive_record(record, 0).expect("honest");
    };
    pass(&mut pair, true);
    pass(&mut pair, false);
    pass(&mut pair, true);
    pair.initiator.send(rows(vec![1; 40_000 / 64 * 64].into())).expect("room");
    pair.responder.send(ping(9)).expect("room");
    for to_responder in [true, false, true, true] {
        pass(&mut pair, to_responder);
    }
    records
}

/// Plays records to fresh connections with the same entropy; how many were accepted in a row.
fn replay(records: &[(bool, BytesMut)]) -> usize {
    let mut pair = Pair::new(config(1), config(2));
    // What each side writes is the transcript's own, so it is drained and not carried.
    for (index, (to_responder, record)) in records.iter().enumerate() {
        let side = if *to_responder { &mut pair.responder } else { &mut pair.initiator };
        if side.receive_record(record.clone(), 0).is_err() {
            return index;
        }
        let mut drained = BytesMut::new();
        while side.poll_transmit(&mut drained) {}
    }
    records.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_record_gives_an_answer_in_any_phase(
        phase in 0_usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..400),
        exact: bool,
    ) {
        let mut pair = Pair::new(config(1), config(2));
        if phase >= 1 {
            let first = record(&mut pair.initiator);
            pair.responder.receive_record(first, 0).expect("honest");
        }
        if phase >= 2 {
            pair.run().expect("honest");
        }
        let mut bytes = BytesMut::from(bytes.as_slice());
        if exact {
            bytes.resize(HANDSHAKE_MESSAGE_BYTES, 0);
        }
        let side = if phase == 3 { &mut pair.initiator } else { &mut pair.responder };
        prop_assert!(side.receive_record(bytes, 0).is_err());
        prop_assert_eq!(side.send(ping(1)), Err(SendError::Closed));
    }

    #[test]
    fn whatever_an_authenticated_peer_seals_gives_an_answer(
        flags in 0_u8..8, total in 0_u32..200, whole: bool,
        text in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut pair = established();
        let State::Established(rogue) = &mut pair.initiator.state else { panic!("open") };
        let mut sealed = BytesMut::from(&[flags][..]);
        sealed.put_u32_le(if whole { text.len() as u32 } else { total });
        sealed.extend_from_slice(&text);
        rogue.keys.transport.sending.seal_tail(&[], &mut sealed, 0).expect("seals");
        match pair.responder.receive_record(sealed, 0) {
            Ok(Some(ConnectionEvent::Message(message, _))) => {
                prop_assert_eq!(message.validate(), Ok(()));
            }
            Ok(event) => prop_assert_eq!(event, None),
            Err(_) => prop_assert_eq!(pair.responder.peer(), None),
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(which in 0_usize..7, bit: usize) {
        let mut records = transcript();
        let whole = records.len();
        prop_assert_eq!(replay(&records), whole);
        let record = &mut records[which].1;
        let bit = bit % (record.len() * 8);
        record[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(replay(&records), which);
    }

    #[test]
    fn a_cut_or_lengthened_record_is_noticed(which in 0_usize..7, cut: usize, longer: bool) {
        let mut records = transcript();
        let record = &mut records[which].1;
        if longer {
            record.put_u8(0);
        } else {
            record.truncate(cut % record.len());
        }
        prop_assert_eq!(replay(&records), which);
    }

    #[test]
    fn left_out_and_doubled_records_are_noticed(which in 0_usize..7, doubled: bool) {
        let mut records = transcript();
        let copy = records[which].clone();
        if doubled {
            records.insert(which, copy);
            prop_assert_eq!(replay(&records), which + 1);
        } else {
            let same_way = |record: &(bool, BytesMut)| record.0 == copy.0;
            records.remove(which);
            // The side that misses it refuses the next record of its way, if there is one.
            let next = records[which..].iter().position(same_way).map(|at| which + at);
            prop_assert!(replay(&records) <= next.unwrap_or(records.len()));
        }
    }

    #[test]
    fn a_stream_may_arrive_in_any_pieces(cuts in proptest::collection::vec(1_usize..9_000, 1..30)) {
        let mut pair = established();
        let message = rows(vec![4; 60_000 / 64 * 64].into());
        pair.initiator.send(message.clone()).expect("room");
        pair.initiator.send(ping(1)).expect("room");
        let mut stream = BytesMut::new();
        while pair.initiator.poll_transmit(&mut stream) {}
        let (mut buffer, mut arrived) = (BytesMut::new(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        while !stream.is_empty() {
            let cut = (*cuts.next().expect("a cycle")).min(stream.len());
            buffer.extend_from_slice(&stream.split_to(cut));
            let limit = pair.responder.record_limit();
            while let Some(record) = frame::take_record(&mut buffer, limit).expect("valid") {
                arrived.extend(pair.responder.receive_record(record, 0).expect("honest"));
            }
        }
        prop_assert_eq!(messages(&arrived), [ping(1), message]);
    }
}

#[test]
fn no_record_is_longer_than_the_limit() {
    let mut pair = established();
    pair.initiator.send(rows(vec![0; 512 * 1024].into())).expect("room");
    let mut out = BytesMut::new();
    while pair.initiator.poll_transmit(&mut out) {
        let length = out.len() - RECORD_LENGTH_BYTES;
        assert!(length <= pair.responder.record_limit() && length <= RECORD_MAX_BYTES);
        assert_eq!(frame::record_length(&out), Ok(Some(length)));
        out.clear();
    }
}
