//! Property tests of the sampler: the documented order against a plain reading of it, neutral
//! parameters, determinism, ties, allowed sets, log-probabilities.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// Logits with ties, infinities and numbers that are none.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        8 => -8.0..8.0_f32,
        4 => (-3..3_i8).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
    ];
    prop::collection::vec(logit, 1..300)
}

fn params() -> impl Strategy<Value = SamplingParams> {
    let filters = (0..40_u32, 0.05..1.0_f32, 0.0..0.5_f32, 0.05..1.0_f32);
    let penalties = (0.5..2.0_f32, -2.0..2.0_f32, -2.0..2.0_f32, 0..60_u32);
    let temperature = prop_oneof![Just(0.0), 0.1..3.0_f32];
    (temperature, filters, penalties, any::<u64>()).prop_map(
        |(temperature, (top_k, top_p, min_p, typical_p), penalties, seed)| SamplingParams {
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            repetition_penalty: penalties.0,
            frequency_penalty: penalties.1,
            presence_penalty: penalties.2,
            penalty_window: penalties.3,
            seed,
        },
    )
}

/// The module's documentation, step by step, with a full sort wherever there is an order.
fn as_documented(
    logits: &[f32],
    position: u32,
    params: &SamplingParams,
    context: &SamplingContext<'_>,
) -> Option<u32> {
    let mut logits: Vec<f32> = logits.iter().map(|logit| finite(*logit)).collect();
    for (token, bias) in context.logit_bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit += bias;
        }
    }
    let window = params.penalty_window as usize;
    let seen: Vec<u32> = context.history.iter().rev().take(window).copied().collect();
    for (id, logit) in logits.iter_mut().enumerate() {
        let count = seen.iter().filter(|token| **token as usize == id).count();
        if count > 0 {
            let penalty = params.repetition_penalty;
            *logit = finite(if *logit > 0.0 { *logit / penalty } else { *logit * penalty });
            *logit -= count as f32 * params.frequency_penalty + params.presence_penalty;
        }
    }
    let is_allowed = |id: u32| context.allowed.is_none_or(|allowed| allowed.contains(id));
    let mut kept: Vec<u32> = (0..logits.len() as u32).filter(|id| is_allowed(*id)).collect();
    let better = |a: &u32, b: &u32| {
        let (left, right) = (logits[*a as usize], logits[*b as usize]);
        right.partial_cmp(&left).unwrap_or(Ordering::Equal).then(a.cmp(b))
    };
    kept.sort_by(better);
    let best = *kept.first()?;
    if params.temperature == 0.0 {
        return Some(best);
    }
    let largest = f64::from(logits[best as usize]);
    let temperature = f64::from(params.temperature);
    let weight = |id: &u32| exp((f64::from(logits[*id as usize]) - largest) / temperature);
    let total = |kept: &[u32]| {
        let mut ids = kept.to_vec();
        ids.sort_unstable();
        ids.iter().map(weight).sum::<f64>()
    };
    let share = |kept: &[u32], share: f32| {
        let (wanted, mut sum) = (f64::from(share) * total(kept), 0.0);
        let reached = kept.iter().position(|id| {
            sum += weight(id);
            sum >= wanted
        });
        kept[..=reached.unwrap_or(kept.len() - 1)].to_vec()
    };
    if params.top_k > 0 {
        kept.truncate(params.top_k as usize);
    }
    kept = share(&kept, params.top_p);
    kept.retain(|id| *id == best || weight(id) >= f64::from(params.min_p));
    kept.retain(|id| weight(id) > 0.0);
    let mut ids = kept.clone();
    ids.sort_unstable();
    let weighed = ids.iter().map(|id| weight(id) * f64::from(logits[*id as usize])).sum::<f64>();
    let mean = weighed / total(&kept);
    let distance = |id: &u32| (f64::from(logits[*id as usize]) - mean).abs();
    kept.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| better(a, b)));
    kept = share(&kept, params.typical_p);
    kept.sort_unstable();
    let (target, mut sum) = (uniform(params.seed, position) * total(&kept), 0.0);
    kept.iter().copied().find(|id| {
        sum += weight(id);
        sum > target
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn operations_are_in_the_documented_order(
        logits in logits(),
        params in params(),
        history in prop::collection::vec(0..320_u32, 0..80),
        bias in prop::collection::vec((0..320_u32, -100.0..100.0_f32), 0..4),
        allowed in prop::option::of(prop::collection::vec(0..320_u32, 0..50)),
        position in any::<u32>(),
    ) {
        let allowed = allowed.map(|ids| {
            let mut set = TokenSet::empty(320);
            ids.into_iter().for_each(|id| set.insert(id));
            set
        });
        let context = SamplingContext {
            history: &history, logit_bias: &bias, allowed: allowed.as_ref(),
        };
        let found = sample_in(&logits, position, &params, &context);
        prop_assert_eq!(found, as_documented(&logits, position, &params, &context));
        prop_assert_eq!(found, sample_in(&logits, position, &params, &context));
        if let (Some(token), Some(allowed)) = (found, &allowed) {
            prop_assert!(allowed.contains(token));
        }
    }

    #[test]
    fn neutral_parameters_change_nothing(
        logits in logits(),
        params in params(),
        history in prop::collection::vec(0..320_u32, 0..80),
    ) {
        let neutral = SamplingParams {
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            ..params
        };
        let context = SamplingContext { history: &history, ..SamplingContext::default() };
        let all = {
            let mut set = TokenSet::empty(320);
            (0..320).for_each(|id| set.insert(id));
            set
        };
        let everything =
            SamplingContext { allowed: Some(&all), logit_bias: &[(3, 0.0)], ..context };
        let unseen = SamplingParams { penalty_window: 0, ..params };
        let plain = sample(&logits, 5, &neutral);
        prop_assert_eq!(sample_in(&logits, 5, &neutral, &context), Some(plain));
        prop_assert_eq!(sample_in(&logits, 5, &neutral, &everything), Some(plain));
        prop_assert_eq!(sample_in(&logits, 5, &unseen, &context), Some(plain));
    }

    #[test]
    fn log_probabilities_are_those_of_the_softmax(logits in logits(), n_top in 0..320_usize) {
        let found = log_probabilities(&logits, 0, n_top);
        prop_assert_eq!(found.top.len(), n_top.min(logits.len()));
        for pair in found.top.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let is_lower = a.log_probability == b.log_probability && a.token < b.token;
            prop_assert!(a.log_probability > b.log_probability || is_lower);
        }
        let is_possible = logits.iter().any(|logit| *logit > f32::NEG_INFINITY);
        if n_top >= logits.len() && is_possible {
            let sum: f64 = found.top.iter().map(|entry| entry.log_probability.exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "probabilities add up to {}", sum);
        }
        let same = found.top.iter().find(|entry| entry.token == 0);
        prop_assert!(same.is_none_or(|entry| *entry == found.chosen));
    }
}

#[test]
fn greedy_respects_bias_and_penalties() {
    let logits = [1.0, 3.0, 2.5, -1.0];
    let greedy = SamplingParams::default();
    let choose = |params: &SamplingParams, history: &[u32], bias: &[(u32, f32)]| {
        let context = SamplingContext { history, logit_bias: bias, allowed: None };
        sample_in(&logits, 0, params, &context)
    };
    assert_eq!(choose(&greedy, &[1, 1], &[]), Some(1));
    assert_eq!(choose(&greedy, &[], &[(3, 100.0)]), Some(3));
    assert_eq!(choose(&greedy, &[], &[(1, -0.5)]), Some(1), "a tie goes to the lower id");
    assert_eq!(choose(&greedy, &[], &[(1, -0.25), (1, -0.5)]), Some(2));
    let repetition = SamplingParams { repetition_penalty: 1.5, ..greedy };
    assert_eq!(choose(&repetition, &[1], &[]), Some(2));
    assert_eq!(choose(&repetition, &[1, 2], &[]), Some(1));
    let windowed = SamplingParams { penalty_window: 1, ..repetition };
    assert_eq!(choose(&windowed, &[1, 3], &[]), Some(1));
    let presence = SamplingParams { presence_penalty: 0.4, ..greedy };
    assert_eq!(choose(&presence, &[1, 1, 1], &[]), Some(1));
    let frequency = SamplingParams { frequency_penalty: 0.4, ..greedy };
    assert_eq!(choose(&frequency, &[1, 1, 1], &[]), Some(2));
}

#[test]
fn nothing_allowed_gives_nothing() {
    let context =
        SamplingContext { allowed: Some(&TokenSet::empty(4)), ..SamplingContext::default() };
    for temperature in [0.0, 1.0] {
        let params = SamplingParams { temperature, ..SamplingParams::default() };
        assert_eq!(sample_in(&[1.0, 2.0], 0, &params, &context), None);
        assert_eq!(sample_in(&[], 0, &params, &SamplingContext::default()), None);
    }
}

#[test]
fn log_probabilities_of_impossible_tokens() {
    let found = log_probabilities(&[f32::NAN, 0.0, f32::NEG_INFINITY, 0.0], 0, 2);
    assert_eq!(found.chosen.log_probability, f64::NEG_INFINITY);
    assert_eq!(found.top.iter().map(|entry| entry.token).collect::<Vec<_>>(), [1, 3]);
    assert!((found.top[0].log_probability + std::f64::consts::LN_2).abs() < 1e-15);
    assert_eq!(log_probabilities(&[], 9, 3).top, []);
}

#[test]
fn every_parameter_out_of_range_is_named() {
    type Change = fn(&mut SamplingParams);
    let changes: [(Change, &str); 7] = [
        (|p| p.temperature = -1.0, "temperature is -1, it must be 0 to 100"),
        (|p| p.top_p = 0.0, "top_p"),
        (|p| p.min_p = 1.5, "min_p"),
        (|p| p.typical_p = f32::NAN, "typical_p"),
        (|p| p.repetition_penalty = 0.0, "repetition_penalty is 0, it must be above 0, at most 10"),
        (|p| p.frequency_penalty = 2.5, "frequency_penalty"),
        (|p| p.presence_penalty = f32::INFINITY, "presence_penalty"),
    ];
    for (change, words) in changes {
        let mut params = SamplingParams::default();
        assert_eq!(params.validate(), Ok(()));
        change(&mut params);
        let refused = params.validate().unwrap_err().to_string();
        assert!(refused.contains(words), "{refused:?} does not say {words:?}");
    }
    assert_eq!(check_logit_bias(&[(3, 100.0)], 4), Ok(()));
    assert!(check_logit_bias(&[(3, 100.5)], 4).is_err());
    assert!(check_logit_bias(&[(4, 1.0)], 4).unwrap_err().to_string().contains("vocabulary"));
}
