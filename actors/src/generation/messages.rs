//! Messages of a generation: what stages answer it, and what it tells the door.

use actix::Message;
use swarmllm_protocol::ids::{LayerRange, PeerId, RequestId};
use swarmllm_protocol::session::FinishReason;
use swarmllm_protocol::wire::{LogProbabilities, RefusalReason, StageTrace, TokenSampled};

/// Event. Senders: batch_scheduler (a stage on this node), peer_session (a stage elsewhere).
/// Handlers: generation, or the peer_session of a remote requester. A lost reply ends in the
/// generation's deadline.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StageReply {
    /// Which request.
    pub request: RequestId,
    /// The stage's peer.
    pub peer: PeerId,
    /// What it says.
    pub body: StageReplyBody,
}

/// What a stage says.
#[derive(Debug)]
pub enum StageReplyBody {
    /// There is no place yet; `Opened` or `Refused` follows.
    Queued {
        /// How many wait there.
        waiting: u32,
    },
    /// The sequence is open, pages and next hop included.
    Opened {
        /// Positions that need no rows.
        known: u32,
    },
    /// It will not be opened.
    Refused {
        /// For the program.
        reason: RefusalReason,
        /// For the person.
        detail: String,
        /// When to come back; 0 if that does not help.
        retry_after_ms: u32,
    },
    /// The pages went to an older sequence; opened again it goes on.
    Preempted,
    /// An open sequence failed and is closed.
    Failed {
        /// Why.
        detail: String,
    },
    /// The session to the stage is gone.
    Lost {
        /// Why.
        detail: String,
    },
    /// The last stage's token.
    Sampled(TokenSampled),
    /// The embedding that was wanted.
    Embedded {
        /// It.
        values: Vec<f32>,
        /// One entry per stage, in the order of the route.
        trace: Vec<StageTrace>,
    },
    /// How likely the prompt's tokens were.
    Scored {
        /// Of each, from the second on.
        scores: Vec<LogProbabilities>,
        /// One entry per stage, in the order of the route.
        trace: Vec<StageTrace>,
    },
}

/// Command. Sender: the door. The answer is complete as it stands (a stop text was reached): no
/// further round, and the report as usual.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopGeneration;

/// What the door hears, in order; the last one is `Finished` or `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerationEvent {
    /// Every stage has a place for it.
    Started {
        /// Tokens of the prompt that every stage knew from before.
        cached_tokens: u32,
    },
    /// A token was sampled and belongs to the answer.
    Token {
        /// It.
        token: u32,
        /// How likely it was, where that was asked for.
        log_probabilities: Option<LogProbabilities>,
    },
    /// The embedding of the prompt.
    Embedding(Vec<f32>),
    /// How likely the prompt's tokens were, from the second on.
    Scores(Vec<LogProbabilities>),
    /// The answer is complete.
    Finished(GenerationReport),
    /// The answer is not complete and nothing follows.
    Failed(GenerationError),
}

/// Where and how fast an answer was computed.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationReport {
    /// Why it ended.
    pub reason: FinishReason,
    /// Stages in route order, those of a route that was left first.
    pub stages: Vec<StageReport>,
    /// Tokens of the prompt that were known from before at every stage.
    pub cached_tokens: u32,
    /// How often its pages went to others and it was computed again.
    pub preemptions: u32,
    /// From the request to a place at every stage.
    pub queue_ms: f64,
    /// From the request to the first token.
    pub ttft_ms: f64,
    /// Tokens per second after the first.
    pub decode_tok_s: f64,
}

/// One stage's share.
#[derive(Debug, Clone, PartialEq)]
pub struct StageReport {
    /// Who.
    pub peer: PeerId,
    /// Which layers.
    pub layers: LayerRange,
    /// Sum of compute time.
    pub compute_ms: f64,
    /// Sum of the time on the way to the next stage, or back to the requester.
    pub hop_ms: f64,
    /// Sum of payload bytes sent on.
    pub bytes_out: u64,
}

/// Why a generation failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerationError {
    /// Prompt and answer do not fit.
    #[error("{0}")]
    Plan(#[from] swarmllm_protocol::session::PlanError),
    /// Some layers are held by nobody who is connected.
    #[error("{0}")]
    NoRoute(#[from] swarmllm_protocol::route::RouteError),
    /// The last stage can't choose tokens as the request wants it.
    #[error("{0}")]
    Invalid(String),
    /// A stage refused the request.
    #[error("peer {peer} refused the request: {detail}")]
    Refused {
        /// Which peer.
        peer: String,
        /// Whether trying again later helps.
        is_busy: bool,
        /// Why.
        detail: String,
        /// When to come back, seconds; 0 if that does not help.
        retry_after_s: u32,
    },
    /// Not done in the time it was given.
    #[error("the answer was not complete within {seconds} s, as asked")]
    DeadlinePassed {
        /// The time.
        seconds: f64,
    },
    /// A stage failed or vanished during the answer.
    #[error("peer {peer} was lost during the answer ({detail}); ask again for another route")]
    StageLost {
        /// Which peer.
        peer: String,
        /// What happened.
        detail: String,
    },
    /// Nothing came back in time.
    #[error("no stage answered within {seconds} s; ask again for another route")]
    TimedOut {
        /// The deadline.
        seconds: u64,
    },
    /// A stage broke the rules.
    #[error("the swarm answered out of order: {0}")]
    OutOfOrder(String),
    /// Part of this node is not there.
    #[error("this node is restarting a part of itself: {0}; try again")]
    Internal(String),
}
