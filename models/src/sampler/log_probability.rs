//! Log-probabilities of tokens: what the model itself thinks, before bias, penalties and filters.
//!
//! Called once per token by whoever reports them, with the logits as they came and the token that
//! was chosen. Natural logarithms of the softmax, in f64 with our own functions, so the same on
//! every machine. Errors: none; a token outside the logits, or one that is not a number, has minus
//! infinity. Source: the OpenAI API's `logprobs` and `top_logprobs`.

use super::{exponential, finite};

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogProbability {
    /// The token.
    pub token: u32,
    /// At most 0.
    pub log_probability: f64,
}

/// What is reported for one position.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbabilities {
    /// The token that was chosen.
    pub chosen: TokenLogProbability,
    /// The most likely tokens, best first, of equal ones the lower id.
    pub top: Vec<TokenLogProbability>,
}

/// The log-probabilities of `chosen` and of the `n_top` most likely tokens.
pub fn log_probabilities(logits: &[f32], chosen: u32, n_top: usize) -> LogProbabilities {
    let largest = logits.iter().fold(f32::MIN, |largest, logit| largest.max(finite(*logit)));
    let above = |logit: f32| f64::from(finite(logit)) - f64::from(largest);
    let total: f64 = logits.iter().map(|logit| exponential::exp(above(*logit))).sum();
    // The largest weighs 1, so the total is at least 1 where there are logits at all.
    let log_total = exponential::ln(total.max(1.0));
    let of = |token: u32| {
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let is_possible = logit > f32::NEG_INFINITY;
        let log_probability =
            if is_possible { above(logit) - log_total } else { f64::NEG_INFINITY };
        TokenLogProbability { token, log_probability }
    };
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let better = |a: &u32, b: &u32| {
        let (left, right) = (finite(logits[*a as usize]), finite(logits[*b as usize]));
        right.total_cmp(&left).then(a.cmp(b))
    };
    if n_top > 0 && n_top < order.len() {
        order.select_nth_unstable_by(n_top - 1, better);
    }
    order.truncate(n_top);
    order.sort_unstable_by(better);
    LogProbabilities { chosen: of(chosen), top: order.into_iter().map(of).collect() }
}
