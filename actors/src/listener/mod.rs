//! The listener: accepts connections and makes each a `peer_session`.
//!
//! Floods are bounded before any cryptography: so many sessions in all, so many per group of
//! neighbours (loopback and local networks are exempt, since a whole swarm may live there), and
//! handshakes under way as `swarmllm_protocol::connection::HandshakeGate` says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, StreamHandler, WrapFuture,
};
use futures_util::stream;
use swarmllm_protocol::address::{self, AddressGroup};
use swarmllm_protocol::connection::{Connection, ConnectionConfig, HandshakeGate, Ticket};
use tokio::net::{TcpListener, TcpStream};

use crate::dialer::SessionSettings;
use crate::entropy;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer, offer_to};
use crate::peer_session::{CloseSession, Guest, PeerSession, SharedGate, at_gate};

/// Accepted sessions at once, beside those that still shake hands.
const SESSIONS_MAX: usize = 512;
/// Accepted sessions at once from one group of neighbours.
const SESSIONS_PER_GROUP_MAX: usize = 32;

/// The actor.
pub struct Listener {
    socket: Option<std::net::TcpListener>,
    settings: SessionSettings,
    gate: SharedGate,
    open: BTreeMap<Ticket, (Addr<PeerSession>, IpAddr)>,
}

impl Listener {
    /// A listener on a bound, non-blocking socket; it joins the runtime of the actor's Arbiter.
    pub fn new(socket: std::net::TcpListener, settings: SessionSettings) -> Listener {
        let gate = HandshakeGate::new(settings.identity.peer_id(), entropy::bytes());
        let gate = Arc::new(Mutex::new(gate));
        Listener { socket: Some(socket), settings, gate, open: BTreeMap::new() }
    }

    /// A place for one more session from there, or why there is none.
    fn admit(&mut self, remote: IpAddr) -> Result<Ticket, String> {
        if self.settings.is_offline && !address::is_private(remote) {
            return Err("this node is in offline mode and stays on its own network".into());
        }
        self.open.retain(|_, (session, _)| session.connected());
        let mut gate = at_gate(&self.gate);
        if self.open.len().saturating_sub(gate.half_open()) >= SESSIONS_MAX {
            return Err("too many sessions are open".into());
        }
        let group = AddressGroup::of(remote);
        let neighbours = || self.open.values().filter(|(_, ip)| AddressGroup::of(*ip) == group);
        if address::is_counted(remote) && neighbours().count() >= SESSIONS_PER_GROUP_MAX {
            return Err("too many sessions are open from that address range".into());
        }
        let admitted = gate.admit(remote).map_err(|error| error.to_string())?;
        drop(gate);
        if let Some((session, _)) = admitted.evicted.and_then(|ticket| self.open.remove(&ticket)) {
            let reason = "it shook hands for too long while others waited";
            offer_to(&session, CloseSession { reason });
        }
        Ok(admitted.ticket)
    }

    fn accepted(&mut self, stream: TcpStream, remote: SocketAddr) {
        // A socket for both families shows IPv4 addresses as IPv6 ones.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let ticket = match self.admit(remote.ip()) {
            Ok(ticket) => ticket,
            Err(reason) => {
                let event = Event::SessionRefused { remote: remote.to_string(), reason };
                offer(&self.settings.links.events, Record(event));
                return;
            }
        };
        let SessionSettings { identity, network, accepted_keys, clock, links, .. } = &self.settings;
        let guest = Guest::new(Arc::clone(&self.gate), ticket);
        let config = ConnectionConfig {
            accepted_keys: accepted_keys.clone(),
            ..ConnectionConfig::new(Arc::clone(identity), network.clone())
        };
        let connection = Connection::responder(config, entropy::bytes(), clock.now_ms());
        let session = PeerSession::new(stream, remote, (connection, None), *clock, links.clone());
        self.open.insert(ticket, (session.at_door(guest).start(), remote.ip()));
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::CONTROL);
        let Some(socket) = self.socket.take() else { return };
        match TcpListener::from_std(socket) {
            Ok(socket) => {
                ctx.add_stream(stream::unfold(socket, |socket| async move {
                    let accepted = socket.accept().await;
                    Some((accepted, socket))
                }));
            }
            Err(error) => {
                tracing::error!(%error, "the listening socket can't be used");
                ctx.stop();
            }
        }
    }
}

impl StreamHandler<std::io::Result<(TcpStream, SocketAddr)>> for Listener {
    fn handle(
        &mut self,
        accepted: std::io::Result<(TcpStream, SocketAddr)>,
        ctx: &mut Self::Context,
    ) {
        match accepted {
            Ok((stream, remote)) => self.accepted(stream, remote),
            Err(error) => {
                // Out of file descriptors: accepting again at once would spin, so breathe first.
                tracing::warn!(%error, "accept failed");
                let pause = tokio::time::sleep(std::time::Duration::from_millis(100));
                ctx.wait(pause.into_actor(self).map(|(), _, _| ()));
            }
        }
    }
}
