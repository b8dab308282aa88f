//! Two connections in memory, for tests here and in the crates above.
//!
//! Called by tests only; it is compiled always because it is small and `cfg(test)` ends at a
//! crate's border.
//! Units: milliseconds of a clock that stands at 0. Errors: those of the connections.
//! Absent on purpose: delay and loss; a simulator above shapes links.

use std::sync::Arc;

use bytes::BytesMut;

use crate::{
    connection::{Connection, ConnectionConfig, ConnectionError, ConnectionEvent},
    frame,
    identity::Identity,
    ids::NetworkId,
};

/// An initiator and a responder, and what has happened to each.
pub struct Pair {
    /// The side that dialled.
    pub initiator: Connection,
    /// The side that was dialled.
    pub responder: Connection,
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
            let to_responder = carry(&mut self.initiator, &mut self.responder, &mut events[1])?;
            let to_initiator = carry(&mut self.responder, &mut self.initiator, &mut events[0])?;
            if !to_responder && !to_initiator {
                return Ok(events);
            }
        }
    }
}

/// Carries every waiting record from one connection to the other; whether there was one.
pub fn carry(
    from: &mut Connection,
    to: &mut Connection,
    events: &mut Vec<ConnectionEvent>,
) -> Result<bool, ConnectionError> {
    let mut has_carried = false;
    let mut stream = BytesMut::new();
    while from.poll_transmit(&mut stream) {
        has_carried = true;
        let record = frame::take_record(&mut stream, to.record_limit())
            .ok()
            .flatten()
            .expect("a connection writes whole records within the other side's limit");
        events.extend(to.receive_record(record, 0)?);
    }
    Ok(has_carried)
}
