//! Tests of the lanes: priority, order, credit, bounds, and arbitrary fragments.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::{
    ids::RequestId,
    limits::{LANE_QUEUE_MAX_MESSAGES, WINDOW_START_BYTES, WINDOW_USED_BYTES},
};

fn request(byte: u8) -> Option<RequestId> {
    Some(RequestId([byte; 16]))
}

fn push(sender: &mut Sender, lane: Lane, length: usize, fill: u8) -> Result<(), LaneError> {
    let payload = Bytes::from(vec![fill; length.saturating_sub(1)]);
    sender.push(lane, None, Bytes::from(vec![fill; length.min(1)]), payload)
}

fn fragment(sender: &mut Sender) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    sender.next_fragment(&mut out).then_some(out)
}

#[test]
fn the_most_urgent_goes_next_even_between_fragments() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    push(&mut sender, Lane::Bulk, 3 * FRAGMENT_DATA_MAX_BYTES, b'b').expect("room");
    let first = fragment(&mut sender).expect("a fragment");
    assert_eq!(receiver.take(first), Ok(None));
    push(&mut sender, Lane::Tensor, 10, b't').expect("room");
    push(&mut sender, Lane::Control, 10, b'c').expect("room");
    let mut arrived = Vec::new();
    while let Some(next) = fragment(&mut sender) {
        arrived.extend(receiver.take(next).expect("valid").map(|(lane, bytes)| (lane, bytes[0])));
    }
    let expected = [(Lane::Control, b'c'), (Lane::Tensor, b't'), (Lane::Bulk, b'b')];
    assert_eq!(arrived, expected);
    assert!(Lane::ALL.into_iter().all(|lane| sender.queued_bytes(lane) == 0));
}

#[test]
fn a_16_kib_activation_is_one_fragment_and_stays_where_it_lies() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let payload = Bytes::from(vec![7; 16 * 1024]);
    sender.push(Lane::Tensor, None, Bytes::from(vec![1; 1_000]), payload).expect("room");
    let fragment = fragment(&mut sender).expect("a fragment");
    let address = fragment.as_ptr() as usize;
    let (_, message) = receiver.take(fragment).expect("valid").expect("whole");
    assert_eq!(message.as_ptr() as usize, address + 5);
    assert!(sender.is_empty(Lane::Tensor));
}

#[test]
fn small_rows_follow_their_request_into_bulk() {
    let mut sender = Sender::default();
    let mut rows = |lane, of: u8| {
        let payload = Bytes::from(vec![of; FRAGMENT_DATA_MAX_BYTES + 1]);
        sender.push(lane, request(of), Bytes::new(), payload).expect("room");
    };
    rows(Lane::Bulk, 1);
    rows(Lane::Tensor, 1);
    rows(Lane::Tensor, 2);
    let mut receiver = Receiver::default();
    let mut arrived = Vec::new();
    while let Some(next) = fragment(&mut sender) {
        arrived.extend(receiver.take(next).expect("valid").map(|(lane, bytes)| (lane, bytes[0])));
    }
    assert_eq!(arrived, [(Lane::Tensor, 2), (Lane::Bulk, 1), (Lane::Bulk, 1)]);
}

#[test]
fn queues_are_bounded_by_bytes_and_by_messages() {
    let mut sender = Sender::default();
    for lane in Lane::ALL {
        let limit = lane.message_limit();
        let too_long = push(&mut sender, lane, limit + 1, 0);
        assert_eq!(too_long, Err(LaneError::TooLong { lane, length: limit + 1, limit }));
        let mut queued = 0;
        while push(&mut sender, lane, limit, 0).is_ok() {
            queued += limit;
        }
        assert_eq!(sender.queued_bytes(lane), queued);
        assert!(queued <= lane.queue_limit() && queued + limit > lane.queue_limit());
    }
    let mut sender = Sender::default();
    for _ in 0..LANE_QUEUE_MAX_MESSAGES {
        push(&mut sender, Lane::Control, 1, 0).expect("room");
    }
    assert!(matches!(push(&mut sender, Lane::Control, 1, 0), Err(LaneError::Full { .. })));
    // One sent makes room for one.
    assert!(fragment(&mut sender).is_some());
    assert_eq!(push(&mut sender, Lane::Control, 1, 0), Ok(()));
}

#[test]
fn fragments_that_break_the_rules_are_refused() {
    let take = |bytes: &[u8]| Receiver::default().take(BytesMut::from(bytes));
    let malformed = |length| Err(LaneError::Malformed { length });
    assert_eq!(take(&[]), malformed(0));
    assert_eq!(take(&[0b011]), malformed(1));
    assert_eq!(take(&[0b1000, 1]), malformed(2));
    assert_eq!(take(&[0b100, 1, 0, 0]), malformed(4));
    assert_eq!(take(&[0b000, 1]), Err(LaneError::OutOfOrder { lane: Lane::Control }));
    let (lane, limit) = (Lane::Control, CONTROL_MESSAGE_MAX_BYTES);
    assert_eq!(take(&[0b100, 0, 0, 0, 0]), Err(LaneError::TooLong { lane, length: 0, limit }));
    let length = u32::MAX as usize;
    let huge = take(&[0b100, 0xff, 0xff, 0xff, 0xff, 1]);
    assert_eq!(huge, Err(LaneError::TooLong { lane, length, limit }));
    // Many tiny fragments would cost more to hold than to send.
    let tiny = take(&[0b100, 9, 0, 0, 0, 1]);
    assert_eq!(tiny, Err(LaneError::Length { lane, got: 1, expected: 9 }));
    let long = take(&[0b100, 1, 0, 0, 0, 1, 2]);
    assert_eq!(long, Err(LaneError::Length { lane, got: 2, expected: 1 }));
}

#[test]
fn a_second_first_fragment_is_out_of_order() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    push(&mut sender, Lane::Bulk, 2 * FRAGMENT_DATA_MAX_BYTES, 0).expect("room");
    let first = fragment(&mut sender).expect("a fragment");
    assert_eq!(receiver.take(first.clone()), Ok(None));
    assert_eq!(receiver.take(first), Err(LaneError::OutOfOrder { lane: Lane::Bulk }));
}

#[test]
fn a_declared_length_alone_reserves_little() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    push(&mut sender, Lane::Bulk, BULK_MESSAGE_MAX_BYTES, 0).expect("room");
    for _ in 0..2 {
        let next = fragment(&mut sender).expect("a fragment");
        assert_eq!(receiver.take(next), Ok(None));
    }
    let held = receiver.unfinished[Lane::Bulk as usize].as_ref().expect("unfinished");
    assert!(held.bytes.capacity() <= 8 * FRAGMENT_DATA_MAX_BYTES, "{}", held.bytes.capacity());
}

/// Sends what the credit allows; what arrived, not yet given back.
fn pump(sender: &mut Sender, receiver: &mut Receiver) -> Vec<Credit> {
    let mut held = Vec::new();
    loop {
        while let Some(grant) = receiver.next_grant(0) {
            sender.granted(grant).expect("an honest grant");
        }
        let Some(next) = fragment(sender) else { return held };
        let whole = receiver.take(next).expect("within the credit");
        held.extend(whole.map(|(lane, bytes)| Credit::of(lane, bytes.len())));
    }
}

#[test]
fn a_slow_consumer_holds_the_sender_back_and_control_passes() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    for _ in 0..100 {
        push(&mut sender, Lane::Bulk, 60_000, b'b').expect("room");
    }
    let held = pump(&mut sender, &mut receiver);
    let held_bytes: usize = held.iter().map(|credit| credit.bytes).sum();
    let most = WINDOW_USED_BYTES;
    assert!((most - 2 * 60_256..=most).contains(&held_bytes), "{held_bytes}");
    push(&mut sender, Lane::Control, 10, b'c').expect("room");
    assert_eq!(pump(&mut sender, &mut receiver).len(), 1);
    // One given back makes room for one, whatever the sender would like.
    let one = held[0];
    receiver.release(one);
    let sent = sender.queued_bytes(Lane::Bulk);
    pump(&mut sender, &mut receiver);
    assert!(sent - sender.queued_bytes(Lane::Bulk) <= one.bytes + FRAGMENT_DATA_MAX_BYTES);
    let window = receiver.windows[Lane::Bulk as usize].as_ref().expect("counted");
    assert!(window.promised() <= (WINDOW_USED_BYTES + one.bytes) as u64);
}

/// The window of a sender that always has more, after some round trips of this length.
fn widened(round_trip_ms: u64) -> u64 {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let mut promised = 0;
    for round in 0..40 {
        while push(&mut sender, Lane::Bulk, 60_000, 0).is_ok() {}
        // A long way: everything that may be sent is under way before the receiver sees it.
        let mut on_the_way = Vec::new();
        while let Some(next) = fragment(&mut sender) {
            on_the_way.push(next);
        }
        for next in on_the_way {
            if let Some((lane, bytes)) = receiver.take(next).expect("within the credit") {
                receiver.release(Credit::of(lane, bytes.len()));
            }
        }
        while let Some(grant) = receiver.next_grant(round * round_trip_ms) {
            sender.granted(grant).expect("an honest grant");
        }
        promised = receiver.windows[Lane::Bulk as usize].as_ref().expect("counted").promised();
    }
    promised
}

#[test]
fn a_consumer_that_keeps_up_gets_a_wider_window_where_the_way_is_long() {
    let most = (BULK_WINDOW_MAX_BYTES + 60_256) as u64;
    let promised = widened(40);
    assert!((BULK_WINDOW_MAX_BYTES as u64..=most).contains(&promised), "{promised}");
    let promised = widened(0);
    assert!(promised <= (WINDOW_USED_BYTES + 60_256) as u64, "{promised}");
}

#[test]
fn a_message_larger_than_its_window_arrives_alone() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    push(&mut sender, Lane::Bulk, 60_000, 1).expect("room");
    push(&mut sender, Lane::Bulk, BULK_MESSAGE_MAX_BYTES, 2).expect("room");
    push(&mut sender, Lane::Bulk, 60_000, 3).expect("room");
    // While the first is held, the large one gets no more than the window.
    let held = pump(&mut sender, &mut receiver);
    assert_eq!(held.len(), 1);
    assert!(sender.queued_bytes(Lane::Bulk) > BULK_MESSAGE_MAX_BYTES - WINDOW_USED_BYTES);
    receiver.release(held[0]);
    let held = pump(&mut sender, &mut receiver);
    assert_eq!(
        held.iter().map(|credit| credit.bytes).max(),
        Some(BULK_MESSAGE_MAX_BYTES + MESSAGE_CREDIT_BYTES)
    );
    held.into_iter().for_each(|credit| receiver.release(credit));
    pump(&mut sender, &mut receiver);
    assert!(sender.is_empty(Lane::Bulk));
}

#[test]
fn rows_of_a_request_never_overtake_each_other_for_want_of_credit() {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    while sender.has_next() || sender.is_empty(Lane::Tensor) {
        push(&mut sender, Lane::Tensor, 60_000, b't').expect("room");
        pump(&mut sender, &mut receiver);
    }
    push(&mut sender, Lane::Bulk, 10, b'b').expect("room");
    // Bulk has credit, and waits for the tensors before it.
    assert!(!sender.has_next());
}

#[test]
fn what_was_not_granted_is_refused_before_it_is_kept() {
    let mut receiver = Receiver::default();
    let mut message = BytesMut::from(&[Lane::Bulk as u8 | FIRST_FLAG][..]);
    let body = FRAGMENT_DATA_MAX_BYTES;
    message.put_u32_le(body as u32);
    message.resize(5 + body, 0);
    let fits = WINDOW_START_BYTES / (body + MESSAGE_CREDIT_BYTES);
    for _ in 0..fits {
        assert!(receiver.take(message.clone()).expect("within the credit").is_some());
    }
    let refused = receiver.take(message.clone()).expect_err("a body beyond the credit");
    assert!(matches!(refused, LaneError::Overdrawn { lane: Lane::Bulk, .. }));
    assert!(receiver.unfinished[Lane::Bulk as usize].is_none());
    // A first fragment of a long message that is beyond the credit leaves nothing behind either.
    message[1..5].copy_from_slice(&(2 * body as u32).to_le_bytes());
    let refused = receiver.take(message).expect_err("a body beyond the credit");
    assert!(matches!(refused, LaneError::Overdrawn { lane: Lane::Bulk, .. }));
    assert!(receiver.unfinished[Lane::Bulk as usize].is_none());
}

#[test]
fn tiny_messages_cost_what_they_take_to_hold() {
    let mut receiver = Receiver::default();
    let tiny = BytesMut::from(&[Lane::Tensor as u8 | FIRST_FLAG, 1, 0, 0, 0, 7][..]);
    let mut accepted = 0;
    while receiver.take(tiny.clone()).is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, WINDOW_START_BYTES / (MESSAGE_CREDIT_BYTES + 1));
}

#[test]
fn grants_that_cannot_be_meant_are_refused() {
    let mut sender = Sender::default();
    let start = WINDOW_START_BYTES as u64;
    let mut grant = |lane, received, limit| sender.granted(Grant { lane, received, limit });
    assert_eq!(grant(Lane::Bulk, 0, start), Ok(0));
    let refused = |lane| Err(LaneError::Grant { lane });
    assert_eq!(grant(Lane::Bulk, 0, start - 1), refused(Lane::Bulk));
    assert_eq!(grant(Lane::Bulk, 1, start + 1), refused(Lane::Bulk));
    assert_eq!(grant(Lane::Tensor, 0, u64::MAX), refused(Lane::Tensor));
    assert_eq!(grant(Lane::Bulk, u64::MAX, 0), refused(Lane::Bulk));
    assert_eq!(grant(Lane::Control, 0, u64::MAX), refused(Lane::Control));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_arrive_whole_and_in_order_within_a_lane(
        messages in proptest::collection::vec((0_usize..3, 1_usize..60_000), 1..20),
        pauses in proptest::collection::vec(0_usize..4, 20),
    ) {
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut sent: [Vec<Bytes>; 3] = Default::default();
        let mut arrived: [Vec<Bytes>; 3] = Default::default();
        let mut step = |sender: &mut Sender| -> Result<bool, LaneError> {
            let Some(next) = fragment(sender) else { return Ok(false) };
            if let Some((lane, bytes)) = receiver.take(next)? {
                receiver.release(Credit::of(lane, bytes.len()));
                arrived[lane as usize].push(bytes);
            }
            while let Some(grant) = receiver.next_grant(0) {
                sender.granted(grant)?;
            }
            Ok(true)
        };
        for (index, (lane, length)) in messages.into_iter().enumerate() {
            let lane = Lane::ALL[lane];
            let length = length.min(lane.message_limit());
            let bytes: Bytes = (0..length).map(|at| (at * 31 + index) as u8).collect();
            let mut payload = bytes.clone();
            let header = payload.split_to(length / 3);
            sent[lane as usize].push(bytes);
            sender.push(lane, None, header, payload).expect("room");
            for _ in 0..pauses[index] {
                step(&mut sender).expect("valid");
            }
        }
        while step(&mut sender).expect("valid") {}
        prop_assert_eq!(arrived, sent);
    }

    #[test]
    fn any_fragments_give_an_answer(
        fragments in proptest::collection::vec(
            (0_u8..10, any::<u32>(), 0_usize..40_000, any::<bool>()), 1..20),
    ) {
        let mut receiver = Receiver::default();
        for (flags, declared, length, small) in fragments {
            let declared = if small { declared % 50_000 } else { declared };
            let mut bytes = BytesMut::new();
            bytes.put_u8(flags);
            bytes.put_u32_le(declared);
            bytes.extend_from_slice(&vec![0; length]);
            if receiver.take(bytes).is_err() {
                break;
            }
        }
        let held: usize = receiver.unfinished.iter().flatten().map(|it| it.bytes.capacity()).sum();
        prop_assert!(held <= 4 * 20 * 40_000);
    }
}
