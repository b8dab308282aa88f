//! One encrypted connection to one peer: socket, handshake, lanes, round-trip time.
//!
//! Started by `listener` and `dialer`; the rules are `swarmllm_protocol::connection`. This is the
//! only place where wire messages and actor messages meet. When it ends, for whatever reason,
//! `peer_directory`, `batch_scheduler` and every generation that waits on the peer are told.

mod codec;
mod door;
mod messages;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, StreamHandler,
    WrapFuture,
};
use bytes::{Buf, BytesMut};
use swarmllm_protocol::connection::{Connection, ConnectionEvent, PreSharedKeyId};
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::wire::{Body, Message, RefusalReason, detail};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;
use tokio_util::codec::FramedRead;

pub use codec::{RecordCodec, RecordError};
use door::Door;
pub use door::InviteLinks;
pub use messages::{
    CloseSession, PeerReported, RetireSession, SendFrame, SessionClosed, SessionHandle,
    SessionOpened,
};

use crate::batch_scheduler::{CancelSequence, OpenSequence, StageOwner, SubmitRows};
use crate::clock::Clock;
use crate::event_log::{Event, Record};
use crate::generation::{StageReply, StageReplyBody};
use crate::mailbox::{self, offer};

/// How often the round-trip time is measured and the peer's life checked.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Unanswered pings after which the peer counts as gone.
const PINGS_MISSED_MAX: u32 = 3;
/// Sealed bytes handed to the socket at once; what control frames wait behind at most.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// Requests whose replies one session routes.
const REQUESTS_MAX: usize = 4096;

/// A retired session ends after so long without a frame.
const RETIRED_IDLE: Duration = Duration::from_secs(60);

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
    /// event_log.
    pub events: Recipient<Record>,
    /// invite_keeper.
    pub invites: InviteLinks,
}

/// The actor.
pub struct PeerSession {
    id: u64,
    connection: Connection,
    is_initiator: bool,
    remote: SocketAddr,
    reader: Option<OwnedReadHalf>,
    record_limit: Arc<AtomicUsize>,
    writer: Arc<OwnedWriteHalf>,
    outgoing: BytesMut,
    is_blocked: bool,
    peer: Option<PeerId>,
    door: Door,
    replies: HashMap<RequestId, Recipient<StageReply>>,
    rtt_us: Arc<AtomicU32>,
    ping: Option<(u64, Instant)>,
    pings_missed: u32,
    is_retired: bool,
    used_at: Instant,
    reason: String,
    clock: Clock,
    links: SessionLinks,
}

impl PeerSession {
    /// A session over a connected socket; the flag says whether this node dialled.
    pub fn new(
        stream: TcpStream,
        remote: SocketAddr,
        (connection, is_initiator): (Connection, bool),
        clock: Clock,
        links: SessionLinks,
    ) -> PeerSession {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "no TCP_NODELAY");
        }
        let (reader, writer) = stream.into_split();
        PeerSession {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            record_limit: Arc::new(AtomicUsize::new(connection.record_limit())),
            connection,
            is_initiator,
            remote,
            reader: Some(reader),
            writer: Arc::new(writer),
            outgoing: BytesMut::new(),
            is_blocked: false,
            peer: None,
            door: Door::default(),
            replies: HashMap::new(),
            rtt_us: Arc::new(AtomicU32::new(0)),
            ping: None,
            pings_missed: 0,
            is_retired: false,
            used_at: Instant::now(),
            reason: String::new(),
            clock,
            links,
        }
    }

    fn end(&mut self, reason: impl Into<String>, ctx: &mut Context<Self>) {
        if self.reason.is_empty() {
            self.reason = reason.into();
        }
        ctx.stop();
    }

    /// Anything but a sign of life is use, in either direction: a retired session outlives it.
    fn note_use(&mut self, body: &Body) {
        if !matches!(body, Body::Ping { .. } | Body::Pong { .. }) {
            self.used_at = Instant::now();
        }
    }

    fn send(&mut self, message: Message, ctx: &mut Context<Self>) {
        self.note_use(&message.body);
        match self.connection.send(message) {
            Ok(()) => self.flush(ctx),
            Err(error) => self.end(format!("can't send: {error}"), ctx),
        }
    }

    fn say(&mut self, body: Body, ctx: &mut Context<Self>) {
        self.send(Message::new(body), ctx);
    }

    /// Seals by priority and writes until the socket would block, then waits for it.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.is_blocked {
            return;
        }
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
        self.peer = Some(peer);
        let handle = SessionHandle {
            peer,
            id: self.id,
            send: ctx.address().recipient(),
            close: ctx.address().recipient(),
            retire: ctx.address().recipient(),
            rtt_us: Arc::clone(&self.rtt_us),
        };
        let (remote, is_initiator) = (self.remote, self.is_initiator);
        let opened = SessionOpened { handle, remote, is_initiator, pre_shared, binding };
        if !offer(&self.links.opened, opened) {
            return self.end("this node has too much to do", ctx);
        }
        self.measure(ctx);
        ctx.run_interval(PING_EVERY, Self::measure);
    }

    fn measure(&mut self, ctx: &mut Context<Self>) {
        if self.is_retired && self.used_at.elapsed() >= RETIRED_IDLE {
            return self.end("another session with this peer is used", ctx);
        }
        if self.ping.is_some() {
            self.pings_missed += 1;
            if self.pings_missed >= PINGS_MISSED_MAX {
                return self.end("the peer stopped answering", ctx);
            }
        }
        let nonce = self.clock.now_ms() ^ self.id.rotate_left(32);
        self.ping = Some((nonce, Instant::now()));
        self.say(Body::Ping { nonce }, ctx);
    }

    fn ponged(&mut self, nonce: u64) {
        let Some((expected, sent_at)) = self.ping else { return };
        if expected != nonce {
            return;
        }
        self.ping = None;
        self.pings_missed = 0;
        let sample = crate::clock::micros(sent_at.elapsed()).max(1);
        let old = self.rtt_us.load(Ordering::Relaxed);
        // The first sample stands; later ones move the estimate by an eighth (RFC 6298).
        let new = if old == 0 { sample } else { old - old / 8 + sample / 8 };
        self.rtt_us.store(new, Ordering::Relaxed);
    }

    fn receive(&mut self, message: Message, received_at: Instant, ctx: &mut Context<Self>) {
        let Some(peer) = self.peer else {
            return self.end("a message before the handshake", ctx);
        };
        let Some(message) = self.pass_door(peer, message, ctx) else { return };
        self.note_use(&message.body);
        match message.body {
            Body::Ping { nonce } => self.say(Body::Pong { nonce }, ctx),
            Body::Pong { nonce } => self.ponged(nonce),
            body @ (Body::Hello { .. } | Body::Inventory { .. } | Body::PeerExchange { .. }) => {
                let (session, remote) = (self.id, self.remote);
                offer(&self.links.reported, PeerReported { peer, session, remote, body });
            }
            Body::OpenStage(open) => {
                let request = open.request;
                let reply = ctx.address().recipient();
                let owner = StageOwner { session: self.id, peer, client: 0, reply };
                let keys = message.payload;
                if self.links.open.try_send(OpenSequence { open, keys, owner }).is_err() {
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
                offer(&self.links.cancel, CancelSequence { request, owner, keys });
            }
            Body::Rows(rows) => {
                let submit = SubmitRows { rows, payload: message.payload, received_at };
                if self.links.rows.try_send(submit).is_err() {
                    self.end("the scheduler's queue is full", ctx);
                }
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
            // The door has taken them.
            Body::Present { .. }
            | Body::Admitted { .. }
            | Body::NotAdmitted { .. }
            | Body::Revocations { .. } => {}
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
            ctx.add_stream(FramedRead::new(
                reader,
                RecordCodec::new(Arc::clone(&self.record_limit)),
            ));
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
        let peer = self.peer.filter(|_| self.door.has_opened());
        let refused = self.refused();
        let closed = SessionClosed { peer, id: self.id, remote: self.remote, reason, refused };
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
        match self.connection.receive_record(record, self.clock.now_ms()) {
            Ok(event) => {
                self.record_limit.store(self.connection.record_limit(), Ordering::Relaxed);
                match event {
                    Some(ConnectionEvent::Established { peer, binding, pre_shared }) => {
                        self.arrived(peer, binding, pre_shared, ctx);
                    }
                    Some(ConnectionEvent::Message(message)) => {
                        self.receive(message, received_at, ctx);
                    }
                    None => {}
                }
                self.flush(ctx);
            }
            Err(error) => self.end(error.to_string(), ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        self.end(self.door.silence(), ctx);
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

impl Handler<RetireSession> for PeerSession {
    type Result = ();

    fn handle(&mut self, _: RetireSession, _: &mut Self::Context) {
        self.is_retired = true;
    }
}

/// Replies of this node's own stages to a generation at the other end.
impl Handler<StageReply> for PeerSession {
    type Result = ();

    fn handle(&mut self, reply: StageReply, ctx: &mut Self::Context) {
        let request = reply.request;
        let body = match reply.body {
            StageReplyBody::Queued { waiting } => Body::StageQueued { request, waiting },
            StageReplyBody::Opened { known } => Body::StageOpened { request, known },
            StageReplyBody::Preempted => Body::StagePreempted { request },
            StageReplyBody::Refused { reason, detail: text, retry_after_ms } => {
                Body::StageRefused { request, reason, detail: detail(&text), retry_after_ms }
            }
            StageReplyBody::Failed { detail: text } | StageReplyBody::Lost { detail: text } => {
                Body::StageFailed { request, stage: 0, detail: detail(&text) }
            }
            StageReplyBody::Sampled(sampled) => Body::TokenSampled(sampled),
        };
        self.say(body, ctx);
    }
}
