//! The filters over weighed tokens: top-k, top-p, min-p, typical.
//!
//! Called by `sample_in` in this order; each sees what the one before it kept and keeps at least
//! one token. Sums are taken in order of token id, because floating-point addition depends on the
//! order. Errors: none; a share that is not a number keeps all.
//! Source: Holtzman et al. 2020 (top-p), Meister et al. 2023 (locally typical sampling).

use std::cmp::Ordering;

/// A token still in the running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) logit: f32,
    pub(super) id: u32,
    pub(super) weight: f64,
}

/// Better first: larger logit, then lower id. Total, because logits are finite here.
fn better(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

pub(super) fn keep_top_k(kept: &mut Vec<Candidate>, top_k: u32) {
    let top_k = top_k as usize;
    if top_k > 0 && top_k < kept.len() {
        kept.select_nth_unstable_by(top_k - 1, better);
        kept.truncate(top_k);
    }
}

pub(super) fn keep_top_p(kept: &mut Vec<Candidate>, top_p: f64) {
    if top_p < 1.0 {
        keep_share(kept, top_p, better);
    }
}

/// The best weighs exactly 1; it stays whatever is asked.
pub(super) fn keep_min_p(kept: &mut Vec<Candidate>, min_p: f64, best: u32) {
    if min_p > 0.0 {
        kept.retain(|c| c.id == best || c.weight >= min_p);
    }
}

/// Typical is a token whose information is near the expected information of the next token. Both
/// hold the same normalising term, so the distance is that of the log-weight to its mean.
pub(super) fn keep_typical(kept: &mut Vec<Candidate>, typical_p: f64) {
    if typical_p.is_nan() || typical_p >= 1.0 {
        return;
    }
    kept.retain(|candidate| candidate.weight > 0.0);
    kept.sort_unstable_by_key(|candidate| candidate.id);
    let total: f64 = kept.iter().map(|c| c.weight).sum();
    let mean = kept.iter().map(|c| c.weight * f64::from(c.logit)).sum::<f64>() / total;
    let distance = |candidate: &Candidate| (f64::from(candidate.logit) - mean).abs();
    keep_share(kept, typical_p, |a, b| {
        distance(a).total_cmp(&distance(b)).then_with(|| better(a, b))
    });
}

/// Keeps the shortest run in the given order whose share of the weight reaches `share`.
fn keep_share(
    kept: &mut Vec<Candidate>,
    share: f64,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
) {
    kept.sort_unstable_by_key(|candidate| candidate.id);
    let wanted = share * kept.iter().map(|candidate| candidate.weight).sum::<f64>();
    let mut sorted = 128;
    loop {
        let n = sorted.min(kept.len());
        if n < kept.len() {
            kept.select_nth_unstable_by(n, &order);
        }
        kept[..n].sort_unstable_by(&order);
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
