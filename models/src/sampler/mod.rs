//! Chooses the next token from logits: the same token on every machine.
//!
//! Called by the last stage of a route, once per new token. The order of operations, fixed because
//! tokens depend on it:
//!
//! 1. `temperature` 0: the largest logit; of equal ones the lowest token id. Nothing below applies.
//! 2. Weights `exp((logit - largest) / temperature)`, in f64 with our own exponential.
//! 3. `top_k`: the k best (larger logit first, then lower id); 0 keeps all.
//! 4. `top_p`: the shortest run of the best whose share of the weight kept so far reaches p.
//! 5. `min_p`: those whose weight is at least p times the largest weight.
//! 6. The draw: `uniform(seed, position)` times the weight that is left, walked in order of id.
//!
//! The random number belongs to the position the token takes, not to a stream: any machine that
//! knows seed and position draws the same one ([`uniform`]), in whatever order positions come.
//! Errors: none. A logit that is not a number counts as minus infinity; no logits give token 0.
//! Source: NUMERICS.md, "Sampling is addressed, not streamed". Absent on purpose: penalties.

mod exponential;

use serde::{Deserialize, Serialize};

use exponential::exp;

/// How a token is chosen; part of the one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplingParams {
    /// Flattens (above 1) or sharpens (below 1) the distribution; 0 is greedy.
    pub temperature: f32,
    /// Keeps the k best tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the best tokens that together hold this share; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this likely, relative to the best; 0 keeps all.
    pub min_p: f32,
    /// Names the sequence of random numbers.
    pub seed: u64,
}

impl Default for SamplingParams {
    /// Greedy.
    fn default() -> SamplingParams {
        SamplingParams { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

/// A sampling parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} is {value}, it must be {range}")]
pub struct SamplingError {
    /// Which parameter.
    pub name: &'static str,
    /// Its value.
    pub value: f32,
    /// What it may be.
    pub range: &'static str,
}

impl SamplingParams {
    /// Refuses parameters outside their ranges; [`sample`] itself bends them into range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let checks = [
            (
                "temperature",
                self.temperature,
                (0.0..=100.0).contains(&self.temperature),
                "0 to 100",
            ),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1"),
        ];
        match checks.into_iter().find(|check| !check.2) {
            Some((name, value, _, range)) => Err(SamplingError { name, value, range }),
            None => Ok(()),
        }
    }
}

/// A token still in the running.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    logit: f32,
    id: u32,
    weight: f64,
}

/// The token for `position` (the one it will take in the sequence).
pub fn sample(logits: &[f32], position: u32, params: &SamplingParams) -> u32 {
    let best = greedy(logits);
    let is_greedy = params.temperature.is_nan() || params.temperature <= 0.0;
    if is_greedy || logits.is_empty() {
        return best;
    }
    let largest = finite(logits[best as usize]);
    let temperature = f64::from(params.temperature);
    let weigh = |(id, logit): (usize, &f32)| {
        let logit = finite(*logit);
        let weight = exp((f64::from(logit) - f64::from(largest)) / temperature);
        Candidate { logit, id: id as u32, weight }
    };
    let mut kept: Vec<Candidate> = logits.iter().enumerate().map(weigh).collect();
    keep_top_k(&mut kept, params.top_k);
    keep_top_p(&mut kept, f64::from(params.top_p));
    if params.min_p > 0.0 {
        // The best weighs exactly 1; it stays whatever is asked.
        kept.retain(|c| c.id == best || c.weight >= f64::from(params.min_p));
    }
    kept.sort_unstable_by_key(|candidate| candidate.id);
    draw(&kept, uniform(params.seed, position)).unwrap_or(best)
}

/// The largest logit's token; of equal ones the lowest id. Not-a-number loses to everything.
fn greedy(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (id, *logit);
        }
    }
    best.0 as u32
}

/// Brings infinities and not-a-number into the range of arithmetic.
fn finite(logit: f32) -> f32 {
    if logit.is_nan() { f32::MIN } else { logit.clamp(f32::MIN, f32::MAX) }
}

/// Better first: larger logit, then lower id. Total, because logits are finite here.
fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

fn keep_top_k(kept: &mut Vec<Candidate>, top_k: u32) {
    let top_k = top_k as usize;
    if top_k > 0 && top_k < kept.len() {
        kept.select_nth_unstable_by(top_k - 1, better);
        kept.truncate(top_k);
    }
}

fn keep_top_p(kept: &mut Vec<Candidate>, top_p: f64) {
    if top_p.is_nan() || top_p >= 1.0 {
        return;
    }
    // Sums are taken in order of id: floating-point addition depends on the order.
    kept.sort_unstable_by_key(|candidate| candidate.id);
    let wanted = top_p * kept.iter().map(|candidate| candidate.weight).sum::<f64>();
    let mut sorted = 128;
    loop {
        let n = sorted.min(kept.len());
        if n < kept.len() {
            kept.select_nth_unstable_by(n, better);
        }
        kept[..n].sort_unstable_by(better);
        let mut sum = 0.0;
        let reached = kept[..n].iter().position(|candidate| {
            sum += candidate.weight;
            sum >= wanted
        });
        match reached {
            Some(last) => return kept.truncate(last + 1),
            None if n == kept.len() => return,
            None => sorted *= 8,
        }
    }
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
mod tests;
