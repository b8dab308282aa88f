//! The closed set of messages between two connected nodes, and what makes one acceptable.
//!
//! Built and read by the actors; carried by `connection.rs`.
//! Layout of a message: version `u8`, body length `u16` little endian, body (`codec.rs`), payload.
//! A payload goes around the codec, never through it: rows (`tensor_frame.rs`), or the names of
//! pages of a generation (`prefix.rs`) with [`Body::OpenStage`] and [`Body::CloseStage`], and
//! behind those of the former, for the last stage, what guides its choice (`guide.rs`).
//! Units: positions and rows count tokens, times are microseconds, layers are half-open ranges.
//! Errors: [`WireError`], and nothing is used before [`Message::validate`] has accepted it; both
//! the sending and the receiving side of a connection call it.
//! Absent on purpose: unknown messages. A new one raises [`WIRE_VERSION`] or comes at the end of
//! [`Body`]; a peer never skips what it does not understand.

mod likely;
mod stage;

use std::net::SocketAddr;

use bytes::{Buf, Bytes};

use crate::{
    address::is_dialable,
    admission::NotAdmitted,
    codec::{self, CodecError, Decode, Encode},
    ids::{LayerRange, ModelId, PeerId, RequestId},
    lanes::Lane,
    limits::{
        ADDRESSES_MAX, AGENT_MAX_BYTES, CERTIFICATES_MAX, DETAIL_MAX_BYTES, EXCHANGE_MAX,
        GUIDE_MAX_BYTES, HIDDEN_MAX, LAYERS_MAX, LOG_PROBABILITIES_MAX, MODEL_NAME_MAX_BYTES,
        OFFERS_MAX, POSITIONS_MAX, PREFIX_CONTROL_MAX_BYTES, PREFIX_KEYS_MAX, RETRY_AFTER_MAX_MS,
        ROWS_HEADER_MAX_BYTES, SCORED_MAX, STAGES_MAX, TENSOR_MESSAGE_MAX_BYTES,
    },
    membership::{CERTIFICATE_MAX_BYTES, REVOCATION_LIST_MAX_BYTES},
    node_record::NODE_RECORD_MAX_BYTES,
    prefix::PREFIX_KEY_BYTES,
};

pub use self::likely::LogProbabilities;
pub use self::stage::{
    CacheType, Lineage, NextHop, OpenStage, Profile, RefusalReason, Sampling, Wanted,
};
pub use crate::tensor_frame::{RowEncoding, Rows, StageTrace};

/// Most payload bytes of rows that still go by the tensor lane.
const TENSOR_PAYLOAD_MAX_BYTES: usize = TENSOR_MESSAGE_MAX_BYTES - ROWS_HEADER_MAX_BYTES;

/// Version of the message layout, the first byte of every message.
pub const WIRE_VERSION: u8 = 2;

/// Bytes before the body: version and body length.
pub const MESSAGE_PREFIX_BYTES: usize = 3;

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the prefix or the body says.
    #[error("a message of {length} bytes ends before its body does")]
    Truncated {
        /// Bytes there are.
        length: usize,
    },
    /// Another layout than ours.
    #[error("message version {theirs}, this program speaks {WIRE_VERSION}; update the older node")]
    Version {
        /// The version of the message.
        theirs: u8,
    },
    /// The body is no known message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A count or a length over its bound.
    #[error("{what}: {got} is over the limit of {limit}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The count.
        got: u64,
        /// Its bound.
        limit: u64,
    },
    /// A value that cannot be meant.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A payload that does not have the length its header says.
    #[error("a payload of {got} bytes where the header says {expected}")]
    PayloadLength {
        /// Bytes there are.
        got: u64,
        /// Bytes the header says.
        expected: u64,
    },
}

/// One message: a body, and what lies behind it: rows, or names of pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What is said.
    pub body: Body,
    /// Raw rows, or prefix keys one after the other and a guide; empty for every other body.
    pub payload: Bytes,
}

/// What can be said. The order is the tag on the wire: new bodies come at the end.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Body {
    /// First message of both sides: who this is. Said again when the record changes.
    Hello {
        /// `PROTOCOL_VERSION` of the sender.
        version: u16,
        /// Program and version, for people.
        agent: String,
        /// Where the sender listens. An unspecified address stands for "where you see me".
        listen: Vec<SocketAddr>,
        /// The sender's signed record (`node_record.rs`); empty when it has none.
        record: Vec<u8>,
        /// Where the sender sees the receiver.
        observed: SocketAddr,
    },
    /// Everything the sender holds and would compute; replaces what it said before.
    Inventory {
        /// The shards.
        offers: Vec<ShardOffer>,
    },
    /// Peers the sender is connected to, as far as that has changed since it said so last.
    PeerExchange {
        /// Their signed records.
        added: Vec<Vec<u8>>,
        /// Those it is no longer connected to.
        dropped: Vec<PeerId>,
    },
    /// Asks for a [`Body::Pong`]: measures the round trip and shows liveness.
    Ping {
        /// Comes back unchanged.
        nonce: u64,
    },
    /// Answers a [`Body::Ping`].
    Pong {
        /// The nonce of the ping.
        nonce: u64,
    },
    /// Requester to stage: prepare to compute these layers for this request. Payload: names of the
    /// full pages of the prompt.
    OpenStage(OpenStage),
    /// Stage to requester: ready for rows.
    StageOpened {
        /// Which generation.
        request: RequestId,
        /// Positions from the first on that need no rows: they are known from before.
        known: u32,
    },
    /// Stage to requester: will not take part.
    StageRefused {
        /// Which generation.
        request: RequestId,
        /// The kind of reason.
        reason: RefusalReason,
        /// The reason in words.
        detail: String,
        /// When to come back, if that helps; else 0.
        retry_after_ms: u32,
    },
    /// Requester to stage: done or cancelled; the pages are free again. Payload: names of the full
    /// pages behind the prompt's, which may be kept for a next generation.
    CloseStage {
        /// Which generation.
        request: RequestId,
        /// Keys in the payload.
        named_pages: u32,
    },
    /// Stage to requester: this generation cannot go on here.
    StageFailed {
        /// Which generation.
        request: RequestId,
        /// Which stage of the route failed.
        stage: u16,
        /// What happened, in words.
        detail: String,
    },
    /// Rows for a stage: tokens from the requester, activations from the stage before.
    Rows(Rows),
    /// Last stage to requester: the next token.
    TokenSampled(TokenSampled),
    /// First stage to requester: there is no place yet; `StageOpened` or `StageRefused` follows.
    StageQueued {
        /// Which generation.
        request: RequestId,
        /// How many wait, this one included.
        waiting: u32,
    },
    /// Stage to requester: the pages went to an older generation. Open again, and it goes on.
    StagePreempted {
        /// Which generation.
        request: RequestId,
    },
    /// First message to a peer that may ask for it: what makes the sender a member.
    Present {
        /// Certificates (`membership.rs`) of the sender.
        certificates: Vec<Vec<u8>>,
    },
    /// Inviter to invited, or issuer to a member whose certificate is due: a certificate.
    Admitted {
        /// Of the receiver, by the sender.
        certificate: Vec<u8>,
    },
    /// Last message to a peer that is not let in.
    NotAdmitted {
        /// Why.
        reason: NotAdmitted,
    },
    /// Whom an issuer has expelled.
    Revocations {
        /// Its newest list (`membership.rs`).
        list: Vec<u8>,
    },
    /// Last stage to requester: the embedding that was wanted, in the payload, f32 little endian.
    Embedded {
        /// Which generation.
        request: RequestId,
        /// Values.
        hidden: u32,
        /// One entry per stage, in the order of the route.
        trace: Vec<StageTrace>,
    },
    /// Last stage to requester: how likely the prompt's tokens were, from the second on. In the
    /// payload, for each: its log-probability, and `top` pairs of a token and its own, all of four
    /// bytes, little endian ([`LogProbabilities::payload_of`]).
    Scored {
        /// Which generation.
        request: RequestId,
        /// Tokens.
        tokens: u32,
        /// The likeliest beside each.
        top: u8,
        /// One entry per stage, in the order of the route.
        trace: Vec<StageTrace>,
    },
}

/// A contiguous part of a model that a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ShardOffer {
    /// Which model.
    pub model: ModelId,
    /// Its name, for people: the id decides.
    pub model_name: String,
    /// Layers of the whole model.
    pub n_layers: u32,
    /// Layers held.
    pub layers: LayerRange,
}

/// A peer and where it may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PeerAddress {
    /// Who.
    pub peer: PeerId,
    /// Where, best first; may be empty when both sides are connected already.
    pub addresses: Vec<SocketAddr>,
}

/// The next token of a generation, with what each stage spent on it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TokenSampled {
    /// Which generation.
    pub request: RequestId,
    /// The position the token will take.
    pub position: u32,
    /// The token.
    pub token: u32,
    /// One entry per stage, in the order of the route.
    pub trace: Vec<StageTrace>,
    /// How likely it was, where the requester asked for that.
    pub log_probabilities: Option<LogProbabilities>,
}

impl Message {
    /// A message without payload.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, payload: Bytes::new() }
    }

    /// Rows and their payload.
    #[must_use]
    pub fn rows(rows: Rows, payload: Bytes) -> Self {
        Self { body: Body::Rows(rows), payload }
    }

    /// A message with names of pages, as [`crate::prefix::payload_of`] gives them.
    #[must_use]
    pub fn with_keys(body: Body, keys: Bytes) -> Self {
        Self { body, payload: keys }
    }

    /// Names of pages, and what is behind them: what guides the last stage of a route.
    #[must_use]
    pub fn split_keys(payload: &Bytes, named_pages: u32) -> (Bytes, Bytes) {
        let keys = (named_pages as usize * PREFIX_KEY_BYTES).min(payload.len());
        (payload.slice(..keys), payload.slice(keys..))
    }

    /// The lane this message wants: payloads go by size, everything else is control.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match &self.body {
            Body::Rows(_) if self.payload.len() <= TENSOR_PAYLOAD_MAX_BYTES => Lane::Tensor,
            Body::Rows(_) => Lane::Bulk,
            _ if self.payload.len() > PREFIX_CONTROL_MAX_BYTES => Lane::Bulk,
            _ => Lane::Control,
        }
    }

    /// Version, body length and body: what precedes the payload on the wire.
    pub fn encode_header(&self) -> Result<Vec<u8>, WireError> {
        let body = codec::encode(&self.body)?;
        let length =
            u16::try_from(body.len()).map_err(|_| CodecError::TooLong { length: body.len() })?;
        let mut header = Vec::with_capacity(MESSAGE_PREFIX_BYTES + body.len());
        header.push(WIRE_VERSION);
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&body);
        Ok(header)
    }

    /// Reads and validates one whole message; the payload is a view into `bytes`, not a copy.
    pub fn decode(mut bytes: Bytes) -> Result<Self, WireError> {
        let length = bytes.len();
        let Some(prefix) = bytes.first_chunk::<MESSAGE_PREFIX_BYTES>() else {
            return Err(WireError::Truncated { length });
        };
        if prefix[0] != WIRE_VERSION {
            return Err(WireError::Version { theirs: prefix[0] });
        }
        let body_length = usize::from(u16::from_le_bytes([prefix[1], prefix[2]]));
        bytes.advance(MESSAGE_PREFIX_BYTES);
        if bytes.len() < body_length {
            return Err(WireError::Truncated { length });
        }
        let body = codec::decode(&bytes[..body_length])?;
        bytes.advance(body_length);
        let message = Self { body, payload: bytes };
        message.validate()?;
        Ok(message)
    }

    /// Checks every count, range and number. Whoever sends calls it as well as whoever receives.
    pub fn validate(&self) -> Result<(), WireError> {
        match &self.body {
            Body::Rows(rows) => rows.validate(&self.payload),
            Body::OpenStage(OpenStage { named_pages, wanted, .. }) => {
                at_most("named pages", *named_pages as usize, PREFIX_KEYS_MAX)?;
                let keys = *named_pages as usize * PREFIX_KEY_BYTES;
                match self.payload.len().checked_sub(keys) {
                    Some(guide)
                        if matches!(wanted, Some(Wanted::Tokens(_) | Wanted::Scores(_))) =>
                    {
                        at_most("bytes of a guide", guide, GUIDE_MAX_BYTES)?;
                    }
                    _ => self.expect_payload(keys)?,
                }
                self.body.validate()
            }
            Body::Embedded { hidden, .. } => {
                at_most("hidden", *hidden as usize, HIDDEN_MAX as usize)?;
                self.expect_payload(*hidden as usize * 4)?;
                self.body.validate()
            }
            Body::Scored { tokens, top, .. } => {
                at_most("tokens to score", *tokens as usize, SCORED_MAX as usize)?;
                at_most("log-probabilities", (*top).into(), LOG_PROBABILITIES_MAX.into())?;
                self.expect_payload(*tokens as usize * LogProbabilities::bytes(*top))?;
                self.body.validate()
            }
            Body::CloseStage { named_pages, .. } => {
                at_most("named pages", *named_pages as usize, PREFIX_KEYS_MAX)?;
                self.expect_payload(*named_pages as usize * PREFIX_KEY_BYTES)?;
                self.body.validate()
            }
            body => {
                self.expect_payload(0)?;
                body.validate()
            }
        }
    }

    fn expect_payload(&self, expected: usize) -> Result<(), WireError> {
        if self.payload.len() == expected {
            return Ok(());
        }
        let (got, expected) = (self.payload.len() as u64, expected as u64);
        Err(WireError::PayloadLength { got, expected })
    }
}

impl Body {
    fn validate(&self) -> Result<(), WireError> {
        match self {
            Self::Hello { agent, listen, record, observed, .. } => {
                text("agent", agent, AGENT_MAX_BYTES)?;
                at_most("listen addresses", listen.len(), ADDRESSES_MAX)?;
                at_most("bytes of a record", record.len(), NODE_RECORD_MAX_BYTES)?;
                address(observed, false)?;
                listen.iter().try_for_each(|listen| address(listen, true))
            }
            Self::Inventory { offers } => {
                at_most("offers", offers.len(), OFFERS_MAX)?;
                offers.iter().try_for_each(ShardOffer::validate)
            }
            Self::PeerExchange { added, dropped } => {
                at_most("records", added.len(), EXCHANGE_MAX)?;
                at_most("departures", dropped.len(), EXCHANGE_MAX)?;
                let longest = added.iter().map(Vec::len).max().unwrap_or(0);
                at_most("bytes of a record", longest, NODE_RECORD_MAX_BYTES)
            }
            Self::Ping { .. } | Self::Pong { .. } => Ok(()),
            Self::OpenStage(open) => open.validate(),
            Self::CloseStage { .. } | Self::StagePreempted { .. } | Self::StageQueued { .. } => {
                Ok(())
            }
            Self::StageOpened { known, .. } => below("known", *known, POSITIONS_MAX),
            Self::StageRefused { detail, retry_after_ms, .. } => {
                at_most("retry_after_ms", *retry_after_ms as usize, RETRY_AFTER_MAX_MS as usize)?;
                text("detail", detail, DETAIL_MAX_BYTES)
            }
            Self::StageFailed { stage, detail, .. } => {
                below("stage", (*stage).into(), STAGES_MAX.into())?;
                text("detail", detail, DETAIL_MAX_BYTES)
            }
            // Reached only through a message, which gives its payload as well.
            Self::Rows(_) => Ok(()),
            Self::TokenSampled(sampled) => {
                below("position", sampled.position, POSITIONS_MAX)?;
                sampled.log_probabilities.iter().try_for_each(LogProbabilities::validate)?;
                StageTrace::validate_all(&sampled.trace)
            }
            Self::Embedded { trace, .. } | Self::Scored { trace, .. } => {
                StageTrace::validate_all(trace)
            }
            Self::Present { certificates } => {
                at_most("certificates", certificates.len(), CERTIFICATES_MAX)?;
                certificates.iter().try_for_each(|one| certificate(one))
            }
            Self::Admitted { certificate: one } => certificate(one),
            Self::NotAdmitted { .. } => Ok(()),
            Self::Revocations { list } => {
                at_most("bytes of a revocation list", list.len(), REVOCATION_LIST_MAX_BYTES)
            }
        }
    }
}

impl ShardOffer {
    fn validate(&self) -> Result<(), WireError> {
        text("model name", &self.model_name, MODEL_NAME_MAX_BYTES)?;
        at_most("layers of a model", self.n_layers as usize, LAYERS_MAX as usize)?;
        layers(&self.layers)?;
        at_most("end of the layers", self.layers.end as usize, self.n_layers as usize)
    }
}

impl PeerAddress {
    fn validate(&self) -> Result<(), WireError> {
        at_most("addresses of a peer", self.addresses.len(), ADDRESSES_MAX)?;
        self.addresses.iter().try_for_each(|known| address(known, false))
    }
}

/// Refuses more than `limit` of something.
pub(crate) fn at_most(what: &'static str, got: usize, limit: usize) -> Result<(), WireError> {
    if got <= limit {
        return Ok(());
    }
    Err(WireError::TooMany { what, got: got as u64, limit: limit as u64 })
}

/// Refuses an index that is not below `limit`.
pub(crate) fn below(what: &'static str, got: u32, limit: u32) -> Result<(), WireError> {
    if got < limit {
        return Ok(());
    }
    Err(WireError::TooMany { what, got: got.into(), limit: u64::from(limit) - 1 })
}

fn certificate(bytes: &[u8]) -> Result<(), WireError> {
    at_most("bytes of a certificate", bytes.len(), CERTIFICATE_MAX_BYTES)
}

fn layers(range: &LayerRange) -> Result<(), WireError> {
    if range.is_empty() {
        return Err(WireError::Invalid { what: "layers", reason: "the range is empty" });
    }
    at_most("end of the layers", range.end as usize, LAYERS_MAX as usize)
}

/// Text from a peer ends on terminals and in logs: no control characters.
fn text(what: &'static str, text: &str, limit: usize) -> Result<(), WireError> {
    at_most(what, text.len(), limit)?;
    if text.chars().any(char::is_control) {
        return Err(WireError::Invalid { what, reason: "holds control characters" });
    }
    Ok(())
}

fn address(address: &SocketAddr, unspecified_allowed: bool) -> Result<(), WireError> {
    let is_any = unspecified_allowed && address.ip().is_unspecified() && address.port() != 0;
    if is_any || is_dialable(address) {
        return Ok(());
    }
    Err(WireError::Invalid { what: "address", reason: "cannot be dialled" })
}

/// Cuts an explanation to what a message may carry, at a character border, without control
/// characters.
#[must_use]
pub fn detail(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len() + character.len_utf8() > DETAIL_MAX_BYTES {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
