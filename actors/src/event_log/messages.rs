//! Messages of the event log.

use actix::Message;
use serde::Serialize;
use tokio::sync::mpsc;

/// Something that happened; the closed family that dashboard, metrics and tests read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A peer's session is established.
    PeerConnected {
        /// Peer id.
        peer: String,
        /// How it was found.
        via: String,
    },
    /// A peer's last session ended.
    PeerDisconnected {
        /// Peer id.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A connection failed before it named a peer, or broke the protocol.
    SessionRefused {
        /// Remote address.
        remote: String,
        /// What was wrong.
        reason: String,
    },
    /// Somebody redeemed an invite of this node.
    InviteRedeemed {
        /// Which invite.
        invite: String,
        /// Peer id.
        peer: String,
    },
    /// A peer admitted this node by an invite.
    Admitted {
        /// Peer id of the inviter.
        peer: String,
    },
    /// A peer did not let this node in.
    NotAdmitted {
        /// Peer id.
        peer: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A layer range is loaded and served.
    ShardLoaded {
        /// Model name.
        model: String,
        /// Half-open layer range.
        layers: [u32; 2],
        /// Weight bytes.
        bytes: u64,
    },
    /// A generation began.
    GenerationStarted {
        /// Request id.
        request: String,
        /// Model name.
        model: String,
        /// Prompt length in tokens.
        prompt_tokens: u32,
        /// The route in words.
        route: String,
    },
    /// A generation ended as it should.
    GenerationFinished {
        /// Request id.
        request: String,
        /// New tokens.
        tokens: u32,
        /// Time to the first token.
        ttft_ms: f64,
        /// Whole duration.
        total_ms: f64,
    },
    /// A generation failed or was cancelled.
    GenerationFailed {
        /// Request id.
        request: String,
        /// Why.
        reason: String,
    },
    /// The tree was restarted.
    TreeRestarted {
        /// Which member ended.
        member: String,
        /// How often since the node started.
        restarts: u32,
    },
}

/// An event with its place and time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Running number from 1.
    pub seq: u64,
    /// Wall clock, for people.
    pub at_unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Notification. Sender: every actor. When the box is full the event is lost and counted.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Record(pub Event);

/// Question. Sender: doors. Reply: a stream of entries from now on; a reader that falls 256
/// behind loses its subscription.
#[derive(Debug, Message)]
#[rtype(result = "mpsc::Receiver<Entry>")]
pub struct Subscribe;
