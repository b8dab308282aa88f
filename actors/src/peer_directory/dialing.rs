//! Who is dialled, and what a failed attempt means.

use std::net::SocketAddr;

use actix::{ActorFutureExt, Handler, ResponseActFuture, WrapFuture};
use std::time::Duration;
use swarmllm_protocol::address::is_meant_for_us;
use swarmllm_protocol::dial_budget::NamedBy;
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::peer_book::Taken;
use tokio::sync::oneshot;

use super::known::{Known, Session};
use super::{DialFailed, FindSession, FindSessionError, PeerDirectory, PeerTarget, Via, policy};
use crate::dialer::Dial;
use crate::mailbox::offer;
use crate::peer_session::SessionHandle;

/// How long `FindSession` waits for a connection.
const FIND_DEADLINE: Duration = Duration::from_secs(6);
/// Questions that may wait for one peer.
const WAITING_MAX: usize = 256;
/// Peers that may be dialled or waited for at once, beside those that are connected.
const UNCONNECTED_MAX: usize = 512;
/// Attempts after which a place that nobody answered at is forgotten, unless a person gave it.
const STRANGER_FAILURES_MAX: u32 = 8;
/// How often a peer that is not needed is dialled, to see whether it would be there.
const TEST_EVERY_MS: u64 = 120_000;
/// For so long after a session was opened, failed attempts are blamed on those who were dialled.
const ONLINE_MS: u64 = 60_000;

impl PeerDirectory {
    /// Dials whoever is named, asked for or wanted, and due.
    pub(super) fn maintain(&mut self) {
        if self.dialer.is_none() {
            return;
        }
        for known in self.peers.values_mut() {
            known.waiting.retain(|waiting| !waiting.is_closed());
        }
        self.peers.retain(|_, known| !known.is_spent());
        self.dial_asked_for();
        self.dial_strangers();
        self.dial_wanted();
        self.test_one();
    }

    fn under_way(&self) -> usize {
        let peers = self.peers.values().filter(|known| known.attempts.is_under_way).count();
        let places = self.strangers.values();
        peers + places.filter(|stranger| stranger.attempts.is_under_way).count()
    }

    /// Attempts that may begin now for want of sessions.
    fn missing(&self) -> usize {
        policy::to_dial(self.wanted(), self.connected().count(), self.under_way())
    }

    /// Peers that somebody waits for, and those that a person or an invite named: the latter until
    /// they were reached once, and again when sessions are missing.
    fn dial_asked_for(&mut self) {
        let now_ms = self.clock.now_ms();
        let is_missing = self.missing() > 0;
        let mut due = Vec::new();
        for (peer, known) in &mut self.peers {
            let is_named = known.is_named && is_missing && known.session.is_none();
            let is_asked_for = !known.waiting.is_empty() && known.session.is_none();
            // Who came by another way still redeems its invite.
            let is_wanted = is_named || is_asked_for || known.invite.is_some();
            if is_wanted && !known.addresses.is_empty() && known.attempts.is_due(now_ms) {
                let named_by = if known.is_named { NamedBy::Us } else { NamedBy::Others };
                known.attempts.is_under_way = true;
                due.push((*peer, known.addresses.clone(), named_by));
            }
        }
        for (peer, addresses, named_by) in due {
            self.dial(PeerTarget::Peer(peer), &addresses, named_by);
        }
    }

    /// Places that a person gave or the local network announced. Where a connected peer listens,
    /// nobody else does.
    fn dial_strangers(&mut self) {
        let now_ms = self.clock.now_ms();
        let mut missing = self.missing();
        let mut due = Vec::new();
        for (first, stranger) in &mut self.strangers {
            let is_there = |known: &Known| {
                known.session.is_some()
                    && stranger.addresses.iter().any(|at| known.addresses.contains(at))
            };
            if let Some((peer, _)) = self.peers.iter().find(|(_, known)| is_there(known)) {
                stranger.peer = Some(*peer);
                continue;
            }
            let is_first = stranger.peer.is_none() && stranger.via == Via::Join;
            if (is_first || missing > 0) && stranger.attempts.is_due(now_ms) {
                missing = missing.saturating_sub(1);
                stranger.attempts.is_under_way = true;
                due.push((*first, stranger.addresses.clone()));
            }
        }
        for (first, addresses) in due {
            self.dial(PeerTarget::Address(first), &addresses, NamedBy::Us);
        }
    }

    /// As many remembered peers as sessions are missing.
    fn dial_wanted(&mut self) {
        let missing = self.missing();
        if missing == 0 {
            return;
        }
        for (peer, addresses) in self.book.choose(missing, &self.taken(), self.now()) {
            self.dial_remembered(peer, addresses, false);
        }
    }

    /// Now and then one more, when nothing is missing: a peer whose place another wants, or any.
    fn test_one(&mut self) {
        let now = self.now();
        if now.ms.saturating_sub(self.tested_ms) < TEST_EVERY_MS || self.under_way() > 0 {
            return;
        }
        self.tested_ms = now.ms;
        let taken = self.taken();
        let tested = self.book.to_test(now).map(|known| (known.peer, known.addresses.clone()));
        let tested =
            tested.filter(|(peer, _)| !taken.peers.contains(peer)).and_then(|(peer, addresses)| {
                let allowed = self.book.permit(&addresses, NamedBy::Others, now);
                (!allowed.is_empty()).then_some((peer, allowed))
            });
        let one = tested.or_else(|| self.book.choose(1, &taken, now).pop());
        if let Some((peer, addresses)) = one {
            self.dial_remembered(peer, addresses, true);
        }
    }

    /// Who is connected or being dialled, and where.
    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for (peer, known) in &self.peers {
            let at = known.session.as_ref().map(|session| session.remote);
            let at = at.or_else(|| known.addresses.first().copied());
            taken.add(*peer, at.map(|at| at.ip()));
        }
        taken
    }

    fn dial_remembered(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, is_extra: bool) {
        let via = match self.book.cache().get(&peer) {
            Some(_) if self.restored.contains(&peer) => Via::Cache,
            Some(known) => known.method.into(),
            None => Via::PeerExchange,
        };
        let known = self.peers.entry(peer).or_insert_with(|| Known::new(via));
        known.add_addresses(&addresses);
        known.is_extra = is_extra;
        known.attempts.is_under_way = true;
        self.send_dial(PeerTarget::Peer(peer), addresses);
    }

    /// Dials those of these addresses that may be dialled now.
    fn dial(&mut self, target: PeerTarget, addresses: &[SocketAddr], named_by: NamedBy) {
        let allowed = self.book.permit(addresses, named_by, self.now());
        if !allowed.is_empty() {
            return self.send_dial(target, allowed);
        }
        let is_possible = addresses.iter().any(|address| self.book.may_dial(address));
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let reason = match is_possible {
            true => "dialled too often within a minute; it is tried again",
            false if self.facts.is_offline => {
                "offline mode: only addresses of a private network are dialled"
            }
            false => "no address that can be dialled",
        };
        self.dial_failed(&target, &format!("{}: {reason}", texts.join(", ")));
    }

    fn send_dial(&mut self, target: PeerTarget, addresses: Vec<SocketAddr>) {
        let invite = match &target {
            PeerTarget::Peer(peer) => self.peers.get(peer).and_then(|known| known.invite.clone()),
            PeerTarget::Address(_) => None,
        };
        let dial = Dial { target: target.clone(), addresses, invite };
        if self.dialer.as_ref().is_some_and(|dialer| offer(dialer, dial)) {
            return;
        }
        // The dialer's box is full, which is nobody's fault: at the next look there is room again.
        let attempts = match &target {
            PeerTarget::Peer(peer) => self.peers.get_mut(peer).map(|known| &mut known.attempts),
            PeerTarget::Address(first) => {
                self.strangers.get_mut(first).map(|stranger| &mut stranger.attempts)
            }
        };
        if let Some(attempts) = attempts {
            attempts.is_under_way = false;
        }
    }

    /// An attempt ended without a session.
    pub(super) fn dial_failed(&mut self, target: &PeerTarget, reason: &str) {
        let now = self.now();
        match target {
            PeerTarget::Peer(peer) => {
                let since_ms = self.connected_ms.map(|at_ms| now.ms.saturating_sub(at_ms));
                let is_online = self.connected().next().is_some()
                    || since_ms.is_some_and(|since_ms| since_ms < ONLINE_MS);
                self.book.failed(peer, is_online, now);
                if let Some(known) = self.peers.get_mut(peer) {
                    known.attempts.failed(now.ms, reason.to_owned());
                    self.layers.failed(known.via, reason);
                }
            }
            PeerTarget::Address(first) => {
                let Some(stranger) = self.strangers.get_mut(first) else { return };
                stranger.attempts.failed(now.ms, reason.to_owned());
                let via = stranger.via;
                let is_hopeless = stranger.attempts.backoff.failures() > STRANGER_FAILURES_MAX;
                if is_hopeless && via != Via::Join {
                    self.strangers.remove(first);
                }
                self.layers.failed(via, reason);
            }
        }
    }

    /// The peer to be asked for, with what is known of where it is; the session it has, if it does.
    fn prepare(&mut self, find: &FindSession) -> Result<Option<SessionHandle>, FindSessionError> {
        if find.peer == self.local {
            return Err(FindSessionError::Oneself);
        }
        let now_ms = self.clock.now_ms();
        let is_known = match self.peers.get(&find.peer) {
            Some(Known { session: Some(session), .. }) => return Ok(Some(session.handle.clone())),
            Some(known) if known.waiting.len() >= WAITING_MAX => {
                return Err(FindSessionError::Busy);
            }
            known => known.is_some(),
        };
        let mut named = find.addresses.clone();
        if let Some(asker) = find.asked_by {
            let session = self.peers.get_mut(&asker).and_then(|known| known.session.as_mut());
            let Some(Session { asked, remote, .. }) = session else {
                return Err(FindSessionError::Busy);
            };
            if !asked.take(now_ms) {
                return Err(FindSessionError::Busy);
            }
            named.retain(|address| is_meant_for_us(address, remote.ip()));
        }
        let n_unconnected = self.peers.len() - self.connected().count();
        if !is_known && n_unconnected >= UNCONNECTED_MAX {
            return Err(FindSessionError::Busy);
        }
        let remembered = self.book.cache().get(&find.peer).map(|known| known.addresses.clone());
        let known = self.peers.entry(find.peer).or_insert_with(|| Known::new(Via::PeerExchange));
        known.is_extra |= !is_known;
        known.add_addresses(&remembered.unwrap_or_default());
        known.add_addresses(&named);
        // Somebody waits for this one, so it does not wait for its next turn.
        known.attempts.backoff.hurry();
        Ok(None)
    }
}

impl Handler<DialFailed> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, failed: DialFailed, _: &mut Self::Context) {
        tracing::debug!(target = ?failed.target, reason = failed.reason, "dial failed");
        self.dial_failed(&failed.target, &failed.reason);
    }
}

impl Handler<FindSession> for PeerDirectory {
    type Result = ResponseActFuture<Self, Result<SessionHandle, FindSessionError>>;

    fn handle(&mut self, find: FindSession, _: &mut Self::Context) -> Self::Result {
        let peer = find.peer;
        let (found, waiting) = oneshot::channel();
        match self.prepare(&find) {
            Err(error) => return Box::pin(std::future::ready(Err(error)).into_actor(self)),
            Ok(Some(session)) => {
                return Box::pin(std::future::ready(Ok(session)).into_actor(self));
            }
            Ok(None) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.waiting.push(found);
                }
            }
        }
        self.maintain();
        let session = tokio::time::timeout(FIND_DEADLINE, waiting).into_actor(self);
        Box::pin(session.map(move |session, directory, _| match session {
            Ok(Ok(session)) => Ok(session),
            _ => {
                let known = directory.peers.get(&peer);
                let reason = known.map(|known| known.attempts.last_reason.clone());
                let reason = reason.filter(|reason| !reason.is_empty());
                let reason = reason.unwrap_or_else(|| "no answer".to_owned());
                Err(FindSessionError::Unreachable { peer: peer.short(), reason })
            }
        }))
    }
}
