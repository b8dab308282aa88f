//! Chooses the next token from logits: the same token on every machine.
//!
//! Called by the last stage of a route, once per new token. The order of operations, fixed because
//! tokens depend on it:
//!
//! 1. Logit bias: added to the logit of its token ([`SamplingContext::logit_bias`]).
//! 2. Penalties on tokens of the history: repetition, then frequency, then presence (`penalties`).
//! 3. Only tokens of [`SamplingContext::allowed`] stay, where there is such a set.
//! 4. `temperature` 0: the largest logit; of equal ones the lowest token id. Nothing below applies.
//! 5. Weights `exp((logit - largest) / temperature)`, in f64 with our own exponential.
//! 6. `top_k`: the k best (larger logit first, then lower id); 0 keeps all.
//! 7. `top_p`: the shortest run of the best whose share of the weight kept so far reaches p.
//! 8. `min_p`: those whose weight is at least p times the largest weight.
//! 9. `typical_p`: the shortest run of the most typical (`filters`) that reaches p.
//! 10. The draw: `uniform(seed, position)` times the weight that is left, walked in order of id.
//!
//! Log-probabilities ([`log_probabilities`]) are those of the logits before all of this.
//! The random number belongs to the position the token takes, not to a stream: any machine that
//! knows seed and position draws the same one ([`uniform`]), in whatever order positions come.
//! Errors: [`SamplingError`] from the checks only. A logit that is not a number counts as minus
//! infinity; no logits give token 0. Source: NUMERICS.md, "Sampling is addressed, not streamed".

mod exponential;
mod filters;
mod log_probability;
mod params;
mod penalties;
mod token_set;

use exponential::exp;
use filters::Candidate;

pub use log_probability::{LogProbabilities, TokenLogProbability, log_probabilities};
pub use params::{SamplingError, SamplingParams, check_logit_bias};
pub use token_set::TokenSet;

/// What a choice depends on besides logits and parameters; the default is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SamplingContext<'a> {
    /// Tokens so far, oldest first, on which penalties look back.
    pub history: &'a [u32],
    /// Added to the logits of these tokens; several entries of one token add up.
    pub logit_bias: &'a [(u32, f32)],
    /// The only tokens that may be chosen; all when absent.
    pub allowed: Option<&'a TokenSet>,
}

/// The token for `position` (the one it will take in the sequence), of all tokens and with no
/// history: penalties do nothing here.
pub fn sample(logits: &[f32], position: u32, params: &SamplingParams) -> u32 {
    sample_in(logits, position, params, &SamplingContext::default()).unwrap_or(0)
}

/// The token for `position`; `None` when nothing is allowed or there are no logits.
pub fn sample_in(
    logits: &[f32],
    position: u32,
    params: &SamplingParams,
    context: &SamplingContext<'_>,
) -> Option<u32> {
    let logits = &penalties::adjust(logits, params, context);
    let best = match context.allowed {
        None => greedy(logits.iter().copied().enumerate())?,
        Some(allowed) => greedy(allowed.ids_below(logits.len()).map(|id| (id, logits[id])))?,
    };
    if params.temperature.is_nan() || params.temperature <= 0.0 {
        return Some(best);
    }
    let largest = f64::from(finite(logits[best as usize]));
    let temperature = f64::from(params.temperature);
    let weigh = |id: usize| {
        let logit = finite(logits[id]);
        let weight = exp((f64::from(logit) - largest) / temperature);
        Candidate { logit, id: id as u32, weight }
    };
    let mut kept: Vec<Candidate> = match context.allowed {
        None => (0..logits.len()).map(weigh).collect(),
        Some(allowed) => allowed.ids_below(logits.len()).map(weigh).collect(),
    };
    filters::keep_top_k(&mut kept, params.top_k);
    filters::keep_top_p(&mut kept, f64::from(params.top_p));
    filters::keep_min_p(&mut kept, f64::from(params.min_p), best);
    filters::keep_typical(&mut kept, f64::from(params.typical_p));
    kept.sort_unstable_by_key(|candidate| candidate.id);
    Some(draw(&kept, uniform(params.seed, position)).unwrap_or(best))
}

/// The token of the largest logit; of equal ones the first. Not-a-number loses to everything.
fn greedy(logits: impl Iterator<Item = (usize, f32)>) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (id, logit) in logits {
        let logit = if logit.is_nan() { f32::NEG_INFINITY } else { logit };
        if best.is_none_or(|best| logit > best.1) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id as u32)
}

/// Brings infinities and not-a-number into the range of arithmetic.
fn finite(logit: f32) -> f32 {
    if logit.is_nan() { f32::MIN } else { logit.clamp(f32::MIN, f32::MAX) }
}

fn draw(kept: &[Candidate], random: f64) -> Option<u32> {
    let target = random * kept.iter().map(|candidate| candidate.weight).sum::<f64>();
    let mut sum = 0.0;
    let found = kept.iter().find(|candidate| {
        sum += candidate.weight;
        sum > target
    });
    found.or(kept.iter().rfind(|candidate| candidate.weight > 0.0)).map(|candidate| candidate.id)
}

/// The random number of `position` under `seed`, in `[0, 1)` with 53 bits: the first eight bytes,
/// little endian, of BLAKE3 (key derivation mode) over `seed` and `position`, both little endian.
pub fn uniform(seed: u64, position: u32) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("swarmllm 2026-11 sampler position");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&position.to_le_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
