//! Tests of `gate.rs`: caps, cookies, and a flood beside honest handshakes in simulated time.

use std::{cmp::Reverse, collections::BinaryHeap, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    connection::{Connection, ConnectionEvent},
    cookie::COOKIE_PERIOD_MS,
    limits::{HANDSHAKE_MESSAGE_BYTES, HANDSHAKE_TIMEOUT_MS, RECORD_LENGTH_BYTES},
    testing::config,
};

fn host(number: u32) -> SocketAddr {
    // 11.0.0.0/8 and above is not private.
    let ip = Ipv4Addr::from_bits(0x0b00_0000 + number * 256);
    SocketAddr::new(ip.into(), 4_000 + (number % 1_000) as u16)
}

fn us() -> PeerId {
    config(2).identity.peer_id()
}

fn record(connection: &mut Connection) -> BytesMut {
    let mut out = BytesMut::new();
    assert!(connection.poll_transmit(&mut out), "something to send");
    out.split_off(RECORD_LENGTH_BYTES)
}

fn opening(seed: u8) -> BytesMut {
    record(&mut Connection::initiator(config(1), [seed; 64], 0))
}

/// A gate that has seen so many first messages in this second.
fn busy(now_ms: u64) -> HandshakeGate {
    let mut gate = HandshakeGate::new(us(), [7; 32]);
    for number in 0..=CALM_OPENINGS_PER_S {
        gate.judge(0, host(number), &opening(3), now_ms).expect("a first message");
    }
    gate
}

fn cookie_for(gate: &mut HandshakeGate, remote: SocketAddr, now_ms: u64) -> BytesMut {
    match gate.judge(0, remote, &opening(4), now_ms).expect("a first message") {
        Verdict::Challenge(reply) => reply,
        Verdict::Proceed => panic!("not under load"),
    }
}

#[test]
fn under_load_a_handshake_takes_a_cookie_and_succeeds() {
    let mut gate = HandshakeGate::new(us(), [7; 32]);
    let admitted = gate.admit(host(1).ip()).expect("room");
    let mut initiator = Connection::initiator(config(1), [1; 64], 0);
    let mut responder = Connection::responder(config(2), [2; 64], 0);
    let first = record(&mut initiator);
    assert_eq!(gate.judge(1, host(1), &first, 0), Ok(Verdict::Proceed));
    let mut gate = busy(5);
    let reply = cookie_for(&mut gate, host(1), 5);
    assert_eq!(reply.len(), HANDSHAKE_MESSAGE_BYTES);
    assert_eq!(initiator.receive_record(reply.clone(), 5), Ok(None));
    let again = record(&mut initiator);
    assert_ne!(again, first);
    let verdict = gate.judge(admitted.ticket, host(1), &again, 6);
    assert_eq!(verdict, Ok(Verdict::Proceed));
    assert_eq!(responder.receive_record(again, 6), Ok(None));
    let second = record(&mut responder);
    let event = initiator.receive_record(second, 7).expect("honest");
    assert!(matches!(event, Some(ConnectionEvent::Established { .. })));
    // Asked once more, it gives up.
    let mut initiator = Connection::initiator(config(1), [1; 64], 0);
    record(&mut initiator);
    assert_eq!(initiator.receive_record(reply.clone(), 5), Ok(None));
    assert_eq!(initiator.receive_record(reply, 5), Err(ConnectionError::Busy));
}

#[test]
fn a_cookie_is_for_one_place_and_a_while() {
    let mut gate = busy(5);
    let mut initiator = Connection::initiator(config(1), [1; 64], 0);
    record(&mut initiator);
    let reply = cookie_for(&mut gate, host(1), 5);
    initiator.receive_record(reply, 5).expect("a cookie");
    let again = record(&mut initiator);
    let judge = |remote, now_ms| {
        let mut gate = busy(now_ms);
        gate.judge(0, remote, &again, now_ms).expect("a first message") == Verdict::Proceed
    };
    assert!(judge(host(1), 5));
    assert!(judge(host(1), COOKIE_PERIOD_MS + 5));
    assert!(!judge(host(1), 2 * COOKIE_PERIOD_MS));
    assert!(!judge(host(2), 5));
    let mut elsewhere = host(1);
    elsewhere.set_port(1);
    assert!(!judge(elsewhere, 5));
}

#[test]
fn neighbours_share_a_cap_and_a_local_network_has_none() {
    let mut gate = HandshakeGate::new(us(), [7; 32]);
    let near = |last: u8| IpAddr::from([198, 51, 100, last]);
    let first = gate.admit(near(0)).expect("room");
    for last in 1..HALF_OPEN_PER_GROUP_MAX {
        gate.admit(near(last as u8)).expect("room");
    }
    assert_eq!(gate.admit(near(200)), Err(GateError::GroupFull));
    gate.admit(IpAddr::from([198, 51, 101, 1])).expect("another group");
    gate.release(first.ticket);
    gate.release(first.ticket);
    gate.admit(near(201)).expect("room again");
    for _ in 0..200 {
        gate.admit(IpAddr::from([127, 0, 0, 1])).expect("one machine");
    }
}

#[test]
fn a_full_house_lets_the_oldest_stranger_go() {
    let mut gate = busy(5);
    let mut tickets = Vec::new();
    for number in 0..HALF_OPEN_MAX as u32 {
        let admitted = gate.admit(host(number).ip()).expect("room");
        assert_eq!(admitted.evicted, None);
        tickets.push(admitted.ticket);
    }
    // The very first shows a cookie, so the second goes.
    let mut initiator = Connection::initiator(config(1), [1; 64], 0);
    record(&mut initiator);
    let reply = cookie_for(&mut gate, host(0), 5);
    initiator.receive_record(reply, 5).expect("a cookie");
    let again = record(&mut initiator);
    gate.judge(tickets[0], host(0), &again, 5).expect("a first message");
    let admitted = gate.admit(host(5_000).ip()).expect("room");
    assert_eq!(admitted.evicted, Some(tickets[1]));
    assert_eq!(gate.half_open(), HALF_OPEN_MAX);
}

/// What comes to the door in the simulation, by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    /// A flooding stranger connects, says garbage or a first message without ever reading.
    Flood(u32),
    /// Number, and how many of its messages have arrived: the socket is 0.
    Honest(usize, u8),
}

/// An honest node on its way in.
struct Caller {
    connection: Connection,
    server: Connection,
    remote: SocketAddr,
    ticket: Ticket,
    next: BytesMut,
}

/// Honest handshakes of a round trip each beside a flood; how many got through, and the most
/// half-open ones at any time.
fn flood(per_s: u32, seconds: u32, round_trip_ms: u64, honest: usize) -> (usize, usize) {
    let mut gate = HandshakeGate::new(us(), [9; 32]);
    let mut heap = BinaryHeap::new();
    for number in 0..per_s * seconds {
        heap.push(Reverse((
            u64::from(number) * 1_000_000 / u64::from(per_s),
            Arrival::Flood(number),
        )));
    }
    for number in 0..honest {
        let at = number as u64 * u64::from(seconds) * 1_000_000 / honest as u64;
        heap.push(Reverse((at, Arrival::Honest(number, 0))));
    }
    let mut callers: BTreeMap<usize, Caller> = BTreeMap::new();
    let mut deadlines: BTreeMap<Ticket, u64> = BTreeMap::new();
    let (mut through, mut most) = (0, 0);
    let spoofed = opening(9);
    while let Some(Reverse((at_us, arrival))) = heap.pop() {
        let now_ms = at_us / 1_000;
        while let Some((ticket, deadline)) = deadlines.first_key_value().map(|(t, d)| (*t, *d)) {
            if deadline > now_ms {
                break;
            }
            gate.release(ticket);
            deadlines.remove(&ticket);
        }
        match arrival {
            Arrival::Flood(number) => {
                let remote = host(number % 60_000);
                let Ok(admitted) = gate.admit(remote.ip()) else { continue };
                deadlines.insert(admitted.ticket, now_ms + HANDSHAKE_TIMEOUT_MS);
                if let Some(evicted) = admitted.evicted {
                    deadlines.remove(&evicted);
                    callers.retain(|_, caller| caller.ticket != evicted);
                }
                let words: &[u8] = if number % 2 == 0 { &spoofed } else { &[0x55; 256] };
                if gate.judge(admitted.ticket, remote, words, now_ms).is_err() {
                    gate.release(admitted.ticket);
                    deadlines.remove(&admitted.ticket);
                }
            }
            Arrival::Honest(number, 0) => {
                let remote = host(100_000 + number as u32);
                let Ok(admitted) = gate.admit(remote.ip()) else { continue };
                if let Some(evicted) = admitted.evicted {
                    deadlines.remove(&evicted);
                    callers.retain(|_, caller| caller.ticket != evicted);
                }
                let mut connection = Connection::initiator(config(1), [1; 64], now_ms);
                let server = Connection::responder(config(2), [2; 64], now_ms);
                let next = record(&mut connection);
                let ticket = admitted.ticket;
                callers.insert(number, Caller { connection, server, remote, ticket, next });
                heap.push(Reverse((at_us + 1, Arrival::Honest(number, 1))));
            }
            Arrival::Honest(number, step) => {
                let Some(caller) = callers.get_mut(&number) else { continue };
                let message = caller.next.split();
                let is_closing = caller.server.peer().is_none()
                    && step >= 2
                    && opening::read(&message, &us()).is_err();
                let reply = if is_closing {
                    let event = caller.server.receive_record(message, now_ms).expect("honest");
                    assert!(matches!(event, Some(ConnectionEvent::Established { .. })));
                    gate.release(caller.ticket);
                    callers.remove(&number);
                    through += 1;
                    continue;
                } else {
                    let (ticket, remote) = (caller.ticket, caller.remote);
                    match gate.judge(ticket, remote, &message, now_ms).expect("honest") {
                        Verdict::Challenge(reply) => reply,
                        Verdict::Proceed => {
                            caller.server.receive_record(message, now_ms).expect("honest");
                            record(&mut caller.server)
                        }
                    }
                };
                caller.connection.receive_record(reply, now_ms).expect("honest");
                caller.next = record(&mut caller.connection);
                heap.push(Reverse((
                    at_us + round_trip_ms * 1_000,
                    Arrival::Honest(number, step + 1),
                )));
            }
        }
        most = most.max(gate.half_open());
    }
    (through, most)
}

#[test]
fn honest_handshakes_pass_through_a_flood_from_everywhere() {
    let honest = 100;
    for (per_s, round_trip_ms) in [(500, 20), (1_000, 300), (5_000, 80), (20_000, 20)] {
        let (through, most) = flood(per_s, 2, round_trip_ms, honest);
        assert!(through * 100 >= honest * 99, "{through} of {honest} at {per_s}/s");
        assert!(most <= HALF_OPEN_MAX);
    }
}

proptest! {
    #[test]
    fn any_first_message_gives_an_answer_and_books_stay_true(
        steps in proptest::collection::vec(
            (any::<u8>(), 0_u32..40, proptest::collection::vec(any::<u8>(), 0..300)), 1..80),
    ) {
        let mut gate = HandshakeGate::new(us(), [7; 32]);
        let mut tickets = Vec::new();
        for (action, number, bytes) in steps {
            match action % 3 {
                0 => tickets.extend(gate.admit(host(number).ip()).ok().map(|it| it.ticket)),
                1 if !tickets.is_empty() => {
                    let ticket = tickets.swap_remove(number as usize % tickets.len());
                    gate.release(ticket);
                }
                _ => {
                    let refused = gate.judge(1, host(number), &bytes, 0);
                    prop_assert!(refused.is_err());
                }
            }
            prop_assert_eq!(gate.half_open(), tickets.len());
            prop_assert_eq!(gate.groups.values().sum::<usize>(), tickets.len());
        }
    }
}
