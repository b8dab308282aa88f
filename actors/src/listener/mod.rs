//! The listener: accepts connections and makes each a `peer_session`.
//!
//! Floods are bounded before any cryptography: so many sessions in all, so many per address range
//! (/24 or /64; loopback is exempt, since a whole swarm may live on one machine).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, StreamHandler, WrapFuture,
};
use futures_util::stream;
use swarmllm_protocol::connection::{Connection, ConnectionConfig};
use tokio::net::{TcpListener, TcpStream};

use crate::dialer::SessionSettings;
use crate::entropy;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer};
use crate::peer_session::PeerSession;

/// Accepted sessions at once.
const SESSIONS_MAX: usize = 512;
/// Accepted sessions at once from one address range.
const SESSIONS_PER_RANGE_MAX: usize = 32;

/// The actor.
pub struct Listener {
    socket: Option<std::net::TcpListener>,
    settings: SessionSettings,
    open: Vec<(Addr<PeerSession>, IpAddr)>,
}

impl Listener {
    /// A listener on a bound, non-blocking socket; it joins the runtime of the actor's Arbiter.
    pub fn new(socket: std::net::TcpListener, settings: SessionSettings) -> Listener {
        Listener { socket: Some(socket), settings, open: Vec::new() }
    }

    /// Why one more session from there would be too many.
    fn refusal(&mut self, remote: IpAddr) -> Option<&'static str> {
        self.open.retain(|(session, _)| session.connected());
        if self.open.len() >= SESSIONS_MAX {
            return Some("too many sessions are open");
        }
        let mut ranges: HashMap<IpAddr, usize> = HashMap::new();
        for (_, ip) in &self.open {
            *ranges.entry(range_of(*ip)).or_default() += 1;
        }
        let n_there = ranges.get(&range_of(remote)).copied().unwrap_or(0);
        let is_crowded = !remote.is_loopback() && n_there >= SESSIONS_PER_RANGE_MAX;
        is_crowded.then_some("too many sessions are open from that address range")
    }

    fn accepted(&mut self, stream: TcpStream, remote: SocketAddr) {
        let clock = self.settings.clock;
        let links = self.settings.links.clone();
        if let Some(reason) = self.refusal(remote.ip()) {
            let event =
                Event::SessionRefused { remote: remote.to_string(), reason: reason.to_owned() };
            offer(&links.events, Record(event));
            return;
        }
        let SessionSettings { identity, network, accepted_keys, .. } = &self.settings;
        let config = ConnectionConfig {
            accepted_keys: accepted_keys.clone(),
            ..ConnectionConfig::new(Arc::clone(identity), network.clone())
        };
        let connection = Connection::responder(config, entropy::bytes(), clock.now_ms());
        let session = PeerSession::new(stream, remote, (connection, false), clock, links).start();
        self.open.push((session, remote.ip()));
    }
}

/// The /24 or /64 that an address belongs to.
fn range_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
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
