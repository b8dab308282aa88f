//! Three lanes over one stream of records: messages are cut into fragments, and whatever is most
//! urgent goes next.
//!
//! Owned by `connection.rs`. Priority is strict: control before tensor before bulk, decided anew
//! for every fragment, so a prefill of megabytes delays a token by one fragment at most.
//! Layout of a fragment (the plaintext of one record): flags `u8` (bits 0-1 lane, bit 2 first), on
//! a first fragment the message's length `u32` LE, then data. Every fragment but the last of a
//! message carries exactly [`FRAGMENT_DATA_MAX_BYTES`], so a message has one way to travel.
//! Order: messages of one lane arrive in order; rows of one request never overtake each other,
//! because small rows follow their request into the bulk lane while larger ones wait there.
//! Errors: [`LaneError`]; a declared length is checked against its lane before allocation.
//! Absent on purpose: credits. The stream's own flow control and the bounded queues suffice while
//! one connection carries one pair of nodes.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    ids::RequestId,
    limits::{
        BULK_MESSAGE_MAX_BYTES, BULK_QUEUE_MAX_BYTES, CONTROL_MESSAGE_MAX_BYTES,
        CONTROL_QUEUE_MAX_BYTES, FRAGMENT_DATA_MAX_BYTES, LANE_QUEUE_MAX_MESSAGES,
        TENSOR_MESSAGE_MAX_BYTES, TENSOR_QUEUE_MAX_BYTES,
    },
};

const LANES: usize = 3;
const LANE_MASK: u8 = 0b011;
const FIRST_FLAG: u8 = 0b100;
const TOTAL_BYTES: usize = 4;

/// A class of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Everything small: opening, closing, tokens, liveness.
    Control,
    /// Rows of a token or a few.
    Tensor,
    /// Rows of a prefill.
    Bulk,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; LANES] = [Self::Control, Self::Tensor, Self::Bulk];

    /// Most bytes of one message.
    #[must_use]
    pub fn message_limit(self) -> usize {
        match self {
            Self::Control => CONTROL_MESSAGE_MAX_BYTES,
            Self::Tensor => TENSOR_MESSAGE_MAX_BYTES,
            Self::Bulk => BULK_MESSAGE_MAX_BYTES,
        }
    }

    /// Most bytes waiting to be sent.
    #[must_use]
    pub fn queue_limit(self) -> usize {
        match self {
            Self::Control => CONTROL_QUEUE_MAX_BYTES,
            Self::Tensor => TENSOR_QUEUE_MAX_BYTES,
            Self::Bulk => BULK_QUEUE_MAX_BYTES,
        }
    }

    fn of_flags(flags: u8) -> Option<Self> {
        Self::ALL.get(usize::from(flags & LANE_MASK)).copied()
    }
}

/// Why a fragment or a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// A fragment without its header, without data, or with unknown flags.
    #[error("a fragment of {length} bytes is no fragment")]
    Malformed {
        /// Bytes of it.
        length: usize,
    },
    /// A message longer than its lane carries.
    #[error("a message of {length} bytes on the {lane:?} lane, which carries at most {limit}")]
    TooLong {
        /// Which lane.
        lane: Lane,
        /// Declared bytes.
        length: usize,
        /// Most bytes of the lane.
        limit: usize,
    },
    /// A first fragment while a message is unfinished, or a later one without a first.
    #[error("a fragment out of order on the {lane:?} lane")]
    OutOfOrder {
        /// Which lane.
        lane: Lane,
    },
    /// More data than the message has left, or fewer than a fragment must carry.
    #[error("a fragment of {got} bytes on the {lane:?} lane where {expected} were due")]
    Length {
        /// Which lane.
        lane: Lane,
        /// Bytes there are.
        got: usize,
        /// Bytes due.
        expected: usize,
    },
    /// Too much is waiting in the lane; nothing was queued.
    #[error("the {lane:?} lane is full: {queued_bytes} bytes wait to be sent")]
    Full {
        /// Which lane.
        lane: Lane,
        /// Bytes waiting.
        queued_bytes: usize,
    },
}

/// A message waiting to be sent, or half sent.
struct Outgoing {
    request: Option<RequestId>,
    header: Bytes,
    payload: Bytes,
    is_begun: bool,
}

impl Outgoing {
    fn remaining(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// Moves up to `limit` bytes to `out`.
    fn take(&mut self, limit: usize, out: &mut BytesMut) {
        let from_header = self.header.len().min(limit);
        out.put_slice(&self.header[..from_header]);
        self.header.advance(from_header);
        let from_payload = self.payload.len().min(limit - from_header);
        out.put_slice(&self.payload[..from_payload]);
        self.payload.advance(from_payload);
    }
}

/// Messages of one connection on their way out.
#[derive(Default)]
pub struct Sender {
    queues: [VecDeque<Outgoing>; LANES],
    queued_bytes: [usize; LANES],
}

impl Sender {
    /// Queues a message given as the bytes before its payload and the payload.
    pub fn push(
        &mut self,
        lane: Lane,
        request: Option<RequestId>,
        header: Bytes,
        payload: Bytes,
    ) -> Result<(), LaneError> {
        let lane = self.lane_keeping_order(lane, request);
        let message = Outgoing { request, header, payload, is_begun: false };
        let (length, limit) = (message.remaining(), lane.message_limit());
        if length > limit {
            return Err(LaneError::TooLong { lane, length, limit });
        }
        let queued_bytes = self.queued_bytes[lane as usize];
        let queue = &mut self.queues[lane as usize];
        if queue.len() >= LANE_QUEUE_MAX_MESSAGES || queued_bytes + length > lane.queue_limit() {
            return Err(LaneError::Full { lane, queued_bytes });
        }
        queue.push_back(message);
        self.queued_bytes[lane as usize] += length;
        Ok(())
    }

    /// Rows follow their request into the bulk lane while others of it wait there.
    fn lane_keeping_order(&self, lane: Lane, request: Option<RequestId>) -> Lane {
        let bulk = &self.queues[Lane::Bulk as usize];
        let waits = || request.is_some() && bulk.iter().any(|message| message.request == request);
        if lane == Lane::Tensor && waits() { Lane::Bulk } else { lane }
    }

    /// Appends the next fragment to `out`; false when nothing waits.
    pub fn next_fragment(&mut self, out: &mut BytesMut) -> bool {
        let Some(lane) = Lane::ALL.into_iter().find(|lane| !self.is_empty(*lane)) else {
            return false;
        };
        let Some(message) = self.queues[lane as usize].front_mut() else {
            return false;
        };
        let total = message.remaining();
        if message.is_begun {
            out.put_u8(lane as u8);
        } else {
            message.is_begun = true;
            out.put_u8(lane as u8 | FIRST_FLAG);
            let declared = u32::try_from(total).expect("bounded by the lane's message limit");
            out.put_u32_le(declared);
        }
        message.take(FRAGMENT_DATA_MAX_BYTES, out);
        let left = message.remaining();
        if left == 0 {
            self.queues[lane as usize].pop_front();
        }
        self.queued_bytes[lane as usize] -= total - left;
        true
    }

    /// Whether a lane has nothing to send.
    #[must_use]
    pub fn is_empty(&self, lane: Lane) -> bool {
        self.queues[lane as usize].is_empty()
    }

    /// Bytes of a lane that wait.
    #[must_use]
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        self.queued_bytes[lane as usize]
    }
}

/// A message of which more fragments are due.
struct Incoming {
    total: usize,
    bytes: BytesMut,
}

/// Messages of one connection on their way in: at most one unfinished per lane.
#[derive(Default)]
pub struct Receiver {
    unfinished: [Option<Incoming>; LANES],
}

impl Receiver {
    /// Takes one fragment; returns the message it completes. A message of one fragment stays where
    /// it lies, one of several is gathered.
    pub fn take(&mut self, mut fragment: BytesMut) -> Result<Option<(Lane, Bytes)>, LaneError> {
        let length = fragment.len();
        let malformed = LaneError::Malformed { length };
        let flags = *fragment.first().ok_or(malformed)?;
        if flags & !(LANE_MASK | FIRST_FLAG) != 0 {
            return Err(malformed);
        }
        let lane = Lane::of_flags(flags).ok_or(malformed)?;
        fragment.advance(1);
        if flags & FIRST_FLAG == 0 {
            return self.take_later(lane, fragment);
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
        check_length(lane, fragment.len(), total)?;
        if fragment.len() == total {
            return Ok(Some((lane, fragment.freeze())));
        }
        self.unfinished[lane as usize] = Some(Incoming { total, bytes: fragment });
        Ok(None)
    }

    fn take_later(
        &mut self,
        lane: Lane,
        fragment: BytesMut,
    ) -> Result<Option<(Lane, Bytes)>, LaneError> {
        let slot = &mut self.unfinished[lane as usize];
        let Some(Incoming { total, bytes }) = slot else {
            return Err(LaneError::OutOfOrder { lane });
        };
        let left = *total - bytes.len();
        check_length(lane, fragment.len(), left)?;
        if bytes.capacity() - bytes.len() < fragment.len() {
            // Doubling keeps copies few, and a declared length alone reserves nothing.
            let ahead = bytes.len().max(FRAGMENT_DATA_MAX_BYTES);
            bytes.reserve(left.min(ahead));
        }
        bytes.put_slice(&fragment);
        if bytes.len() < *total {
            return Ok(None);
        }
        Ok(slot.take().map(|message| (lane, message.bytes.freeze())))
    }
}

/// Every fragment carries as much as it can: exactly one length is right.
fn check_length(lane: Lane, got: usize, left: usize) -> Result<(), LaneError> {
    let expected = left.min(FRAGMENT_DATA_MAX_BYTES);
    if got == expected { Ok(()) } else { Err(LaneError::Length { lane, got, expected }) }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
