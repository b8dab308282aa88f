//! Messages of one connection on their way in: checked, counted, gathered.
//!
//! Called by `connection/established.rs`.
//! Units: bytes. At most one message per lane is unfinished; what is whole counts against the
//! lane's window until its owner gives it back by [`Receiver::release`].
//! Bound: what a peer makes this side hold is at most two first windows
//! ([`WINDOW_START_BYTES`](crate::limits::WINDOW_START_BYTES), 64 KiB each, tensor and bulk) and
//! [`Receiver::extra`], which never exceeds the [`Share`] it was given; one record beside that.
//! Who does not go on with a message, or keeps a wide window without using it, ends its connection
//! after [`STALL_MS`].
//! Errors: [`LaneError`], before anything is kept of the fragment.
//! Absent on purpose: a copy of what is large. A message of one fragment stays where it was
//! received, unless keeping it would keep a buffer much larger than it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    FIRST_FLAG, LANE_MASK, LANES, Lane, LaneError, STARVED_FLAG, TOTAL_BYTES,
    budget::Share,
    credit::{Credit, Forgone, Grant, Window},
    fragment_bytes, message_cost,
};
use crate::limits::{FRAGMENT_DATA_MAX_BYTES, MESSAGE_CREDIT_BYTES, STALL_MS, WINDOW_START_BYTES};

/// Messages below this do not stay in the buffer they were received in.
const COPY_BELOW_BYTES: usize = 12 * 1024;

/// Longest time between two looks at the clock that counts whole, milliseconds.
const CHECK_MAX_MS: u64 = 10_000;

/// A message of which more fragments are due.
pub(super) struct Incoming {
    total: usize,
    pub(super) bytes: BytesMut,
}

/// Messages of one connection on their way in: at most one unfinished per lane.
pub struct Receiver {
    pub(super) unfinished: [Option<Incoming>; LANES],
    pub(super) windows: [Option<Window>; LANES],
    share: Share,
    /// Whether anything counted arrived, or was granted, since the time was looked at.
    has_moved: bool,
    /// How long something has been due that does not come, and when that was looked at.
    due_ms: u64,
    checked_ms: u64,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            unfinished: Default::default(),
            windows: Lane::ALL.map(Window::new),
            share: Share::ALL,
            has_moved: false,
            due_ms: 0,
            checked_ms: 0,
        }
    }
}

impl Receiver {
    /// Takes one fragment; returns the message it completes. A message of one fragment stays where
    /// it lies, one of several is gathered.
    pub fn take(&mut self, mut fragment: BytesMut) -> Result<Option<(Lane, Bytes)>, LaneError> {
        let length = fragment.len();
        let malformed = LaneError::Malformed { length };
        let flags = *fragment.first().ok_or(malformed)?;
        if flags & !(LANE_MASK | FIRST_FLAG | STARVED_FLAG) != 0 {
            return Err(malformed);
        }
        let lane = Lane::of_flags(flags).ok_or(malformed)?;
        fragment.advance(1);
        if flags & FIRST_FLAG == 0 {
            return self.take_later(lane, fragment, flags);
        }
        if self.unfinished[lane as usize].is_some() {
            return Err(LaneError::OutOfOrder { lane });
        }
        let declared = fragment.first_chunk::<TOTAL_BYTES>().ok_or(malformed)?;
        let total = u32::from_le_bytes(*declared) as usize;
        fragment.advance(TOTAL_BYTES);
        let limit = lane.message_limit();
        if total == 0 || total > limit {
            return Err(LaneError::TooLong { lane, length: total, limit });
        }
        self.count(lane, fragment.len(), total, flags)?;
        if fragment.len() == total {
            return Ok(Some((lane, own(fragment))));
        }
        // The buffer it came in may be larger than all that ever comes of it.
        let bytes = BytesMut::from(&fragment[..]);
        self.unfinished[lane as usize] = Some(Incoming { total, bytes });
        Ok(None)
    }

    fn take_later(
        &mut self,
        lane: Lane,
        fragment: BytesMut,
        flags: u8,
    ) -> Result<Option<(Lane, Bytes)>, LaneError> {
        let slot = &self.unfinished[lane as usize];
        let message = slot.as_ref().ok_or(LaneError::OutOfOrder { lane })?;
        let left = message.total - message.bytes.len();
        self.count(lane, fragment.len(), left, flags)?;
        let is_granted = self.windows[lane as usize]
            .as_ref()
            .is_none_or(|window| window.unused() + fragment.len() as u64 >= left as u64);
        let slot = &mut self.unfinished[lane as usize];
        let Some(Incoming { total, bytes }) = slot else {
            return Err(LaneError::OutOfOrder { lane });
        };
        if bytes.capacity() - bytes.len() < fragment.len() {
            // A declared length alone reserves nothing; what was granted is counted already.
            let ahead = bytes.len().max(FRAGMENT_DATA_MAX_BYTES);
            bytes.reserve(if is_granted { left } else { left.min(ahead) });
        }
        bytes.put_slice(&fragment);
        if bytes.len() < *total {
            return Ok(None);
        }
        Ok(slot.take().map(|message| (lane, message.bytes.freeze())))
    }
    /// Every fragment carries as much as it can, so exactly one length is right; and it must have
    /// been granted.
    fn count(&mut self, lane: Lane, got: usize, left: usize, flags: u8) -> Result<(), LaneError> {
        let expected = fragment_bytes(left);
        if got != expected {
            return Err(LaneError::Length { lane, got, expected });
        }
        if let Some(window) = &mut self.windows[lane as usize] {
            let opening = if flags & FIRST_FLAG == 0 { 0 } else { MESSAGE_CREDIT_BYTES };
            window.take((opening + got) as u64, flags & STARVED_FLAG != 0)?;
            self.has_moved = true;
        }
        Ok(())
    }

    /// The owner is done with a message.
    pub fn release(&mut self, credit: Credit) {
        if let Some(window) = &mut self.windows[credit.lane as usize] {
            window.release(credit.bytes);
        }
    }

    /// The sender gives back what it does not use.
    pub fn forgone(&mut self, forgone: Forgone) -> Result<(), LaneError> {
        match &mut self.windows[forgone.lane as usize] {
            Some(window) => window.forgone(forgone.bytes),
            None => Err(LaneError::Grant { lane: forgone.lane }),
        }
    }

    /// What this connection may take of the budget from now on; see `budget.rs`.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// Bytes that it has taken of the budget.
    #[must_use]
    pub fn extra(&self) -> u64 {
        self.windows.iter().flatten().map(Window::extra).sum()
    }

    /// Whether a message waits until the budget has room for it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.windows.iter().flatten().any(Window::is_waiting)
    }

    /// What the sender should be told, if anything.
    pub fn next_grant(&mut self, now_ms: u64) -> Option<Grant> {
        let extra = self.extra();
        let grant = Lane::ALL.into_iter().find_map(|lane| {
            let unfinished = self.unfinished[lane as usize].as_ref();
            let progress =
                unfinished.map(|of| (message_cost(of.bytes.len()), message_cost(of.total)));
            let window = self.windows[lane as usize].as_mut()?;
            let elsewhere = extra - window.extra();
            window.grant(progress, self.share.beside(elsewhere), now_ms)
        });
        self.has_moved |= grant.is_some();
        grant
    }

    /// Whether something is due that does not come: the rest of a message that may be sent, or
    /// whatever the wide window is for that the sender neither uses nor gives back.
    fn due(&self) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| {
            let Some(window) = &self.windows[*lane as usize] else { return false };
            let message = self.unfinished[*lane as usize].as_ref();
            let next = message.map(|of| fragment_bytes(of.total - of.bytes.len()) as u64);
            let may_go_on = next.is_some_and(|bytes| bytes <= window.unused());
            may_go_on || window.unused() > WINDOW_START_BYTES as u64
        })
    }

    /// Fails when something has been due for too long. A time in which nobody looked, this side's
    /// own pause, counts as one look.
    pub fn check(&mut self, now_ms: u64) -> Result<(), LaneError> {
        let passed_ms = now_ms.saturating_sub(self.checked_ms).min(CHECK_MAX_MS);
        self.checked_ms = now_ms;
        let due = self.due();
        if std::mem::take(&mut self.has_moved) || due.is_none() {
            self.due_ms = 0;
            return Ok(());
        }
        self.due_ms += passed_ms;
        let stalled = due.filter(|_| self.due_ms >= STALL_MS);
        stalled.map_or(Ok(()), |lane| Err(LaneError::Stalled { lane }))
    }
}

/// A whole message by itself.
fn own(message: BytesMut) -> Bytes {
    if message.len() < COPY_BELOW_BYTES {
        return Bytes::copy_from_slice(&message);
    }
    message.freeze()
}
