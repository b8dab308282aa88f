//! Messages of the batch scheduler.

use actix::{Message, Recipient};
use bytes::Bytes;
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::wire::{OpenStage, Rows};
use tokio::time::Instant;

use crate::generation::StageReply;
use crate::peer_session::HeldCredit;

/// Who opened a stage sequence and hears of it.
#[derive(Debug, Clone)]
pub struct StageOwner {
    /// Session number; 0 for this node itself.
    pub session: u64,
    /// The requester.
    pub peer: PeerId,
    /// Which of this node's own clients asks; 0 for other nodes, which share as one.
    pub client: u64,
    /// Where replies go.
    pub reply: Recipient<StageReply>,
}

/// Command. Senders: peer_session (a remote requester), generation (this node). Reply: later, as
/// `StageReply::{Queued, Opened, Refused}`. Worst size: names of all pages and a guide, 5 MiB.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenSequence {
    /// What to open.
    pub open: OpenStage,
    /// Names of the full pages of its prompt, one after the other.
    pub keys: Bytes,
    /// What guides the choice of tokens, as `swarmllm_protocol::guide` writes it.
    pub guide: Bytes,
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
    /// Room the rows take in the window of the session they came by.
    pub credit: Option<HeldCredit>,
}

/// Command. Senders: peer_session, generation. Frees everything of the sequence.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CancelSequence {
    /// Which.
    pub request: RequestId,
    /// Only if this session opened it; `None` from this node itself.
    pub owner: Option<u64>,
    /// Names of the full pages behind the prompt's, which are kept for reuse.
    pub keys: Bytes,
}

/// Question; the answer is in shard order. Sender: doors.
#[derive(Debug, Message)]
#[rtype(result = "Vec<SchedulerUsage>")]
pub struct GetSchedulerUsage;

/// What the scheduler has to do for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedulerUsage {
    /// Sequences with a place.
    pub running: usize,
    /// Sequences that wait for one.
    pub waiting: usize,
    /// Sequences preempted since the start.
    pub preemptions: u64,
    /// Steps since the start.
    pub steps: u64,
    /// Rows of them.
    pub rows: u64,
    /// Time the shards computed.
    pub compute_us: u64,
    /// Time spent on planning and on putting steps together.
    pub planning_us: u64,
}
