//! How a caller wishes tokens to be chosen, checked: shared by every door.
//!
//! Called by `http/` and `control/`. Bounds are those of the OpenAI API where it has one.
//! Temperature 0 is greedy. Units: none; probabilities are from 0 to 1.
//! Errors: [`SamplingError`] with the field's name. Absent on purpose: the sampler itself.

use serde::Deserialize;
use swarmllm_models::sampler::SamplingParams;

/// Hotter than this every token is a coin toss.
const TEMPERATURE_MAX: f64 = 2.0;
/// No vocabulary is larger.
const TOP_K_MAX: i64 = 1 << 20;

/// A field out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} must be {expected}, got {found}")]
pub struct SamplingError {
    /// The field.
    pub field: &'static str,
    /// What it may be.
    pub expected: &'static str,
    /// What it was.
    pub found: String,
}

/// The sampling fields of a request body, absent ones as `None`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct SamplingFields {
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// Above 0, up to 1.
    pub top_p: Option<f64>,
    /// Extension: 0 and -1 are off.
    pub top_k: Option<i64>,
    /// Extension: from 0 to 1.
    pub min_p: Option<f64>,
    /// Extension: above 0, up to 1.
    pub typical_p: Option<f64>,
    /// From -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// From -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Extension: above 0, up to 10; also `repeat_penalty`.
    #[serde(alias = "repeat_penalty")]
    pub repetition_penalty: Option<f64>,
    /// Any integer; the same one gives the same tokens.
    pub seed: Option<i64>,
}

impl SamplingFields {
    /// Checks the fields; absent ones take the given temperature, no filter, and the given seed.
    pub fn resolve(&self, temperature: f64, seed: u64) -> Result<SamplingParams, SamplingError> {
        let temperature = self.temperature.unwrap_or(temperature);
        check("temperature", "from 0 to 2", temperature, 0.0..=TEMPERATURE_MAX)?;
        let top_p = self.top_p.unwrap_or(1.0);
        // A nucleus of nothing still holds the likeliest token, so 0 has a meaning.
        check("top_p", "from 0 to 1", top_p, 0.0..=1.0)?;
        let min_p = self.min_p.unwrap_or(0.0);
        check("min_p", "from 0 to 1", min_p, 0.0..=1.0)?;
        let typical_p = self.typical_p.unwrap_or(1.0);
        check("typical_p", "above 0, up to 1", typical_p, f64::MIN_POSITIVE..=1.0)?;
        let frequency_penalty = self.frequency_penalty.unwrap_or(0.0);
        check("frequency_penalty", "from -2 to 2", frequency_penalty, -2.0..=2.0)?;
        let presence_penalty = self.presence_penalty.unwrap_or(0.0);
        check("presence_penalty", "from -2 to 2", presence_penalty, -2.0..=2.0)?;
        let repetition_penalty = self.repetition_penalty.unwrap_or(1.0);
        let within = 0.01..=10.0;
        check("repetition_penalty", "from 0.01 to 10", repetition_penalty, within)?;
        let top_k = self.top_k.unwrap_or(0);
        // -1 is vLLM's word for off.
        check("top_k", "from -1 to 1048576", top_k, -1..=TOP_K_MAX)?;
        Ok(SamplingParams {
            temperature: temperature as f32,
            top_k: u32::try_from(top_k).unwrap_or(0),
            top_p: top_p as f32,
            min_p: min_p as f32,
            typical_p: typical_p as f32,
            repetition_penalty: repetition_penalty as f32,
            frequency_penalty: frequency_penalty as f32,
            presence_penalty: presence_penalty as f32,
            seed: self.seed.map_or(seed, i64::cast_unsigned),
            ..SamplingParams::default()
        })
    }
}

fn check<T: PartialOrd + ToString>(
    field: &'static str,
    expected: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), SamplingError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(SamplingError { field, expected, found: value.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_take_the_door_s_defaults() {
        let params = SamplingFields::default().resolve(1.0, 9).expect("defaults");
        assert_eq!((params.temperature, params.top_p, params.top_k), (1.0, 1.0, 0));
        assert_eq!((params.min_p, params.seed), (0.0, 9));
    }

    #[test]
    fn a_negative_seed_is_a_seed() {
        let fields = SamplingFields { seed: Some(-1), ..SamplingFields::default() };
        assert_eq!(fields.resolve(0.0, 0).expect("valid").seed, u64::MAX);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let hot = SamplingFields { temperature: Some(2.5), ..SamplingFields::default() };
        let error = hot.resolve(1.0, 0).expect_err("hot");
        assert_eq!(error.to_string(), "temperature must be from 0 to 2, got 2.5");
        let nan = SamplingFields { top_p: Some(f64::NAN), ..SamplingFields::default() };
        assert!(nan.resolve(1.0, 0).is_err());
    }
}
