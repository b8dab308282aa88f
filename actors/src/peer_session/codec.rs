//! Cuts a byte stream into sealed records for `tokio_util::codec::FramedRead`.
//!
//! Layout and bounds are `swarmllm_protocol::frame`'s: `u16 length | record`. A length that the
//! protocol refuses is an error before a byte of it is buffered; until the handshake is through the
//! session holds the limit down to one handshake message.
//! What is read into: [`IDLE_BYTES`] while nothing comes, one record while one is under way; for a
//! peer that takes part in generations [`AHEAD_BYTES`], since messages are views into that buffer
//! and a stranger's small one must not keep a large one alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use swarmllm_protocol::frame;
use tokio_util::codec::Decoder;

/// Bytes that a session is ready to take: any handshake message, and most of what is control.
pub(super) const IDLE_BYTES: usize = 1024;
/// Bytes taken from the socket at once where a lot comes.
const AHEAD_BYTES: usize = 64 * 1024;

/// Why the stream can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
    /// The other side sent a length that no record has.
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
}

/// How much is read, set by the session and looked at for every record.
#[derive(Debug)]
pub struct ReadLimits {
    record: AtomicUsize,
    ahead: AtomicUsize,
}

impl ReadLimits {
    /// Records up to this long, one at a time.
    pub fn of_records(bytes: usize) -> ReadLimits {
        ReadLimits { record: AtomicUsize::new(bytes), ahead: AtomicUsize::new(0) }
    }

    /// Records up to this long from now on.
    pub(super) fn set_record(&self, bytes: usize) {
        self.record.store(bytes, Ordering::Relaxed);
    }

    /// As much as there is, from now on.
    pub(super) fn read_ahead(&self) {
        self.ahead.store(AHEAD_BYTES, Ordering::Relaxed);
    }
}

/// The decoder; stateless between records.
#[derive(Debug)]
pub struct RecordCodec {
    limits: Arc<ReadLimits>,
}

impl RecordCodec {
    /// A decoder that keeps to these limits as they are at the time.
    pub fn new(limits: Arc<ReadLimits>) -> RecordCodec {
        RecordCodec { limits }
    }
}

impl Decoder for RecordCodec {
    type Item = BytesMut;
    type Error = RecordError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, RecordError> {
        let limit = self.limits.record.load(Ordering::Relaxed);
        if let Some(record) = frame::take_record(source, limit)? {
            return Ok(Some(record));
        }
        // In the middle of a record more is on its way.
        match self.limits.ahead.load(Ordering::Relaxed) {
            ahead @ 1.. if !source.is_empty() => source.reserve(ahead),
            _ => source.reserve(IDLE_BYTES.saturating_sub(source.len())),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for what comes next after so many bytes of a record of `length`.
    fn room(limits: &Arc<ReadLimits>, length: u16, there: usize) -> usize {
        let mut source = BytesMut::from(&length.to_le_bytes()[..]);
        source.resize(there.max(2), 0);
        let decoded = RecordCodec::new(Arc::clone(limits)).decode(&mut source);
        assert!(matches!(decoded, Ok(None)), "{decoded:?}");
        source.capacity() - source.len()
    }

    #[test]
    fn a_stranger_gets_room_for_one_record_and_others_for_more() {
        let limits = Arc::new(ReadLimits::of_records(17_429));
        assert!((17_329..2 * 17_429).contains(&room(&limits, 17_429, 102)));
        assert!(room(&limits, 50, 2) <= 2 * IDLE_BYTES);
        limits.read_ahead();
        assert!(room(&limits, 50, 2) >= AHEAD_BYTES);
        let mut idle = BytesMut::new();
        let decoded = RecordCodec::new(limits).decode(&mut idle);
        assert!(matches!(decoded, Ok(None)) && idle.capacity() <= 2 * IDLE_BYTES);
    }
}
