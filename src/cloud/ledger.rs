//! What was asked of a provider and what it cost, since the node started.
//!
//! Kept by `fallback.rs` in memory; shown by `swarmllm cloud list` and as metrics. Cost is an
//! estimate in US dollars: counted tokens times list prices. Absent on purpose: anything of prompts
//! and answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::breaker::BreakerState;
use super::key::KeyOrigin;
use super::provider::Dialect;

/// Longest error that is remembered.
const ERROR_MAX_CHARS: usize = 300;

/// The books of one provider.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Ledger {
    /// Requests by why they came: `named`, `no_route`, `busy`, `model_not_found`.
    pub requests: BTreeMap<&'static str, u64>,
    /// Those that were not answered.
    pub errors: u64,
    /// Why the last of those was not; no part of a key is in it.
    pub last_error: Option<String>,
    /// When it was asked last.
    pub last_used_unix_s: Option<u64>,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// What is known of the cost.
    pub cost_usd: f64,
    /// Answers whose price is not known.
    pub unpriced: u64,
}

impl Ledger {
    pub(super) fn asked(&mut self, reason: &'static str, now_unix_s: u64) {
        *self.requests.entry(reason).or_default() += 1;
        self.last_used_unix_s = Some(now_unix_s);
    }

    pub(super) fn failed(&mut self, error: &str) {
        self.errors += 1;
        self.last_error = Some(error.chars().take(ERROR_MAX_CHARS).collect());
    }

    pub(super) fn answered(&mut self, tokens: [u32; 2], cost_usd: Option<f64>) {
        self.prompt_tokens += u64::from(tokens[0]);
        self.completion_tokens += u64::from(tokens[1]);
        match cost_usd {
            Some(cost_usd) => self.cost_usd += cost_usd,
            None => self.unpriced += 1,
        }
    }
}

/// One provider as `cloud list` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderStatus {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where it is.
    pub base_url: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where its key comes from; absent without one.
    pub key: Option<KeyOrigin>,
    /// Why the key there is can't be used.
    pub key_error: Option<String>,
    /// The variable that may hold it.
    pub key_env: String,
    /// Local models for which one of its own stands: `[local, model]`.
    pub models: Vec<[String; 2]>,
    /// Whether it is left alone because it failed.
    pub breaker: BreakerState,
    /// Its books.
    #[serde(flatten)]
    pub ledger: Ledger,
}

/// The fallback as `cloud list` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CloudStatus {
    /// `never`, `only-named` or `fallback`.
    pub policy: &'static str,
    /// An offline node asks nobody, whatever the policy.
    pub offline: bool,
    /// All of them.
    pub providers: Vec<ProviderStatus>,
}
