//! Messages of a shard worker.

use actix::Message;
use swarmllm_models::kv::PageCopy;
use swarmllm_models::sampler::{LogProbabilities, SamplingParams};
use swarmllm_models::{HiddenRows, SequenceRows, ShardError, ShardInput};

use super::embedding::EmbeddingSum;
use super::guide::TokenGuide;

/// Sample a token from a sequence's last row.
#[derive(Debug)]
pub struct SampleAt {
    /// Position the token will take; addresses the random number.
    pub position: u32,
    /// How.
    pub params: SamplingParams,
    /// What else the choice depends on.
    pub guide: Option<Box<TokenGuide>>,
    /// Tell how likely it was, and so many of the likeliest.
    pub log_probabilities: Option<u8>,
}

/// What is wanted of a sequence's rows.
#[derive(Debug)]
pub enum RowsWanted {
    /// Nothing but that they are computed.
    Nothing,
    /// A token behind the last one.
    Token(SampleAt),
    /// That they are added to this.
    Sum(EmbeddingSum),
    /// How likely they made the tokens that their sequence names.
    Scores,
}

/// What a sequence's rows gave.
#[derive(Debug)]
pub enum RowsGiven {
    /// Nothing.
    Nothing,
    /// A token.
    Token(Sampled),
    /// The sum, with these rows.
    Sum(EmbeddingSum),
    /// How likely tokens were.
    Scores(Vec<LogProbabilities>),
}

/// A token that was sampled.
#[derive(Debug)]
pub struct Sampled {
    /// It, or why there is none.
    pub token: Result<u32, String>,
    /// How likely it was.
    pub log_probabilities: Option<LogProbabilities>,
    /// What came with the row, brought up to date.
    pub guide: Option<Box<TokenGuide>>,
}

/// Command. Sender: batch_scheduler. Reply: [`BatchRun`]. Worst size: the step's rows. A full box
/// or thread answers `Busy`.
#[derive(Debug, Message)]
#[rtype(result = "Result<BatchRun, RunBatchError>")]
pub struct RunBatch {
    /// Pages to be copied before.
    pub copies: Vec<PageCopy>,
    /// Rows of each sequence, in batch order.
    pub sequences: Vec<SequenceRows>,
    /// Token ids or hidden rows of all sequences.
    pub input: ShardInput,
    /// One entry per sequence; only a last stage gives anything.
    pub wanted: Vec<RowsWanted>,
}

/// What a batch gave.
#[derive(Debug)]
pub struct BatchRun {
    /// Hidden rows for the next stage; absent at the last one.
    pub hidden: Option<HiddenRows>,
    /// One entry per sequence.
    pub given: Vec<RowsGiven>,
    /// Time on the compute thread, sampling included.
    pub compute_us: u32,
}

/// Why a batch did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunBatchError {
    /// The engine refused it.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The thread has enough to do.
    #[error("the compute thread is busy: try again")]
    Busy,
    /// Fewer logits rows than asked for.
    #[error("the engine gave fewer logits rows than asked for")]
    LogitsMissing,
    /// The engine panicked; the shard is gone.
    #[error("the engine stopped on an internal error; the node is loading the shard again")]
    Panicked,
}
