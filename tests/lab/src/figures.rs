//! What many measurements come to: percentiles, and the gaps between one answer's tokens.
//!
//! Units: milliseconds as the names say.

use std::time::Instant;

use swarmllm_models::Tokenizer;

/// The middle value; NaN of none.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    Sorted::of(values).at(0.5)
}

/// Values in ascending order.
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    pub(crate) fn of(mut values: Vec<f64>) -> Sorted {
        values.sort_by(f64::total_cmp);
        Sorted(values)
    }

    /// The value that a share of the values, from 0 to 1, does not exceed; NaN of none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let index = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

/// Milliseconds between two moments.
pub(crate) fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}

/// The time from one token of an answer to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gap {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) ms: f64,
}

/// The gaps of an answer, token by token.
///
/// A token is heard as text. One that says nothing yet (part of a character) is heard with the
/// next that does; the time is then shared by both.
pub(crate) fn gaps(heard_at: &[Instant], token_ids: &[u32], tokenizer: &Tokenizer) -> Vec<Gap> {
    let mut stream = tokenizer.stream();
    let speaks = token_ids.iter().map(|id| !stream.push(*id).is_empty());
    let places = speaks.enumerate().filter_map(|(place, speaks)| speaks.then_some(place));
    let heard: Vec<(usize, Instant)> = places.zip(heard_at.iter().copied()).collect();
    let mut gaps = Vec::new();
    for pair in heard.windows(2) {
        let [(from, began), (to, ended)] = [pair[0], pair[1]];
        let n_tokens = to - from;
        let gap = Gap { began, ended, ms: ms(began, ended) / n_tokens as f64 };
        gaps.extend(vec![gap; n_tokens]);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted = Sorted::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((sorted.at(0.5), sorted.at(0.99), sorted.at(1.0)), (50.0, 99.0, 100.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_silent_token_shares_the_time_of_the_next_one_heard() {
        let (_, model) = swarmllm::local::open_model("demo").unwrap();
        let tokenizer = model.tokenizer().unwrap();
        let words = tokenizer.encode("One node", Default::default());
        let silent = tokenizer.end_tokens()[0];
        let began = Instant::now();
        let heard: Vec<Instant> = (0..2).map(|n| began + Duration::from_millis(10 * n)).collect();
        let gaps = gaps(&heard, &[words[0], silent, words[1]], &tokenizer);
        assert_eq!(gaps, [Gap { began, ended: heard[1], ms: 5.0 }; 2]);
    }
}
