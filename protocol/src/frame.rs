//! Records on a byte stream: a length of two bytes, little endian, then so many bytes.
//!
//! Called by the actor that reads a socket, and by `connection.rs` when it writes.
//! Layout: `u16` LE length, 1 to 65 535; then a handshake message (exactly
//! [`HANDSHAKE_MESSAGE_BYTES`](crate::limits::HANDSHAKE_MESSAGE_BYTES)) or sealed bytes with their
//! 16-byte tag.
//! Errors: [`FrameError`], from the two length bytes alone, before anything is allocated.
//! Absent on purpose: resynchronisation. After one bad length the stream has no meaning.

use bytes::{BufMut, BytesMut};

use crate::limits::{RECORD_LENGTH_BYTES, RECORD_MAX_BYTES};

/// Why a length is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A record of nothing: no message is that short.
    #[error("a record of 0 bytes")]
    Empty,
    /// Longer than this side accepts now.
    #[error("a record of {length} bytes, at most {limit} are accepted now")]
    TooLong {
        /// Declared length.
        length: usize,
        /// What is accepted.
        limit: usize,
    },
}

/// The length of the record that `buffer` begins with, without its prefix; `None` until the two
/// bytes are there.
pub fn record_length(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    record_length_within(buffer, RECORD_MAX_BYTES)
}

/// The same with the limit that holds now: `Connection::record_limit` knows it.
pub fn record_length_within(buffer: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<RECORD_LENGTH_BYTES>() else {
        return Ok(None);
    };
    match usize::from(u16::from_le_bytes(*prefix)) {
        0 => Err(FrameError::Empty),
        length if length > limit => Err(FrameError::TooLong { length, limit }),
        length => Ok(Some(length)),
    }
}

/// Takes one whole record, without its prefix, off the front of `buffer`; `None` until it is there.
pub fn take_record(buffer: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, FrameError> {
    let Some(length) = record_length_within(buffer, limit)? else {
        return Ok(None);
    };
    let whole = RECORD_LENGTH_BYTES + length;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let mut record = buffer.split_to(whole);
    let _ = record.split_to(RECORD_LENGTH_BYTES);
    Ok(Some(record))
}

/// Appends the prefix of a record of `length` bytes.
///
/// `length` comes from this crate, never from a peer, and is at most `RECORD_MAX_BYTES`.
pub(crate) fn put_length(out: &mut BytesMut, length: usize) {
    debug_assert!(length > 0 && length <= RECORD_MAX_BYTES);
    out.put_u16_le(length as u16);
}

/// Writes the prefix of a record of `length` bytes where its place was kept.
pub(crate) fn write_length(place: &mut [u8], length: usize) {
    debug_assert!(length > 0 && length <= RECORD_MAX_BYTES);
    place.copy_from_slice(&(length as u16).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_refused_from_two_bytes() {
        assert_eq!(record_length(&[]), Ok(None));
        assert_eq!(record_length(&[9]), Ok(None));
        assert_eq!(record_length(&[0, 0, 1]), Err(FrameError::Empty));
        assert_eq!(record_length(&[0xff, 0xff]), Ok(Some(65_535)));
        let refused = FrameError::TooLong { length: 257, limit: 256 };
        assert_eq!(record_length_within(&[1, 1], 256), Err(refused));
    }

    proptest! {
        #[test]
        fn records_come_out_whole_however_they_arrive(
            records in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..600), 1..8),
            cuts in proptest::collection::vec(1_usize..700, 1..40),
        ) {
            let mut stream = BytesMut::new();
            for record in &records {
                put_length(&mut stream, record.len());
                stream.extend_from_slice(record);
            }
            let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            while !stream.is_empty() {
                let cut = (*cuts.next().expect("a cycle")).min(stream.len());
                buffer.unsplit(stream.split_to(cut));
                while let Some(record) = take_record(&mut buffer, 600).expect("short records") {
                    got.push(record.to_vec());
                }
            }
            prop_assert_eq!(got, records);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_give_an_answer(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), limit in 0_usize..70_000,
        ) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(record)) = take_record(&mut buffer, limit) {
                prop_assert!(!record.is_empty() && record.len() <= limit);
            }
            // Never more is reserved than the limit allows.
            prop_assert!(buffer.capacity() <= (limit + 2).max(100) * 2 + 64);
        }
    }
}
