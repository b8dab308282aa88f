//! Two connections in memory, for tests here and in the crates above.
//!
//! Called by tests only; it is compiled always because it is small and `cfg(test)` ends at a
//! crate's border.
//! Units: milliseconds of a clock that stands until a test moves it. Errors: those of the
//! connections.
//! Absent on purpose: delay and loss; a simulator above shapes links.

use std::sync::Arc;

use bytes::BytesMut;

use crate::{
    connection::{Connection, ConnectionConfig, ConnectionError, ConnectionEvent},
    frame,
    identity::Identity,
    ids::NetworkId,
    wire::Message,
};

/// An initiator and a responder, and what has happened to each.
pub struct Pair {
    /// The side that dialled.
    pub initiator: Connection,
    /// The side that was dialled.
    pub responder: Connection,
    /// The time of both.
    pub now_ms: u64,
    /// Bytes that were carried, either way.
    pub carried_bytes: u64,
    entropy: u8,
}

/// A configuration in the network `main` with the identity of a repeated byte, for tests.
#[must_use]
pub fn config(seed: u8) -> ConnectionConfig {
    let identity = Arc::new(Identity::from_seed([seed; 32]));
    ConnectionConfig::new(identity, NetworkId::default())
}

impl Pair {
    /// Two connections of these configurations, nothing sent yet.
    #[must_use]
    pub fn new(initiator: ConnectionConfig, responder: ConnectionConfig) -> Self {
        Self {
            initiator: Connection::initiator(initiator, [0x11; 64], 0),
            responder: Connection::responder(responder, [0x22; 64], 0),
            now_ms: 0,
            carried_bytes: 0,
            entropy: 0x22,
        }
    }

    /// Two nodes that have completed their handshake.
    pub fn established() -> Result<Self, ConnectionError> {
        let mut pair = Self::new(config(1), config(2));
        pair.run()?;
        Ok(pair)
    }

    /// Carries records both ways until nobody has anything to say; returns what happened to the
    /// initiator and to the responder.
    pub fn run(&mut self) -> Result<[Vec<ConnectionEvent>; 2], ConnectionError> {
        let mut events = [Vec::new(), Vec::new()];
        loop {
            self.poll()?;
            let [to_responder, to_initiator] = [
                carry(&mut self.initiator, &mut self.responder, self.now_ms, &mut events[1])?,
                carry(&mut self.responder, &mut self.initiator, self.now_ms, &mut events[0])?,
            ];
            self.carried_bytes += (to_responder + to_initiator) as u64;
            if to_responder + to_initiator == 0 {
                return Ok(events);
            }
        }
    }

    /// Lets both do what is due.
    pub fn poll(&mut self) -> Result<(), ConnectionError> {
        for side in [&mut self.initiator, &mut self.responder] {
            side.poll(self.now_ms, || {
                self.entropy = self.entropy.wrapping_add(1);
                [self.entropy; 64]
            })?;
        }
        Ok(())
    }
}

/// Carries every waiting record from one connection to the other, which is done with each message
/// at once; the bytes of them.
pub fn carry(
    from: &mut Connection,
    to: &mut Connection,
    now_ms: u64,
    events: &mut Vec<ConnectionEvent>,
) -> Result<usize, ConnectionError> {
    let mut carried = 0;
    let mut stream = BytesMut::new();
    while from.poll_transmit(&mut stream) {
        carried += stream.len();
        let record = frame::take_record(&mut stream, to.record_limit())
            .ok()
            .flatten()
            .expect("a connection writes whole records within the other side's limit");
        let event = to.receive_record(record, now_ms)?;
        if let Some(ConnectionEvent::Message(_, credit)) = &event {
            to.release(*credit);
        }
        events.extend(event);
    }
    Ok(carried)
}

/// Appends a record of these bytes to `out`, as a peer would that keeps to no rule; false when the
/// connection is not established.
pub fn seal(connection: &mut Connection, text: &[u8], out: &mut BytesMut) -> bool {
    connection.seal(text, out)
}

/// The messages among what happened.
#[must_use]
pub fn messages(events: &[ConnectionEvent]) -> Vec<Message> {
    let messages = events.iter().filter_map(|event| match event {
        ConnectionEvent::Message(message, _) => Some(message.clone()),
        ConnectionEvent::Established { .. } => None,
    });
    messages.collect()
}
