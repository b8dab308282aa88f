//! Tests of the sampler: order of operations, determinism, hostile logits.

use super::*;

fn params(temperature: f32) -> SamplingParams {
    SamplingParams { temperature, seed: 7, ..SamplingParams::default() }
}

fn counts(logits: &[f32], params: &SamplingParams, draws: u32) -> Vec<u32> {
    let mut counts = vec![0; logits.len()];
    for position in 0..draws {
        counts[sample(logits, position, params) as usize] += 1;
    }
    counts
}

#[test]
fn greedy_ties_go_to_the_lowest_id() {
    assert_eq!(sample(&[1.0, 3.0, 3.0, 2.0], 0, &params(0.0)), 1);
    assert_eq!(sample(&[0.0, -0.0], 0, &params(0.0)), 0);
    assert_eq!(sample(&[], 0, &params(0.0)), 0);
}

#[test]
fn frequencies_follow_the_softmax() {
    let logits = [0.0, 1.0, 2.0];
    let counts = counts(&logits, &params(1.0), 20_000);
    for (count, share) in counts.iter().zip([0.0900, 0.2447, 0.6652]) {
        let found = f64::from(*count) / 20_000.0;
        assert!((found - share).abs() < 0.01, "{found} instead of {share}");
    }
}

#[test]
fn each_filter_keeps_what_it_says() {
    let logits = [0.0, 1.0, 2.0, 3.0, 3.0];
    let top_k = SamplingParams { top_k: 1, ..params(5.0) };
    assert_eq!(counts(&logits, &top_k, 200), [0, 0, 0, 200, 0]);
    let top_p = SamplingParams { top_p: 0.5, ..params(1.0) };
    let found = counts(&logits, &top_p, 500);
    assert!(found[3] > 0 && found[4] > 0 && found[..3] == [0, 0, 0]);
    let tiny_top_p = SamplingParams { top_p: 1e-9, ..params(1.0) };
    assert_eq!(counts(&logits, &tiny_top_p, 100), [0, 0, 0, 100, 0]);
    let min_p = SamplingParams { min_p: 0.3, ..params(1.0) };
    let found = counts(&logits, &min_p, 2_000);
    assert!(found[..2] == [0, 0] && found[2..].iter().all(|n| *n > 0));
}

#[test]
fn top_p_over_a_large_flat_vocabulary_equals_the_full_sort() {
    let logits: Vec<f32> = (0..5_000_u32).map(|id| (id * 7919 % 5_000) as f32 * 1e-4).collect();
    let chosen = SamplingParams { top_p: 0.4, ..params(1.0) };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
    let mut sum = 0.0;
    let cut = order.iter().position(|id| {
        sum += f64::from(logits[*id]).exp();
        sum >= 0.4 * total
    });
    let allowed = &order[..=cut.unwrap()];
    for position in 0..300 {
        assert!(allowed.contains(&(sample(&logits, position, &chosen) as usize)));
    }
}

#[test]
fn hostile_logits_never_panic() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let rows: [&[f32]; 6] =
        [&[nan, nan], &[nan, 1.0], &[inf, inf, nan], &[-inf, -inf], &[f32::MAX, f32::MIN], &[]];
    for row in rows {
        for temperature in [0.0, 1e-30, 1.0, 1e30, nan, -1.0] {
            for top_p in [1.0, 0.5, 0.0, nan, -1.0] {
                let seed = u64::MAX;
                let chosen = SamplingParams {
                    temperature,
                    top_k: 1,
                    top_p,
                    min_p: nan,
                    seed,
                    ..params(0.0)
                };
                let token = sample(row, u32::MAX, &chosen);
                assert!(row.is_empty() || (token as usize) < row.len());
            }
        }
    }
    assert_eq!(sample(&[nan, 1.0], 0, &params(1.0)), 1);
    assert_eq!(sample(&[-inf, 0.0, -inf], 3, &params(1.0)), 1);
}

#[test]
fn the_draw_belongs_to_the_position_and_is_pinned() {
    assert!((0..1000).all(|p| (0.0..1.0).contains(&uniform(1, p))));
    assert_ne!(uniform(1, 5), uniform(1, 6));
    assert_ne!(uniform(1, 5), uniform(2, 5));
    let logits: Vec<f32> = (0..100_u32).map(|id| (id * 37 % 101) as f32 / 16.0).collect();
    let chosen = SamplingParams { top_k: 40, top_p: 0.95, min_p: 0.01, ..params(0.8) };
    let tokens: Vec<u32> = (0..8).map(|p| sample(&logits, p, &chosen)).collect();
    let backwards: Vec<u32> = (0..8).rev().map(|p| sample(&logits, p, &chosen)).collect();
    assert!(tokens.iter().eq(backwards.iter().rev()));
    // Another machine, compiler or flag must draw these very tokens.
    assert_eq!(uniform(7, 0).to_bits(), 0x3fefbe8cb930c0cc);
    assert_eq!(tokens, [98, 60, 30, 98, 76, 90, 24, 90]);
}

#[test]
fn absent_parameters_are_neutral() {
    let read: SamplingParams = serde_json::from_str(r#"{"temperature": 0.5, "seed": 7}"#).unwrap();
    assert_eq!(read, params(0.5));
}

#[test]
fn parameters_out_of_range_are_named() {
    assert!(params(0.7).validate().is_ok());
    assert!(params(f32::NAN).validate().unwrap_err().to_string().contains("temperature"));
    let bad = SamplingParams { top_p: 0.0, ..params(1.0) };
    assert!(bad.validate().unwrap_err().to_string().contains("top_p"));
}
