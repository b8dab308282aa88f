//! Logit bias and penalties: what changes logits before anything is weighed.
//!
//! Called by `sample_in`. Bias first, then for every token in the window (the last
//! `penalty_window` tokens of the history) once: repetition divides a positive logit and multiplies
//! a negative one, frequency subtracts its penalty times the number of occurrences, presence
//! subtracts its penalty. What the history holds is the caller's choice: Hugging Face and llama.cpp
//! count prompt and answer, the OpenAI API the answer alone.
//! Errors: none; tokens outside the logits are passed over, penalties that are not numbers (or a
//! repetition penalty that is not above 0) do nothing. Source: the CTRL paper (repetition), the
//! OpenAI API reference (frequency, presence, bias).

use std::{borrow::Cow, collections::HashMap};

use super::{SamplingContext, SamplingParams, finite};

/// The logits after bias and penalties; untouched ones keep their bits.
pub(super) fn adjust<'l>(
    logits: &'l [f32],
    params: &SamplingParams,
    context: &SamplingContext<'_>,
) -> Cow<'l, [f32]> {
    let mut adjusted = Cow::Borrowed(logits);
    for (token, bias) in context.logit_bias {
        if !bias.is_nan() && (*token as usize) < logits.len() {
            let logit = &mut adjusted.to_mut()[*token as usize];
            *logit = finite(finite(*logit) + bias);
        }
    }
    let repetition = if params.repetition_penalty > 0.0 { params.repetition_penalty } else { 1.0 };
    let frequency = or_zero(params.frequency_penalty);
    let presence = or_zero(params.presence_penalty);
    if repetition == 1.0 && frequency == 0.0 && presence == 0.0 {
        return adjusted;
    }
    for (token, count) in occurrences(context.history, params.penalty_window) {
        if (token as usize) < logits.len() {
            let logit = &mut adjusted.to_mut()[token as usize];
            let before = finite(*logit);
            let scaled = if before > 0.0 { before / repetition } else { before * repetition };
            *logit = finite(finite(scaled) - (count as f32 * frequency + presence));
        }
    }
    adjusted
}

fn or_zero(penalty: f32) -> f32 {
    if penalty.is_finite() { penalty } else { 0.0 }
}

/// How often each token occurs among the last `window`.
fn occurrences(history: &[u32], window: u32) -> HashMap<u32, u32> {
    let start = history.len().saturating_sub(window as usize);
    let mut counts = HashMap::new();
    for token in &history[start..] {
        *counts.entry(*token).or_insert(0) += 1;
    }
    counts
}
