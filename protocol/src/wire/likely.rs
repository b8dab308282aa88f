//! Log-probabilities on the wire: beside a sampled token, or of all tokens of a prompt.
//!
//! Used by [`super::Body::TokenSampled`] and [`super::Body::Scored`]. Errors: [`WireError`] for
//! what is no logarithm of a probability.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{WireError, at_most};
use crate::codec::{Decode, Encode};
use crate::limits::LOG_PROBABILITIES_MAX;

/// Natural logarithms of probabilities, before bias, penalties and filters.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct LogProbabilities {
    /// Of the token that was chosen; at most 0, minus infinity for what can't be.
    pub chosen: f32,
    /// The likeliest tokens with theirs, best first.
    pub top: Vec<(u32, f32)>,
}

impl LogProbabilities {
    pub(super) fn validate(&self) -> Result<(), WireError> {
        at_most("log-probabilities", self.top.len(), LOG_PROBABILITIES_MAX.into())?;
        let mut all = self.top.iter().map(|(_, value)| *value).chain([self.chosen]);
        if all.all(|value| value <= 0.0) {
            return Ok(());
        }
        Err(WireError::Invalid { what: "log-probability", reason: "must be a number of at most 0" })
    }

    /// Bytes of one in a payload, with so many of the likeliest.
    #[must_use]
    pub fn bytes(top: u8) -> usize {
        4 + 8 * usize::from(top)
    }

    /// The payload of many, and how many of the likeliest each has: as many as the first.
    #[must_use]
    pub fn payload_of(all: &[LogProbabilities]) -> (u8, Bytes) {
        let n_top = all.first().map_or(0, |one| one.top.len());
        let top = u8::try_from(n_top).unwrap_or(u8::MAX);
        let mut payload = BytesMut::with_capacity(all.len() * Self::bytes(top));
        for one in all {
            payload.put_f32_le(one.chosen);
            for (token, value) in one.top.iter().take(top.into()) {
                payload.put_u32_le(*token);
                payload.put_f32_le(*value);
            }
        }
        (top, payload.freeze())
    }

    /// Reads a payload whose length was validated.
    ///
    /// # Errors
    /// When a value is no logarithm of a probability.
    pub fn of_payload(top: u8, payload: &[u8]) -> Result<Vec<LogProbabilities>, WireError> {
        let read = |mut bytes: &[u8]| {
            let chosen = bytes.get_f32_le();
            let top = (0..top).map(|_| (bytes.get_u32_le(), bytes.get_f32_le())).collect();
            let one = LogProbabilities { chosen, top };
            one.validate().map(|()| one)
        };
        payload.chunks_exact(Self::bytes(top)).map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            chosen in proptest::collection::vec(-100.0_f32..=0.0, 0..20), n_top in 0..5_u32,
        ) {
            let one = |chosen| {
                let top = (0..n_top).map(|token| (token, chosen / 2.0)).collect();
                LogProbabilities { chosen, top }
            };
            let all: Vec<LogProbabilities> = chosen.into_iter().map(one).collect();
            let (top, payload) = LogProbabilities::payload_of(&all);
            prop_assert_eq!(payload.len(), all.len() * LogProbabilities::bytes(top));
            prop_assert_eq!(LogProbabilities::of_payload(top, &payload), Ok(all));
        }

        #[test]
        fn any_payload_gives_numbers_of_at_most_0_or_is_refused(
            payload in proptest::collection::vec(any::<u8>(), 0..200), top in 0..21_u8,
        ) {
            if let Ok(all) = LogProbabilities::of_payload(top, &payload) {
                let of_all = all.iter().flat_map(|one| {
                    one.top.iter().map(|(_, value)| *value).chain([one.chosen])
                });
                prop_assert!(of_all.clone().all(|value| value <= 0.0));
            }
        }
    }
}
