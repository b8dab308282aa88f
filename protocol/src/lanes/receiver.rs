//! Messages of one connection on their way in: checked, counted, gathered.
//!
//! Called by `connection/established.rs`.
//! Units: bytes. At most one message per lane is unfinished; what is whole counts against the
//! lane's window until its owner gives it back by [`Receiver::release`].
//! Errors: [`LaneError`], before anything is kept of the fragment.
//! Absent on purpose: a copy of what is large. A message of one fragment stays where it was
//! received, unless it is so small that keeping it would keep a buffer many times its size.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    FIRST_FLAG, LANE_MASK, LANES, Lane, LaneError, STARVED_FLAG, TOTAL_BYTES,
    credit::{Credit, Grant, Window},
    fragment_bytes, message_cost,
};
use crate::limits::{FRAGMENT_DATA_MAX_BYTES, MESSAGE_CREDIT_BYTES};

/// Messages below this do not stay in the buffer they were received in.
const COPY_BELOW_BYTES: usize = 4 * 1024;

/// A message of which more fragments are due.
pub(super) struct Incoming {
    total: usize,
    pub(super) bytes: BytesMut,
}

/// Messages of one connection on their way in: at most one unfinished per lane.
pub struct Receiver {
    pub(super) unfinished: [Option<Incoming>; LANES],
    pub(super) windows: [Option<Window>; LANES],
}

impl Default for Receiver {
    fn default() -> Self {
        Self { unfinished: Default::default(), windows: Lane::ALL.map(Window::new) }
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
        self.unfinished[lane as usize] = Some(Incoming { total, bytes: fragment });
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
        let slot = &mut self.unfinished[lane as usize];
        let Some(Incoming { total, bytes }) = slot else {
            return Err(LaneError::OutOfOrder { lane });
        };
        if bytes.capacity() - bytes.len() < fragment.len() {
            // Growing fourfold keeps copies few, and a declared length alone reserves nothing.
            let ahead = 3 * bytes.len().max(FRAGMENT_DATA_MAX_BYTES);
            bytes.reserve(left.min(ahead));
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
            window.take(opening + got, flags & STARVED_FLAG != 0)?;
        }
        Ok(())
    }

    /// The owner is done with a message.
    pub fn release(&mut self, credit: Credit) {
        if let Some(window) = &mut self.windows[credit.lane as usize] {
            window.release(credit.bytes);
        }
    }

    /// What the sender should be told, if anything.
    pub fn next_grant(&mut self, now_ms: u64) -> Option<Grant> {
        Lane::ALL.into_iter().find_map(|lane| {
            let unfinished = self.unfinished[lane as usize].as_ref();
            let progress =
                unfinished.map(|of| (message_cost(of.bytes.len()), message_cost(of.total)));
            self.windows[lane as usize].as_mut()?.grant(progress, now_ms)
        })
    }
}

/// A whole message by itself.
fn own(message: BytesMut) -> Bytes {
    if message.len() < COPY_BELOW_BYTES {
        return Bytes::copy_from_slice(&message);
    }
    message.freeze()
}
