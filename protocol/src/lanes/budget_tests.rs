//! Tests of what connections may hold together: nobody beyond its share, nobody stuck for ever.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::{
    budget::{BUDGET_MIN_BYTES, Budget, LARGEST_MESSAGE_BYTES, STRANGERS_BYTES, Share, Standing},
    *,
};
use crate::limits::{FORGO_AFTER_MS, WINDOW_START_BYTES, WINDOW_USED_BYTES};

const START: u64 = WINDOW_START_BYTES as u64;

fn push(sender: &mut Sender, lane: Lane, length: usize) {
    sender.push(lane, None, Bytes::new(), Bytes::from(vec![7; length])).expect("room");
}

/// One direction of a connection without keys.
struct Way {
    sender: Sender,
    receiver: Receiver,
    standing: Standing,
    held: Vec<Credit>,
}

impl Way {
    fn new(standing: Standing) -> Way {
        let (sender, receiver) = (Sender::default(), Receiver::default());
        Way { sender, receiver, standing, held: Vec::new() }
    }

    /// Everything that may move does; what arrives whole is held.
    fn pump(&mut self, share: Share, now_ms: u64) {
        self.receiver.set_share(share);
        loop {
            while let Some(grant) = self.receiver.next_grant(now_ms) {
                self.sender.granted(grant).expect("an honest grant");
            }
            while let Some(forgone) = self.sender.next_forgone(now_ms) {
                self.receiver.forgone(forgone).expect("granted before");
            }
            let mut fragment = BytesMut::new();
            if !self.sender.next_fragment(&mut fragment) {
                return;
            }
            let whole = self.receiver.take(fragment).expect("within the credit");
            self.held.extend(whole.map(|(lane, bytes)| Credit::of(lane, bytes.len())));
        }
    }

    fn release(&mut self) {
        self.held.drain(..).for_each(|credit| self.receiver.release(credit));
    }
}

#[test]
fn a_stranger_gets_its_first_windows_and_one_message_out_of_the_strangers_part() {
    let budget = Budget::new(0);
    let mut way = Way::new(Standing::Stranger);
    // As much as it likes, and none of it is taken: two first windows.
    for _ in 0..20 {
        push(&mut way.sender, Lane::Tensor, 20_000);
    }
    way.pump(budget.share(Standing::Stranger, 0), 0);
    assert_eq!(way.receiver.extra(), 0);
    assert!(way.held.iter().map(|credit| credit.bytes).sum::<usize>() <= WINDOW_START_BYTES);
    // A larger message gets room for the whole of it while there is some.
    let mut way = Way::new(Standing::Stranger);
    push(&mut way.sender, Lane::Bulk, 4 << 20);
    way.pump(budget.share(Standing::Stranger, STRANGERS_BYTES - (1 << 20)), 0);
    assert_eq!((way.held.len(), way.receiver.extra()), (0, 0));
    assert!(way.receiver.is_waiting());
    way.pump(budget.share(Standing::Stranger, 0), 0);
    assert_eq!(way.held.len(), 1);
    assert_eq!(way.receiver.extra(), (4 << 20) + MESSAGE_CREDIT_BYTES as u64 - START);
    // It comes back with the message.
    way.release();
    way.pump(budget.share(Standing::Stranger, 0), 0);
    assert_eq!((way.receiver.extra(), way.receiver.is_waiting()), (0, false));
}

#[test]
fn the_largest_message_always_has_room_beside_the_widest_windows() {
    let budget = Budget::new(BUDGET_MIN_BYTES);
    assert!(budget.share(Standing::Stranger, 0).message >= LARGEST_MESSAGE_BYTES);
    let mut windows = 0;
    for _ in 0..1_000 {
        windows += budget.share(Standing::Known, windows).window;
    }
    assert!(budget.share(Standing::Known, windows).message >= LARGEST_MESSAGE_BYTES);
    assert!(windows + STRANGERS_BYTES <= budget.bytes());
}

#[test]
fn an_idle_lane_keeps_its_first_window_and_no_more() {
    let mut way = Way::new(Standing::Known);
    for round in 0..40 {
        while way.sender.queued_bytes(Lane::Bulk) < 8 << 20 {
            push(&mut way.sender, Lane::Bulk, 60_000);
        }
        way.pump(Share::ALL, round * 40);
        way.release();
    }
    push(&mut way.sender, Lane::Bulk, 60_000);
    way.pump(Share::ALL, 2_000);
    way.release();
    way.pump(Share::ALL, 2_000);
    assert!(way.receiver.extra() > WINDOW_USED_BYTES as u64, "{}", way.receiver.extra());
    way.pump(Share::ALL, 2_000 + FORGO_AFTER_MS - 1);
    assert!(way.receiver.extra() > 0);
    way.pump(Share::ALL, 2_000 + FORGO_AFTER_MS);
    assert_eq!(way.receiver.extra(), 0);
    // What is sent afterwards arrives as before.
    push(&mut way.sender, Lane::Bulk, 1 << 20);
    way.pump(Share::ALL, 30_000);
    assert_eq!(way.held.len(), 1);
}

#[test]
fn more_cannot_be_given_back_than_was_granted() {
    let give_back = |lane, bytes| Receiver::default().forgone(Forgone { lane, bytes });
    assert_eq!(give_back(Lane::Bulk, START), Ok(()));
    let overdrawn = |lane, excess| Err(LaneError::Overdrawn { lane, excess });
    assert_eq!(give_back(Lane::Bulk, START + 1), overdrawn(Lane::Bulk, 1));
    assert_eq!(give_back(Lane::Tensor, u64::MAX), overdrawn(Lane::Tensor, u64::MAX - START));
    assert_eq!(give_back(Lane::Control, 1), Err(LaneError::Grant { lane: Lane::Control }));
}

#[test]
fn a_message_that_does_not_move_ends_the_connection() {
    let mut receiver = Receiver::default();
    let mut fragment = BytesMut::from(&[Lane::Bulk as u8 | FIRST_FLAG][..]);
    fragment.put_u32_le(1 << 20);
    fragment.resize(5 + FRAGMENT_DATA_MAX_BYTES, 0);
    assert_eq!(receiver.take(fragment), Ok(None));
    let looked = |receiver: &mut Receiver, seconds: std::ops::Range<u64>| {
        seconds.map(|second| receiver.check(second * 1_000)).find(Result::is_err)
    };
    assert_eq!(looked(&mut receiver, 1..1 + STALL_MS / 1_000), None);
    // One more fragment is a sign of life.
    let mut fragment = BytesMut::from(&[Lane::Bulk as u8][..]);
    fragment.resize(1 + FRAGMENT_DATA_MAX_BYTES, 0);
    assert_eq!(receiver.take(fragment), Ok(None));
    assert_eq!(looked(&mut receiver, 61..61 + STALL_MS / 1_000), None);
    let stalled = Err(LaneError::Stalled { lane: Lane::Bulk });
    assert_eq!(looked(&mut receiver, 121..200), Some(stalled));
}

#[test]
fn a_pause_of_this_side_is_no_fault_of_the_other() {
    let mut way = Way::new(Standing::Known);
    push(&mut way.sender, Lane::Tensor, 60_000);
    way.pump(Share::ALL, 0);
    way.release();
    way.pump(Share::ALL, 0);
    assert!(way.receiver.extra() > 0);
    assert_eq!(way.receiver.check(0), Ok(()));
    assert_eq!(way.receiver.check(100 * STALL_MS), Ok(()));
}

#[test]
fn who_waits_for_room_or_sends_nothing_has_not_stalled() {
    let mut way = Way::new(Standing::Stranger);
    let nothing = Share { message: 0, window: 0 };
    push(&mut way.sender, Lane::Bulk, 1 << 20);
    for minute in 0..5 {
        way.pump(nothing, minute * STALL_MS);
        assert_eq!(way.receiver.check(minute * STALL_MS), Ok(()));
    }
    assert!(way.receiver.is_waiting());
    let mut idle = Way::new(Standing::Known);
    push(&mut idle.sender, Lane::Tensor, 60_000);
    for tick in 0..60 {
        idle.pump(Share::ALL, tick * 5_000);
        idle.release();
        assert_eq!(idle.receiver.check(tick * 5_000), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However many connections send whatever they like, and however slowly it is taken: together
    /// they hold no more than the budget, and everything arrives.
    #[test]
    fn together_they_hold_no_more_than_the_budget_and_everything_arrives(
        messages in proptest::collection::vec(
            (0_usize..6, any::<bool>(), 1_usize..9 << 20), 1..24),
        turns in proptest::collection::vec((0_usize..6, any::<bool>()), 0..60),
    ) {
        let budget = Budget::new(0);
        let standing = |index| if index < 3 { Standing::Known } else { Standing::Stranger };
        let mut ways: Vec<Way> = (0..6).map(|index| Way::new(standing(index))).collect();
        for (index, is_tensor, length) in messages {
            let lane = if is_tensor { Lane::Tensor } else { Lane::Bulk };
            let (sender, length) = (&mut ways[index].sender, length.min(lane.message_limit()));
            let _ = sender.push(lane, None, Bytes::new(), Bytes::from(vec![0; length]));
        }
        let extra = |ways: &[Way], of: Standing| -> u64 {
            ways.iter().filter(|way| way.standing == of).map(|way| way.receiver.extra()).sum()
        };
        let everybody = (0..400).map(|turn| (turn % 6, true));
        for (now_ms, (index, is_taken)) in (0..).zip(turns.into_iter().chain(everybody)) {
            let of = ways[index].standing;
            let others = extra(&ways, of) - ways[index].receiver.extra();
            ways[index].pump(budget.share(of, others), now_ms * 10);
            if is_taken {
                ways[index].release();
            }
            let both = extra(&ways, Standing::Known) + extra(&ways, Standing::Stranger);
            prop_assert!(both <= budget.bytes());
            prop_assert!(extra(&ways, Standing::Stranger) <= STRANGERS_BYTES);
        }
        for way in &ways {
            prop_assert!(Lane::ALL.into_iter().all(|lane| way.sender.is_empty(lane)));
        }
    }
}
