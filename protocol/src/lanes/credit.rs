//! The books of a lane's credit, one on each side.
//!
//! Called by `sender.rs` ([`Allowance`]) and `receiver.rs` ([`Window`]).
//! Units: bytes of credit of the lane, counted from the connection's start, so that a grant means
//! the same whenever it arrives and a lost count is impossible.
//! The receiver keeps room for one window beyond what its owner is done with. A message larger than
//! the window gets the room it needs once nothing else is held, so memory stays below the larger of
//! the two. Windows begin at [`WINDOW_START_BYTES`]. For a peer that takes part in a generation
//! they are [`WINDOW_USED_BYTES`] while the lane is used, and double when the sender says that it
//! waits and the owner has been done with a whole window since, which took [`GROW_AFTER_MS`] or
//! longer: who takes nothing gets no more, and on a short way a wider window would only be a longer
//! queue.
//! What goes beyond the first window comes out of a budget that all connections share
//! (`budget.rs`): a message gets room for the whole of it or waits, so that nobody waits for room
//! while holding some. It is given back with the message, and what is left of a wide window by a
//! sender that has nothing more to send ([`Forgone`]): bytes that it counts as sent, so both sides
//! go on with the same numbers.
//! Errors: [`LaneError`].

use super::{Lane, LaneError, budget::Share, message_cost};
use crate::limits::{
    BULK_MESSAGE_MAX_BYTES, FORGO_AFTER_MS, FRAGMENT_DATA_MAX_BYTES, MESSAGE_CREDIT_BYTES,
    WINDOW_START_BYTES, WINDOW_USED_BYTES,
};

/// Most bytes that a grant may be ahead of what it acknowledges: whatever a peer of this version
/// can mean.
const PROMISE_MAX_BYTES: u64 = 2 * BULK_MESSAGE_MAX_BYTES as u64;

/// Time to use a window up, in which a wider one would be of use, milliseconds: a round trip, or
/// an owner that takes much at a time.
const GROW_AFTER_MS: u64 = 4;

const START: u64 = WINDOW_START_BYTES as u64;
const USED: u64 = WINDOW_USED_BYTES as u64;

/// Room in a lane's window that a received message takes until its owner is done with it.
#[must_use = "a message that is never given back leaves its lane shut in the end"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// By which lane it came.
    pub lane: Lane,
    /// How much.
    pub bytes: usize,
}

impl Credit {
    /// That of a message of so many bytes.
    pub(crate) fn of(lane: Lane, message_bytes: usize) -> Self {
        Self { lane, bytes: message_cost(message_bytes) }
    }
}

/// What a receiver tells the sender about a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Which lane.
    pub lane: Lane,
    /// Data bytes that have arrived.
    pub received: u64,
    /// Data bytes that may be sent in all.
    pub limit: u64,
}

/// What a sender gives back of what it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgone {
    /// Which lane.
    pub lane: Lane,
    /// Bytes that count as sent from now on.
    pub bytes: u64,
}

/// What a sender may send.
pub(super) struct Allowance {
    sent: u64,
    acknowledged: u64,
    limit: u64,
    /// Whether something was sent since the time was looked at.
    is_used: bool,
    used_at_ms: u64,
}

impl Allowance {
    pub(super) fn new(lane: Lane) -> Self {
        let limit = lane.window_limit().map_or(u64::MAX, |_| START);
        Self { sent: 0, acknowledged: 0, limit, is_used: false, used_at_ms: 0 }
    }

    pub(super) fn allows(&self, bytes: usize) -> bool {
        self.limit - self.sent >= bytes as u64
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.is_used = true;
    }

    /// Takes a grant; the bytes it newly acknowledges.
    pub(super) fn granted(&mut self, grant: Grant) -> Result<u64, LaneError> {
        let Grant { lane, received, limit } = grant;
        let is_counted = lane.window_limit().is_some();
        let is_known = (self.acknowledged..=self.sent).contains(&received);
        let promise = limit.checked_sub(received);
        let is_meant = promise.is_some_and(|promise| promise <= PROMISE_MAX_BYTES);
        if !is_counted || !is_known || !is_meant || limit < self.limit {
            return Err(LaneError::Grant { lane });
        }
        self.limit = limit;
        let newly = received - self.acknowledged;
        self.acknowledged = received;
        Ok(newly)
    }

    /// What a lane that has had nothing to send for a while gives back: all but the first window.
    pub(super) fn forgo(&mut self, lane: Lane, is_empty: bool, now_ms: u64) -> Option<Forgone> {
        lane.window_limit()?;
        if std::mem::take(&mut self.is_used) || !is_empty {
            self.used_at_ms = now_ms;
        }
        let bytes = (self.limit - self.sent).checked_sub(START).filter(|bytes| *bytes > 0)?;
        if now_ms.saturating_sub(self.used_at_ms) < FORGO_AFTER_MS {
            return None;
        }
        self.sent += bytes;
        Some(Forgone { lane, bytes })
    }
}

/// What a receiver has room for.
pub(super) struct Window {
    lane: Lane,
    size: u64,
    size_max: u64,
    received: u64,
    released: u64,
    /// What was released when the window last grew.
    grown_at: u64,
    grown_at_ms: u64,
    limit: u64,
    is_starved: bool,
    /// Whether a message waits for room that the budget does not have.
    is_waiting: bool,
}

impl Window {
    /// The window of a lane; `None` where no credit is counted.
    pub(super) fn new(lane: Lane) -> Option<Self> {
        let size_max = lane.window_limit()? as u64;
        Some(Self {
            lane,
            size: START,
            size_max,
            received: 0,
            released: 0,
            grown_at: 0,
            grown_at_ms: 0,
            limit: START,
            is_starved: false,
            is_waiting: false,
        })
    }

    /// So many bytes are here, if they were granted; `is_starved` if the sender waits for more.
    pub(super) fn take(&mut self, bytes: u64, is_starved: bool) -> Result<(), LaneError> {
        let excess = |lane, excess| Err(LaneError::Overdrawn { lane, excess });
        match self.limit.checked_sub(self.received) {
            Some(left) if bytes <= left => {}
            left => return excess(self.lane, bytes - left.unwrap_or(0)),
        }
        self.received += bytes;
        self.is_starved = is_starved;
        Ok(())
    }

    /// The owner is done with so many bytes.
    pub(super) fn release(&mut self, bytes: usize) {
        self.released = (self.released + bytes as u64).min(self.received);
    }

    /// The sender has nothing more for now: the window begins anew.
    pub(super) fn forgone(&mut self, bytes: u64) -> Result<(), LaneError> {
        self.take(bytes, false)?;
        self.released += bytes;
        self.size = START;
        Ok(())
    }

    /// Bytes that were granted and are not here.
    pub(super) fn unused(&self) -> u64 {
        self.limit - self.received
    }

    /// Bytes that were granted, whether they are here or not, beyond those that were released.
    pub(super) fn promised(&self) -> u64 {
        self.limit - self.released
    }

    /// Those of them that came out of the budget.
    pub(super) fn extra(&self) -> u64 {
        self.promised().saturating_sub(START)
    }

    /// Whether a message waits until the budget has room for it.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Doubles if that is of use; see the front page.
    fn grow(&mut self, now_ms: u64) {
        if self.released - self.grown_at < self.size {
            return;
        }
        let took_ms = now_ms.saturating_sub(self.grown_at_ms);
        while self.is_starved
            && took_ms >= GROW_AFTER_MS
            && self.size < self.size_max
            && self.released - self.grown_at >= self.size
        {
            self.grown_at += self.size;
            self.size = (self.size * 2).min(self.size_max);
        }
        (self.grown_at, self.grown_at_ms) = (self.released, now_ms);
    }

    /// A grant that is worth sending. `unfinished` is the message under way: bytes here, bytes in
    /// all; `share` what this lane may take of the budget.
    pub(super) fn grant(
        &mut self,
        unfinished: Option<(usize, usize)>,
        share: Share,
        now_ms: u64,
    ) -> Option<Grant> {
        let (here, total) = unfinished.map_or((0, 0), |(here, total)| (here as u64, total as u64));
        let is_nothing_held = self.received == self.released + here;
        if share.window > 0 && self.unused() < START / 2 {
            self.size = self.size.max(USED);
        }
        self.grow(now_ms);
        let window = self.size.min(START.saturating_add(share.window));
        let is_larger = is_nothing_held && total > window;
        let fits = total <= START.saturating_add(share.message);
        self.is_waiting = is_larger && !fits && total > self.promised();
        let room = if is_larger && fits { total } else { window };
        let limit = self.released + room;
        let fragment = (FRAGMENT_DATA_MAX_BYTES + MESSAGE_CREDIT_BYTES) as u64;
        let is_short = self.unused() < fragment;
        if limit <= self.limit || !(is_short || limit - self.limit >= self.size / 4) {
            return None;
        }
        self.limit = limit;
        Some(Grant { lane: self.lane, received: self.received, limit })
    }
}
