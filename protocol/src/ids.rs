//! The names of things on the network: peers, models, requests, invites, networks, layer ranges.
//!
//! Used by every module here, by the actors and by the doors.
//! Layout on the wire: peer and model ids are 32 raw bytes, request, invite and pool ids 16; a
//! network id is a length and ASCII characters; a layer range is two varints.
//! Text: peer and model ids are lower-case base32 (RFC 4648) without padding, 52 characters, of
//! which there is exactly one per id; 16-byte ids are lower-case hex.
//! Units: layers count from 0, ranges are half open.
//! Errors: [`IdError`], for text and bytes that are no such name.
//! Absent on purpose: a check that a peer id is a point on the curve; verification does that.

use std::{fmt, ops::Range, str::FromStr};

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    codec::{BorrowDecode, Decode, DecodeError, Decoder, Encode},
    limits::{LAYERS_MAX, NETWORK_ID_MAX_BYTES},
};

/// Why a text (or bytes from outside) is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 52 characters of base32 that encode 32 bytes.
    #[error("{what} must be 52 characters of a-z and 2-7, got {length} characters")]
    Base32 {
        /// Which kind of id was expected.
        what: &'static str,
        /// Characters of the text.
        length: usize,
    },
    /// Not 32 hexadecimal digits.
    #[error("{what} must be 32 hexadecimal digits, got {length} characters")]
    Hex {
        /// Which kind of id was expected.
        what: &'static str,
        /// Characters of the text.
        length: usize,
    },
    /// A network id that is empty, too long, or holds other characters than allowed.
    #[error(
        "a network id must be 1 to {NETWORK_ID_MAX_BYTES} characters of a-z A-Z 0-9 . _ -, \
         got {length} characters"
    )]
    Network {
        /// Bytes of the text.
        length: usize,
    },
    /// A text that is no `A-B`.
    #[error("a layer range is written A-B, first layer and the layer after the last, like 0-8")]
    RangeText,
    /// A range that is empty, backwards or beyond what any model has.
    #[error(
        "layers {start}-{end} are no range: the start must be below the end, at most {LAYERS_MAX}"
    )]
    Range {
        /// First layer.
        start: u32,
        /// The layer after the last.
        end: u32,
    },
}

/// Makes a 32-byte id with its base32 text form, serde by text and bincode by bytes.
macro_rules! base32_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 8 characters of the text form: enough for a person, never for a decision.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let refused = || IdError::Base32 { what: $what, length: text.chars().count() };
                // Length first: nothing is allocated for a text that cannot be an id.
                if text.len() != 52 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(refused());
                }
                let bytes = BASE32_NOPAD
                    .decode(text.to_ascii_uppercase().as_bytes())
                    .map_err(|_| refused())?;
                bytes.try_into().map(Self).map_err(|_| refused())
            }
        }

        serde_by_text!($name);
    };
}

/// Serde by `Display` and `FromStr`, so that JSON and TOML show what a person types.
macro_rules! serde_by_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

base32_id!(
    /// A node as others know it: its Ed25519 public key.
    PeerId,
    "a peer id"
);
base32_id!(
    /// A model as everyone knows it: the content address of its weights and metadata.
    ModelId,
    "a model id"
);

/// Makes a 16-byte id, chosen at random by whoever needs it, with its hexadecimal text form.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let refused = || IdError::Hex { what: $what, length: text.chars().count() };
                if text.len() != 32 {
                    return Err(refused());
                }
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| refused())?;
                bytes.try_into().map(Self).map_err(|_| refused())
            }
        }

        serde_by_text!($name);
    };
}

hex_id!(
    /// One generation, chosen at random by its requester.
    RequestId,
    "a request id"
);
hex_id!(
    /// One invite, chosen at random by its inviter. No secret.
    InviteId,
    "an invite id"
);
hex_id!(
    /// A group of nodes inside a network, chosen at random by whoever founds it.
    PoolId,
    "a pool id"
);

/// Which swarm a node belongs to; nodes of different networks cannot complete a handshake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct NetworkId(String);

impl NetworkId {
    /// Takes 1 to 32 characters of `a-z A-Z 0-9 . _ -`.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > NETWORK_ID_MAX_BYTES || !text.bytes().all(allowed) {
            return Err(IdError::Network { length: text.len() });
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NetworkId {
    /// `main`, the network everybody is in who says nothing else.
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for NetworkId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        // Refused before it is copied.
        if text.len() > NETWORK_ID_MAX_BYTES {
            return Err(IdError::Network { length: text.len() });
        }
        Self::new(text)
    }
}

serde_by_text!(NetworkId);

impl<Context> Decode<Context> for NetworkId {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = String::decode(decoder)?;
        Self::new(text).map_err(|error| DecodeError::OtherString(error.to_string()))
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for NetworkId {
    fn borrow_decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// Contiguous layers `start..end` of a model. May be empty in memory, never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LayerRange {
    /// First layer.
    pub start: u32,
    /// The layer after the last.
    pub end: u32,
}

impl LayerRange {
    /// A range that holds at least one layer and at most [`LAYERS_MAX`].
    pub fn new(start: u32, end: u32) -> Result<Self, IdError> {
        let range = Self { start, end };
        if start >= end || end > LAYERS_MAX {
            return Err(IdError::Range { start, end });
        }
        Ok(range)
    }

    /// How many layers.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no layer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `layer` is in it.
    #[must_use]
    pub fn contains(&self, layer: u32) -> bool {
        (self.start..self.end).contains(&layer)
    }

    /// Whether every layer of `other` is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }
}

impl From<LayerRange> for Range<u32> {
    fn from(range: LayerRange) -> Self {
        range.start..range.end
    }
}

impl fmt::Display for LayerRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}..{}", self.start, self.end))
    }
}

impl FromStr for LayerRange {
    type Err = IdError;

    /// Reads `A-B`, as people type it, and `A..B`, as it is shown. Both are half open.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (start, end) =
            text.split_once("..").or_else(|| text.split_once('-')).ok_or(IdError::RangeText)?;
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse::<u32>().map_err(|_| IdError::RangeText),
            false => Err(IdError::RangeText),
        };
        Self::new(number(start)?, number(end)?)
    }
}

impl Serialize for LayerRange {
    /// As `[start, end]`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.start, self.end].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LayerRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [start, end] = <[u32; 2]>::deserialize(deserializer)?;
        Self::new(start, end).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec;

    #[test]
    fn a_peer_id_has_one_text_form() {
        let id = PeerId([0xab; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse::<PeerId>(), Ok(id));
        assert_eq!(id.short(), text[..8]);
        assert!(text.to_ascii_uppercase().parse::<PeerId>().is_err());
        // The last character carries four spare bits: only zero is accepted.
        let altered = format!("{}{}", &text[..51], "z");
        assert!(altered.parse::<PeerId>().is_err());
        assert!("".parse::<PeerId>().is_err());
        assert!("\u{e9}".repeat(26).parse::<PeerId>().is_err());
    }

    #[test]
    fn a_network_id_is_short_plain_ascii() {
        assert_eq!(NetworkId::default().as_str(), "main");
        for refused in ["", "a b", "caf\u{e9}", &"x".repeat(33)] {
            assert!(refused.parse::<NetworkId>().is_err(), "{refused}");
        }
        assert!("x".repeat(32).parse::<NetworkId>().is_ok());
        let forged = codec::encode(&"no spaces".to_owned()).expect("a short string");
        assert!(codec::decode::<NetworkId>(&forged).is_err());
    }

    #[test]
    fn a_layer_range_reads_both_spellings() {
        let range = LayerRange { start: 0, end: 2 };
        assert_eq!("0-2".parse(), Ok(range));
        assert_eq!("0..2".parse(), Ok(range));
        assert_eq!(range.to_string(), "0..2");
        for refused in ["2-2", "3-1", "-1-2", "0", "a-b", "+0-2", "0-99999", "0-4294967296"] {
            assert!(refused.parse::<LayerRange>().is_err(), "{refused}");
        }
        assert!(range.covers(&LayerRange { start: 1, end: 2 }));
        assert!(!range.covers(&LayerRange { start: 1, end: 3 }));
        assert_eq!(serde_json::to_string(&range).expect("json"), "[0,2]");
    }

    proptest! {
        #[test]
        fn ids_round_trip(bytes: [u8; 32], short: [u8; 16]) {
            let (peer, request) = (PeerId(bytes), RequestId(short));
            prop_assert_eq!(peer.to_string().parse(), Ok(peer));
            prop_assert_eq!(ModelId(bytes).to_string().parse(), Ok(ModelId(bytes)));
            prop_assert_eq!(request.to_string().parse(), Ok(request));
            prop_assert_eq!(InviteId(short).to_string().parse(), Ok(InviteId(short)));
            let json = serde_json::to_string(&peer).expect("json");
            prop_assert_eq!(serde_json::from_str::<PeerId>(&json).expect("json"), peer);
            let raw = codec::encode(&peer).expect("small");
            prop_assert_eq!(raw.as_slice(), bytes.as_slice());
        }

        #[test]
        fn any_text_gives_an_answer(text in ".{0,80}") {
            let _ = text.parse::<PeerId>();
            let _ = text.parse::<RequestId>();
            let _ = text.parse::<NetworkId>();
            if let Ok(range) = text.parse::<LayerRange>() {
                prop_assert!(!range.is_empty());
            }
        }

        #[test]
        fn accepted_base32_is_canonical(text in "[a-z2-7]{52}") {
            if let Ok(id) = text.parse::<PeerId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
