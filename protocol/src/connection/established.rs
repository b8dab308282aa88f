//! A connection after its handshake: records in both directions, their keys and their credits.
//!
//! Called by `mod.rs`. A record is opened, and is then either a signal between the two connections
//! (`signal.rs`) or a fragment of a message (`lanes`); on the way out signals go first.
//! Units: milliseconds, bytes. Errors: [`ConnectionError`]; the caller closes at the first one.
//! Absent on purpose: what messages mean.

use bytes::{Bytes, BytesMut};

use super::{ConnectionError, ConnectionEvent, SendError, rekey::Rekey, signal::Signal};
use crate::{
    frame,
    lanes::{Bandwidth, Credit, Lane, LaneError, Receiver, Sender},
    limits::{FRAGMENT_HEADER_MAX_BYTES, RECORD_LENGTH_BYTES, SEALED_RECORD_MAX_BYTES, TAG_BYTES},
    wire::{Body, Message},
};

/// What a record has beyond its message bytes: fragment header and tag.
const RECORD_SLACK: usize = FRAGMENT_HEADER_MAX_BYTES + TAG_BYTES;

/// Most bytes of a signal's record, so that one fits where a small record does.
const SIGNAL_ROOM: usize = 256;

pub(super) struct Established {
    pub(super) keys: Rekey,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) bandwidth: Bandwidth,
    now_ms: u64,
}

impl Established {
    pub(super) fn new(keys: Rekey, now_ms: u64) -> Self {
        let (sender, receiver) = (Sender::default(), Receiver::default());
        Self { keys, sender, receiver, bandwidth: Bandwidth::default(), now_ms }
    }

    pub(super) fn poll(
        &mut self,
        now_ms: u64,
        entropy: impl FnOnce() -> [u8; 64],
    ) -> Result<(), ConnectionError> {
        self.now_ms = now_ms;
        self.receiver.check(now_ms)?;
        self.keys.poll(now_ms, entropy)
    }

    pub(super) fn receive(
        &mut self,
        mut record: BytesMut,
        now_ms: u64,
    ) -> Result<Option<ConnectionEvent>, ConnectionError> {
        self.now_ms = now_ms;
        self.keys.check_age(now_ms)?;
        self.keys.transport.receiving.open(&[], &mut record).map_err(ConnectionError::Record)?;
        if Signal::is_one(&record) {
            self.signalled(&record[1..])?;
            return Ok(None);
        }
        let Some((lane, bytes)) = self.receiver.take(record)? else {
            return Ok(None);
        };
        let credit = Credit::of(lane, bytes.len());
        let message = Message::decode(bytes)?;
        // Small rows may travel in the bulk lane, to keep their order.
        if (lane == Lane::Control) != (message.lane() == Lane::Control) {
            return Err(ConnectionError::WrongLane { lane });
        }
        Ok(Some(ConnectionEvent::Message(message, credit)))
    }

    fn signalled(&mut self, text: &[u8]) -> Result<(), ConnectionError> {
        match Signal::read(text)? {
            Signal::Grant(grant) => {
                let bytes = self.sender.granted(grant)?;
                let is_busy = !self.sender.is_empty(grant.lane);
                self.bandwidth.acknowledged(bytes, is_busy, self.now_ms);
                Ok(())
            }
            Signal::Forgone(forgone) => Ok(self.receiver.forgone(forgone)?),
            Signal::Rekey(step, message) => self.keys.receive(step, message, self.now_ms),
        }
    }

    /// Queues a message by its lane.
    pub(super) fn send(&mut self, message: Message) -> Result<(), SendError> {
        message.validate()?;
        let header = Bytes::from(message.encode_header()?);
        let request = match &message.body {
            Body::Rows(rows) => Some(rows.request),
            _ => None,
        };
        let lane = message.lane();
        self.sender.push(lane, request, header, message.payload).map_err(|error| match error {
            LaneError::Full { lane, queued_bytes } => SendError::Full { lane, queued_bytes },
            other => SendError::TooLong(other),
        })
    }

    /// Appends the next record; false when nothing is to be sent, or it waits for credit.
    pub(super) fn transmit(&mut self, out: &mut BytesMut) -> Result<bool, ConnectionError> {
        let credit = match self.receiver.next_grant(self.now_ms) {
            Some(grant) => Some(Signal::Grant(grant)),
            None => self.sender.next_forgone(self.now_ms).map(Signal::Forgone),
        };
        if credit.is_none() && !self.keys.has_outgoing() && !self.sender.has_next() {
            return Ok(false);
        }
        self.keys.check_age(self.now_ms)?;
        let waiting: usize = Lane::ALL.map(|lane| self.sender.queued_bytes(lane)).iter().sum();
        let text = (waiting + RECORD_SLACK).clamp(SIGNAL_ROOM, SEALED_RECORD_MAX_BYTES);
        out.reserve(RECORD_LENGTH_BYTES + text);
        // The length is known once the record is sealed: its place is kept.
        let start = out.len();
        out.extend_from_slice(&[0; RECORD_LENGTH_BYTES]);
        let text = out.len();
        let mut next_key = None;
        if let Some(credit) = credit {
            credit.write(out);
        } else if self.keys.has_outgoing() {
            next_key = self.keys.write_outgoing(out);
        } else {
            self.sender.next_fragment(out);
        }
        let sealed = self.keys.transport.sending.seal_tail(&[], out, text);
        sealed.inspect_err(|_| out.truncate(start)).map_err(ConnectionError::Record)?;
        let length = out.len() - text;
        frame::write_length(&mut out[start..text], length);
        if let Some(key) = next_key {
            self.keys.switch_sending(key, self.now_ms);
        }
        Ok(true)
    }
}
