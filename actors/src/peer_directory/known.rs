//! What the directory keeps of a peer, of a place where one may be, and of a session.

use std::net::SocketAddr;

use swarmllm_protocol::connection::PreSharedKey;
use swarmllm_protocol::dial_budget::Backoff;
use swarmllm_protocol::node_record::NodeRecord;
use swarmllm_protocol::peer_exchange::ExchangeSender;
use swarmllm_protocol::rate_limit::RateLimit;
use swarmllm_protocol::wire::ShardOffer;
use tokio::sync::oneshot;

use super::Via;
use super::policy::ADDRESSES_MAX;
use crate::peer_session::SessionHandle;

/// Connections that one peer may make this node open: so many at once, one more every 2 s.
const ASKED_MOST: u64 = 16;
const ASKED_EVERY_MS: u64 = 2_000;

/// Attempts to reach somebody.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) backoff: Backoff,
    pub(super) is_under_way: bool,
    pub(super) last_reason: String,
}

impl Attempts {
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        !self.is_under_way && self.backoff.is_due(now_ms)
    }

    pub(super) fn failed(&mut self, now_ms: u64, reason: String) {
        self.is_under_way = false;
        self.backoff.failed(now_ms);
        self.last_reason = reason;
    }
}

/// An open session with a peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) handle: SessionHandle,
    /// Whether this node dialled.
    pub(super) is_ours: bool,
    /// The other end of the socket.
    pub(super) remote: SocketAddr,
    pub(super) opened_ms: u64,
    /// Whether the peer has said who it is.
    pub(super) is_greeted: bool,
    /// Whether it was opened over what was wanted, for a route or a test.
    pub(super) is_extra: bool,
    pub(super) told: ExchangeSender,
    pub(super) asked: RateLimit,
}

impl Session {
    pub(super) fn new(
        handle: SessionHandle,
        is_ours: bool,
        remote: SocketAddr,
        opened_ms: u64,
    ) -> Session {
        Session {
            handle,
            is_ours,
            remote,
            opened_ms,
            is_greeted: false,
            is_extra: false,
            told: ExchangeSender::default(),
            asked: RateLimit::new(ASKED_MOST, ASKED_EVERY_MS),
        }
    }
}

/// A peer that is connected, being dialled, asked for, or named by a person or an invite.
pub(super) struct Known {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) via: Via,
    /// Named by a person or an invite: stays also when it can't be reached.
    pub(super) is_named: bool,
    /// Being dialled over what is wanted, for a route or a test.
    pub(super) is_extra: bool,
    pub(super) session: Option<Session>,
    pub(super) record: Option<NodeRecord>,
    pub(super) offers: Vec<ShardOffer>,
    pub(super) attempts: Attempts,
    /// An invite of this peer, until it is redeemed.
    pub(super) invite: Option<PreSharedKey>,
    pub(super) waiting: Vec<oneshot::Sender<SessionHandle>>,
}

impl Known {
    pub(super) fn new(via: Via) -> Known {
        Known {
            addresses: Vec::new(),
            via,
            is_named: false,
            is_extra: false,
            session: None,
            record: None,
            offers: Vec::new(),
            attempts: Attempts::default(),
            invite: None,
            waiting: Vec::new(),
        }
    }

    pub(super) fn add_addresses(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            if self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(address) {
                self.addresses.push(*address);
            }
        }
    }

    /// Whether nothing is left that it is kept for.
    pub(super) fn is_spent(&self) -> bool {
        let is_wanted = self.is_named || self.attempts.is_under_way || !self.waiting.is_empty();
        self.session.is_none() && !is_wanted
    }
}

/// A place where somebody may be.
pub(super) struct Stranger {
    pub(super) via: Via,
    pub(super) addresses: Vec<SocketAddr>,
    /// Who answered there.
    pub(super) peer: Option<swarmllm_protocol::ids::PeerId>,
    pub(super) attempts: Attempts,
}
