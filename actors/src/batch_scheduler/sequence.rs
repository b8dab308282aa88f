//! An open stage sequence as the scheduler holds it.

use swarmllm_models::ScoredTokens;
use swarmllm_models::kv::PageKey;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::ids::RequestId;
use swarmllm_protocol::prefix;
use swarmllm_protocol::schedule::SequenceId;
use swarmllm_protocol::wire::{Lineage, LogProbabilities, OpenStage, Wanted};
use tokio::time::Instant;

use super::messages::{OpenSequence, StageOwner};
use super::policy::Unreported;
use super::rows::PendingRows;
use crate::generation::{StageReply, StageReplyBody};
use crate::mailbox::offer;
use crate::peer_session::SessionHandle;
use crate::shard_worker::embedding::EmbeddingSum;
use crate::shard_worker::guide::TokenGuide;

pub(super) struct Sequence {
    pub(super) shard: usize,
    pub(super) request: RequestId,
    pub(super) stage: u16,
    pub(super) stages: u16,
    pub(super) owner: StageOwner,
    pub(super) next: Option<SessionHandle>,
    pub(super) sampling: Option<SamplingParams>,
    /// With the compute thread while a token is sampled.
    pub(super) guide: Option<Box<TokenGuide>>,
    pub(super) log_probabilities: Option<u8>,
    /// Of a sequence that gives an embedding; with the compute thread while rows are added.
    pub(super) embedding: Option<EmbeddingSum>,
    /// Of a sequence whose prompt is scored.
    pub(super) scoring: Option<Scoring>,
    pub(super) lineage: Lineage,
    /// Whose prompt it shares.
    pub(super) sample_of: Option<SequenceId>,
    pub(super) keys: Vec<PageKey>,
    /// Bytes of its keys and its guide as they came.
    pub(super) brought_bytes: usize,
    pub(super) prompt: u32,
    pub(super) max_positions: u32,
    /// Whether it has pages and the requester knows.
    pub(super) is_open: bool,
    /// Whether the first of its rows has arrived.
    pub(super) has_rows: bool,
    /// Position of the row that is due.
    pub(super) due: u32,
    pub(super) pending: PendingRows,
    /// When rows of it came last, or it was opened.
    pub(super) heard_at: Instant,
    pub(super) unreported: Unreported,
}

/// How likely the tokens of a prompt are, on the way.
#[derive(Debug, Default)]
pub(super) struct Scoring {
    /// The prompt.
    pub(super) tokens: Vec<u32>,
    pub(super) n_top: u8,
    /// Of the tokens so far, from the second on.
    pub(super) scores: Vec<LogProbabilities>,
}

impl Scoring {
    /// What is asked of rows from `first_position` on: the tokens behind them.
    pub(super) fn of_rows(&self, first_position: u32, rows: u32) -> ScoredTokens {
        let behind = self.tokens.iter().skip(first_position as usize + 1).take(rows as usize);
        ScoredTokens { tokens: behind.copied().collect(), n_top: self.n_top }
    }
}

impl Sequence {
    /// A sequence that waits, of a request that was found good.
    pub(super) fn new(
        shard: usize,
        message: OpenSequence,
        sample_of: Option<SequenceId>,
    ) -> Sequence {
        let OpenSequence { open, keys, guide, owner } = message;
        let OpenStage { request, stage, stages, wanted, lineage, prompt, max_positions, .. } = open;
        let embedding = (wanted == Some(Wanted::Embedding)).then(EmbeddingSum::default);
        let sampling = match wanted {
            Some(Wanted::Tokens(sampling)) => Some(sampling),
            _ => None,
        };
        let scoring = match wanted {
            Some(Wanted::Scores(n_top)) => Some(Scoring { n_top, ..Scoring::default() }),
            _ => None,
        };
        let log_probabilities = sampling.and_then(|sampling| sampling.log_probabilities);
        let sampling = sampling.map(|s| SamplingParams {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            typical_p: s.typical_p,
            repetition_penalty: s.repetition_penalty,
            frequency_penalty: s.frequency_penalty,
            presence_penalty: s.presence_penalty,
            seed: s.seed,
            ..SamplingParams::default()
        });
        Sequence {
            shard,
            request,
            stage,
            stages,
            owner,
            next: None,
            sampling,
            guide: None,
            log_probabilities,
            embedding,
            scoring,
            lineage,
            sample_of,
            keys: prefix::keys_of(&keys),
            brought_bytes: keys.len() + guide.len(),
            prompt,
            max_positions,
            is_open: false,
            has_rows: false,
            due: 0,
            pending: PendingRows::default(),
            heard_at: Instant::now(),
            unreported: Unreported::default(),
        }
    }

    /// Tells whoever opened it.
    pub(super) fn reply(&self, body: StageReplyBody) {
        tell(&self.owner, self.request, body);
    }
}

/// Tells a requester something about its request.
pub(super) fn tell(owner: &StageOwner, request: RequestId, body: StageReplyBody) {
    offer(&owner.reply, StageReply { request, peer: owner.peer, body });
}
