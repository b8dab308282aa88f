//! What a generation is asked for, and whom it talks to.

use std::time::Duration;

use actix::Recipient;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::guide::{Guide, GuideGrammar};
use swarmllm_protocol::ids::{ModelId, PeerId, RequestId};
use swarmllm_protocol::session::GenerationPlan;
use swarmllm_protocol::wire::{CacheType, Profile};

use crate::batch_scheduler::{CancelSequence, OpenSequence, SubmitRows};
use crate::dht_router::FindProviders;
use crate::event_log::Record;
use crate::peer_directory::{FindCandidates, FindSession, PeerSeen};

/// Whom a generation talks to.
#[derive(Debug, Clone)]
pub struct GenerationLinks {
    /// peer_directory.
    pub candidates: Recipient<FindCandidates>,
    /// peer_directory.
    pub find_session: Recipient<FindSession>,
    /// dht_router.
    pub find_providers: Recipient<FindProviders>,
    /// peer_directory.
    pub seen: Recipient<PeerSeen>,
    /// batch_scheduler of this node.
    pub open: Recipient<OpenSequence>,
    /// batch_scheduler of this node.
    pub rows: Recipient<SubmitRows>,
    /// batch_scheduler of this node.
    pub cancel: Recipient<CancelSequence>,
    /// event_log.
    pub events: Recipient<Record>,
}

/// What to generate.
#[derive(Clone)]
pub struct GenerationRequest {
    /// Unguessable number of the request.
    pub request: RequestId,
    /// This node.
    pub local: PeerId,
    /// Which of this node's clients asks: clients share the node evenly.
    pub client: u64,
    /// Which model.
    pub model: ModelId,
    /// Its name, for the log.
    pub model_name: String,
    /// Its layers.
    pub n_layers: u32,
    /// Its run profile.
    pub profile: Profile,
    /// How keys and values are kept.
    pub cache: CacheType,
    /// Prompt and limits.
    pub plan: GenerationPlan,
    /// The mean of all rows is wanted, and no tokens.
    pub embeds: bool,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// What the answer must follow.
    pub grammar: Option<GuideGrammar>,
    /// Tell how likely each token was, and so many of the likeliest.
    pub log_probabilities: Option<u8>,
    /// A generation with the same prompt that is open: stages share its pages.
    pub sample_of: Option<RequestId>,
    /// Key of the names of prefixes; other nodes can't tell texts by the names.
    pub prefix_secret: [u8; 32],
    /// The answer is given up after so long.
    pub deadline: Option<Duration>,
}

impl GenerationRequest {
    /// What guides the choice of tokens after these ones of the answer.
    pub(super) fn guide(&self, answered: impl Iterator<Item = u32>) -> Guide {
        let looks_back = self.grammar.is_some() || self.sampling.has_penalties();
        Guide {
            logit_bias: self.logit_bias.clone(),
            grammar: self.grammar.clone(),
            answered: if looks_back { answered.collect() } else { Vec::new() },
        }
    }
}

impl std::fmt::Debug for GenerationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationRequest").field("request", &self.request).finish_non_exhaustive()
    }
}
