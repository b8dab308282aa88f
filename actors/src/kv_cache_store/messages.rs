//! Messages of the KV cache store. Sender of all commands: batch_scheduler. Sequences are numbered
//! by it; positions count tokens.

use std::sync::Arc;

use actix::Message;
use swarmllm_models::kv::{PageCopy, PageKey, PrefixStatistics};
use swarmllm_protocol::schedule::PageRoom;

/// Command. Reply: what the sequence starts with.
#[derive(Debug, Message)]
#[rtype(result = "Attachment")]
pub struct AttachSequence {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Number of the sequence.
    pub sequence: u64,
    /// Whose prefixes it may share.
    pub namespace: u64,
    /// Names of the full pages of its prompt.
    pub keys: Vec<PageKey>,
    /// Rows before its first token.
    pub prompt: u32,
    /// Most pages that may become unavailable to others by it: those it shares, and those it needs
    /// for its prompt and one more position.
    pub pages_max: u32,
    /// A sequence whose prompt it shares.
    pub sample_of: Option<u64>,
    /// Whether it waits for nobody.
    pub alone: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// It has pages.
    Attached {
        /// Positions that are known.
        positions: u32,
        /// Pages it holds.
        pages: u32,
        /// Pages there are.
        room: PageRoom,
    },
    /// Another one computes the same prefix: attach again when that got there.
    Behind {
        /// Which.
        leader: u64,
        /// Up to which position.
        positions: u32,
    },
    /// It needs more pages than it may take.
    NoRoom,
}

/// Command. Gives back what is known beyond a position: another stage knew less.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TrimSequence {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Number of the sequence.
    pub sequence: u64,
    /// Positions that stay.
    pub positions: u32,
}

/// Positions of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the sequence.
    pub sequence: u64,
    /// First.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
}

/// Command. Makes room for the rows of a step. Reply: one entry per stretch.
#[derive(Debug, Message)]
#[rtype(result = "StepPages")]
pub struct PrepareStep {
    /// Number of the shard in this node.
    pub shard: usize,
    /// What will be written.
    pub stretches: Vec<Stretch>,
}

/// Pages of a step.
#[derive(Debug, Default)]
pub struct StepPages {
    /// The block table of each sequence; none when there is no page for it.
    pub tables: Vec<Option<Arc<[u32]>>>,
    /// To be carried out before the step.
    pub copies: Vec<PageCopy>,
    /// Pages there are now.
    pub room: PageRoom,
}

/// Event. Full pages of these sequences are computed, up to these positions: others may use them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RowsComputed {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Sequence and positions.
    pub computed: Vec<(u64, u32)>,
}

/// Command. Ends a sequence: full pages with names are kept for reuse. Reply: pages there are now.
#[derive(Debug, Message)]
#[rtype(result = "RoomReply")]
pub struct DetachSequence {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Number of the sequence.
    pub sequence: u64,
    /// Positions that are computed.
    pub computed: u32,
    /// Names of the full pages behind those it was attached with.
    pub keys: Vec<PageKey>,
}

/// [`PageRoom`] as a reply.
#[derive(Debug, Clone, Copy, actix::MessageResponse)]
pub struct RoomReply(pub PageRoom);

/// Question; the answer is in shard order. Sender: doors.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PageUsage>")]
pub struct GetPageUsage;

/// Pages of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageUsage {
    /// Held by sequences.
    pub used: u32,
    /// Kept for reuse.
    pub cached: u32,
    /// In all.
    pub total: u32,
    /// Counted since the start.
    pub prefix: PrefixStatistics,
}
