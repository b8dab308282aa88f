//! Reads the body of `/v1/completions` into dialect-free requests, one for each prompt.
//!
//! Called by `completions.rs`. Pure. An answer has 16 tokens when nothing else is said, as the API
//! has it.
//! Errors: 400 [`ApiError`] with the field. Source: OpenAI API reference, completions.

use serde_json::Value;

use super::{
    inputs,
    options::{self, Asked},
};
use crate::{
    generate::Prompt,
    http::{errors::ApiError, fields::Fields, generation_fields::TOP_MAX, samples::SAMPLES_MAX},
};

/// Tokens of an answer to a body without a limit.
const TOKENS: u32 = 16;
/// Most choices of one answer, all prompts together.
const CHOICES_MAX: usize = 64;

/// What a completions body asks for.
#[derive(Debug, PartialEq)]
pub(super) struct CompletionRequest {
    /// For the node, one for every prompt.
    pub(super) asked: Asked,
    /// The answer begins with the prompt.
    pub(super) echo: bool,
    /// So many answers are computed for each prompt, of which the likeliest `n` are told.
    pub(super) best_of: u32,
}

/// Reads a body; `seed` is used when it names none.
pub(super) fn parse(body: &[u8], seed: u64) -> Result<CompletionRequest, ApiError> {
    let mut fields = Fields::of_bytes(body)?;
    let prompts = inputs::read(fields.required("prompt")?, "prompt", CHOICES_MAX)?;
    let prompts = match fields.optional::<String>("suffix")? {
        Some(suffix) if !suffix.is_empty() => infill(prompts, &suffix)?,
        _ => prompts,
    };
    let echo = fields.optional("echo")?.unwrap_or(false);
    let log_probabilities = log_probabilities(&mut fields)?;
    let is_only_echo = echo && fields.take_zero("max_tokens");
    let mut asked = options::read(&mut fields, prompts, Some(TOKENS), seed)?;
    let best_of = best_of(&mut fields, &asked)?;
    if asked.requests.len() * best_of as usize > CHOICES_MAX {
        let message = format!("at most {CHOICES_MAX} answers at once; send fewer prompts");
        return Err(ApiError::invalid(message, Some("prompt")));
    }
    for request in &mut asked.requests {
        request.log_probabilities = log_probabilities;
        if is_only_echo {
            request.max_tokens = Some(0);
        }
    }
    Ok(CompletionRequest { asked, echo, best_of })
}

fn best_of(fields: &mut Fields, asked: &Asked) -> Result<u32, ApiError> {
    let best_of = fields.optional::<i64>("best_of")?.unwrap_or(asked.n.into());
    let best_of = u32::try_from(best_of).ok().filter(|n| (asked.n..=SAMPLES_MAX).contains(n));
    match best_of {
        None => Err(fields.wrong("best_of", &format!("must be at least `n`, up to {SAMPLES_MAX}"))),
        Some(best_of) if asked.stream && best_of > asked.n => {
            Err(fields.wrong("best_of", "above `n` is no stream: the best is known at the end"))
        }
        Some(best_of) => Ok(best_of),
    }
}

fn infill(prompts: Vec<Prompt>, suffix: &str) -> Result<Vec<Prompt>, ApiError> {
    let between = |prompt| match prompt {
        Prompt::Text(prefix) => Ok(Prompt::Infill { prefix, suffix: suffix.to_owned() }),
        _ => Err(ApiError::invalid("a `suffix` needs a prompt that is a text", Some("suffix"))),
    };
    prompts.into_iter().map(between).collect()
}

/// A number of likeliest tokens; some programs send a truth value.
fn log_probabilities(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let n_top = match fields.optional::<Value>("logprobs")? {
        None | Some(Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => Some(0),
        Some(value) => value.as_u64().and_then(|n_top| u8::try_from(n_top).ok()),
    };
    let n_top = n_top.filter(|n_top| *n_top <= TOP_MAX);
    let message = format!("`logprobs` must be 0 to {TOP_MAX}");
    n_top.map(Some).ok_or_else(|| ApiError::invalid(message, Some("logprobs")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::testing::any_body;

    fn completion(more: Value) -> Result<CompletionRequest, ApiError> {
        let mut body = json!({"model": "demo", "prompt": "Once"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parse(body.to_string().as_bytes(), 5)
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let request = completion(json!({})).expect("valid");
        assert!(!request.echo && !request.asked.stream);
        let generate = &request.asked.requests[0];
        assert_eq!((generate.max_tokens, generate.sampling.temperature), (Some(16), 1.0));
        assert_eq!(
            (generate.log_probabilities, &generate.prompt),
            (None, &Prompt::Text("Once".into()))
        );
    }

    #[test]
    fn several_prompts_and_a_gap_are_read() {
        let several = completion(json!({"prompt": [[1, 2], [3]], "n": 2, "best_of": 2}));
        let several = several.expect("valid").asked;
        assert_eq!((several.requests.len(), several.n), (2, 2));
        let best = completion(json!({"n": 2, "best_of": 3})).expect("valid");
        assert_eq!((best.asked.n, best.best_of), (2, 3));
        let gap = completion(json!({"suffix": "end"})).expect("valid").asked;
        let expected = Prompt::Infill { prefix: "Once".into(), suffix: "end".into() };
        assert_eq!(gap.requests[0].prompt, expected);
        let none = completion(json!({"suffix": ""})).expect("valid").asked;
        assert_eq!(none.requests[0].prompt, Prompt::Text("Once".into()));
        let likely = completion(json!({"logprobs": 3})).expect("valid").asked;
        assert_eq!(likely.requests[0].log_probabilities, Some(3));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let many = vec!["a"; 40];
        let cases = [
            (json!({"prompt": null}), "prompt"),
            (json!({"prompt": {}}), "prompt"),
            (json!({"prompt": many, "n": 2}), "prompt"),
            (json!({"prompt": [1, 2], "suffix": "end"}), "suffix"),
            (json!({"best_of": 17}), "best_of"),
            (json!({"best_of": 3, "stream": true}), "best_of"),
            (json!({"prompt": vec!["a"; 5], "best_of": 16}), "prompt"),
            (json!({"best_of": 1, "n": 2}), "best_of"),
            (json!({"logprobs": 21}), "logprobs"),
            (json!({"logprobs": -1}), "logprobs"),
            (json!({"echo": "yes"}), "echo"),
            (json!({"model": ""}), "model"),
        ];
        for (body, param) in cases {
            let error = completion(body.clone()).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some(param)),
                "{body}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in any_body(&[
            "prompt", "suffix", "best_of", "n", "echo", "logprobs", "max_tokens", "stop",
            "logit_bias", "temperature",
        ])) {
            if let Err(error) = parse(&body, 0) {
                prop_assert_eq!(error.status.as_u16(), 400);
                prop_assert!(error.param.is_some());
            }
        }
    }
}
