//! The peer directory: who is known, where they listen, which session is open, what they offer.
//!
//! Hears of peers from the user, `lan_beacon`, `peer_session` and other peers; asks `dialer` for
//! connections and answers `generation` and `batch_scheduler`. It greets every new session with
//! this node's `Hello`, `Inventory` and connected peers, so a swarm grows from one address.
//! Decisions are in `policy.rs`. Everything a peer says is bounded before it is kept.

mod messages;
pub mod policy;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult, Recipient, ResponseFuture};
use swarmllm_protocol::admission::NotAdmitted;
use swarmllm_protocol::connection::PreSharedKey;
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::limits;
use swarmllm_protocol::route::Candidate;
use swarmllm_protocol::wire::{Body, Message, PeerAddress, ShardOffer};
use tokio::sync::oneshot;

pub use messages::{
    AttachDialer, Candidates, DialFailed, FindCandidates, FindSession, FindSessionError, GetPeers,
    PeerRecord, PeerSeen, PeerState, PeerTarget, Via,
};

use crate::clock::Clock;
use crate::dialer::Dial;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer};
use crate::peer_session::{
    CloseSession, PeerReported, RetireSession, SendFrame, SessionClosed, SessionHandle,
    SessionOpened,
};

/// How often unconnected peers are looked through.
const MAINTAIN_EVERY: Duration = Duration::from_millis(250);
/// How long `FindSession` waits for a connection.
const FIND_DEADLINE: Duration = Duration::from_secs(6);
/// Questions that may wait for one peer.
const WAITING_MAX: usize = 256;
/// Attempts after which an address that nobody named a peer for is forgotten, unless the user gave
/// it.
const ADDRESS_FAILURES_MAX: u32 = 8;

/// What the directory knows of this node.
#[derive(Debug, Clone)]
pub struct SelfFacts {
    /// This node.
    pub peer: PeerId,
    /// Where it listens; an unspecified address means "where you see me".
    pub listen: Vec<SocketAddr>,
    /// Where a third node can reach it; no unspecified address.
    pub reachable: Vec<SocketAddr>,
    /// What it holds.
    pub offers: Vec<ShardOffer>,
    /// Never leave private ranges.
    pub offline: bool,
}

#[derive(Debug)]
struct Attempts {
    failures: u32,
    next_at_ms: u64,
    is_under_way: bool,
    last_reason: String,
}

impl Attempts {
    fn new() -> Attempts {
        Attempts { failures: 0, next_at_ms: 0, is_under_way: false, last_reason: String::new() }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        !self.is_under_way && self.next_at_ms <= now_ms
    }

    fn failed(&mut self, now_ms: u64, reason: String) {
        self.is_under_way = false;
        self.failures += 1;
        self.next_at_ms = now_ms + policy::retry_after_ms(self.failures);
        self.last_reason = reason;
    }
}

struct Known {
    addresses: Vec<SocketAddr>,
    via: Via,
    session: Option<(SessionHandle, bool)>,
    offers: Vec<ShardOffer>,
    attempts: Attempts,
    /// An invite of this peer, until it is redeemed.
    invite: Option<PreSharedKey>,
    waiting: Vec<oneshot::Sender<SessionHandle>>,
}

impl Known {
    fn new(via: Via) -> Known {
        Known {
            addresses: Vec::new(),
            via,
            session: None,
            offers: Vec::new(),
            attempts: Attempts::new(),
            invite: None,
            waiting: Vec::new(),
        }
    }

    fn add_addresses(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            if self.addresses.len() < policy::ADDRESSES_MAX && !self.addresses.contains(address) {
                self.addresses.push(*address);
            }
        }
    }
}

/// The actor.
pub struct PeerDirectory {
    facts: SelfFacts,
    agent: String,
    peers: BTreeMap<PeerId, Known>,
    /// Addresses whose peer is not known yet.
    strangers: BTreeMap<SocketAddr, (Via, Attempts)>,
    dialer: Option<Recipient<Dial>>,
    events: Recipient<Record>,
    clock: Clock,
}

impl PeerDirectory {
    /// An empty directory; `agent` is the program's name and version, for people.
    pub fn new(
        facts: SelfFacts,
        agent: String,
        events: Recipient<Record>,
        clock: Clock,
    ) -> PeerDirectory {
        PeerDirectory {
            facts,
            agent,
            peers: BTreeMap::new(),
            strangers: BTreeMap::new(),
            dialer: None,
            events,
            clock,
        }
    }

    /// The entry of a peer, made if there is room; unconnected strangers give way first.
    fn known(&mut self, peer: PeerId, via: Via) -> Option<&mut Known> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= policy::PEERS_MAX {
            let spare = self
                .peers
                .iter()
                .filter(|(_, known)| known.session.is_none() && known.waiting.is_empty())
                .max_by_key(|(_, known)| known.attempts.failures)
                .map(|(peer, _)| *peer)?;
            self.peers.remove(&spare);
        }
        Some(self.peers.entry(peer).or_insert_with(|| Known::new(via)))
    }

    fn dial(&mut self, target: PeerTarget, addresses: Vec<SocketAddr>) {
        let offline = self.facts.offline;
        let (allowed, refused): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| policy::may_dial(address, offline));
        let reason = if allowed.is_empty() {
            Some(format!("no address that may be dialled (of {})", refused.len()))
        } else {
            let invite = match &target {
                PeerTarget::Peer(peer) => {
                    self.peers.get(peer).and_then(|known| known.invite.clone())
                }
                PeerTarget::Address(_) => None,
            };
            let dial = Dial { target: target.clone(), addresses: allowed, invite };
            let is_sent = self.dialer.as_ref().is_some_and(|dialer| offer(dialer, dial));
            (!is_sent).then(|| "the dialer is busy".to_owned())
        };
        if let Some(reason) = reason {
            self.dial_failed(&target, reason);
        }
    }

    fn dial_failed(&mut self, target: &PeerTarget, reason: String) {
        let now_ms = self.clock.now_ms();
        match target {
            PeerTarget::Peer(peer) => {
                if let Some(known) = self.peers.get_mut(peer) {
                    known.attempts.failed(now_ms, reason);
                }
            }
            PeerTarget::Address(address) => {
                if let Some((via, attempts)) = self.strangers.get_mut(address) {
                    attempts.failed(now_ms, reason);
                    if *via != Via::Join && attempts.failures > ADDRESS_FAILURES_MAX {
                        self.strangers.remove(address);
                    }
                }
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

    /// Dials whoever is known, unconnected and due.
    fn maintain(&mut self, _: &mut Context<Self>) {
        let now_ms = self.clock.now_ms();
        let mut due = Vec::new();
        for (peer, known) in &mut self.peers {
            known.waiting.retain(|waiting| !waiting.is_closed());
            // Who came by another way still redeems its invite.
            let is_wanted = known.session.is_none() || known.invite.is_some();
            if is_wanted && !known.addresses.is_empty() && known.attempts.is_due(now_ms) {
                known.attempts.is_under_way = true;
                due.push((PeerTarget::Peer(*peer), known.addresses.clone()));
            }
        }
        for (address, (_, attempts)) in &mut self.strangers {
            if attempts.is_due(now_ms) {
                attempts.is_under_way = true;
                due.push((PeerTarget::Address(*address), vec![*address]));
            }
        }
        for (target, addresses) in due {
            self.dial(target, addresses);
        }
    }

    fn frame(body: Body) -> SendFrame {
        SendFrame { message: Message::new(body), replies: None }
    }

    /// Connected peers and where they listen, without the one who is told.
    fn connected_addresses(&self, except: PeerId) -> Vec<PeerAddress> {
        self.peers
            .iter()
            .filter(|(peer, known)| {
                **peer != except && known.session.is_some() && !known.addresses.is_empty()
            })
            .take(limits::PEERS_MAX)
            .map(|(peer, known)| PeerAddress { peer: *peer, addresses: known.addresses.clone() })
            .collect()
    }

    fn greet(&self, session: &SessionHandle) {
        let hello = Body::Hello {
            version: limits::PROTOCOL_VERSION,
            agent: self.agent.clone(),
            listen: self.facts.listen.clone(),
        };
        offer(&session.send, Self::frame(hello));
        offer(&session.send, Self::frame(Body::Inventory { offers: self.facts.offers.clone() }));
        let peers = self.connected_addresses(session.peer);
        if !peers.is_empty() {
            offer(&session.send, Self::frame(Body::PeerExchange { peers }));
        }
    }

    /// Tells everybody else of a peer whose address has just become known.
    fn introduce(&self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else { return };
        let news = vec![PeerAddress { peer, addresses: known.addresses.clone() }];
        for (other, known) in &self.peers {
            if let Some((session, _)) = known.session.as_ref().filter(|_| *other != peer) {
                offer(&session.send, Self::frame(Body::PeerExchange { peers: news.clone() }));
            }
        }
    }

    fn suggested(&mut self, peers: Vec<PeerAddress>) {
        for PeerAddress { peer, addresses } in peers {
            if peer == self.facts.peer {
                continue;
            }
            if let Some(known) = self.known(peer, Via::PeerExchange) {
                known.add_addresses(&addresses);
            }
        }
    }
}

impl Actor for PeerDirectory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::PEER_DIRECTORY);
        ctx.run_interval(MAINTAIN_EVERY, Self::maintain);
    }
}

impl Handler<AttachDialer> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, AttachDialer(dialer): AttachDialer, ctx: &mut Self::Context) {
        self.dialer = Some(dialer);
        self.maintain(ctx);
    }
}

impl Handler<PeerSeen> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, seen: PeerSeen, ctx: &mut Self::Context) {
        match seen.peer {
            Some(peer) if peer == self.facts.peer => return,
            Some(peer) => {
                if let Some(known) = self.known(peer, seen.via) {
                    known.add_addresses(&seen.addresses);
                    known.invite = seen.invite.or(known.invite.take());
                }
            }
            None => {
                for address in seen.addresses.into_iter().take(policy::ADDRESSES_MAX) {
                    if self.strangers.len() < policy::PEERS_MAX {
                        self.strangers.entry(address).or_insert((seen.via, Attempts::new()));
                    }
                }
            }
        }
        if self.dialer.is_some() {
            self.maintain(ctx);
        }
    }
}

impl Handler<DialFailed> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, failed: DialFailed, _: &mut Self::Context) {
        tracing::debug!(target = ?failed.target, reason = failed.reason, "dial failed");
        self.dial_failed(&failed.target, failed.reason);
    }
}

impl Handler<SessionOpened> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, opened: SessionOpened, _: &mut Self::Context) {
        let SessionOpened { handle, remote, is_initiator, pre_shared, .. } = opened;
        let local = self.facts.peer;
        let peer = handle.peer;
        let mut via = Via::Incoming;
        if is_initiator {
            via = Via::PeerExchange;
            if let Some((found, _)) = self.strangers.remove(&remote) {
                via = found;
            }
        }
        let Some(known) = self.known(peer, via) else {
            let reason = "too many peers are connected";
            offer(&handle.close, CloseSession { reason });
            return;
        };
        if is_initiator {
            known.add_addresses(&[remote]);
        }
        if is_initiator && pre_shared.is_some() {
            known.invite = None;
        }
        known.attempts = Attempts::new();
        let is_first = known.session.is_none();
        if let Some((older, older_is_ours)) = &known.session {
            // The loser is retired, not closed: the other side may have begun to use it already.
            if !policy::newer_replaces(local, peer, is_initiator, *older_is_ours) {
                offer(&handle.retire, RetireSession);
                return;
            }
            offer(&older.retire, RetireSession);
        }
        for waiting in known.waiting.drain(..) {
            // Whoever stopped waiting needs no answer.
            let _ = waiting.send(handle.clone());
        }
        let via = known.via.word().to_owned();
        known.session = Some((handle.clone(), is_initiator));
        self.greet(&handle);
        if is_first {
            let peer = peer.to_string();
            offer(&self.events, Record(Event::PeerConnected { peer, via }));
        }
    }
}

impl Handler<SessionClosed> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, closed: SessionClosed, _: &mut Self::Context) {
        let now_ms = self.clock.now_ms();
        if let Some((peer, reason)) = closed.refused {
            self.not_let_in(peer, reason);
        }
        let Some(peer) = closed.peer else {
            // The handshake never ended: whoever was dialled there is tried again later.
            let target = PeerTarget::Address(closed.remote);
            self.dial_failed(&target, closed.reason.clone());
            for known in self.peers.values_mut() {
                if known.attempts.is_under_way && known.addresses.contains(&closed.remote) {
                    known.attempts.failed(now_ms, closed.reason.clone());
                }
            }
            return;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.session.as_ref().is_some_and(|(session, _)| session.id == closed.id) {
            known.session = None;
            known.offers.clear();
            known.attempts = Attempts::new();
            known.attempts.failed(now_ms, closed.reason.clone());
            let event = Event::PeerDisconnected { peer: peer.to_string(), reason: closed.reason };
            offer(&self.events, Record(event));
        }
    }
}

impl Handler<PeerReported> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, reported: PeerReported, ctx: &mut Self::Context) {
        let PeerReported { peer, session, remote, body } = reported;
        let is_current = self.peers.get(&peer).is_some_and(|known| {
            known.session.as_ref().is_some_and(|(current, _)| current.id == session)
        });
        if !is_current {
            return;
        }
        match body {
            Body::Hello { listen, agent, .. } => {
                tracing::debug!(peer = peer.short(), agent, ?listen, "hello");
                let addresses = policy::reachable_at(&listen, remote.ip());
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.addresses = addresses;
                }
                self.introduce(peer);
            }
            Body::Inventory { offers } => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.offers = offers;
                }
            }
            Body::PeerExchange { peers } => {
                self.suggested(peers);
                self.maintain(ctx);
            }
            _ => {}
        }
    }
}

impl Handler<FindSession> for PeerDirectory {
    type Result = ResponseFuture<Result<SessionHandle, FindSessionError>>;

    fn handle(&mut self, find: FindSession, ctx: &mut Self::Context) -> Self::Result {
        let done = |result| -> Self::Result { Box::pin(std::future::ready(result)) };
        if find.peer == self.facts.peer {
            return done(Err(FindSessionError::Oneself));
        }
        let Some(known) = self.known(find.peer, Via::PeerExchange) else {
            return done(Err(FindSessionError::Busy));
        };
        if let Some((session, _)) = &known.session {
            return done(Ok(session.clone()));
        }
        if known.waiting.len() >= WAITING_MAX {
            return done(Err(FindSessionError::Busy));
        }
        known.add_addresses(&find.addresses);
        // Somebody waits for this one, so it does not wait for its next turn.
        known.attempts.next_at_ms = 0;
        let last_reason = known.attempts.last_reason.clone();
        let (found, waiting) = oneshot::channel();
        known.waiting.push(found);
        self.maintain(ctx);
        let peer = find.peer.short();
        Box::pin(async move {
            match tokio::time::timeout(FIND_DEADLINE, waiting).await {
                Ok(Ok(session)) => Ok(session),
                _ => {
                    let reason =
                        if last_reason.is_empty() { "no answer".into() } else { last_reason };
                    Err(FindSessionError::Unreachable { peer, reason })
                }
            }
        })
    }
}

impl Handler<FindCandidates> for PeerDirectory {
    type Result = MessageResult<FindCandidates>;

    fn handle(&mut self, find: FindCandidates, _: &mut Self::Context) -> Self::Result {
        let mut candidates = Vec::new();
        let mut addresses = HashMap::new();
        let mut add = |peer: PeerId, rtt_us: u32, offers: &[ShardOffer], at: &[SocketAddr]| {
            for offer in offers.iter().filter(|offer| offer.model == find.model) {
                candidates.push(Candidate { peer, layers: offer.layers, rtt_us });
                addresses.insert(peer, at.to_vec());
            }
        };
        add(self.facts.peer, 0, &self.facts.offers, &self.facts.reachable);
        for (peer, known) in &self.peers {
            if let Some((session, _)) = &known.session {
                add(*peer, session.rtt_us(), &known.offers, &known.addresses);
            }
        }
        MessageResult(Candidates { candidates, addresses })
    }
}

impl Handler<GetPeers> for PeerDirectory {
    type Result = MessageResult<GetPeers>;

    fn handle(&mut self, _: GetPeers, _: &mut Self::Context) -> Self::Result {
        let records = self.peers.iter().map(|(peer, known)| {
            let session = known.session.as_ref().map(|(session, _)| session);
            let state = match session {
                Some(_) => PeerState::Connected,
                None if known.attempts.is_under_way => PeerState::Connecting,
                None => PeerState::Known,
            };
            PeerRecord {
                peer: *peer,
                state,
                addresses: known.addresses.clone(),
                via: known.via,
                rtt_us: session.map(SessionHandle::rtt_us).filter(|rtt_us| *rtt_us > 0),
                offers: known.offers.clone(),
            }
        });
        MessageResult(records.collect())
    }
}
