//! The parts of an answer's object that chat and completions have in common.
//!
//! Used by `answer.rs`, `chat.rs` and `completions.rs`. Extensions: `swarmllm` tells the tokens,
//! who computed them and how long it took, and is a list, `samples`, with several choices;
//! `timings` are those of llama-server.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::options::Asked;
use crate::{
    generate::{AnswerFormat, FinishReason, GenerateRequest, Prompt, Summary},
    http::{
        errors::{ApiError, Places},
        server::random_hex,
    },
};

/// What all objects of one answer have in common.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) include_usage: bool,
    /// Answers that are computed to each prompt.
    pub(super) n: usize,
    /// Of those, the likeliest that are told.
    pub(super) n_told: usize,
    /// Where the node may find a mistake.
    pub(super) places: Places,
}

impl Head {
    /// The head of a new answer; its id begins with `kind`.
    pub(super) fn new(kind: &str, asked: &Asked) -> Result<Head, ApiError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let first = asked.requests.first();
        let model = first.map(|request| request.model.clone());
        Ok(Head {
            id: format!("{kind}-{}", random_hex::<12>()?),
            created: now.map_or(0, |since| since.as_secs()),
            model: model.unwrap_or_default(),
            include_usage: asked.include_usage,
            n: asked.n as usize,
            n_told: asked.n as usize,
            places: first.map_or(Places::all("prompt"), places),
        })
    }

    /// An id of a part of a choice, as unique as the answer's own.
    pub(super) fn part_id(&self, kind: &str, index: usize) -> String {
        let unique = self.id.rsplit('-').next().unwrap_or_default();
        format!("{kind}_{unique}{index}_")
    }

    /// An object of this answer; a chunk of one that is to count tokens says that it has not yet.
    pub(super) fn object(&self, kind: &str, choices: Value) -> Map<String, Value> {
        let pairs = [
            ("id", self.id.as_str().into()),
            ("object", kind.into()),
            ("created", self.created.into()),
            ("model", self.model.as_str().into()),
            // Changes when the arithmetic may have: same fingerprint and seed, same tokens.
            ("system_fingerprint", concat!("swarmllm-", env!("CARGO_PKG_VERSION")).into()),
            ("choices", choices),
        ];
        pairs.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
    }

    /// Tokens of all choices; a prompt counts once, however many answers it has.
    pub(super) fn usage(&self, summaries: &[Summary]) -> Value {
        let completion_tokens: u32 = summaries.iter().map(Summary::completion_tokens).sum();
        let reasoning_tokens: u32 = summaries.iter().map(|one| one.reasoning_tokens).sum();
        let firsts = || summaries.iter().step_by(self.n.max(1));
        let prompt_tokens: u32 = firsts().map(|first| first.prompt_tokens).sum();
        let cached_tokens: u32 = firsts().map(|first| first.cached_tokens).sum();
        let cache_write_tokens: u32 = firsts().map(Summary::cache_write_tokens).sum();
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": cached_tokens,
                "cache_write_tokens": cache_write_tokens,
                "text_tokens": prompt_tokens,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning_tokens,
                "audio_tokens": 0,
                // Nothing is guessed ahead.
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    /// The object of a whole answer with these choices.
    pub(super) fn whole(&self, kind: &str, choices: Vec<(Value, &Summary)>, usage: Value) -> Value {
        let (choices, summaries): (Vec<Value>, Vec<&Summary>) = choices.into_iter().unzip();
        let mut object = self.object(kind, choices.into());
        object.insert("usage".to_owned(), usage);
        let extension = match summaries[..] {
            [one] => {
                object.insert("timings".to_owned(), timings(one));
                extension(one)
            }
            _ => json!({"samples": summaries.into_iter().map(extension).collect::<Vec<_>>()}),
        };
        object.insert("swarmllm".to_owned(), extension);
        object.into()
    }
}

/// What this node adds for each choice.
pub(super) fn extension(summary: &Summary) -> Value {
    json!({
        "token_ids": summary.token_ids,
        "route": summary.route,
        "cached_tokens": summary.cached_tokens,
        "preemptions": summary.preemptions,
        "cache": summary.cache,
        "queue_ms": summary.queue_ms,
        "ttft_ms": summary.ttft_ms,
        "decode_tok_s": summary.decode_tok_s,
        "cloud": summary.cloud,
    })
}

/// What llama-server tells of an answer's time, in its words.
pub(super) fn timings(summary: &Summary) -> Value {
    let per = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let prompt_n = f64::from(summary.prompt_tokens.saturating_sub(summary.cached_tokens));
    let prompt_ms = (summary.ttft_ms - summary.queue_ms).max(0.0);
    let predicted_n = summary.completion_tokens();
    // The first token comes with the prompt.
    let predicted_ms = per(f64::from(predicted_n.saturating_sub(1)) * 1e3, summary.decode_tok_s);
    json!({
        "cache_n": summary.cached_tokens,
        "prompt_n": summary.prompt_tokens.saturating_sub(summary.cached_tokens),
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": per(prompt_ms, prompt_n),
        "prompt_per_second": per(prompt_n * 1e3, prompt_ms),
        "predicted_n": predicted_n,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": per(1e3, summary.decode_tok_s),
        "predicted_per_second": summary.decode_tok_s,
    })
}

fn places(request: &GenerateRequest) -> Places {
    let (length, prompt) = match request.prompt {
        Prompt::Chat(_) => ("messages", "messages"),
        // Its texts are fine; the model may know no gaps.
        Prompt::Infill { .. } => ("prompt", "suffix"),
        Prompt::Text(_) | Prompt::Tokens(_) => ("prompt", "prompt"),
    };
    let is_free = request.format == AnswerFormat::Text;
    Places { length, prompt, rules: if is_free { "tools" } else { "response_format" } }
}

/// The API's word for it.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// An end, for tests.
#[cfg(test)]
pub(super) fn a_summary() -> Summary {
    Summary {
        finish_reason: FinishReason::Stop,
        prompt_tokens: 3,
        token_ids: vec![10, 11],
        reasoning_tokens: 1,
        stop_text: None,
        route: Vec::new(),
        cached_tokens: 2,
        preemptions: 0,
        cache: "f16".to_owned(),
        queue_ms: 0.0,
        ttft_ms: 1.0,
        decode_tok_s: 2.0,
        cloud: None,
    }
}

#[cfg(test)]
mod tests {
    use swarmllm_protocol::limits::PAGE_TOKENS;

    use super::*;

    #[test]
    fn the_time_is_told_in_the_words_of_another_server() {
        let summary = Summary { queue_ms: 1.0, ttft_ms: 3.0, ..a_summary() };
        let expected = json!({
            "cache_n": 2, "prompt_n": 1, "prompt_ms": 2.0, "prompt_per_token_ms": 2.0,
            "prompt_per_second": 500.0, "predicted_n": 2, "predicted_ms": 500.0,
            "predicted_per_token_ms": 500.0, "predicted_per_second": 2.0,
        });
        assert_eq!(timings(&summary), expected);
        let none = Summary { ttft_ms: 0.0, decode_tok_s: 0.0, ..a_summary() };
        assert_eq!(timings(&none)["predicted_per_token_ms"], 0.0);
        assert_eq!(timings(&none)["prompt_per_second"], 0.0);
    }

    #[test]
    fn prompts_count_once_and_answers_each() {
        let head = Head {
            id: "x".into(),
            created: 7,
            model: "demo".into(),
            include_usage: false,
            n: 2,
            n_told: 2,
            places: Places::all("prompt"),
        };
        let four = vec![Summary { prompt_tokens: 3 + PAGE_TOKENS, ..a_summary() }; 4];
        let usage = head.usage(&four);
        assert_eq!(
            (&usage["prompt_tokens"], &usage["completion_tokens"]),
            (&json!(6 + 2 * PAGE_TOKENS), &json!(8))
        );
        assert_eq!(usage["total_tokens"], 14 + 2 * PAGE_TOKENS);
        let details = &usage["prompt_tokens_details"];
        assert_eq!((&details["cached_tokens"], &details["audio_tokens"]), (&json!(4), &json!(0)));
        assert_eq!(details["cache_write_tokens"], 2 * (PAGE_TOKENS - 2));
        assert_eq!(details["text_tokens"], usage["prompt_tokens"]);
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 4);
        let choices: Vec<(Value, &Summary)> = four.iter().map(|one| (json!({}), one)).collect();
        let one = head.whole("x", choices[..1].to_vec(), usage.clone());
        assert_eq!(one["swarmllm"]["token_ids"], json!([10, 11]));
        let whole = head.whole("text_completion", choices, usage);
        assert_eq!(whole["swarmllm"]["samples"].as_array().map(Vec::len), Some(4));
    }
}
