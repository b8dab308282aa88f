//! What the bodies of chat and completions have in common: model, sampling, limits, form.
//!
//! Called by `chat_request.rs` and `completion_request.rs` with the prompts they read. Pure.
//! `seed` of a body without one is the caller's. `user` tells the node's clients apart.
//! Errors: 400 [`ApiError`] with the field. Source: OpenAI API reference; `ignore_eos` is an
//! extension that other servers have, too.

use serde::Deserialize;
use serde_json::{Map, Value};
use swarmllm_protocol::limits::BIASES_MAX;

use crate::{
    generate::{GenerateRequest, Prompt},
    http::{
        errors::ApiError,
        fields::Fields,
        generation_fields::{self, resolved, sampling},
        samples::SAMPLES_MAX,
    },
};

/// Most stop texts the API takes.
const STOPS_MAX: usize = 4;
/// Strongest bias, for or against a token.
const BIAS_MAX: f64 = 100.0;

/// What a body asks for, whichever it is.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    /// For the node, one for every prompt.
    pub(super) requests: Vec<GenerateRequest>,
    /// How many answers to each.
    pub(super) n: u32,
    /// As events instead of one object.
    pub(super) stream: bool,
    /// With a last chunk that counts tokens.
    pub(super) include_usage: bool,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Several(Vec<String>),
}

/// Reads the common fields; without a limit in the body there is this one.
pub(super) fn read(
    fields: &mut Fields,
    prompts: Vec<Prompt>,
    limit: Option<u32>,
    seed: u64,
) -> Result<Asked, ApiError> {
    let model = model(fields)?;
    let template = GenerateRequest {
        sampling: resolved(&sampling(fields)?, seed)?,
        logit_bias: logit_bias(fields)?,
        ignores_end: fields.optional("ignore_eos")?.unwrap_or(false),
        max_tokens: max_tokens(fields, limit)?,
        stop: stop_texts(fields)?,
        client: fields.optional("user")?.unwrap_or_default(),
        ..GenerateRequest::new(model, Prompt::Tokens(Vec::new()))
    };
    let request = |prompt| GenerateRequest { prompt, ..template.clone() };
    let options = fields.optional::<StreamOptions>("stream_options")?.unwrap_or_default();
    Ok(Asked {
        requests: prompts.into_iter().map(request).collect(),
        n: samples(fields)?,
        stream: fields.optional("stream")?.unwrap_or(false),
        include_usage: options.include_usage.unwrap_or(false),
    })
}

/// The model's name.
pub(super) fn model(fields: &mut Fields) -> Result<String, ApiError> {
    fields.text(&["model"])
}

fn samples(fields: &mut Fields) -> Result<u32, ApiError> {
    let n: i64 = fields.optional("n")?.unwrap_or(1);
    let n = u32::try_from(n).ok().filter(|n| (1..=SAMPLES_MAX).contains(n));
    n.ok_or_else(|| ApiError::invalid(format!("`n` must be 1 to {SAMPLES_MAX}"), Some("n")))
}

/// Without a limit in the body there is this one.
fn max_tokens(fields: &mut Fields, default: Option<u32>) -> Result<Option<u32>, ApiError> {
    let newer = generation_fields::limit(fields, "max_completion_tokens")?;
    let older = generation_fields::limit(fields, "max_tokens")?;
    match newer.or(older) {
        Some(given) => Ok(u32::try_from(given).ok()),
        None => Ok(default),
    }
}

fn stop_texts(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stops = match fields.optional("stop")? {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Several(texts)) => texts,
    };
    if stops.len() > STOPS_MAX || stops.iter().any(String::is_empty) {
        let message = format!("`stop` is a text or up to {STOPS_MAX} of them, none empty");
        return Err(ApiError::invalid(message, Some("stop")));
    }
    Ok(stops)
}

/// `{"TOKEN ID": BIAS}`, ids of this model's vocabulary.
fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let biases: Map<String, Value> = fields.optional("logit_bias")?.unwrap_or_default();
    let wrong = |message: String| ApiError::invalid(message, Some("logit_bias"));
    if biases.len() > BIASES_MAX {
        return Err(wrong(format!("`logit_bias` takes at most {BIASES_MAX} tokens")));
    }
    let bias = |(token, value): (&String, &Value)| {
        let value = value.as_f64().filter(|value| value.abs() <= BIAS_MAX);
        let token = token.parse().ok().zip(value);
        let (token, value) = token.ok_or_else(|| {
            wrong("`logit_bias` maps token ids to numbers from -100 to 100".to_owned())
        })?;
        Ok((token, value as f32))
    };
    biases.iter().map(bias).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(mut body: Value) -> Result<Asked, ApiError> {
        body["model"] = "demo".into();
        let mut fields = Fields::of_bytes(body.to_string().as_bytes())?;
        read(&mut fields, vec![Prompt::Text("a".into())], None, 5)
    }

    fn request(body: Value) -> GenerateRequest {
        asked(body).expect("valid").requests.remove(0)
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let asked = asked(json!({})).expect("valid");
        assert!(!asked.stream && !asked.include_usage);
        assert_eq!(asked.n, 1);
        let request = &asked.requests[0];
        assert_eq!((request.sampling.temperature, request.sampling.top_k), (1.0, 0));
        assert_eq!((request.sampling.seed, request.max_tokens), (5, None));
    }

    #[test]
    fn the_newer_limit_wins_and_a_huge_one_means_the_rest() {
        let both = request(json!({"max_tokens": 3, "max_completion_tokens": 7}));
        assert_eq!(both.max_tokens, Some(7));
        assert_eq!(request(json!({"max_tokens": 1_i64 << 40})).max_tokens, None);
    }

    #[test]
    fn stop_is_a_text_or_up_to_four() {
        assert_eq!(request(json!({"stop": "a"})).stop, ["a"]);
        assert_eq!(request(json!({"stop": ["a", "b"]})).stop, ["a", "b"]);
        assert_eq!(request(json!({"stop": null})).stop, [""; 0]);
    }

    #[test]
    fn an_answer_may_go_on_behind_its_end() {
        assert!(request(json!({"ignore_eos": true})).ignores_end);
    }

    #[test]
    fn biases_are_numbers_by_token() {
        let biased = request(json!({"logit_bias": {"7": -100, "9": 1.5}}));
        assert_eq!(biased.logit_bias, [(7, -100.0), (9, 1.5)]);
    }

    #[test]
    fn a_mistake_is_told_with_its_field() {
        let cases = [
            (json!({"n": 0}), "n"),
            (json!({"n": 17}), "n"),
            (json!({"n": 1.5}), "n"),
            (json!({"stop": [""]}), "stop"),
            (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
            (json!({"stop": 3}), "stop"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_completion_tokens": -1}), "max_completion_tokens"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"logit_bias": {"hello": 1}}), "logit_bias"),
            (json!({"logit_bias": {"1": 101}}), "logit_bias"),
            (json!({"logit_bias": []}), "logit_bias"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stream_options": 1}), "stream_options"),
            (json!({"user": 1}), "user"),
        ];
        for (body, param) in cases {
            let error = asked(body.clone()).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some(param)),
                "{body}"
            );
        }
    }
}
