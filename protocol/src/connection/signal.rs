//! What two connections tell each other beside their owners' messages: credits and new keys.
//!
//! Called by `established.rs`; carried as fragments of no lane, before anything else that waits.
//! Layout (the plaintext of one record): `0b1000` | kind `u8` | body. Kinds: 1 grant: lane `u8`,
//! bytes received `u64` LE, bytes granted `u64` LE; 2 to 4: Noise messages 1 to 3 of a handshake
//! within the connection, each of one length; 5: the sender's keys are new from the next record on,
//! empty; 6 credit given back: lane `u8`, bytes `u64` LE.
//! Errors: [`SignalError`]. Absent on purpose: anything that would be worth a message of its own.

use bytes::{BufMut, BytesMut};

use super::proof::PROOF_BYTES;
use crate::{
    address::take,
    lanes::{Forgone, Grant, Lane},
    limits::TAG_BYTES,
    noise::KEY_BYTES,
};

/// First byte of every signal, and of no fragment.
pub(super) const SIGNAL_FLAG: u8 = 0b1000;

/// Bytes of a grant's body.
const GRANT_BYTES: usize = 1 + 8 + 8;

/// Bytes of the body of credit given back.
const FORGONE_BYTES: usize = 1 + 8;

/// Payloads of a handshake within the connection: none, then a proof each way.
pub(super) const OPENING_BYTES: usize = KEY_BYTES + TAG_BYTES;
pub(super) const RESPONSE_BYTES: usize =
    KEY_BYTES + KEY_BYTES + TAG_BYTES + PROOF_BYTES + TAG_BYTES;
pub(super) const CLOSING_BYTES: usize = KEY_BYTES + TAG_BYTES + PROOF_BYTES + TAG_BYTES;

/// A record that begins like a signal and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signal of kind {kind} and {length} bytes is no signal")]
pub struct SignalError {
    /// What it says it is.
    pub kind: u8,
    /// Bytes behind that.
    pub length: usize,
}

/// Which message of a handshake within the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RekeyStep {
    Opening,
    Response,
    Closing,
    Switched,
}

impl RekeyStep {
    fn kind(self) -> u8 {
        match self {
            Self::Opening => 2,
            Self::Response => 3,
            Self::Closing => 4,
            Self::Switched => 5,
        }
    }

    fn of(kind: u8, length: usize) -> Option<Self> {
        match (kind, length) {
            (2, OPENING_BYTES) => Some(Self::Opening),
            (3, RESPONSE_BYTES) => Some(Self::Response),
            (4, CLOSING_BYTES) => Some(Self::Closing),
            (5, 0) => Some(Self::Switched),
            _ => None,
        }
    }
}

/// A signal as it arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal<'a> {
    Grant(Grant),
    Forgone(Forgone),
    Rekey(RekeyStep, &'a [u8]),
}

impl<'a> Signal<'a> {
    /// Whether a record's plaintext is a signal.
    pub(super) fn is_one(text: &[u8]) -> bool {
        text.first() == Some(&SIGNAL_FLAG)
    }

    /// Reads a signal behind its first byte.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, SignalError> {
        let (kind, body) = text.split_first().unwrap_or((&0, &[]));
        let refused = SignalError { kind: *kind, length: body.len() };
        if *kind == 1 && body.len() == GRANT_BYTES {
            return read_grant(body).map(Self::Grant).ok_or(refused);
        }
        if *kind == 6 && body.len() == FORGONE_BYTES {
            return read_forgone(body).map(Self::Forgone).ok_or(refused);
        }
        let step = RekeyStep::of(*kind, body.len()).ok_or(refused)?;
        Ok(Self::Rekey(step, body))
    }

    /// Appends the signal.
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u8(SIGNAL_FLAG);
        match self {
            Self::Grant(Grant { lane, received, limit }) => {
                out.put_slice(&[1, *lane as u8]);
                out.put_u64_le(*received);
                out.put_u64_le(*limit);
            }
            Self::Forgone(Forgone { lane, bytes }) => {
                out.put_slice(&[6, *lane as u8]);
                out.put_u64_le(*bytes);
            }
            Self::Rekey(step, body) => {
                out.put_u8(step.kind());
                out.put_slice(body);
            }
        }
    }
}

fn read_grant(mut body: &[u8]) -> Option<Grant> {
    let [lane] = take(&mut body)?;
    let lane = *Lane::ALL.get(usize::from(lane))?;
    let received = u64::from_le_bytes(take(&mut body)?);
    let limit = u64::from_le_bytes(take(&mut body)?);
    Some(Grant { lane, received, limit })
}

fn read_forgone(mut body: &[u8]) -> Option<Forgone> {
    let [lane] = take(&mut body)?;
    let lane = *Lane::ALL.get(usize::from(lane))?;
    Some(Forgone { lane, bytes: u64::from_le_bytes(take(&mut body)?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_reads_back_writes_the_same(
            kind in 0_u8..8, exact in 0_usize..7,
            any in proptest::collection::vec(any::<u8>(), 200),
        ) {
            let lengths =
                [0, GRANT_BYTES, OPENING_BYTES, RESPONSE_BYTES, CLOSING_BYTES, FORGONE_BYTES, 77];
            let mut text = vec![kind];
            text.extend_from_slice(&any[..lengths[exact]]);
            if let Ok(signal) = Signal::read(&text) {
                let mut again = BytesMut::new();
                signal.write(&mut again);
                prop_assert!(Signal::is_one(&again));
                prop_assert_eq!(&again[1..], &text[..]);
            }
        }
    }

    #[test]
    fn signals_have_one_length_each() {
        assert_eq!(Signal::read(&[]), Err(SignalError { kind: 0, length: 0 }));
        assert_eq!(Signal::read(&[5, 1]), Err(SignalError { kind: 5, length: 1 }));
        let mut grant = vec![1, 3];
        grant.resize(1 + GRANT_BYTES, 0);
        assert_eq!(Signal::read(&grant), Err(SignalError { kind: 1, length: GRANT_BYTES }));
        grant[1] = 2;
        let expected = Grant { lane: Lane::Bulk, received: 0, limit: 0 };
        assert_eq!(Signal::read(&grant), Ok(Signal::Grant(expected)));
    }
}
