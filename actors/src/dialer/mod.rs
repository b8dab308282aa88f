//! The dialer: outgoing connections, a bounded number at a time.
//!
//! `peer_directory` decides whom and when; an attempt tries the addresses in order and either
//! becomes a `peer_session` or answers `DialFailed`. The handshake is the session's business.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use swarmllm_protocol::connection::{Connection, ConnectionConfig, PreSharedKey, PreSharedKeys};
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::NetworkId;
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::entropy;
use crate::mailbox::{self, offer};
use crate::peer_directory::{DialFailed, PeerTarget};
use crate::peer_session::{PeerSession, SessionLinks};

/// Attempts at once; more wait in order. After a start that is what the peer directory asks for.
const ATTEMPTS_MAX: usize = 32;
/// Attempts that may wait.
const WAITING_MAX: usize = 512;
/// Time for one address to accept.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// Command. Sender: peer_directory. Reply: a session in the directory, or `DialFailed`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Dial {
    /// Whom.
    pub target: PeerTarget,
    /// Where, best first.
    pub addresses: Vec<SocketAddr>,
    /// The invite to redeem there, if any.
    pub invite: Option<PreSharedKey>,
}

/// What every session of this node is made with.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// This node's identity.
    pub identity: Arc<Identity>,
    /// Which swarm.
    pub network: NetworkId,
    /// Whoever is not on a private network is refused.
    pub is_offline: bool,
    /// Secrets with which others may come: invites, pools.
    pub accepted_keys: PreSharedKeys,
    /// The node's clock.
    pub clock: Clock,
    /// Whom sessions talk to.
    pub links: SessionLinks,
}

/// The actor.
pub struct Dialer {
    settings: SessionSettings,
    failed: Recipient<DialFailed>,
    n_under_way: usize,
    waiting: VecDeque<Dial>,
}

impl Dialer {
    /// A dialer that reports failures to `failed`.
    pub fn new(settings: SessionSettings, failed: Recipient<DialFailed>) -> Dialer {
        Dialer { settings, failed, n_under_way: 0, waiting: VecDeque::new() }
    }

    fn start_next(&mut self, ctx: &mut Context<Self>) {
        while self.n_under_way < ATTEMPTS_MAX {
            let Some(dial) = self.waiting.pop_front() else { return };
            self.n_under_way += 1;
            let Dial { target, addresses, invite } = dial;
            let connected = async move { connect(&addresses).await };
            ctx.spawn(connected.into_actor(self).map(move |connected, dialer, ctx| {
                dialer.n_under_way -= 1;
                match connected {
                    Ok((stream, remote)) => dialer.start_session(stream, remote, (target, invite)),
                    Err(reason) => {
                        offer(&dialer.failed, DialFailed { target, reason });
                    }
                }
                dialer.start_next(ctx);
            }));
        }
    }

    fn start_session(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        (target, pre_shared): (PeerTarget, Option<PreSharedKey>),
    ) {
        let SessionSettings { identity, network, .. } = &self.settings;
        let config = ConnectionConfig {
            expected_peer: match &target {
                PeerTarget::Peer(peer) => Some(*peer),
                PeerTarget::Address(_) => None,
            },
            pre_shared,
            ..ConnectionConfig::new(Arc::clone(identity), network.clone())
        };
        let clock = self.settings.clock;
        let connection = Connection::initiator(config, entropy::bytes(), clock.now_ms());
        let links = self.settings.links.clone();
        PeerSession::new(stream, remote, (connection, Some(target)), clock, links).start();
    }
}

/// The first address that accepts, or every address with its reason.
async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), String> {
    let mut reasons = Vec::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
            Err(_) => reasons.push(format!("{address}: no answer")),
        }
    }
    Err(reasons.join("; "))
}

impl Actor for Dialer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::CONTROL);
    }
}

impl Handler<Dial> for Dialer {
    type Result = ();

    fn handle(&mut self, dial: Dial, ctx: &mut Self::Context) {
        if self.waiting.len() >= WAITING_MAX {
            let reason = "too many connections are being opened".to_owned();
            offer(&self.failed, DialFailed { target: dial.target, reason });
            return;
        }
        self.waiting.push_back(dial);
        self.start_next(ctx);
    }
}
