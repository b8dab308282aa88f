//! Messages of the batch scheduler.

use actix::{Message, Recipient};
use bytes::Bytes;
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::wire::{OpenStage, Rows};
use tokio::time::Instant;

use crate::generation::StageReply;

/// Who opened a stage sequence and hears of it.
#[derive(Debug, Clone)]
pub struct StageOwner {
    /// Session number; 0 for this node itself.
    pub session: u64,
    /// The requester.
    pub peer: PeerId,
    /// Where replies go.
    pub reply: Recipient<StageReply>,
}

/// Command. Senders: peer_session (a remote requester), generation (this node). Reply: later, as
/// `StageReply::{Opened, Refused}`. Worst size: one control message.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenSequence {
    /// What to open.
    pub open: OpenStage,
    /// Who opens it.
    pub owner: StageOwner,
}

/// Command. Senders: peer_session, generation. Rows for an open sequence, in order; rows of an
/// unknown sequence are dropped (it was cancelled meanwhile). Worst size: one tensor message.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SubmitRows {
    /// Header, validated by the wire.
    pub rows: Rows,
    /// Token ids or hidden rows, little endian.
    pub payload: Bytes,
    /// When it arrived here.
    pub received_at: Instant,
}

/// Command. Senders: peer_session, generation. Frees everything of the sequence.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CancelSequence {
    /// Which.
    pub request: RequestId,
    /// Only if this session opened it; `None` from this node itself.
    pub owner: Option<u64>,
}

/// Question. Sender: doors. Reply: open sequences now.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct GetOpenSequences;
