//! Rows on their way between stages: what the header says and how long the payload must be.
//!
//! Built by the requester (tokens) and by every stage but the last (activations); part of
//! `wire.rs`. The payload is the rows one after the other, each element little endian:
//! tokens `u32`, or `hidden` elements of `f32` or `f16` per row.
//! Units: positions and rows count tokens, times are microseconds, `bytes_out` bytes.
//! Errors: [`WireError`]; the payload's length is checked against the header, and both against
//! `limits.rs`, before anyone looks at a row.
//! Absent on purpose: a check that activations are finite (a shard's business, it reads them
//! anyway), quantised rows (they come with an error bound of their own).

use bytes::Bytes;

use crate::{
    codec::{Decode, Encode},
    ids::RequestId,
    limits::{HIDDEN_MAX, POSITIONS_MAX, ROWS_MAX, ROWS_PAYLOAD_MAX_BYTES, STAGES_MAX},
    wire::{WireError, at_most, below},
};

/// How one row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum RowEncoding {
    /// One token id, `u32`.
    Tokens,
    /// `hidden` elements of `f32`.
    F32,
    /// `hidden` elements of IEEE half precision.
    F16,
}

impl RowEncoding {
    /// Bytes of one element.
    #[must_use]
    pub fn element_bytes(self) -> usize {
        match self {
            Self::Tokens | Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Header of consecutive rows of one generation.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Rows {
    /// Which generation.
    pub request: RequestId,
    /// Position of the first row.
    pub first_position: u32,
    /// How many rows, at least 1.
    pub n_rows: u32,
    /// Elements of a row; 0 for tokens.
    pub hidden: u32,
    /// How a row is written.
    pub encoding: RowEncoding,
    /// Whether a token is to be sampled behind the last row.
    pub sample: bool,
    /// One entry per stage that has worked on these rows, in order.
    pub trace: Vec<StageTrace>,
}

/// What one stage spent on some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct StageTrace {
    /// Place in the route, from 0.
    pub stage: u16,
    /// Time in the shard.
    pub compute_us: u32,
    /// Time from the arrival of the rows to their departure, compute included.
    pub residence_us: u32,
    /// Payload bytes sent on.
    pub bytes_out: u32,
    /// Round trip to where they were sent, as last measured; 0 if never.
    pub link_rtt_us: u32,
}

impl Rows {
    /// Bytes of one row.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        match self.encoding {
            RowEncoding::Tokens => 4,
            encoding => self.hidden as usize * encoding.element_bytes(),
        }
    }

    /// Checks the header by itself and the payload's length against it.
    pub fn validate(&self, payload: &Bytes) -> Result<(), WireError> {
        if self.n_rows == 0 {
            return Err(WireError::Invalid { what: "n_rows", reason: "must not be 0" });
        }
        at_most("rows", self.n_rows as usize, ROWS_MAX as usize)?;
        at_most("hidden", self.hidden as usize, HIDDEN_MAX as usize)?;
        if (self.encoding == RowEncoding::Tokens) != (self.hidden == 0) {
            return Err(WireError::Invalid {
                what: "hidden",
                reason: "must be 0 for tokens and only for tokens",
            });
        }
        below("first_position", self.first_position, POSITIONS_MAX)?;
        // Cannot overflow: both are bounded by now.
        let end = self.first_position + self.n_rows;
        at_most("last position", end as usize, POSITIONS_MAX as usize)?;
        let expected = self.n_rows as usize * self.row_bytes();
        at_most("payload bytes", expected, ROWS_PAYLOAD_MAX_BYTES)?;
        if payload.len() != expected {
            let got = payload.len() as u64;
            return Err(WireError::PayloadLength { got, expected: expected as u64 });
        }
        StageTrace::validate_all(&self.trace)
    }

    /// A payload of token ids.
    #[must_use]
    pub fn token_payload(tokens: &[u32]) -> Bytes {
        tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    /// The token ids of a payload; empty unless the rows are tokens.
    #[must_use]
    pub fn tokens(&self, payload: &Bytes) -> Vec<u32> {
        if self.encoding != RowEncoding::Tokens {
            return Vec::new();
        }
        payload.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }
}

impl StageTrace {
    /// Checks the entries of one message.
    pub(crate) fn validate_all(trace: &[Self]) -> Result<(), WireError> {
        at_most("trace entries", trace.len(), STAGES_MAX.into())?;
        trace.iter().try_for_each(|entry| below("stage", entry.stage.into(), STAGES_MAX.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n_rows: u32, hidden: u32, encoding: RowEncoding) -> Rows {
        let request = RequestId([1; 16]);
        let trace = Vec::new();
        Rows { request, first_position: 0, n_rows, hidden, encoding, sample: true, trace }
    }

    #[test]
    fn the_payload_must_be_as_long_as_the_header_says() {
        let header = rows(3, 8, RowEncoding::F16);
        assert_eq!(header.validate(&vec![0; 48].into()), Ok(()));
        let short = header.validate(&vec![0; 47].into());
        assert_eq!(short, Err(WireError::PayloadLength { got: 47, expected: 48 }));
        assert_eq!(rows(3, 8, RowEncoding::F32).validate(&vec![0; 96].into()), Ok(()));
        assert_eq!(rows(2, 0, RowEncoding::Tokens).validate(&vec![0; 8].into()), Ok(()));
    }

    #[test]
    fn counts_and_ranges_are_bounded() {
        let empty = Bytes::new();
        assert!(rows(0, 8, RowEncoding::F16).validate(&empty).is_err());
        assert!(rows(1, 0, RowEncoding::F16).validate(&empty).is_err());
        assert!(rows(1, 1, RowEncoding::Tokens).validate(&vec![0; 4].into()).is_err());
        let too_many = rows(ROWS_MAX + 1, 1, RowEncoding::F16).validate(&empty);
        assert!(matches!(too_many, Err(WireError::TooMany { what: "rows", .. })));
        let too_wide = rows(ROWS_MAX, HIDDEN_MAX, RowEncoding::F32).validate(&empty);
        assert!(matches!(too_wide, Err(WireError::TooMany { what: "payload bytes", .. })));
        let mut late = rows(2, 0, RowEncoding::Tokens);
        for first_position in [POSITIONS_MAX - 1, POSITIONS_MAX, u32::MAX] {
            late.first_position = first_position;
            assert!(late.validate(&vec![0; 8].into()).is_err());
        }
        let mut traced = rows(1, 0, RowEncoding::Tokens);
        traced.trace = vec![StageTrace { stage: STAGES_MAX, ..StageTrace::default() }];
        assert!(traced.validate(&vec![0; 4].into()).is_err());
    }

    #[test]
    fn tokens_survive_the_payload() {
        let payload = Rows::token_payload(&[1, 70_000, u32::MAX]);
        assert_eq!(rows(3, 0, RowEncoding::Tokens).tokens(&payload), [1, 70_000, u32::MAX]);
        assert!(rows(3, 2, RowEncoding::F16).tokens(&payload).is_empty());
    }
}
