//! Messages of the KV cache store.

use actix::Message;

/// Command. Sender: batch_scheduler. Reply: page ids enough for `positions` tokens.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<u32>, ReservePagesError>")]
pub struct ReservePages {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Tokens the sequence may grow to.
    pub positions: u32,
}

/// Why no pages were given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReservePagesError {
    /// Other sequences hold them.
    #[error("{wanted} cache pages are needed and {free} are free: try again when others are done")]
    OutOfPages {
        /// Pages asked for.
        wanted: u32,
        /// Pages free.
        free: u32,
    },
    /// No such shard.
    #[error("no such shard on this node")]
    UnknownShard,
}

/// Command. Sender: batch_scheduler. Gives pages back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReleasePages {
    /// Number of the shard in this node.
    pub shard: usize,
    /// Pages of one sequence.
    pub pages: Vec<u32>,
}

/// Question. Sender: doors.
#[derive(Debug, Message)]
#[rtype(result = "PageUsage")]
pub struct GetPageUsage;

/// Pages over all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageUsage {
    /// In use.
    pub used: u32,
    /// In all.
    pub total: u32,
}
