//! One connection between two nodes: handshake, records, lanes and messages, without I/O.
//!
//! Driven by the actor that owns the socket: it hands in whole records ([`crate::frame`]) with the
//! time, and writes out what [`Connection::poll_transmit`] appends.
//! Life: handshake (three records of fixed size, Noise XX with both identities inside), then sealed
//! records, until an error or until it is dropped. Nothing is sent or accepted before the other
//! side has proved who it is. Every two minutes another handshake within the connection replaces
//! its keys, unseen by its owner but for the calls of [`Connection::poll`].
//! Reading order: `handshake.rs` (who is there; `opening.rs`, `pre_shared.rs`, `proof.rs`), this
//! file, `established.rs`, `rekey.rs`, `signal.rs`; `gate.rs` stands before all of it.
//! Units: milliseconds of any one clock. Errors: [`ConnectionError`]; after the first one the
//! connection is closed and says so to every further call.
//! Absent on purpose: reconnecting, and a polite goodbye: the socket's end is the goodbye.

mod established;
mod gate;
mod handshake;
pub mod liveness;
mod opening;
mod pre_shared;
mod proof;
mod rekey;
mod signal;

use std::{fmt, sync::Arc};

use bytes::BytesMut;

use self::{
    established::Established,
    handshake::{Finished, IdentityHandshake, Step},
    rekey::{Parties, Rekey},
};
pub use self::{
    gate::{
        Admission, CALM_OPENINGS_PER_S, GateError, HALF_OPEN_MAX, HALF_OPEN_PER_GROUP_MAX,
        HandshakeGate, Ticket, Verdict,
    },
    pre_shared::{PRE_SHARED_KEY_ID_BYTES, PreSharedKey, PreSharedKeyId, PreSharedKeys},
    signal::SignalError,
};
use crate::{
    frame,
    identity::{Identity, IdentityError},
    ids::{NetworkId, PeerId},
    lanes::{Credit, Lane, LaneError, budget::Share},
    limits::{
        HANDSHAKE_MESSAGE_BYTES, HANDSHAKE_TIMEOUT_MS, KEY_LIFETIME_MAX_MS, PROTOCOL_VERSION,
        SEALED_RECORD_MAX_BYTES,
    },
    noise::{KEY_BYTES, NoiseError},
    wire::{Message, WireError},
};

/// Who we are and whom we expect.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Our long-term key.
    pub identity: Arc<Identity>,
    /// Our network: the other side must be in the same.
    pub network: NetworkId,
    /// The only peer we want to talk to, where it is known.
    pub expected_peer: Option<PeerId>,
    /// With which secret to dial, if any. The side that was dialled ignores it.
    pub pre_shared: Option<PreSharedKey>,
    /// With which secrets others may dial us. The side that dials ignores them.
    pub accepted_keys: PreSharedKeys,
}

impl ConnectionConfig {
    /// Anyone in our network, without a secret.
    #[must_use]
    pub fn new(identity: Arc<Identity>, network: NetworkId) -> Self {
        Self {
            identity,
            network,
            expected_peer: None,
            pre_shared: None,
            accepted_keys: PreSharedKeys::default(),
        }
    }
}

/// What a received record can bring.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectionEvent {
    /// The other side has proved who it is; messages may flow.
    Established {
        /// Who it is.
        peer: PeerId,
        /// A name for this one connection that both sides share (the hash of the first handshake;
        /// later ones do not change it): sign it to bind something to the connection.
        binding: [u8; KEY_BYTES],
        /// The secret that the side which dialled showed. The side that was dialled knows by now
        /// that the other one has its key; the side that dialled learns so with the first message,
        /// for a responder that lacks the key ends the connection instead.
        pre_shared: Option<PreSharedKeyId>,
    },
    /// A whole, validated message, and the room it takes until it is given back by
    /// [`Connection::release`].
    Message(Message, Credit),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A record that cannot be a handshake message, by its length alone.
    #[error("a handshake record of {length} bytes instead of {HANDSHAKE_MESSAGE_BYTES}")]
    HandshakeLength {
        /// Its length.
        length: usize,
    },
    /// The other side does not speak this protocol at all.
    #[error("the other side is no SwarmLLM node")]
    NotSwarmLlm,
    /// It speaks another version.
    #[error(
        "the other node speaks protocol {theirs}, this one {PROTOCOL_VERSION}; update the older"
    )]
    Version {
        /// Its version.
        theirs: u16,
    },
    /// The first message is for another peer, or was altered.
    #[error("a first message for somebody else, or altered on the way")]
    NotForUs,
    /// The other side named a secret that is not known here.
    #[error("the other node came with an invite or pool secret that this node does not know")]
    UnknownPreSharedKey,
    /// The other side asked for a cookie and then for another.
    #[error("the other node has too many handshakes to do; try again later")]
    Busy,
    /// The handshake itself failed.
    #[error("handshake failed ({0}): another network or secret, or bytes were altered on the way")]
    Handshake(NoiseError),
    /// A handshake message with something else than zeros behind its content.
    #[error("a handshake message with unknown content")]
    Padding,
    /// The signature over the session key does not hold.
    #[error("the other side could not prove who it is: {0}")]
    Identity(#[from] IdentityError),
    /// Someone else answered than was called.
    #[error("expected {expected} and reached {got}")]
    WrongPeer {
        /// Who was wanted.
        expected: PeerId,
        /// Who answered.
        got: PeerId,
    },
    /// This node has reached itself.
    #[error("this node has connected to itself")]
    SelfConnection,
    /// The handshake took too long.
    #[error("no handshake within {HANDSHAKE_TIMEOUT_MS} ms")]
    HandshakeTimeout,
    /// A sealed record that does not open.
    #[error("a record could not be opened: {0}")]
    Record(NoiseError),
    /// A signal that is none.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A message of a handshake for new keys that was not due.
    #[error("the other node wanted new keys out of turn")]
    RekeyOutOfTurn,
    /// The keys are older than any may be: the other side did not make new ones.
    #[error("no new keys within {KEY_LIFETIME_MAX_MS} ms")]
    KeyExpired,
    /// A fragment that breaks the rules of the lanes.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// A message that breaks its own rules.
    #[error("a message was refused: {0}")]
    Message(#[from] WireError),
    /// A message on a lane where it has no business.
    #[error("a message on the {lane:?} lane that does not belong there")]
    WrongLane {
        /// The lane it came by.
        lane: Lane,
    },
    /// The connection ended before.
    #[error("the connection is closed")]
    Closed,
}

/// Why a message was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody has proved anything yet.
    #[error("the handshake is not finished")]
    NotEstablished,
    /// The connection ended.
    #[error("the connection is closed")]
    Closed,
    /// Too much waits already: send again when some of it is gone, or give up.
    #[error("the {lane:?} lane is full: {queued_bytes} bytes wait to be sent")]
    Full {
        /// Which lane.
        lane: Lane,
        /// Bytes waiting in it.
        queued_bytes: usize,
    },
    /// The message breaks its own rules; a peer would end the connection over it.
    #[error("the message is not valid: {0}")]
    Invalid(#[from] WireError),
    /// The message is longer than its lane carries.
    #[error(transparent)]
    TooLong(LaneError),
}

enum State {
    Handshaking { handshake: Box<IdentityHandshake>, deadline_ms: u64 },
    Established(Box<Established>),
    Closed,
}

/// One connection; see the front page of this file.
pub struct Connection {
    state: State,
    /// A handshake message of ours that is not yet sent.
    handshake_out: Option<BytesMut>,
}

impl Connection {
    /// The side that dials. `entropy` must be fresh randomness, for this connection only.
    #[must_use]
    pub fn initiator(config: ConnectionConfig, entropy: [u8; 64], now_ms: u64) -> Self {
        let (handshake, opening) = IdentityHandshake::initiator(config, entropy);
        Self::new(handshake, Some(opening), now_ms)
    }

    /// The side that was dialled. `entropy` must be fresh randomness, for this connection only.
    #[must_use]
    pub fn responder(config: ConnectionConfig, entropy: [u8; 64], now_ms: u64) -> Self {
        Self::new(IdentityHandshake::responder(config, entropy), None, now_ms)
    }

    fn new(handshake: IdentityHandshake, handshake_out: Option<BytesMut>, now_ms: u64) -> Self {
        let deadline_ms = now_ms.saturating_add(HANDSHAKE_TIMEOUT_MS);
        let state = State::Handshaking { handshake: Box::new(handshake), deadline_ms };
        Self { state, handshake_out }
    }

    /// Until when the handshake must be through; `None` once it is, or after an error.
    #[must_use]
    pub fn handshake_deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Handshaking { deadline_ms, .. } => Some(deadline_ms),
            _ => None,
        }
    }

    /// The other side, once it has proved who it is.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        match &self.state {
            State::Established(established) => Some(established.keys.peer()),
            _ => None,
        }
    }

    /// The longest record that makes sense now, without its prefix: for `frame::take_record`.
    #[must_use]
    pub fn record_limit(&self) -> usize {
        match self.state {
            State::Established(_) => SEALED_RECORD_MAX_BYTES,
            _ => HANDSHAKE_MESSAGE_BYTES,
        }
    }

    /// Bytes of a lane that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        match &self.state {
            State::Established(established) => established.sender.queued_bytes(lane),
            _ => 0,
        }
    }

    /// Takes one record, without its length prefix. It is opened where it lies, and a message's
    /// payload is a view into it.
    pub fn receive_record(
        &mut self,
        record: BytesMut,
        now_ms: u64,
    ) -> Result<Option<ConnectionEvent>, ConnectionError> {
        let result = match &mut self.state {
            State::Closed => return Err(ConnectionError::Closed),
            State::Established(established) => established.receive(record, now_ms),
            State::Handshaking { deadline_ms, .. } if now_ms > *deadline_ms => {
                Err(ConnectionError::HandshakeTimeout)
            }
            State::Handshaking { handshake, .. } => match handshake.receive(&record) {
                Ok(step) => self.advance(step, now_ms),
                Err(error) => Err(error),
            },
        };
        if result.is_err() {
            self.close();
        }
        result
    }

    /// Keeps what the handshake wants to say, and moves on when it is through.
    fn advance(
        &mut self,
        step: Step,
        now_ms: u64,
    ) -> Result<Option<ConnectionEvent>, ConnectionError> {
        let Step { reply, proved } = step;
        self.handshake_out = reply;
        let Some(peer) = proved else {
            return Ok(None);
        };
        // The state is replaced in any case: on an error the caller closes.
        let State::Handshaking { handshake, .. } =
            std::mem::replace(&mut self.state, State::Closed)
        else {
            return Err(ConnectionError::Closed);
        };
        let Finished { noise, identity, role, secret } = handshake.finish()?;
        let (binding, chain) = (noise.hash(), noise.chain_secret());
        let chain = chain.map_err(ConnectionError::Handshake)?;
        let transport = noise.into_transport().map_err(ConnectionError::Handshake)?;
        let parties = Parties { identity, peer, role, binding, chain };
        let keys = Rekey::new(parties, transport, now_ms);
        self.state = State::Established(Box::new(Established::new(keys, now_ms)));
        Ok(Some(ConnectionEvent::Established { peer, binding, pre_shared: secret }))
    }

    /// Answers a first message that was not given to this side with a cookie reply
    /// ([`HandshakeGate`]).
    pub fn challenge(&mut self, reply: BytesMut) {
        if let State::Handshaking { .. } = self.state {
            self.handshake_out = Some(reply);
        }
    }

    /// Ends the connection: keys are cleared, nothing more is sent or accepted.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.handshake_out = None;
    }

    /// Queues a message by its lane.
    pub fn send(&mut self, message: Message) -> Result<(), SendError> {
        match &mut self.state {
            State::Handshaking { .. } => Err(SendError::NotEstablished),
            State::Closed => Err(SendError::Closed),
            State::Established(established) => established.send(message),
        }
    }

    /// Does what is due at this time: new keys, and an end to old ones and to slow handshakes.
    /// Call it at least every few seconds and before [`Self::poll_transmit`]; `entropy` is asked
    /// for fresh randomness only when there is use for it.
    pub fn poll(
        &mut self,
        now_ms: u64,
        entropy: impl FnOnce() -> [u8; 64],
    ) -> Result<(), ConnectionError> {
        let result = match &mut self.state {
            State::Closed => return Err(ConnectionError::Closed),
            State::Established(established) => established.poll(now_ms, entropy),
            State::Handshaking { deadline_ms, .. } if now_ms > *deadline_ms => {
                Err(ConnectionError::HandshakeTimeout)
            }
            State::Handshaking { .. } => Ok(()),
        };
        if result.is_err() {
            self.close();
        }
        result
    }

    /// Gives back the room of a message that its receiver is done with: until then the other side
    /// sends no more than fits beside it.
    pub fn release(&mut self, credit: Credit) {
        if let State::Established(established) = &mut self.state {
            established.receiver.release(credit);
        }
    }

    /// What this connection may take of a budget that it shares with others; all of it until this
    /// is called. Call it before [`Self::poll_transmit`], for that is when room is granted.
    pub fn set_share(&mut self, share: Share) {
        if let State::Established(established) = &mut self.state {
            established.receiver.set_share(share);
        }
    }

    /// Bytes that it has taken of that budget.
    #[must_use]
    pub fn extra_bytes(&self) -> u64 {
        match &self.state {
            State::Established(established) => established.receiver.extra(),
            _ => 0,
        }
    }

    /// Whether a message of the other side waits until that budget has room for it.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        match &self.state {
            State::Established(established) => established.receiver.is_waiting(),
            _ => false,
        }
    }

    /// How fast this side's data arrives at the other, bytes per second, once it was measured.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<u64> {
        match &self.state {
            State::Established(established) => established.bandwidth.bytes_per_s(),
            _ => None,
        }
    }

    /// Handshakes this connection has been through: 0 before it is established.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        match &self.state {
            State::Established(established) => established.keys.rounds(),
            _ => 0,
        }
    }

    /// Appends a record of these bytes, whatever they are; false without keys. For tests of what
    /// the other side does about it.
    pub(crate) fn seal(&mut self, text: &[u8], out: &mut BytesMut) -> bool {
        let State::Established(established) = &mut self.state else { return false };
        let mut record = BytesMut::from(text);
        let sealed = established.keys.transport.sending.seal_tail(&[], &mut record, 0);
        frame::put_length(out, record.len());
        out.extend_from_slice(&record);
        sealed.is_ok()
    }

    /// Appends at most one record with its length prefix to `out`; false when nothing is to be
    /// sent now.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> bool {
        if let Some(message) = self.handshake_out.take() {
            frame::put_length(out, message.len());
            out.extend_from_slice(&message);
            return true;
        }
        let State::Established(established) = &mut self.state else {
            return false;
        };
        match established.transmit(out) {
            Ok(sent) => sent,
            Err(_) => {
                // Only a used-up or outdated key can fail here, and there is no way on with it.
                self.close();
                false
            }
        }
    }
}

impl fmt::Debug for Connection {
    /// Shows how far it is, never a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.state {
            State::Handshaking { .. } => "handshaking",
            State::Established(_) => "established",
            State::Closed => "closed",
        };
        let peer = self.peer();
        formatter.debug_struct("Connection").field("phase", &phase).field("peer", &peer).finish()
    }
}

#[cfg(test)]
mod rekey_tests;
#[cfg(test)]
mod tests;
