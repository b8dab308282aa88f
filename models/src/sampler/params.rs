//! How a token is chosen: the parameters, their neutral values and their ranges.
//!
//! Made by the doors from what a caller wishes and taken by `sample_in`. Every parameter's default
//! is neutral: it changes nothing. The names and meanings are those of common tools: temperature,
//! `top_p`, frequency and presence penalty as in the OpenAI API, repetition penalty and typical
//! sampling as in Hugging Face transformers, the window as llama.cpp's `repeat_last_n`.
//! Errors: [`SamplingError`], which names the parameter, its value and its range.

use serde::{Deserialize, Serialize};

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
    /// Keeps the tokens closest to the expected information that together hold this share; 1 keeps
    /// all.
    pub typical_p: f32,
    /// Divides the positive logits of tokens in the window and multiplies the negative ones; 1 does
    /// nothing.
    pub repetition_penalty: f32,
    /// Subtracted from a token's logit once per occurrence in the window; 0 does nothing.
    pub frequency_penalty: f32,
    /// Subtracted from the logit of every token in the window; 0 does nothing.
    pub presence_penalty: f32,
    /// How many of the last tokens of the history the penalties see; 0 is none, `u32::MAX` all.
    pub penalty_window: u32,
    /// Names the sequence of random numbers.
    pub seed: u64,
}

impl Default for SamplingParams {
    /// Greedy, no penalties.
    fn default() -> SamplingParams {
        SamplingParams {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: u32::MAX,
            seed: 0,
        }
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
    /// Whether the choice of a token depends on those before it.
    pub fn has_penalties(&self) -> bool {
        let penalties = [self.frequency_penalty, self.presence_penalty];
        self.repetition_penalty != 1.0 || penalties.iter().any(|penalty| *penalty != 0.0)
    }

    /// Refuses parameters outside their ranges; sampling itself bends them into range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        check("temperature", self.temperature, "0 to 100", |v| (0.0..=100.0).contains(&v))?;
        check("top_p", self.top_p, "above 0, at most 1", |v| v > 0.0 && v <= 1.0)?;
        check("min_p", self.min_p, "0 to 1", |v| (0.0..=1.0).contains(&v))?;
        check("typical_p", self.typical_p, "above 0, at most 1", |v| v > 0.0 && v <= 1.0)?;
        check("repetition_penalty", self.repetition_penalty, "above 0, at most 10", |v| {
            v > 0.0 && v <= 10.0
        })?;
        let is_penalty = |value: f32| (-2.0..=2.0).contains(&value);
        check("frequency_penalty", self.frequency_penalty, "-2 to 2", is_penalty)?;
        check("presence_penalty", self.presence_penalty, "-2 to 2", is_penalty)
    }
}

/// Refuses a bias outside -100 to 100 and one of a token that does not exist.
pub fn check_logit_bias(bias: &[(u32, f32)], vocab_size: u32) -> Result<(), SamplingError> {
    for (token, value) in bias {
        check("logit_bias", *value, "-100 to 100", |v| (-100.0..=100.0).contains(&v))?;
        let range = "of token ids below the size of the model's vocabulary";
        check("logit_bias", *token as f32, range, |_| *token < vocab_size)?;
    }
    Ok(())
}

fn check(
    name: &'static str,
    value: f32,
    range: &'static str,
    holds: impl Fn(f32) -> bool,
) -> Result<(), SamplingError> {
    if holds(value) { Ok(()) } else { Err(SamplingError { name, value, range }) }
}
