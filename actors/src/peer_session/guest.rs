//! A place at the door for a session that was dialled, as long as its handshake is under way.
//!
//! The rules are `swarmllm_protocol::connection::HandshakeGate`'s; the listener and its sessions
//! share one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmllm_protocol::connection::{ConnectionError, HandshakeGate, Ticket, Verdict};

/// The door of this node.
pub type SharedGate = Arc<Mutex<HandshakeGate>>;

/// Looks at the door; a panic elsewhere leaves it as it was.
pub fn at_gate(gate: &SharedGate) -> MutexGuard<'_, HandshakeGate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place, given back when dropped.
pub struct Guest {
    gate: SharedGate,
    ticket: Ticket,
    is_challenged: bool,
}

impl Guest {
    /// The holder of a ticket.
    pub fn new(gate: SharedGate, ticket: Ticket) -> Guest {
        Guest { gate, ticket, is_challenged: false }
    }

    /// What to do with its first record. Who was challenged and comes without the cookie is busy
    /// with something else than a handshake.
    pub(super) fn judge(
        &mut self,
        remote: SocketAddr,
        record: &[u8],
        now_ms: u64,
    ) -> Result<Verdict, ConnectionError> {
        let verdict = at_gate(&self.gate).judge(self.ticket, remote, record, now_ms)?;
        let is_challenge = matches!(verdict, Verdict::Challenge(_));
        if is_challenge && std::mem::replace(&mut self.is_challenged, true) {
            return Err(ConnectionError::Busy);
        }
        Ok(verdict)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        at_gate(&self.gate).release(self.ticket);
    }
}
