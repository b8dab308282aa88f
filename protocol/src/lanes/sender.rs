//! Messages of one connection on their way out: queues, priority and credit.
//!
//! Called by `connection/established.rs`.
//! Units: bytes. A queue is bounded by bytes and by messages; a full one refuses, and its owner
//! decides what that means. Errors: [`LaneError`].
//! Absent on purpose: taking back what was queued; whoever reads it decides what it is still good
//! for.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    FIRST_FLAG, LANES, Lane, LaneError, STARVED_FLAG,
    credit::{Allowance, Forgone, Grant},
    fragment_bytes,
};
use crate::{
    ids::RequestId,
    limits::{LANE_QUEUE_MAX_MESSAGES, MESSAGE_CREDIT_BYTES},
};

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

    /// Credit that its next fragment takes.
    fn next_cost(&self) -> usize {
        let opening = if self.is_begun { 0 } else { MESSAGE_CREDIT_BYTES };
        opening + fragment_bytes(self.remaining())
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
pub struct Sender {
    queues: [VecDeque<Outgoing>; LANES],
    queued_bytes: [usize; LANES],
    allowances: [Allowance; LANES],
}

impl Default for Sender {
    fn default() -> Self {
        let (queues, queued_bytes) = Default::default();
        Self { queues, queued_bytes, allowances: Lane::ALL.map(Allowance::new) }
    }
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

    /// Takes a grant of the receiver; the bytes it newly acknowledges.
    pub fn granted(&mut self, grant: Grant) -> Result<u64, LaneError> {
        self.allowances[grant.lane as usize].granted(grant)
    }

    /// What is given back of what was granted, if anything: a lane with nothing to send for a while
    /// keeps no wide window.
    pub fn next_forgone(&mut self, now_ms: u64) -> Option<Forgone> {
        let queues = &self.queues;
        let mut lanes = Lane::ALL.into_iter().zip(&mut self.allowances);
        lanes.find_map(|(lane, allowance)| {
            allowance.forgo(lane, queues[lane as usize].is_empty(), now_ms)
        })
    }

    /// The lane whose turn it is, if it has credit: the others wait with it, for rows of one
    /// request may be in two lanes.
    fn next_lane(&self) -> Option<Lane> {
        let lane = Lane::ALL.into_iter().find(|lane| !self.is_empty(*lane))?;
        let cost = self.queues[lane as usize].front()?.next_cost();
        self.allowances[lane as usize].allows(cost).then_some(lane)
    }

    /// Whether a fragment may be sent now.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.next_lane().is_some()
    }

    /// Appends the next fragment to `out`; false when nothing waits, or it waits for credit.
    pub fn next_fragment(&mut self, out: &mut BytesMut) -> bool {
        let Some(lane) = self.next_lane() else { return false };
        let Some(message) = self.queues[lane as usize].front_mut() else { return false };
        let (total, cost, flags_at) = (message.remaining(), message.next_cost(), out.len());
        out.put_u8(lane as u8);
        if !std::mem::replace(&mut message.is_begun, true) {
            out[flags_at] |= FIRST_FLAG;
            let declared = u32::try_from(total).expect("bounded by the lane's message limit");
            out.put_u32_le(declared);
        }
        let data = fragment_bytes(total);
        message.take(data, out);
        if total == data {
            self.queues[lane as usize].pop_front();
        }
        self.queued_bytes[lane as usize] -= data;
        self.allowances[lane as usize].spend(cost);
        let next = self.queues[lane as usize].front().map(Outgoing::next_cost);
        if next.is_some_and(|cost| !self.allowances[lane as usize].allows(cost)) {
            out[flags_at] |= STARVED_FLAG;
        }
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
