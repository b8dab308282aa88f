//! The one place that knows bincode: bounded encoding and decoding of message bodies.
//!
//! Called by `wire.rs`; ids and wire types derive [`Encode`] and [`Decode`] through here.
//! Layout: bincode 2 standard configuration (little endian, variable-length integers). bincode is
//! unmaintained (RUSTSEC-2025-0141), so its version is pinned and everything else talks to this
//! file: replacing it touches nothing but this file and the derives.
//! Errors: [`CodecError`]; what a peer declares is held against the limit before allocation, and
//! bytes behind the value are refused.
//! Absent on purpose: signatures. They cover a canonical layout (`identity.rs`), never this output.

pub use bincode::{
    BorrowDecode, Decode, Encode,
    de::Decoder,
    error::{DecodeError, EncodeError},
};

use crate::limits::MESSAGE_HEADER_MAX_BYTES;

/// Why a value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are no such value: cut short, an unknown tag, or a declared length over the limit.
    #[error("not a valid encoding: {reason}")]
    Malformed {
        /// What the decoder found.
        reason: String,
    },
    /// The value ended before the bytes did.
    #[error("{trailing} bytes follow the encoded value")]
    Trailing {
        /// How many.
        trailing: usize,
    },
    /// More bytes than any body may have.
    #[error("an encoding of {length} bytes exceeds the limit of {MESSAGE_HEADER_MAX_BYTES}")]
    TooLong {
        /// How many.
        length: usize,
    },
}

/// Bytes of memory a decoder may claim. Larger than the encoding's own limit because a list is
/// charged by the size of its elements in memory, not by their encoded size.
const DECODE_MEMORY_BYTES: usize = 4 * MESSAGE_HEADER_MAX_BYTES;

type Configuration = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_MEMORY_BYTES>,
>;

fn configuration() -> Configuration {
    bincode::config::standard().with_limit()
}

/// Encodes a value of at most [`MESSAGE_HEADER_MAX_BYTES`].
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::encode_to_vec(value, configuration())
        .map_err(|error| CodecError::Malformed { reason: error.to_string() })?;
    match bytes.len() {
        length if length > MESSAGE_HEADER_MAX_BYTES => Err(CodecError::TooLong { length }),
        _ => Ok(bytes),
    }
}

/// Decodes exactly one value from all of `bytes`.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MESSAGE_HEADER_MAX_BYTES {
        return Err(CodecError::TooLong { length: bytes.len() });
    }
    let (value, used) = bincode::decode_from_slice(bytes, configuration())
        .map_err(|error| CodecError::Malformed { reason: error.to_string() })?;
    match bytes.len() - used {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing { trailing }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_length_is_refused_before_allocation() {
        // Marker 253 announces a u64 length of one exbibyte.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(CodecError::Malformed { .. })));
        assert!(matches!(decode::<String>(&bytes), Err(CodecError::Malformed { .. })));
        assert!(matches!(decode::<Vec<[u8; 32]>>(&bytes), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn trailing_bytes_and_oversize_are_refused() {
        let mut bytes = encode(&7_u32).expect("small");
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes), Err(CodecError::Trailing { trailing: 1 }));
        let long = vec![0_u8; MESSAGE_HEADER_MAX_BYTES];
        assert!(matches!(encode(&long), Err(CodecError::TooLong { .. })));
        let length = MESSAGE_HEADER_MAX_BYTES + 1;
        assert_eq!(decode::<u32>(&vec![0; length]), Err(CodecError::TooLong { length }));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<(String, Vec<[u8; 16]>, Option<u64>)>(&bytes);
            let _ = decode::<Vec<Vec<String>>>(&bytes);
        }

        #[test]
        fn values_round_trip_and_truncations_fail(
            value: (String, Vec<u64>, Option<bool>),
            cut in 0.0_f64..1.0,
        ) {
            let bytes = encode(&value).expect("small");
            prop_assert_eq!(&decode::<(String, Vec<u64>, Option<bool>)>(&bytes), &Ok(value));
            let cut = (bytes.len() as f64 * cut) as usize;
            let result = decode::<(String, Vec<u64>, Option<bool>)>(&bytes[..cut]);
            prop_assert!(result.is_err());
        }
    }
}
