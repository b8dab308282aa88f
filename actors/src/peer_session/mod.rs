//! One encrypted connection to one peer: socket, handshake, lanes, credits, signs of life.
//!
//! Started by `listener` and `dialer`; the rules are `swarmllm_protocol::connection`. This is the
//! only place where wire messages and actor messages meet. When it ends, for whatever reason,
//! `peer_directory`, `batch_scheduler` and every generation that waits on the peer are told.

mod admission;
mod codec;
mod credit;
mod guest;
mod link;
pub mod memory;
mod messages;
mod replies;
mod traffic;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, StreamHandler,
    WrapFuture, prelude::SendError,
};
use bytes::{Buf, BytesMut};
use swarmllm_protocol::connection::liveness::{Beat, Liveness, TICK_MS};
use swarmllm_protocol::connection::{Connection, ConnectionEvent, PreSharedKeyId, Verdict};
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::lanes::{Credit, Lane};
use swarmllm_protocol::wire::{Body, LogProbabilities, Message, RefusalReason};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;
use tokio_util::codec::FramedRead;

use admission::Admittance;
pub use admission::InviteLinks;
pub use codec::{ReadLimits, RecordCodec, RecordError};
use credit::Returned;
pub use credit::{CreditReturned, HeldCredit};
pub use guest::{Guest, SharedGate, at_gate};
pub use link::LinkQuality;
use memory::Held;
pub use memory::SessionMemory;
pub use messages::{
    CloseSession, PeerReported, RetireSession, SendFrame, SessionClosed, SessionDrained,
    SessionHandle, SessionOpened,
};
pub use traffic::{Direction, RowTraffic};

use crate::batch_scheduler::{CancelSequence, OpenSequence, StageOwner, SubmitRows};
use crate::clock::Clock;
use crate::entropy;
use crate::event_log::{Event, Record};
use crate::generation::{StageReply, StageReplyBody};
use crate::mailbox::{self, offer};
use crate::peer_directory::PeerTarget;

/// Sealed bytes handed to the socket at once; what control frames wait behind at most.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// A ping is answered while no more waits for the peer: one that does not read gets no answers.
const UNREAD_MAX_BYTES: usize = 1024;
/// Requests whose replies one session routes.
const REQUESTS_MAX: usize = 4096;

/// A retired session ends after so long without use, milliseconds.
const RETIRED_IDLE_MS: u64 = 60_000;

/// Numbers the sessions of this process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Whom a session talks to.
#[derive(Debug, Clone)]
pub struct SessionLinks {
    /// peer_directory.
    pub opened: Recipient<SessionOpened>,
    /// peer_directory and batch_scheduler.
    pub closed: Vec<Recipient<SessionClosed>>,
    /// peer_directory.
    pub reported: Recipient<PeerReported>,
    /// batch_scheduler.
    pub open: Recipient<OpenSequence>,
    /// batch_scheduler.
    pub rows: Recipient<SubmitRows>,
    /// batch_scheduler.
    pub cancel: Recipient<CancelSequence>,
    /// batch_scheduler.
    pub drained: Recipient<SessionDrained>,
    /// event_log.
    pub events: Recipient<Record>,
    /// invite_keeper.
    pub invites: InviteLinks,
    /// What all sessions hold together.
    pub memory: Arc<SessionMemory>,
    /// What all sessions carry.
    pub traffic: Arc<RowTraffic>,
}

/// The actor.
pub struct PeerSession {
    id: u64,
    connection: Connection,
    dialled: Option<PeerTarget>,
    remote: SocketAddr,
    reader: Option<OwnedReadHalf>,
    read_limits: Arc<ReadLimits>,
    writer: Arc<OwnedWriteHalf>,
    outgoing: BytesMut,
    is_blocked: bool,
    peer: Option<PeerId>,
    admittance: Admittance,
    replies: HashMap<RequestId, Recipient<StageReply>>,
    /// Its place at the door, while a dialled session shakes hands.
    guest: Option<Guest>,
    has_begun: bool,
    returned: Option<Arc<Returned>>,
    held: Held,
    link: Arc<LinkQuality>,
    life: Liveness,
    is_retired: bool,
    used_at_ms: Arc<AtomicU64>,
    reason: String,
    clock: Clock,
    links: SessionLinks,
}

impl PeerSession {
    /// A session over a connected socket, and whom this node dialled, if it did.
    pub fn new(
        stream: TcpStream,
        remote: SocketAddr,
        (connection, dialled): (Connection, Option<PeerTarget>),
        clock: Clock,
        links: SessionLinks,
    ) -> PeerSession {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "no TCP_NODELAY");
        }
        link::keep_queue_short(&stream);
        let (reader, writer) = stream.into_split();
        PeerSession {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            read_limits: Arc::new(ReadLimits::of_records(connection.record_limit())),
            connection,
            dialled,
            remote,
            reader: Some(reader),
            writer: Arc::new(writer),
            outgoing: BytesMut::new(),
            is_blocked: false,
            peer: None,
            admittance: Admittance::default(),
            replies: HashMap::new(),
            guest: None,
            has_begun: false,
            returned: None,
            held: Held::nothing(&links.memory),
            link: Arc::new(LinkQuality::default()),
            life: Liveness::new(clock.now_us()),
            is_retired: false,
            used_at_ms: Arc::new(AtomicU64::new(clock.now_ms())),
            reason: String::new(),
            clock,
            links,
        }
    }

    /// Gives it a place at the door, which judges its first record.
    pub fn at_door(mut self, guest: Guest) -> PeerSession {
        self.guest = Some(guest);
        self
    }

    fn end(&mut self, reason: impl Into<String>, ctx: &mut Context<Self>) {
        if self.reason.is_empty() {
            self.reason = reason.into();
        }
        ctx.stop();
    }

    /// What belongs to a generation is use, in either direction: a retired session outlives it.
    fn note_use(&mut self, body: &Body) {
        let is_life = matches!(body, Body::Ping { .. } | Body::Pong { .. });
        let is_report =
            matches!(body, Body::Hello { .. } | Body::Inventory { .. } | Body::PeerExchange { .. });
        if !is_life && !is_report {
            self.used_at_ms.store(self.clock.now_ms(), Ordering::Relaxed);
            self.life.used(self.clock.now_us());
        }
    }

    fn send(&mut self, message: Message, ctx: &mut Context<Self>) {
        self.note_use(&message.body);
        self.links.traffic.note(Direction::Out, &message);
        match self.connection.send(message) {
            Ok(()) => self.flush(ctx),
            Err(error) => self.end(format!("can't send: {error}"), ctx),
        }
    }

    fn say(&mut self, body: Body, ctx: &mut Context<Self>) {
        self.send(Message::new(body), ctx);
    }

    /// Does what is due, then seals by priority and writes until the socket would block.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if let Some(returned) = &self.returned {
            returned.take().for_each(|credit| self.connection.release(credit));
            if returned.has_generation() && !self.held.is_known() {
                self.held.become_known();
                self.read_limits.read_ahead();
            }
        }
        self.connection.set_share(self.held.share());
        if let Err(error) = self.connection.poll(self.clock.now_ms(), entropy::bytes) {
            return self.end(error.to_string(), ctx);
        }
        if !self.is_blocked {
            self.write(ctx);
        }
        self.held.set_extra(self.connection.extra_bytes());
        if self.connection.waits_for_room() {
            self.held.wait(self.id, || ctx.address().recipient());
        }
        let waiting = [Lane::Tensor, Lane::Bulk].map(|lane| self.connection.queued_bytes(lane));
        let waiting: usize = waiting.iter().sum();
        let is_too_much = self.held.set_outgoing(waiting as u64);
        if self.link.queued(waiting, is_too_much) {
            offer(&self.links.drained, SessionDrained);
        }
    }

    fn write(&mut self, ctx: &mut Context<Self>) {
        loop {
            while self.outgoing.len() < OUTGOING_BYTES_MAX
                && self.connection.poll_transmit(&mut self.outgoing)
            {}
            if self.outgoing.is_empty() {
                return;
            }
            match self.writer.try_write(&self.outgoing) {
                Ok(0) => return self.end("the socket takes no more bytes", ctx),
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return self.end(format!("socket: {error}"), ctx),
            }
        }
        self.is_blocked = true;
        let writer = Arc::clone(&self.writer);
        ctx.spawn(async move { writer.writable().await }.into_actor(self).map(
            |result, session, ctx| {
                session.is_blocked = false;
                match result {
                    Ok(()) => session.flush(ctx),
                    Err(error) => session.end(format!("socket: {error}"), ctx),
                }
            },
        ));
    }

    fn established(
        &mut self,
        peer: PeerId,
        binding: [u8; 32],
        pre_shared: Option<PreSharedKeyId>,
        ctx: &mut Context<Self>,
    ) {
        self.guest = None;
        self.returned = Some(Returned::new(ctx.address().recipient()));
        let handle = SessionHandle {
            peer,
            id: self.id,
            send: ctx.address().recipient(),
            close: ctx.address().recipient(),
            retire: ctx.address().recipient(),
            link: Arc::clone(&self.link),
            used_at_ms: Arc::clone(&self.used_at_ms),
        };
        let (remote, dialled) = (self.remote, self.dialled.clone());
        let opened = SessionOpened { handle, remote, dialled, pre_shared, binding };
        if !offer(&self.links.opened, opened) {
            return self.end("this node has too much to do", ctx);
        }
        self.life = Liveness::new(self.clock.now_us());
        self.tick(ctx);
        ctx.run_interval(Duration::from_millis(TICK_MS), Self::tick);
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now_us = self.clock.now_us();
        let used_at_ms = self.used_at_ms.load(Ordering::Relaxed);
        let unused_ms = self.clock.now_ms().saturating_sub(used_at_ms);
        if self.is_retired && unused_ms >= RETIRED_IDLE_MS {
            return self.end("another session with this peer is used", ctx);
        }
        self.link.look_at_socket(&self.writer);
        self.link.measured(self.life.rtt_us(), self.connection.bytes_per_s());
        match self.life.tick(now_us, !self.replies.is_empty()) {
            Beat::Quiet => self.flush(ctx),
            Beat::Gone => self.end("the peer stopped answering", ctx),
            Beat::Ping => {
                let nonce = self.clock.now_ms() ^ self.id.rotate_left(32);
                self.life.pinged(nonce, now_us);
                self.say(Body::Ping { nonce }, ctx);
            }
        }
    }

    fn ponged(&mut self, nonce: u64) {
        if self.life.ponged(nonce, self.clock.now_us()) {
            self.link.measured(self.life.rtt_us(), self.connection.bytes_per_s());
        }
    }

    /// Whether a record is for the connection: the first of a dialled session is judged before.
    fn may_begin(&mut self, record: &[u8], ctx: &mut Context<Self>) -> bool {
        let Some(guest) = self.guest.as_mut().filter(|_| !self.has_begun) else { return true };
        match guest.judge(self.remote, record, self.clock.now_ms()) {
            Ok(Verdict::Proceed) => self.has_begun = true,
            Ok(Verdict::Challenge(reply)) => {
                self.connection.challenge(reply);
                self.flush(ctx);
            }
            Err(error) => self.end(error.to_string(), ctx),
        }
        self.has_begun
    }

    /// Rows take their room with them; whatever else came is dealt with at once.
    fn hold(&mut self, message: &Message, credit: Credit) -> Option<HeldCredit> {
        match (&message.body, &self.returned) {
            (Body::Rows(_), Some(returned)) => Some(HeldCredit::new(credit, returned)),
            _ => {
                self.connection.release(credit);
                None
            }
        }
    }

    fn receive(
        &mut self,
        message: Message,
        credit: Option<HeldCredit>,
        received_at: Instant,
        ctx: &mut Context<Self>,
    ) {
        let Some(peer) = self.peer else {
            return self.end("a message before the handshake", ctx);
        };
        let Some(message) = self.pass_admission(peer, message, ctx) else { return };
        self.note_use(&message.body);
        self.links.traffic.note(Direction::In, &message);
        match message.body {
            Body::Ping { nonce } => {
                if self.connection.queued_bytes(Lane::Control) <= UNREAD_MAX_BYTES {
                    self.say(Body::Pong { nonce }, ctx);
                }
            }
            Body::Pong { nonce } => self.ponged(nonce),
            body @ (Body::Hello { .. } | Body::Inventory { .. } | Body::PeerExchange { .. }) => {
                let (session, remote) = (self.id, self.remote);
                let reported = PeerReported { peer, session, remote, body };
                self.hand_over(&self.links.reported.clone(), reported, ctx);
            }
            Body::OpenStage(open) => {
                let request = open.request;
                let reply = ctx.address().recipient();
                let owner = StageOwner { session: self.id, peer, client: 0, reply };
                let (keys, guide) = Message::split_keys(&message.payload, open.named_pages);
                let opening = OpenSequence { open, keys, guide, owner };
                if self.links.open.try_send(opening).is_err() {
                    let refused = Body::StageRefused {
                        request,
                        reason: RefusalReason::Busy,
                        detail: "the scheduler's queue is full: try again".into(),
                        retry_after_ms: 1000,
                    };
                    self.say(refused, ctx);
                }
            }
            Body::CloseStage { request, .. } => {
                let (owner, keys) = (Some(self.id), message.payload);
                let cancel = CancelSequence { request, owner, keys };
                self.hand_over(&self.links.cancel.clone(), cancel, ctx);
            }
            Body::Rows(rows) => {
                let submit = SubmitRows { rows, payload: message.payload, received_at, credit };
                self.hand_over(&self.links.rows.clone(), submit, ctx);
            }
            Body::StageQueued { request, waiting } => {
                self.reply(request, StageReplyBody::Queued { waiting });
            }
            Body::StageOpened { request, known } => {
                if self.replies.contains_key(&request) {
                    self.reply(request, StageReplyBody::Opened { known });
                } else {
                    // It was given up before it was open; a long request may be overtaken by that.
                    self.say(Body::CloseStage { request, named_pages: 0 }, ctx);
                }
            }
            Body::StagePreempted { request } => self.reply(request, StageReplyBody::Preempted),
            Body::StageRefused { request, reason, detail, retry_after_ms } => {
                let body = StageReplyBody::Refused { reason, detail, retry_after_ms };
                self.reply(request, body);
            }
            Body::StageFailed { request, detail, .. } => {
                self.reply(request, StageReplyBody::Failed { detail });
            }
            Body::TokenSampled(sampled) => {
                let request = sampled.request;
                self.reply(request, StageReplyBody::Sampled(sampled));
            }
            Body::Embedded { request, trace, .. } => {
                let values = message.payload.as_chunks().0.iter();
                let values = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                self.reply(request, StageReplyBody::Embedded { values, trace });
            }
            Body::Scored { request, top, trace, .. } => {
                match LogProbabilities::of_payload(top, &message.payload) {
                    Ok(scores) => self.reply(request, StageReplyBody::Scored { scores, trace }),
                    Err(error) => self.end(error.to_string(), ctx),
                }
            }
            // Admission has taken them.
            Body::Present { .. }
            | Body::Admitted { .. }
            | Body::NotAdmitted { .. }
            | Body::Revocations { .. } => {}
        }
    }

    /// Gives something to whom it is for. Where too much waits there already, which others may have
    /// sent, this session waits for its turn and takes nothing from its peer meanwhile.
    fn hand_over<M>(&mut self, to: &Recipient<M>, message: M, ctx: &mut Context<Self>)
    where
        M: actix::Message<Result = ()> + Send + 'static,
    {
        match to.try_send(message) {
            Ok(()) => {}
            Err(SendError::Full(message)) => {
                ctx.wait(to.send(message).into_actor(self).map(|_, _, _| ()));
            }
            Err(SendError::Closed(_)) => self.end("this node is being restarted", ctx),
        }
    }

    fn reply(&mut self, request: RequestId, body: StageReplyBody) {
        let (Some(peer), Some(to)) = (self.peer, self.replies.get(&request)) else { return };
        if !offer(to, StageReply { request, peer, body }) && !to.connected() {
            self.replies.remove(&request);
        }
    }
}

impl Actor for PeerSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::PEER_SESSION);
        if let Some(reader) = self.reader.take() {
            let codec = RecordCodec::new(Arc::clone(&self.read_limits));
            ctx.add_stream(FramedRead::with_capacity(reader, codec, codec::IDLE_BYTES));
        }
        if let Some(deadline_ms) = self.connection.handshake_deadline_ms() {
            let left = deadline_ms.saturating_sub(self.clock.now_ms());
            ctx.run_later(Duration::from_millis(left), |session, ctx| {
                if session.peer.is_none() {
                    session.end("the handshake took too long", ctx);
                }
            });
        }
        self.flush(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let reason =
            if self.reason.is_empty() { "closed".into() } else { std::mem::take(&mut self.reason) };
        // Nobody has heard of a peer that was not let in.
        let peer = self.peer.filter(|_| self.admittance.has_opened());
        let refused = self.refused();
        let (id, remote, dialled) = (self.id, self.remote, self.dialled.take());
        let closed = SessionClosed { peer, id, remote, dialled, reason, refused };
        if closed.peer.is_none() {
            let (remote, reason) = (closed.remote.to_string(), closed.reason.clone());
            offer(&self.links.events, Record(Event::SessionRefused { remote, reason }));
        }
        for (request, to) in self.replies.drain() {
            if let Some(peer) = self.peer {
                let body = StageReplyBody::Lost { detail: closed.reason.clone() };
                offer(&to, StageReply { request, peer, body });
            }
        }
        for to in &self.links.closed {
            offer(to, closed.clone());
        }
    }
}

impl StreamHandler<Result<BytesMut, RecordError>> for PeerSession {
    fn handle(&mut self, record: Result<BytesMut, RecordError>, ctx: &mut Self::Context) {
        let received_at = Instant::now();
        let record = match record {
            Ok(record) => record,
            Err(error) => return self.end(error.to_string(), ctx),
        };
        if !self.may_begin(&record, ctx) {
            return;
        }
        match self.connection.receive_record(record, self.clock.now_ms()) {
            Ok(event) => {
                self.read_limits.set_record(self.connection.record_limit());
                match event {
                    Some(ConnectionEvent::Established { peer, binding, pre_shared }) => {
                        self.arrived(peer, binding, pre_shared, ctx);
                    }
                    Some(ConnectionEvent::Message(message, credit)) => {
                        let credit = self.hold(&message, credit);
                        self.receive(message, credit, received_at, ctx);
                    }
                    None => {}
                }
                self.flush(ctx);
            }
            Err(error) => self.end(error.to_string(), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.end(self.admittance.silence(), ctx);
    }
}

impl Handler<SendFrame> for PeerSession {
    type Result = ();

    fn handle(&mut self, frame: SendFrame, ctx: &mut Self::Context) {
        match &frame.message.body {
            Body::OpenStage(open) => {
                if let Some(replies) = frame.replies {
                    if self.replies.len() >= REQUESTS_MAX {
                        self.replies.retain(|_, to| to.connected());
                    }
                    self.replies.insert(open.request, replies);
                }
            }
            Body::CloseStage { request, .. } => {
                self.replies.remove(request);
            }
            _ => {}
        }
        self.send(frame.message, ctx);
    }
}

impl Handler<CloseSession> for PeerSession {
    type Result = ();

    fn handle(&mut self, close: CloseSession, ctx: &mut Self::Context) {
        self.end(close.reason, ctx);
    }
}

impl Handler<CreditReturned> for PeerSession {
    type Result = ();

    fn handle(&mut self, _: CreditReturned, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}

impl Handler<RetireSession> for PeerSession {
    type Result = ();

    fn handle(&mut self, _: RetireSession, _: &mut Self::Context) {
        self.is_retired = true;
    }
}

#[cfg(test)]
mod tests;
