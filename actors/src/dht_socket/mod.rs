//! The DHT's socket: UDP on the port of the TCP listener, sealed datagrams in and out.
//!
//! `dht_router` says what to ask and answer; sealing is `swarmllm_protocol::dht_datagram`, rates
//! are `swarmllm_protocol::source_limit`. What a stranger's datagram costs: a length, a lookup, a
//! few hashes; only behind those a key exchange. Beyond the rate a question is answered with a
//! cookie, and asked again by whoever is where it says. A dual-stack socket speaks to IPv4 by
//! mapped addresses, which nobody else sees.
//! Absent on purpose: retries; the lookup asks somebody else.

mod messages;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult,
    ResponseFuture, StreamHandler, WrapFuture,
};
use futures_util::stream;
use swarmllm_protocol::address;
use swarmllm_protocol::cookie::CookieKeys;
use swarmllm_protocol::dht_datagram::{
    DatagramKeys, PendingRequest, REPLY_ID_BYTES, ReplyId, SizeClass, challenge,
};
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::kademlia::{Question, Request, Response};
use swarmllm_protocol::limits::{DATAGRAM_LONG_BYTES, DHT_MESSAGE_MAX_BYTES};
use swarmllm_protocol::source_limit::{SourceLimit, Verdict};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use messages::{
    Answered, Ask, Asked, AttachRouter, GetSocketCounts, MeasurePath, SendAnswer, SocketCounts,
};

use crate::clock::{self, Clock};
use crate::entropy;
use crate::mailbox::{self, offer};

/// Questions without an answer yet.
const OUTSTANDING_MAX: usize = 1024;
/// How long an answer is recognised: longer than any lookup waits for one.
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// How often forgotten questions are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// How long a measurement waits.
const PATH_DEADLINE: Duration = Duration::from_secs(3);
/// Most bytes of an answer to `Ping` and `Store`: an address, and what it says.
const SHORT_ANSWER_BYTES: usize = address::ADDRESS_MAX_BYTES + 2;

/// What cookies are for.
const COOKIE_CONTEXT: &str = "swarmllm/1 cookie of a question";

/// Whom an answer is for.
enum Purpose {
    Router { request_id: u64 },
    Path { measured: oneshot::Sender<u32> },
}

struct Outstanding {
    pending: PendingRequest,
    to: SocketAddr,
    sent_at: Instant,
    purpose: Purpose,
}

/// The actor.
pub struct DhtSocket {
    /// Datagrams leave by the plain socket: one that can't go at once is as good as lost.
    socket: std::net::UdpSocket,
    is_ipv6: bool,
    offline: bool,
    keys: DatagramKeys,
    router: Option<AttachRouter>,
    outstanding: HashMap<ReplyId, Outstanding>,
    /// Which of them a challenge is for, by what it begins with.
    unchallenged: HashMap<ReplyId, ReplyId>,
    cookies: CookieKeys,
    limit: SourceLimit,
    counts: SocketCounts,
    clock: Clock,
}

impl DhtSocket {
    /// On a bound, non-blocking socket, which joins the runtime of the actor's Arbiter. In offline
    /// mode nothing is sent outside private ranges.
    pub fn new(
        socket: std::net::UdpSocket,
        keys: DatagramKeys,
        offline: bool,
        clock: Clock,
    ) -> DhtSocket {
        let is_ipv6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
        DhtSocket {
            socket,
            is_ipv6,
            offline,
            keys,
            router: None,
            outstanding: HashMap::new(),
            unchallenged: HashMap::new(),
            cookies: CookieKeys::new(COOKIE_CONTEXT, entropy::bytes()),
            limit: SourceLimit::new(clock.now_ms()),
            counts: SocketCounts::default(),
            clock,
        }
    }

    fn send(&mut self, datagram: &[u8], to: SocketAddr) -> bool {
        let is_allowed =
            address::is_dialable(&to) && (!self.offline || address::is_private(to.ip()));
        let target = as_socket_sees(to, self.is_ipv6);
        let sent = match target {
            Some(target) if is_allowed => self.socket.send_to(datagram, target),
            _ => Err(std::io::ErrorKind::Unsupported.into()),
        };
        match sent {
            Ok(bytes) => {
                self.counts.sent += 1;
                self.counts.sent_bytes += bytes as u64;
            }
            Err(ref error) => {
                tracing::debug!(%to, %error, "datagram not sent");
                self.counts.unsent += 1;
            }
        }
        sent.is_ok()
    }

    fn ask(&mut self, (peer, to): (PeerId, SocketAddr), request: &Request, purpose: Purpose) {
        if self.outstanding.len() >= OUTSTANDING_MAX {
            self.counts.unsent += 1;
            return;
        }
        let Ok(body) = request.encode() else { return };
        let Some(class) = SizeClass::for_request(body.len(), answer_bytes(&request.question))
        else {
            return;
        };
        match self.keys.request(&peer, class, &body, entropy::bytes()) {
            Ok((datagram, pending)) => {
                if self.send(&datagram, to) {
                    let (reply_id, sent_at) = (pending.reply_id(), Instant::now());
                    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
                    if let Some(tag) = pending.tag() {
                        self.unchallenged.insert(tag, reply_id);
                    }
                    let outstanding = Outstanding { pending, to, sent_at, purpose };
                    self.outstanding.insert(reply_id, outstanding);
                }
            }
            // A peer id that is no key; whoever named it made it up.
            Err(error) => tracing::debug!(peer = peer.short(), %error, "question not asked"),
        }
    }

    /// Takes a datagram if it answers a question, from where the question went. An answer from
    /// elsewhere is ignored, and the question stays open.
    fn take_answer(&mut self, datagram: &[u8], from: SocketAddr) -> bool {
        let reply_id = datagram.first_chunk::<REPLY_ID_BYTES>();
        let Some(reply_id) = reply_id.filter(|id| self.outstanding.contains_key(*id)) else {
            return false;
        };
        if self.outstanding[reply_id].to != from {
            self.counts.refused += 1;
            return true;
        }
        let Some(asked) = self.outstanding.remove(reply_id) else { return true };
        asked.pending.tag().map(|tag| self.unchallenged.remove(&tag));
        let opened = asked.pending.open(datagram).ok();
        let Some(response) = opened.and_then(|body| Response::decode(&body).ok()) else {
            self.counts.refused += 1;
            return true;
        };
        match asked.purpose {
            Purpose::Router { request_id } => {
                if let Some(router) = &self.router {
                    offer(&router.answered, Answered { request_id, response });
                }
            }
            Purpose::Path { measured } => {
                // Whoever asked may have stopped waiting.
                let _ = measured.send(clock::micros(asked.sent_at.elapsed()));
            }
        }
        true
    }

    /// Takes a datagram if it asks for a cookie, from where the question went: asks again.
    fn take_challenge(&mut self, datagram: &[u8], from: SocketAddr) -> bool {
        let tag = datagram.first_chunk::<REPLY_ID_BYTES>();
        let Some(reply_id) = tag.and_then(|tag| self.unchallenged.get(tag)) else { return false };
        let asked = self.outstanding.get_mut(reply_id).filter(|asked| asked.to == from);
        let Some(again) = asked.and_then(|asked| asked.pending.with_cookie(datagram)) else {
            self.counts.refused += 1;
            return true;
        };
        tag.map(|tag| self.unchallenged.remove(tag));
        self.send(&again, from);
        true
    }

    fn received(&mut self, datagram: &[u8], from: SocketAddr) {
        self.counts.received += 1;
        self.counts.received_bytes += datagram.len() as u64;
        if self.take_answer(datagram, from) || self.take_challenge(datagram, from) {
            return;
        }
        let now_ms = self.clock.now_ms();
        let is_allowed = !self.offline || address::is_private(from.ip());
        let checked = self.keys.check_tag(datagram, self.cookies.good(from, now_ms));
        let Some(checked) = checked.ok().filter(|_| is_allowed) else {
            self.counts.refused += 1;
            return;
        };
        match self.limit.admit(from, checked.has_cookie(), now_ms) {
            Verdict::Open => {}
            verdict => {
                self.counts.over_rate += 1;
                if verdict == Verdict::Challenge {
                    let cookie = self.cookies.cookie(from, now_ms);
                    self.send(&challenge(datagram, &cookie), from);
                }
                return;
            }
        }
        let opened = self.keys.open_request(checked, entropy::bytes()).ok();
        let request = opened
            .and_then(|(body, reply)| Request::decode(&body).ok().map(|request| (request, reply)));
        match (request, &self.router) {
            (Some((request, reply)), Some(router)) => {
                offer(&router.asked, Asked { from, request, reply });
            }
            (Some(_), None) => {}
            (None, _) => self.counts.refused += 1,
        }
    }
}

/// Most bytes of an answer to a question.
fn answer_bytes(question: &Question) -> usize {
    match question {
        Question::Ping | Question::Store { .. } => SHORT_ANSWER_BYTES,
        Question::FindNode { .. } | Question::FindProviders { .. } => DHT_MESSAGE_MAX_BYTES,
    }
}

/// An address in the family of the socket, where that can be.
fn as_socket_sees(to: SocketAddr, is_ipv6: bool) -> Option<SocketAddr> {
    match (to.ip().to_canonical(), is_ipv6) {
        (IpAddr::V4(ip), true) => {
            let mapped: Ipv6Addr = ip.to_ipv6_mapped();
            Some(SocketAddr::new(mapped.into(), to.port()))
        }
        (IpAddr::V6(_), false) => None,
        (ip, _) => Some(SocketAddr::new(ip, to.port())),
    }
}

/// One datagram, cut a byte behind the longest one that is read.
async fn receive(
    socket: Arc<UdpSocket>,
) -> (std::io::Result<(Vec<u8>, SocketAddr)>, Arc<UdpSocket>) {
    let mut buffer = [0; DATAGRAM_LONG_BYTES + 1];
    let received = socket.recv_from(&mut buffer).await;
    (received.map(|(length, from)| (buffer[..length].to_vec(), from)), socket)
}

impl Actor for DhtSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::DHT_SOCKET);
        match self.socket.try_clone().and_then(UdpSocket::from_std) {
            Ok(socket) => {
                let socket = Arc::new(socket);
                ctx.add_stream(stream::unfold(socket, |socket| async move {
                    Some(receive(socket).await)
                }));
            }
            Err(error) => {
                tracing::error!(%error, "the UDP socket can't be used");
                ctx.stop();
            }
        }
        ctx.run_interval(FORGET_EVERY, |socket, _| {
            socket.outstanding.retain(|_, asked| asked.sent_at.elapsed() < FORGET_AFTER);
            let outstanding = &socket.outstanding;
            socket.unchallenged.retain(|_, reply_id| outstanding.contains_key(reply_id));
        });
    }
}

impl StreamHandler<std::io::Result<(Vec<u8>, SocketAddr)>> for DhtSocket {
    fn handle(
        &mut self,
        received: std::io::Result<(Vec<u8>, SocketAddr)>,
        ctx: &mut Self::Context,
    ) {
        match received {
            Ok((datagram, from)) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                self.received(&datagram, from);
            }
            Err(error) => {
                // Receiving again at once might spin, so breathe first.
                tracing::debug!(%error, "receiving failed");
                let pause = tokio::time::sleep(Duration::from_millis(20));
                ctx.wait(pause.into_actor(self).map(|(), _, _| ()));
            }
        }
    }
}

impl Handler<AttachRouter> for DhtSocket {
    type Result = ();

    fn handle(&mut self, router: AttachRouter, _: &mut Self::Context) {
        self.router = Some(router);
    }
}

impl Handler<Ask> for DhtSocket {
    type Result = ();

    fn handle(&mut self, ask: Ask, _: &mut Self::Context) {
        let Ask { request_id, to, request } = ask;
        self.ask((to.peer, to.address), &request, Purpose::Router { request_id });
    }
}

impl Handler<SendAnswer> for DhtSocket {
    type Result = ();

    fn handle(&mut self, answer: SendAnswer, _: &mut Self::Context) {
        let SendAnswer { to, response, reply } = answer;
        let Ok(body) = response.encode() else { return };
        // Fails where the question was too short for its answer: then there is none.
        if let Ok(datagram) = reply.seal(&body) {
            self.send(&datagram, to);
        }
    }
}

impl Handler<MeasurePath> for DhtSocket {
    type Result = ResponseFuture<Option<u32>>;

    fn handle(&mut self, MeasurePath { to }: MeasurePath, _: &mut Self::Context) -> Self::Result {
        let (measured, rtt_us) = oneshot::channel();
        let request = Request { server: None, question: Question::Ping };
        self.ask((to.peer, to.address), &request, Purpose::Path { measured });
        Box::pin(async move { tokio::time::timeout(PATH_DEADLINE, rtt_us).await.ok()?.ok() })
    }
}

impl Handler<GetSocketCounts> for DhtSocket {
    type Result = MessageResult<GetSocketCounts>;

    fn handle(&mut self, _: GetSocketCounts, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.counts)
    }
}
