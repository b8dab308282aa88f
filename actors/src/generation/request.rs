//! What a generation is asked for, and whom it talks to.

use std::time::Duration;

use actix::Recipient;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::guide::{Guide, GuideGrammar};
use swarmllm_protocol::ids::{ModelId, PeerId, RequestId};
use swarmllm_protocol::session::GenerationPlan;
use swarmllm_protocol::wire::{CacheType, LogProbabilities, Profile, TokenSampled};

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

/// What a generation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Tokens.
    Tokens,
    /// The mean of the prompt's rows.
    Embedding,
    /// How likely the prompt's tokens are, and so many of the likeliest.
    Scores(u8),
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
    /// Tokens of its vocabulary.
    pub n_vocab: u32,
    /// Values of its rows.
    pub hidden: u32,
    /// Its run profile.
    pub profile: Profile,
    /// How keys and values are kept.
    pub cache: CacheType,
    /// Prompt and limits.
    pub plan: GenerationPlan,
    /// What is wanted.
    pub gives: Gives,
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
        if matches!(self.gives, Gives::Scores(_)) {
            return Guide { answered: self.plan.prompt.clone(), ..Guide::default() };
        }
        let looks_back = self.grammar.is_some() || self.sampling.has_penalties();
        Guide {
            logit_bias: self.logit_bias.clone(),
            grammar: self.grammar.clone(),
            answered: if looks_back { answered.collect() } else { Vec::new() },
        }
    }

    /// Whether a token of the last stage is what was asked for; what is wrong with it otherwise.
    pub(super) fn check_sampled(&self, sampled: &TokenSampled) -> Result<(), String> {
        if self.gives != Gives::Tokens {
            return Err("a token where none was wanted".into());
        }
        let likely = sampled.log_probabilities.as_ref();
        let top = likely.map(|likely| likely.top.as_slice()).unwrap_or_default();
        self.check_tokens(top.iter().map(|(token, _)| *token).chain([sampled.token]))?;
        let wanted = self.log_probabilities;
        if likely.is_some() != wanted.is_some() || top.len() > wanted.unwrap_or(0).into() {
            return Err("other log-probabilities than were asked for".into());
        }
        Ok(())
    }

    fn check_tokens(&self, mut tokens: impl Iterator<Item = u32>) -> Result<(), String> {
        match tokens.find(|token| *token >= self.n_vocab) {
            Some(token) => {
                Err(format!("token {token} is beyond the vocabulary of {}", self.n_vocab))
            }
            None => Ok(()),
        }
    }

    /// Whether scores of the last stage are what was asked for; what is wrong with them otherwise.
    pub(super) fn check_scored(&self, scores: &[LogProbabilities]) -> Result<(), String> {
        let Gives::Scores(n_top) = self.gives else {
            return Err("scores where none were wanted".into());
        };
        let (found, wanted) = (scores.len(), self.plan.prompt.len().saturating_sub(1));
        if found != wanted {
            return Err(format!("scores of {found} tokens, the prompt has {wanted} to score"));
        }
        if scores.iter().any(|one| one.top.len() > n_top.into()) {
            return Err("more log-probabilities than were asked for".into());
        }
        self.check_tokens(scores.iter().flat_map(|one| &one.top).map(|(token, _)| *token))
    }

    /// Whether an embedding of the last stage is what was asked for; what is wrong with it
    /// otherwise.
    pub(super) fn check_embedded(&self, values: &[f32]) -> Result<(), String> {
        if self.gives != Gives::Embedding {
            return Err("an embedding where none was wanted".into());
        }
        let (found, wanted) = (values.len(), self.hidden);
        if found != wanted as usize {
            return Err(format!("an embedding of {found} values, the model has {wanted}"));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(format!("value {index} of the embedding is not a finite number")),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for GenerationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationRequest").field("request", &self.request).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(gives: Gives, log_probabilities: Option<u8>) -> GenerationRequest {
        GenerationRequest {
            request: RequestId([1; 16]),
            local: PeerId([1; 32]),
            client: 0,
            model: ModelId([1; 32]),
            model_name: "tiny".into(),
            n_layers: 2,
            n_vocab: 10,
            hidden: 3,
            profile: Profile::F32,
            cache: CacheType::F16,
            plan: GenerationPlan {
                prompt: vec![1],
                chunk: 0,
                max_new: 1,
                end_tokens: Vec::new(),
                context: 8,
            },
            gives,
            sampling: SamplingParams::default(),
            logit_bias: Vec::new(),
            grammar: None,
            log_probabilities,
            sample_of: None,
            prefix_secret: [0; 32],
            deadline: None,
        }
    }

    fn sampled(token: u32, top: Option<Vec<(u32, f32)>>) -> TokenSampled {
        TokenSampled {
            request: RequestId([1; 16]),
            position: 4,
            token,
            trace: Vec::new(),
            log_probabilities: top.map(|top| LogProbabilities { chosen: -1.0, top }),
        }
    }

    #[test]
    fn only_tokens_that_were_asked_for_are_believed() {
        let plain = request(Gives::Tokens, None);
        assert_eq!(plain.check_sampled(&sampled(9, None)), Ok(()));
        let beyond = plain.check_sampled(&sampled(10, None)).unwrap_err();
        assert_eq!(beyond, "token 10 is beyond the vocabulary of 10");
        assert!(plain.check_sampled(&sampled(9, Some(Vec::new()))).is_err());
        let told = request(Gives::Tokens, Some(1));
        assert_eq!(told.check_sampled(&sampled(9, Some(vec![(9, -1.0)]))), Ok(()));
        for top in [Some(vec![(10, -1.0)]), Some(vec![(9, -1.0), (8, -2.0)]), None] {
            assert!(told.check_sampled(&sampled(9, top)).is_err());
        }
        assert!(request(Gives::Embedding, None).check_sampled(&sampled(9, None)).is_err());
    }

    #[test]
    fn only_embeddings_that_can_be_one_are_believed() {
        let asked = request(Gives::Embedding, None);
        assert_eq!(asked.check_embedded(&[0.0, -1.0, f32::MAX]), Ok(()));
        for values in [&[0.0; 2][..], &[0.0; 4], &[0.0, f32::NAN, 0.0], &[f32::INFINITY; 3]] {
            assert!(asked.check_embedded(values).is_err(), "{values:?}");
        }
        assert!(request(Gives::Tokens, None).check_embedded(&[0.0; 3]).is_err());
    }

    #[test]
    fn only_scores_that_can_be_some_are_believed() {
        let mut asked = request(Gives::Scores(1), None);
        asked.plan.prompt = vec![1, 2, 3];
        let scores = |token: u32| {
            let one = LogProbabilities { chosen: -1.0, top: vec![(token, -0.5)] };
            vec![one.clone(), one]
        };
        assert_eq!(asked.check_scored(&scores(9)), Ok(()));
        assert!(asked.check_scored(&scores(10)).is_err());
        assert!(asked.check_scored(&scores(9)[1..]).is_err());
        let none = GenerationRequest { gives: Gives::Scores(0), ..asked.clone() };
        assert!(none.check_scored(&scores(9)).is_err());
        assert!(request(Gives::Tokens, None).check_scored(&[]).is_err());
    }
}
