//! Cuts a byte stream into sealed records for `tokio_util::codec::FramedRead`.
//!
//! Layout and bounds are `swarmllm_protocol::frame`'s: `u16 length | record`. A length that the
//! protocol refuses is an error before a byte of it is buffered; until the handshake is through the
//! session holds the limit down to one handshake message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use swarmllm_protocol::frame;
use tokio_util::codec::Decoder;

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

/// The decoder; stateless between records but for the limit that its session sets.
#[derive(Debug)]
pub struct RecordCodec {
    limit: Arc<AtomicUsize>,
}

impl RecordCodec {
    /// A decoder that accepts records up to what `limit` holds at the time.
    pub fn new(limit: Arc<AtomicUsize>) -> RecordCodec {
        RecordCodec { limit }
    }
}

impl Decoder for RecordCodec {
    type Item = BytesMut;
    type Error = RecordError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, RecordError> {
        Ok(frame::take_record(source, self.limit.load(Ordering::Relaxed))?)
    }
}
