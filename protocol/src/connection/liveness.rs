//! Whether the other side is still there, and how far away: pings as few as will do.
//!
//! Owned by whoever owns the connection, which calls [`Liveness::tick`] every [`TICK_MS`] and does
//! what it says. While something is under way a ping goes every five seconds, else every minute;
//! one that was not answered is followed by others at the faster pace, and the third miss is the
//! end.
//! Units: milliseconds for what is due, microseconds for the round trip, of one clock. Errors:
//! none.
//! Absent on purpose: treating other traffic as a sign of life. It may be what a dead host's
//! neighbour still delivers, and a pong costs 40 bytes.

/// How often to call [`Liveness::tick`].
pub const TICK_MS: u64 = 5_000;

/// Time between pings when nothing is under way.
const IDLE_MS: u64 = 60_000;

/// After so long without a message nothing is under way.
const QUIET_MS: u64 = 15_000;

/// Unanswered pings after which the peer counts as gone.
const MISSED_MAX: u32 = 3;

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Quiet,
    /// Send a ping.
    Ping,
    /// The peer stopped answering.
    Gone,
}

/// What is known of one peer's life.
#[derive(Debug)]
pub struct Liveness {
    /// The ping that is not answered: its nonce, and when it was sent.
    waiting: Option<(u64, u64)>,
    missed: u32,
    pinged_at_us: Option<u64>,
    used_at_us: u64,
    rtt_us: Option<u32>,
}

impl Liveness {
    /// A peer that has just proved who it is.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self { waiting: None, missed: 0, pinged_at_us: None, used_at_us: now_us, rtt_us: None }
    }

    /// Something else than a ping was sent or received.
    pub fn used(&mut self, now_us: u64) {
        self.used_at_us = now_us;
    }

    /// How long nothing but pings has been sent or received, milliseconds.
    #[must_use]
    pub fn quiet_ms(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.used_at_us) / 1_000
    }

    /// What is due; `is_waiting` if this side waits for something of the other. The first call asks
    /// for a ping.
    pub fn tick(&mut self, now_us: u64, is_waiting: bool) -> Beat {
        if self.waiting.is_some() {
            self.missed += 1;
            return if self.missed >= MISSED_MAX { Beat::Gone } else { Beat::Ping };
        }
        let is_busy = is_waiting || self.quiet_ms(now_us) < QUIET_MS;
        let pace_ms = if is_busy { TICK_MS } else { IDLE_MS };
        // Half a tick early is in time: ticks are not exact.
        let elapsed_ms = self.pinged_at_us.map(|at| now_us.saturating_sub(at) / 1_000);
        let is_due = elapsed_ms.is_none_or(|elapsed| elapsed + TICK_MS / 2 >= pace_ms);
        if is_due { Beat::Ping } else { Beat::Quiet }
    }

    /// A ping goes out.
    pub fn pinged(&mut self, nonce: u64, now_us: u64) {
        self.waiting = Some((nonce, now_us));
        self.pinged_at_us = Some(now_us);
    }

    /// A pong came in; whether it was the one that is due.
    pub fn ponged(&mut self, nonce: u64, now_us: u64) -> bool {
        let Some((_, sent_at_us)) = self.waiting.take_if(|(expected, _)| *expected == nonce) else {
            return false;
        };
        self.missed = 0;
        let sample = u32::try_from(now_us.saturating_sub(sent_at_us)).unwrap_or(u32::MAX).max(1);
        // The first sample stands; later ones move the estimate by an eighth (RFC 6298).
        self.rtt_us = Some(self.rtt_us.map_or(sample, |old| old - old / 8 + sample / 8));
        true
    }

    /// Smoothed round-trip time in microseconds, once it was measured.
    #[must_use]
    pub fn rtt_us(&self) -> Option<u32> {
        self.rtt_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::Pair,
        wire::{Body, Message},
    };

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn a_busy_peer_is_asked_often_and_an_idle_one_seldom() {
        let mut peer = Liveness::new(0);
        let mut pings = 0;
        for tick in 0..=120 {
            let now_us = tick * TICK_MS * 1_000;
            if peer.tick(now_us, tick < 60) == Beat::Ping {
                pings += 1;
                peer.pinged(tick, now_us);
                assert!(!peer.ponged(tick + 1, now_us + 10));
                assert!(peer.ponged(tick, now_us + 400));
            }
        }
        // Five minutes busy, five minutes idle.
        assert_eq!(pings, 60 + 5);
        assert_eq!(peer.rtt_us(), Some(400));
        peer.used(700 * SECOND_US);
        assert_eq!(peer.quiet_ms(701 * SECOND_US), 1_000);
    }

    #[test]
    fn three_misses_are_the_end_and_one_answer_a_new_beginning() {
        let mut peer = Liveness::new(0);
        peer.pinged(1, 0);
        assert_eq!(peer.tick(60 * SECOND_US, false), Beat::Ping);
        peer.pinged(2, 60 * SECOND_US);
        assert_eq!(peer.tick(65 * SECOND_US, false), Beat::Ping);
        peer.pinged(3, 65 * SECOND_US);
        let mut silent =
            Liveness { waiting: peer.waiting, missed: peer.missed, ..Liveness::new(0) };
        assert_eq!(silent.tick(70 * SECOND_US, false), Beat::Gone);
        assert!(peer.ponged(3, 66 * SECOND_US));
        assert_eq!(peer.missed, 0);
    }

    /// An hour of two nodes that have nothing to say but that they are there, with new keys.
    #[test]
    fn sixteen_idle_sessions_cost_far_less_than_a_kilobyte_a_second() {
        let mut pair = Pair::established().expect("two honest nodes");
        let mut lives = [Liveness::new(0), Liveness::new(0)];
        pair.carried_bytes = 0;
        let mut packets = 0;
        let seconds = 3_600;
        for now_s in (5..=seconds).step_by(5) {
            let now_us = now_s * SECOND_US;
            pair.now_ms = now_s * 1_000;
            for (side, life) in lives.iter_mut().enumerate() {
                if life.tick(now_us, false) != Beat::Ping {
                    continue;
                }
                life.pinged(now_s, now_us);
                let connections = [&mut pair.initiator, &mut pair.responder];
                let [one, other] = connections;
                let (asks, answers) = if side == 0 { (one, other) } else { (other, one) };
                asks.send(Message::new(Body::Ping { nonce: now_s })).expect("room");
                answers.send(Message::new(Body::Pong { nonce: now_s })).expect("room");
                assert!(life.ponged(now_s, now_us + 500));
                packets += 2;
            }
            let before = pair.initiator.handshakes();
            pair.run().expect("honest");
            packets += 4 * (pair.initiator.handshakes() - before);
        }
        assert!(pair.initiator.handshakes() >= 30, "keys are renewed without traffic");
        // TCP over IPv6 with time stamps: 72 bytes a segment, and as many for its acknowledgement.
        let bytes_per_s = (pair.carried_bytes + packets * 2 * 72) / seconds;
        assert!(16 * bytes_per_s <= 500, "{bytes_per_s} bytes a second each");
    }
}
