//! What is asked: prompts of random tokens, and the answers that a single sequence gives to them.
//!
//! [`Solo`] computes in this process, one sequence at a time: no service, no batch, no cut. It is
//! what every answer of the nodes is compared with.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use swarmllm::local::{self, Chain, ChainOptions, LocalAnswer, LocalRequest};
use swarmllm_models::tokenizer::TokenType;
use swarmllm_models::{Model, SamplingParams, ShardOptions, Tokenizer};

use crate::swarm::LabError;

/// A greedy request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) tokens: Vec<u32>,
    pub(crate) max_tokens: usize,
}

impl Request {
    /// As parameters of the control socket's `generate`.
    pub(crate) fn params(&self) -> Value {
        json!({"tokens": self.tokens, "temperature": 0, "max_tokens": self.max_tokens})
    }
}

/// The model that is measured, opened here for its vocabulary and for [`Solo`].
pub(crate) struct Subject {
    /// As the nodes are told it.
    pub(crate) reference: String,
    pub(crate) model: Model,
    pub(crate) tokenizer: Tokenizer,
}

impl Subject {
    pub(crate) fn open(reference: &str) -> Result<Subject, LabError> {
        let (_, model) = local::open_model(reference)?;
        let tokenizer = model.tokenizer()?;
        Ok(Subject { reference: reference.to_owned(), model, tokenizer })
    }

    /// Fails early when a request can't fit.
    pub(crate) fn check_fits(&self, positions: usize) -> Result<(), LabError> {
        let context = self.model.config().context_length;
        if positions > context as usize {
            let name = &self.reference;
            return Err(format!(
                "{positions} positions are needed and {name} has {context}: ask for less"
            )
            .into());
        }
        Ok(())
    }

    /// A source of prompts.
    pub(crate) fn prompts(&self, seed: u64) -> Prompts {
        let is_word = |id: &u32| self.tokenizer.token_type(*id) == Some(TokenType::Normal);
        let words = (0..self.model.config().vocab).filter(is_word).collect();
        Prompts { words, random: Random(seed) }
    }
}

/// Prompts of random ordinary tokens.
pub(crate) struct Prompts {
    words: Vec<u32>,
    pub(crate) random: Random,
}

impl Prompts {
    /// The next `n_tokens`.
    pub(crate) fn tokens(&mut self, n_tokens: usize) -> Vec<u32> {
        (0..n_tokens).map(|_| self.words[self.random.below(self.words.len())]).collect()
    }

    /// So many requests of one size.
    pub(crate) fn requests(&mut self, n: usize, prompt: usize, max_tokens: usize) -> Vec<Request> {
        (0..n).map(|_| Request { tokens: self.tokens(prompt), max_tokens }).collect()
    }
}

/// Steele, Lea and Flood's SplitMix64: any seed is a good seed.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// One sequence at a time, in this process.
pub(crate) struct Solo {
    chain: Chain,
    tokenizer: Tokenizer,
}

impl Solo {
    /// Loads all layers, with room for `positions`.
    pub(crate) fn load(
        subject: &Subject,
        positions: usize,
        threads: Option<u32>,
    ) -> Result<Solo, LabError> {
        let mut shard = ShardOptions::default();
        if let Some(threads) = threads {
            shard.threads = threads as usize;
        }
        let positions = u32::try_from(positions)?;
        let options = ChainOptions { shard, cuts: Vec::new(), positions };
        let chain = Chain::load(&subject.model, &options)?;
        Ok(Solo { chain, tokenizer: subject.tokenizer.clone() })
    }

    /// The answer; what the prompt shares with the one before is not computed again.
    pub(crate) fn answer(&mut self, request: &Request) -> Result<LocalAnswer, LabError> {
        let request = LocalRequest {
            prompt: request.tokens.clone(),
            max_new: Some(u32::try_from(request.max_tokens)?),
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            chunk: local::DEFAULT_CHUNK,
        };
        let go_on = |_: &str| ControlFlow::Continue(());
        Ok(local::generate(&mut self.chain, &self.tokenizer, &request, go_on)?)
    }

    /// The answer from an empty cache.
    pub(crate) fn fresh_answer(&mut self, request: &Request) -> Result<LocalAnswer, LabError> {
        self.chain.forget();
        self.answer(request)
    }

    /// The answers, each from an empty cache.
    pub(crate) fn answers(&mut self, requests: &[Request]) -> Result<Vec<LocalAnswer>, LabError> {
        requests.iter().map(|request| self.fresh_answer(request)).collect()
    }
}
