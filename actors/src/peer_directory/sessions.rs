//! Sessions that open and close, and those that are let go.

use std::net::SocketAddr;

use actix::Handler;
use swarmllm_protocol::address::{Reach, reach};
use swarmllm_protocol::admission::NotAdmitted;
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::peer_cache::Heard;

use super::known::{Attempts, Known, Session};
use super::policy::{self, IdleSession};
use super::{PeerDirectory, PeerTarget, Via};
use crate::event_log::{Event, Record};
use crate::mailbox::offer;
use crate::peer_session::{
    CloseSession, RetireSession, SessionClosed, SessionHandle, SessionOpened,
};

impl PeerDirectory {
    /// How the peer of a new session was found; a place where it answered is its own from now on.
    fn found_via(&mut self, peer: PeerId, dialled: Option<&PeerTarget>) -> Via {
        match dialled {
            None => Via::Incoming,
            Some(PeerTarget::Peer(peer)) => {
                self.peers.get(peer).map_or(Via::PeerExchange, |known| known.via)
            }
            Some(PeerTarget::Address(first)) => {
                let Some(stranger) = self.strangers.get_mut(first) else { return Via::Join };
                stranger.peer = Some(peer);
                stranger.attempts = Attempts::default();
                stranger.via
            }
        }
    }

    /// This node reached a peer there, so it is worth remembering.
    fn remember(&mut self, peer: PeerId, at: SocketAddr, via: Via) {
        let (addresses, source_ip) = ([at], at.ip());
        let (method, source) = (via.method(), peer);
        let heard = Heard { peer, addresses: &addresses, sequence: 0, method, source, source_ip };
        let now = self.now();
        self.book.hear(heard, now);
        self.book.reached(&peer, at, now);
    }

    /// Of two sessions with one peer the one that both sides keep; whether that is the new one. The
    /// loser is retired, not closed: the other side may have begun to use it already.
    fn takes_over(&self, newer: &SessionHandle, is_ours: bool) -> bool {
        let known = self.peers.get(&newer.peer);
        let Some(older) = known.and_then(|known| known.session.as_ref()) else { return true };
        let is_newer = policy::newer_replaces(self.local, newer.peer, is_ours, older.is_ours);
        let loser = if is_newer { &older.handle } else { newer };
        offer(&loser.retire, RetireSession);
        is_newer
    }

    /// Lets sessions go that nobody needs.
    pub(super) fn let_go(&mut self) {
        let now_ms = self.clock.now_ms();
        let idle = |(peer, known): (&PeerId, &Known)| {
            let session = known.session.as_ref()?;
            let used_ms = session.handle.used_at_ms().max(session.opened_ms);
            Some(IdleSession {
                peer: *peer,
                at: session.remote.ip(),
                idle_ms: now_ms.saturating_sub(used_ms),
                is_extra: session.is_extra,
            })
        };
        let sessions: Vec<IdleSession> = self.connected().filter_map(idle).collect();
        for peer in policy::surplus(&sessions, self.wanted()) {
            let session = self.peers.get_mut(&peer).and_then(|known| known.session.take());
            if let Some(session) = session {
                offer(&session.handle.retire, RetireSession);
                self.has_gone(peer, "not needed now".to_owned());
            }
        }
    }

    /// A code that does not admit is not tried again, nor is whoever was known by it alone.
    fn not_let_in(&mut self, peer: PeerId, reason: NotAdmitted) {
        let Some(known) = self.peers.get_mut(&peer).filter(|_| reason.is_final()) else { return };
        known.invite = None;
        if known.via == Via::Invite && known.session.is_none() && known.waiting.is_empty() {
            self.peers.remove(&peer);
        }
    }

    fn has_gone(&mut self, peer: PeerId, reason: String) {
        self.observed.forget(&peer);
        // It is at fault for nothing, and waits for its turn like others.
        self.book.failed(&peer, false, self.now());
        if let Some(known) = self.peers.get_mut(&peer) {
            known.offers.clear();
            known.record = None;
            known.attempts = Attempts::default();
            known.attempts.failed(self.clock.now_ms(), reason.clone());
        }
        let event = Event::PeerDisconnected { peer: peer.to_string(), reason };
        offer(&self.events, Record(event));
    }
}

impl Handler<SessionOpened> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, opened: SessionOpened, _: &mut Self::Context) {
        let SessionOpened { handle, remote, dialled, pre_shared, .. } = opened;
        let (peer, is_ours) = (handle.peer, dialled.is_some());
        let via = self.found_via(peer, dialled.as_ref());
        let now_ms = self.clock.now_ms();
        self.connected_ms = Some(now_ms);
        let is_first = self.peers.get(&peer).is_none_or(|known| known.session.is_none());
        if is_first && self.connected().count() >= policy::SESSIONS_MAX {
            let reason = "too many peers are connected";
            offer(&handle.close, CloseSession { reason });
            return;
        }
        if is_ours {
            self.remember(peer, remote, via);
        } else if reach(remote.ip()) == Reach::World {
            self.own.was_reached_from_afar(now_ms);
        }
        let is_kept = self.takes_over(&handle, is_ours);
        let known = self.peers.entry(peer).or_insert_with(|| Known::new(via));
        if is_ours {
            known.add_addresses(&[remote]);
        }
        known.attempts = Attempts::default();
        if is_ours && pre_shared.is_some() {
            known.invite = None;
        }
        if !is_kept {
            return;
        }
        for waiting in known.waiting.drain(..) {
            // Whoever stopped waiting needs no answer.
            let _ = waiting.send(handle.clone());
        }
        let is_extra = is_ours && known.is_extra;
        let word = known.via.word().to_owned();
        self.layers.connected(known.via, self.clock.now_ms());
        let older = known.session.take().filter(|older| older.is_ours != is_ours);
        let mut session = Session::new(handle, is_ours, remote, now_ms);
        session.is_extra = is_extra;
        if let Some(older) = older {
            // Both dialled at once: what was said over the one need not be said over the other.
            session.told = older.told;
        }
        self.greet(&session);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.session = Some(session);
        }
        if is_first {
            let peer = peer.to_string();
            offer(&self.events, Record(Event::PeerConnected { peer, via: word }));
        }
    }
}

impl Handler<SessionClosed> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, closed: SessionClosed, _: &mut Self::Context) {
        if let Some((peer, reason)) = closed.refused {
            self.not_let_in(peer, reason);
        }
        let Some(peer) = closed.peer else {
            // The handshake never ended: whoever was dialled there is tried again later.
            if let Some(target) = closed.dialled {
                self.dial_failed(&target, &format!("{}: {}", closed.remote, closed.reason));
            }
            return;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.session.as_ref().is_some_and(|session| session.handle.id == closed.id) {
            known.session = None;
            self.has_gone(peer, closed.reason);
        }
    }
}
