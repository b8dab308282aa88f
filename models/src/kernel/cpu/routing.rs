//! Which experts a row of a mixture goes to, and with which weights.
//!
//! Called by `mixture` and by the plain mixture of `backend`. Canonical: scores in f32, one row
//! alone; of equal scores the lower expert wins; weights are summed in ascending order of experts.
//! Source: arXiv 2401.04088 (softmax), arXiv 2412.19437 (sigmoid, bias, groups).

use super::{
    lanes::{LANES, portable::Portable},
    numeric::{exp_lanes, sigmoid},
};

/// Where a sum of weights is bounded below, so that dividing by it is safe.
const LEAST_SUM: f32 = 6.103_515_6e-5;

/// How router logits become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// Over all experts.
    Softmax,
    /// Each expert by itself.
    Sigmoid,
}

/// How experts are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Experts per row.
    pub n_used: usize,
    /// Groups of experts, and how many of them a row may use; `[1, 1]` is no grouping.
    pub groups: [usize; 2],
    /// Logits to scores.
    pub gating: Gating,
    /// Added to scores when experts are chosen, not when they are weighted.
    pub bias: Option<Vec<f32>>,
    /// Whether the chosen weights are divided by their sum.
    pub normalise: bool,
    /// What weights are multiplied with.
    pub scale: f32,
}

/// The best `n` of some values with their numbers, larger first, then lower number.
fn best(values: &[f32], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let key = |i: usize| if values[i].is_nan() { f32::NEG_INFINITY } else { values[i] };
    order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
    order.truncate(n);
    order
}

impl Routing {
    /// The experts of one row with their weights, in ascending order.
    pub fn choose(&self, logits: &[f32]) -> Vec<(usize, f32)> {
        let scores = self.scores(logits);
        let mut chances = scores.clone();
        if let Some(bias) = &self.bias {
            chances.iter_mut().zip(bias).for_each(|(chance, bias)| *chance += bias);
        }
        let [n_groups, n_used_groups] = self.groups;
        if n_groups > 1 {
            let size = chances.len() / n_groups;
            // A group is as good as its best two.
            let group_score = |group: &[f32]| best(group, 2).into_iter().map(|i| group[i]).sum();
            let group_scores: Vec<f32> = chances.chunks_exact(size).map(group_score).collect();
            let open = best(&group_scores, n_used_groups);
            for (group, chances) in chances.chunks_exact_mut(size).enumerate() {
                if !open.contains(&group) {
                    chances.fill(f32::NEG_INFINITY);
                }
            }
        }
        let mut experts = best(&chances, self.n_used);
        experts.sort_unstable();
        let sum: f32 = experts.iter().fold(0.0, |sum, expert| sum + scores[*expert]);
        let divisor = if self.normalise { sum.max(LEAST_SUM) } else { 1.0 };
        experts.into_iter().map(|expert| (expert, scores[expert] / divisor * self.scale)).collect()
    }

    fn scores(&self, logits: &[f32]) -> Vec<f32> {
        match self.gating {
            Gating::Sigmoid => logits.iter().map(|logit| sigmoid(*logit)).collect(),
            Gating::Softmax => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut scores = Vec::with_capacity(logits.len());
                for part in logits.chunks(LANES) {
                    let mut lanes = [0f32; LANES];
                    for (lane, logit) in lanes.iter_mut().zip(part) {
                        *lane = logit - largest;
                    }
                    // SAFETY: plain code.
                    let lanes = unsafe { exp_lanes::<Portable>(lanes) };
                    scores.extend_from_slice(&lanes[..part.len()]);
                }
                let sum: f32 = scores.iter().fold(0.0, |sum, score| sum + score);
                scores.iter_mut().for_each(|score| *score /= sum);
                scores
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(gating: Gating) -> Routing {
        Routing { n_used: 2, groups: [1, 1], gating, bias: None, normalise: true, scale: 1.0 }
    }

    #[test]
    fn the_best_experts_share_the_row() {
        let chosen = routing(Gating::Softmax).choose(&[1.0, 3.0, 3.0, 3.0]);
        assert_eq!(chosen, [(1, 0.5), (2, 0.5)]);
        let raw = Routing { normalise: false, scale: 2.0, ..routing(Gating::Softmax) };
        let weight: f32 = raw.choose(&[0.0, 0.0, f32::NAN, -50.0]).iter().map(|(_, w)| w).sum();
        assert!(weight.is_nan(), "a damaged row stays visible");
        let weight: f32 = raw.choose(&[0.0, 0.0, -50.0, -50.0]).iter().map(|(_, w)| w).sum();
        assert!((weight - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_bias_chooses_but_does_not_weigh() {
        let bias = Some(vec![0.0, 0.0, 0.0, 9.0]);
        let chosen = Routing { bias, ..routing(Gating::Sigmoid) }.choose(&[0.0, 1.0, -1.0, -9.0]);
        assert_eq!(chosen.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [1, 3]);
        assert!(chosen[1].1 < 1e-3);
    }

    #[test]
    fn closed_groups_give_no_expert() {
        let grouped = Routing { groups: [2, 1], ..routing(Gating::Sigmoid) };
        // One expert of the first group is the best, the second group's best two are better.
        let chosen = grouped.choose(&[3.0, -9.0, 2.0, 2.0]);
        assert_eq!(chosen.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [2, 3]);
    }
}
