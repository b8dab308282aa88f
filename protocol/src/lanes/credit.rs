//! The books of a lane's credit, one on each side.
//!
//! Called by `sender.rs` ([`Allowance`]) and `receiver.rs` ([`Window`]).
//! Units: bytes of credit of the lane, counted from the connection's start, so that a grant means
//! the same whenever it arrives and a lost count is impossible.
//! The receiver keeps room for one window beyond what its owner is done with. A message larger than
//! the window gets the room it needs once nothing else is held, so memory stays below the larger of
//! the two. Windows begin at [`WINDOW_START_BYTES`] and double when the sender says that it waits
//! and the owner has been done with a whole window since, which took [`GROW_AFTER_MS`] or longer:
//! who takes nothing gets no more, and on a short way a wider window would only be a longer queue.
//! Errors: [`LaneError`]. Absent on purpose: shrinking; a window is room that may be used, not
//! memory that is.

use super::{Lane, LaneError, message_cost};
use crate::limits::{
    BULK_MESSAGE_MAX_BYTES, FRAGMENT_DATA_MAX_BYTES, MESSAGE_CREDIT_BYTES, WINDOW_START_BYTES,
};

/// Most bytes that a grant may be ahead of what it acknowledges: whatever a peer of this version
/// can mean.
const PROMISE_MAX_BYTES: u64 = 2 * BULK_MESSAGE_MAX_BYTES as u64;

/// Time to use a window up, in which a wider one would be of use, milliseconds: a round trip, or
/// an owner that takes much at a time.
const GROW_AFTER_MS: u64 = 4;

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

/// What a sender may send.
pub(super) struct Allowance {
    sent: u64,
    acknowledged: u64,
    limit: u64,
}

impl Allowance {
    pub(super) fn new(lane: Lane) -> Self {
        let limit = lane.window_limit().map_or(u64::MAX, |_| WINDOW_START_BYTES as u64);
        Self { sent: 0, acknowledged: 0, limit }
    }

    pub(super) fn allows(&self, bytes: usize) -> bool {
        self.limit - self.sent >= bytes as u64
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.sent += bytes as u64;
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
}

impl Window {
    /// The window of a lane; `None` where no credit is counted.
    pub(super) fn new(lane: Lane) -> Option<Self> {
        let size_max = lane.window_limit()? as u64;
        let size = WINDOW_START_BYTES as u64;
        Some(Self {
            lane,
            size,
            size_max,
            received: 0,
            released: 0,
            grown_at: 0,
            grown_at_ms: 0,
            limit: size,
            is_starved: false,
        })
    }

    /// So many bytes are here, if they were granted; `is_starved` if the sender waits for more.
    pub(super) fn take(&mut self, bytes: usize, is_starved: bool) -> Result<(), LaneError> {
        let received = self.received + bytes as u64;
        if let Some(excess @ 1..) = received.checked_sub(self.limit) {
            return Err(LaneError::Overdrawn { lane: self.lane, excess });
        }
        self.received = received;
        self.is_starved = is_starved;
        Ok(())
    }

    /// The owner is done with so many bytes.
    pub(super) fn release(&mut self, bytes: usize) {
        self.released = (self.released + bytes as u64).min(self.received);
    }

    /// Bytes that were granted, whether they are here or not, beyond those that were released.
    #[cfg(test)]
    pub(super) fn promised(&self) -> u64 {
        self.limit - self.released
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
    /// all.
    pub(super) fn grant(
        &mut self,
        unfinished: Option<(usize, usize)>,
        now_ms: u64,
    ) -> Option<Grant> {
        let (here, total) = unfinished.unwrap_or_default();
        let is_nothing_held = self.received == self.released + here as u64;
        self.grow(now_ms);
        let room = if is_nothing_held { self.size.max(total as u64) } else { self.size };
        let limit = self.released + room;
        let fragment = (FRAGMENT_DATA_MAX_BYTES + MESSAGE_CREDIT_BYTES) as u64;
        let is_short = self.limit - self.received < fragment;
        if limit <= self.limit || !(is_short || limit - self.limit >= self.size / 4) {
            return None;
        }
        self.limit = limit;
        Some(Grant { lane: self.lane, received: self.received, limit })
    }
}
