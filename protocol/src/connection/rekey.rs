//! New keys for a connection, by a whole new handshake within it.
//!
//! Called by `established.rs`. Either side may start; the side that dialled does so at
//! [`REKEY_AFTER_MS`] or the limits of records and bytes, the other one a little later if nothing
//! came. If both start at once, the dialling side's handshake counts and the other is dropped.
//! The handshake is Noise XXpsk3 with fresh keys on both sides, between the same two identities,
//! sealed in records of the old keys. Its pre-shared key comes out of the handshake before, so that
//! what protected the first one (an invite's secret) protects all, and nobody can take over who
//! only knows an identity. The prologue is the first handshake's hash, which stays the connection's
//! name, and a round number.
//! Switching: the stream is in order, so each direction changes keys at a record that says so. The
//! side that starts seals with its new key from the record behind its message 3 on; the other side
//! opens with it from there, says "switched" under its old key, and seals with the new one from
//! then on. So each direction has a current key, for a while a next one, and the previous one until
//! that record; nothing in flight is lost.
//! Units: milliseconds. Errors: [`ConnectionError`].
//! Absent on purpose: a timer. [`Rekey::poll`] is given the time and says what is due.

use std::sync::Arc;

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::{
    ConnectionError,
    handshake::fresh_keys,
    proof, signal,
    signal::{RekeyStep, Signal},
};
use crate::{
    identity::Identity,
    ids::PeerId,
    limits::{
        KEY_LIFETIME_MAX_MS, PROTOCOL_VERSION, REKEY_AFTER_BYTES, REKEY_AFTER_MS,
        REKEY_AFTER_RECORDS, REKEY_EARLIEST_MS, REKEY_GRACE_MS,
    },
    noise::{CipherState, Handshake, HandshakeKeys, KEY_BYTES, Role, Transport, XXPSK3},
};

/// Begins the prologue.
const PROLOGUE_DOMAIN: &[u8] = b"swarmllm/1 new keys";

type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// Two nodes that have proved themselves, and what binds their next handshake to the last.
pub(super) struct Parties {
    pub(super) identity: Arc<Identity>,
    pub(super) peer: PeerId,
    /// Which side of the connection we are.
    pub(super) role: Role,
    /// Hash of the first handshake.
    pub(super) binding: [u8; KEY_BYTES],
    /// Out of the last handshake.
    pub(super) chain: Secret,
}

/// How far the next handshake is.
enum Progress {
    /// None is under way.
    Settled,
    /// Theirs has begun; our answer needs fresh keys.
    Asked(Box<[u8; signal::OPENING_BYTES]>),
    /// Ours has begun.
    Opened(Box<Handshake>),
    /// Theirs was answered.
    Answered(Box<Handshake>),
    /// Ours is through; they seal with the new key as soon as they say so.
    Closed { receiving: CipherState },
}

/// A message of a handshake that waits to be sent, and the key that comes after it.
struct Outgoing {
    step: RekeyStep,
    message: BytesMut,
    sending: Option<CipherState>,
}

/// The keys of a connection.
pub(super) struct Rekey {
    parties: Parties,
    pub(super) transport: Transport,
    sending_since_ms: u64,
    receiving_since_ms: u64,
    round: u64,
    progress: Progress,
    outgoing: Option<Outgoing>,
}

impl Rekey {
    /// The keys of the first handshake.
    pub(super) fn new(parties: Parties, transport: Transport, now_ms: u64) -> Self {
        Self {
            parties,
            transport,
            sending_since_ms: now_ms,
            receiving_since_ms: now_ms,
            round: 1,
            progress: Progress::Settled,
            outgoing: None,
        }
    }

    /// The other side.
    pub(super) fn peer(&self) -> PeerId {
        self.parties.peer
    }

    /// Another identity behind the same keys, for a test.
    #[cfg(test)]
    pub(super) fn set_identity(&mut self, identity: Arc<Identity>) {
        self.parties.identity = identity;
    }

    /// Handshakes that this connection has seen.
    pub(super) fn rounds(&self) -> u64 {
        self.round
    }

    /// When a key that is in use became so, milliseconds: the older of both directions.
    fn since_ms(&self) -> u64 {
        self.sending_since_ms.min(self.receiving_since_ms)
    }

    /// Whether the keys are this much of the way to where new ones are due, in parts of 8.
    fn is_worn(&self, eighths: u64) -> bool {
        let Transport { sending, receiving } = &self.transport;
        let records = sending.records().max(receiving.records());
        let bytes = sending.bytes().max(receiving.bytes());
        records >= REKEY_AFTER_RECORDS / 8 * eighths || bytes >= REKEY_AFTER_BYTES / 8 * eighths
    }

    /// Whether it is for us to start now.
    fn is_due(&self, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.since_ms());
        match self.parties.role {
            Role::Initiator => age_ms >= REKEY_AFTER_MS || self.is_worn(8),
            Role::Responder => age_ms >= REKEY_AFTER_MS + REKEY_GRACE_MS || self.is_worn(9),
        }
    }

    /// Refuses keys that should long have been replaced.
    pub(super) fn check_age(&self, now_ms: u64) -> Result<(), ConnectionError> {
        match now_ms.saturating_sub(self.since_ms()) {
            0..=KEY_LIFETIME_MAX_MS => Ok(()),
            _ => Err(ConnectionError::KeyExpired),
        }
    }

    /// Does what is due. `entropy` is asked for fresh randomness only when there is.
    pub(super) fn poll(
        &mut self,
        now_ms: u64,
        entropy: impl FnOnce() -> [u8; 64],
    ) -> Result<(), ConnectionError> {
        self.check_age(now_ms)?;
        match std::mem::replace(&mut self.progress, Progress::Settled) {
            Progress::Asked(opening) => {
                let mut noise = self.handshake(Role::Responder, entropy());
                noise.read_message(&*opening).map_err(ConnectionError::Handshake)?;
                self.say(RekeyStep::Response, &mut noise, true)?;
                self.progress = Progress::Answered(Box::new(noise));
            }
            Progress::Settled if self.outgoing.is_none() && self.is_due(now_ms) => {
                let mut noise = self.handshake(Role::Initiator, entropy());
                self.say(RekeyStep::Opening, &mut noise, false)?;
                self.progress = Progress::Opened(Box::new(noise));
            }
            other => self.progress = other,
        }
        Ok(())
    }

    fn handshake(&self, role: Role, entropy: [u8; 64]) -> Handshake {
        let mut prologue = PROLOGUE_DOMAIN.to_vec();
        prologue.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        prologue.extend_from_slice(&self.parties.binding);
        prologue.extend_from_slice(&self.round.to_le_bytes());
        let pre_shared = vec![self.parties.chain.clone()];
        let keys = HandshakeKeys { pre_shared, ..fresh_keys(entropy) };
        Handshake::new(XXPSK3, role, &prologue, keys)
            .expect("the pattern needs no key of the other side beforehand")
    }

    /// Writes our next message and keeps it until it is sent.
    fn say(
        &mut self,
        step: RekeyStep,
        noise: &mut Handshake,
        with_proof: bool,
    ) -> Result<(), ConnectionError> {
        let proof = with_proof.then(|| proof::write(&self.parties.identity, noise));
        let payload = proof.as_ref().map_or(&[] as &[u8], |proof| proof);
        let mut message = BytesMut::new();
        noise.write_message(payload, &mut message).map_err(ConnectionError::Handshake)?;
        self.outgoing = Some(Outgoing { step, message, sending: None });
        Ok(())
    }

    /// Takes a message of the other side.
    pub(super) fn receive(
        &mut self,
        step: RekeyStep,
        message: &[u8],
        now_ms: u64,
    ) -> Result<(), ConnectionError> {
        let progress = std::mem::replace(&mut self.progress, Progress::Settled);
        self.progress = match (step, progress) {
            // Both have begun: the side that dialled goes on with its own.
            (RekeyStep::Opening, ours @ Progress::Opened(_))
                if self.parties.role == Role::Initiator =>
            {
                ours
            }
            (RekeyStep::Opening, Progress::Settled | Progress::Opened(_)) => {
                self.asked(message, now_ms)?
            }
            (RekeyStep::Response, Progress::Opened(noise)) => self.close(*noise, message)?,
            (RekeyStep::Closing, Progress::Answered(noise)) => {
                self.closed(*noise, message, now_ms)?
            }
            (RekeyStep::Switched, Progress::Closed { receiving }) => {
                self.transport.receiving = receiving;
                self.receiving_since_ms = now_ms;
                Progress::Settled
            }
            _ => return Err(ConnectionError::RekeyOutOfTurn),
        };
        Ok(())
    }

    /// They begin, if it is time.
    fn asked(&mut self, message: &[u8], now_ms: u64) -> Result<Progress, ConnectionError> {
        let age_ms = now_ms.saturating_sub(self.since_ms());
        if age_ms < REKEY_EARLIEST_MS && !self.is_worn(4) {
            return Err(ConnectionError::RekeyOutOfTurn);
        }
        // Our own opening gives way to theirs; anything else of ours is due before theirs.
        let gives_way = |outgoing: Outgoing| outgoing.step == RekeyStep::Opening;
        if !self.outgoing.take().is_none_or(gives_way) {
            return Err(ConnectionError::RekeyOutOfTurn);
        }
        let opening = message.try_into().map_err(|_| ConnectionError::RekeyOutOfTurn)?;
        Ok(Progress::Asked(Box::new(opening)))
    }

    /// They answered ours: message 3, and behind it the new key.
    fn close(&mut self, mut noise: Handshake, message: &[u8]) -> Result<Progress, ConnectionError> {
        self.read_proof(&mut noise, message)?;
        self.say(RekeyStep::Closing, &mut noise, true)?;
        let Transport { sending, receiving } = self.finish(noise)?;
        self.switch_after_outgoing(sending);
        Ok(Progress::Closed { receiving })
    }

    /// Theirs is through: what follows is sealed with the new key, and ours soon.
    fn closed(
        &mut self,
        mut noise: Handshake,
        message: &[u8],
        now_ms: u64,
    ) -> Result<Progress, ConnectionError> {
        self.read_proof(&mut noise, message)?;
        let Transport { sending, receiving } = self.finish(noise)?;
        self.transport.receiving = receiving;
        self.receiving_since_ms = now_ms;
        let (step, message) = (RekeyStep::Switched, BytesMut::new());
        self.outgoing = Some(Outgoing { step, message, sending: None });
        self.switch_after_outgoing(sending);
        Ok(Progress::Settled)
    }

    fn read_proof(&self, noise: &mut Handshake, message: &[u8]) -> Result<(), ConnectionError> {
        let payload = noise.read_message(message).map_err(ConnectionError::Handshake)?;
        proof::check(&payload, noise, &self.parties.identity, Some(self.parties.peer))?;
        Ok(())
    }

    fn finish(&mut self, noise: Handshake) -> Result<Transport, ConnectionError> {
        self.parties.chain = noise.chain_secret().map_err(ConnectionError::Handshake)?;
        self.round += 1;
        noise.into_transport().map_err(ConnectionError::Handshake)
    }

    fn switch_after_outgoing(&mut self, sending: CipherState) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.sending = Some(sending);
        }
    }

    /// Whether a message waits to be sent.
    pub(super) fn has_outgoing(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Appends the signal that waits; the key to seal with behind it, if it changes there.
    pub(super) fn write_outgoing(&mut self, out: &mut BytesMut) -> Option<CipherState> {
        let Outgoing { step, message, sending } = self.outgoing.take()?;
        Signal::Rekey(step, &message).write(out);
        sending
    }

    /// Seals with another key from now on.
    pub(super) fn switch_sending(&mut self, sending: CipherState, now_ms: u64) {
        self.transport.sending = sending;
        self.sending_since_ms = now_ms;
    }
}
