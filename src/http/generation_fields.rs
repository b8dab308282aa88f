//! What means the same in chat, completions and responses: sampling, limits, effort, names.
//!
//! Called by `openai/` and `responses/`. Pure. Temperature and `top_p` are 1 when absent, as the
//! API has it. Units: tokens. Errors: 400 [`ApiError`] with the field.
//! Source: OpenAI API reference; `top_k` (0 or -1 is off), `min_p`, `typical_p` and
//! `repetition_penalty` (also `repeat_penalty`) are extensions that other servers have, too.

use serde_json::{Map, Value};
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::limits::LOG_PROBABILITIES_MAX;

use super::{errors::ApiError, fields::Fields};
use crate::sampling::SamplingFields;

/// Most likeliest tokens that are told of each position.
pub(super) const TOP_MAX: u8 = LOG_PROBABILITIES_MAX;
/// The effort that is none.
const NO_EFFORT: &str = "none";
/// Longest name of a function; longer ones can't be called.
const NAME_MAX_BYTES: usize = 128;
/// What a name of a function is.
pub(super) const FUNCTION_NAME: &str = "must be 1 to 128 bytes: letters, digits and any of _-.:/";
/// Longest word for an effort.
const WORD_MAX_BYTES: usize = 32;

/// How tokens are chosen.
pub(super) fn sampling(fields: &mut Fields) -> Result<SamplingFields, ApiError> {
    let repetition_penalty = fields.optional("repetition_penalty")?;
    Ok(SamplingFields {
        temperature: fields.optional("temperature")?,
        top_p: fields.optional("top_p")?,
        top_k: fields.optional("top_k")?,
        min_p: fields.optional("min_p")?,
        typical_p: fields.optional("typical_p")?,
        frequency_penalty: fields.optional("frequency_penalty")?,
        presence_penalty: fields.optional("presence_penalty")?,
        repetition_penalty: repetition_penalty.or(fields.optional("repeat_penalty")?),
        seed: fields.optional("seed")?,
    })
}

/// The same, checked; `seed` is used where none is given.
pub(super) fn resolved(sampling: &SamplingFields, seed: u64) -> Result<SamplingParams, ApiError> {
    let wrong = |error: crate::sampling::SamplingError| {
        ApiError::invalid(error.to_string(), Some(error.field))
    };
    sampling.resolve(1.0, seed).map_err(wrong)
}

/// Most tokens of an answer, as the body says it; more than any context is the rest of the context.
pub(super) fn limit(fields: &mut Fields, name: &str) -> Result<Option<i64>, ApiError> {
    match fields.optional(name)? {
        Some(given) if given < 1 => Err(fields.wrong(name, "must be at least 1")),
        given => Ok(given),
    }
}

/// How many of the likeliest tokens are told of each position.
pub(super) fn top(fields: &mut Fields, name: &str) -> Result<u8, ApiError> {
    let given: i64 = fields.optional(name)?.unwrap_or(0);
    let n = u8::try_from(given).ok().filter(|n| *n <= TOP_MAX);
    n.ok_or_else(|| fields.wrong(name, &format!("must be 0 to {TOP_MAX}")))
}

/// New words come with new models, so any short one is good.
pub(super) fn word(fields: &mut Fields, name: &str) -> Result<Option<String>, ApiError> {
    let word: Option<String> = fields.optional(name)?;
    match word {
        Some(word) if word.is_empty() || word.len() > WORD_MAX_BYTES => {
            Err(fields.wrong(name, "must be a word such as \"low\""))
        }
        word => Ok(word),
    }
}

/// Whether a function may be called so: no template and no format of calls breaks such a name.
pub(super) fn is_function_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || "_-.:/".contains(c);
    (1..=NAME_MAX_BYTES).contains(&name.len()) && name.chars().all(is_letter)
}

/// How much a model is to think and to say, as variables of its template.
pub(super) fn variables(effort: Option<&str>, verbosity: Option<&str>) -> Map<String, Value> {
    let mut variables = Map::new();
    if let Some(effort) = effort {
        let thinks = effort != NO_EFFORT;
        variables.insert("enable_thinking".to_owned(), thinks.into());
        // As DeepSeek's templates call it.
        variables.insert("thinking".to_owned(), thinks.into());
        if thinks {
            variables.insert("reasoning_effort".to_owned(), effort.into());
        }
    }
    if let Some(verbosity) = verbosity {
        variables.insert("verbosity".to_owned(), verbosity.into());
    }
    variables
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: &Value) -> Fields {
        Fields::of_bytes(body.to_string().as_bytes()).expect("an object")
    }

    #[test]
    fn sampling_takes_the_names_of_other_servers() {
        let more = json!({"top_k": -1, "min_p": 0.1, "repeat_penalty": 1.5, "seed": -1});
        let sampling = resolved(&sampling(&mut fields(&more)).expect("valid"), 5).expect("valid");
        assert_eq!((sampling.top_k, sampling.min_p, sampling.repetition_penalty), (0, 0.1, 1.5));
        assert_eq!(sampling.seed, u64::MAX);
    }

    #[test]
    fn effort_becomes_variables_of_the_template() {
        let high = variables(Some("high"), Some("low"));
        let expected = json!({"enable_thinking": true, "thinking": true,
            "reasoning_effort": "high", "verbosity": "low"});
        assert_eq!(Value::Object(high), expected);
        let none = json!({"enable_thinking": false, "thinking": false});
        assert_eq!(Value::Object(variables(Some("none"), None)), none);
        assert!(variables(None, None).is_empty());
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_its_field() {
        let body = json!({"max": 0, "top": 21, "less": -1, "effort": "", "long": "x".repeat(33)});
        let mut fields = fields(&body);
        let errors = [
            limit(&mut fields, "max").expect_err("none"),
            top(&mut fields, "top").expect_err("too many"),
            top(&mut fields, "less").expect_err("too few"),
            word(&mut fields, "effort").expect_err("empty"),
            word(&mut fields, "long").expect_err("long"),
        ];
        let named = errors.each_ref().map(|error| error.param.as_deref());
        assert_eq!(named, ["max", "top", "less", "effort", "long"].map(Some));
    }
}
