//! Messages of a peer session, and the handle by which others hold one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Message, Recipient};
use swarmllm_protocol::admission::NotAdmitted;
use swarmllm_protocol::connection::PreSharedKeyId;
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::wire;

use super::LinkQuality;
use crate::generation::StageReply;
use crate::peer_directory::PeerTarget;

/// An established session as its users hold it; cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    /// The authenticated peer.
    pub peer: PeerId,
    /// Number of the session in this process; two sessions with one peer differ in it.
    pub id: u64,
    /// Sends a frame.
    pub send: Recipient<SendFrame>,
    /// Ends the session.
    pub close: Recipient<CloseSession>,
    /// Ends it once nothing goes over it any more.
    pub retire: Recipient<RetireSession>,
    /// When something of a generation went over it last, on the node's clock.
    pub used_at_ms: Arc<AtomicU64>,
    /// What is known of the way there.
    pub link: Arc<LinkQuality>,
}

impl SessionHandle {
    /// Smoothed round-trip time in microseconds; 0 while unmeasured.
    pub fn rtt_us(&self) -> u32 {
        self.link.rtt_us()
    }

    /// Whether so much waits for the peer that no more rows should be computed for it.
    pub fn is_congested(&self) -> bool {
        self.link.is_congested()
    }

    /// When something of a generation went over it last, milliseconds of the node's clock.
    pub fn used_at_ms(&self) -> u64 {
        self.used_at_ms.load(Ordering::Relaxed)
    }
}

/// Command. Sender: batch_scheduler, generation, peer_directory. No reply: a session whose lanes
/// are full closes itself, which every user hears as `StageReplyBody::Lost`. Worst size: one
/// tensor message. When the box is full the sender treats the session as lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendFrame {
    /// What to send.
    pub message: wire::Message,
    /// Where replies about this request go (with `OpenStage`).
    pub replies: Option<Recipient<StageReply>>,
}

/// Event. Sender: peer_session. Handler: batch_scheduler. A session that was congested takes rows
/// again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionDrained;

/// Command. Sender: peer_directory, listener, node_supervisor. Ends the session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseSession {
    /// Why, for the log.
    pub reason: &'static str,
}

/// Command. Sender: peer_directory, when another session with the same peer takes over: stages that
/// run over this one finish on it, then it ends.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RetireSession;

/// Event. Sender: peer_session. Handler: peer_directory.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionOpened {
    /// The new session.
    pub handle: SessionHandle,
    /// Address of the other end of the socket.
    pub remote: SocketAddr,
    /// Whom this node dialled; `None` when it was dialled.
    pub dialled: Option<PeerTarget>,
    /// The secret that the side which dialled showed.
    pub pre_shared: Option<PreSharedKeyId>,
    /// A name for this session that both sides share, the same for as long as it lasts: sign it to
    /// bind something to the session.
    pub binding: [u8; 32],
}

/// Event. Sender: peer_session. Handlers: peer_directory and batch_scheduler.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SessionClosed {
    /// The peer, when it was let in.
    pub peer: Option<PeerId>,
    /// Number of the session.
    pub id: u64,
    /// Address of the other end of the socket.
    pub remote: SocketAddr,
    /// Whom this node dialled; `None` when it was dialled.
    pub dialled: Option<PeerTarget>,
    /// Why it ended.
    pub reason: String,
    /// Who did not let this node in, and why.
    pub refused: Option<(PeerId, NotAdmitted)>,
}

/// Event. Sender: peer_session. Handler: peer_directory. What a peer says about itself and others;
/// already validated by the wire.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerReported {
    /// Who says so.
    pub peer: PeerId,
    /// Over which session.
    pub session: u64,
    /// Address of the other end of the socket.
    pub remote: SocketAddr,
    /// `Hello`, `Inventory` or `PeerExchange`.
    pub body: wire::Body,
}
