//! `POST /v1/completions`: text that goes on, whole or as a stream.
//!
//! Called by `mod.rs`. `completion_request.rs` reads the body, `answer.rs` runs the choices; this
//! file says how a choice looks. Several prompts have their choices one after the other, `n` each;
//! of `best_of` they are those whose tokens are likeliest on average.
//! `echo` puts the prompt before its answer, token by token, with how likely each was; without any
//! tokens of an answer it is all there is.
//! Errors: [`ApiError`]. Source: OpenAI API reference, completions.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    answer::{self, StreamedChoice, WholeChoice},
    completion_request::{self, CompletionRequest},
    log_probabilities::of_completion,
    objects::{Head, finish_reason},
};
use crate::{
    generate::{
        GenerateError, GenerateRequest, Prompt, PromptToken, SampledToken, Summary, TokenEvent,
    },
    http::{
        errors::{ApiError, body_error},
        log_probabilities::behind,
        samples::Samples,
        server::random_seed,
    },
    node::NodeHandle,
};

/// POST /v1/completions.
pub(super) async fn completions(
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| body_error(&error))?;
    let CompletionRequest { mut asked, echo, best_of } =
        completion_request::parse(&body, random_seed()?)?;
    let head = Head { n: best_of as usize, ..Head::new("cmpl", &asked)? };
    let named = |error| head.places.name(error);
    let mut choices = Vec::new();
    for request in &asked.requests {
        let echo = match echo {
            true => echoed(&node, request).await.map_err(named)?,
            false => Vec::new(),
        };
        let is_likely = request.log_probabilities.is_some();
        choices.extend((0..best_of).map(|_| Choice::new(echo.clone(), is_likely)));
    }
    if best_of > asked.n {
        for request in &mut asked.requests {
            request.log_probabilities.get_or_insert(0);
        }
    }
    let samples = Samples::start(&node, asked.requests, best_of).await.map_err(named)?;
    match asked.stream {
        true => answer::streamed(head, samples, choices).await,
        false => answer::whole(&head, samples, choices).await,
    }
}

/// The prompt that an answer begins with.
async fn echoed(
    node: &NodeHandle,
    request: &GenerateRequest,
) -> Result<Vec<PromptToken>, GenerateError> {
    let mut request = request.clone();
    if let Prompt::Infill { prefix, .. } = request.prompt {
        request.prompt = Prompt::Text(prefix);
    }
    node.echo(request).await
}

/// A choice, whole or of a stream.
struct Choice {
    /// So far, or what has not been sent yet.
    text: String,
    /// Tokens of the prompt before it.
    echo: Vec<PromptToken>,
    is_likely: bool,
    /// Tokens behind the text that comes next.
    sampled: Vec<SampledToken>,
    /// Tokens of the text.
    tokens: Vec<SampledToken>,
    /// Characters before the next token.
    offset: usize,
}

impl Choice {
    fn new(echo: Vec<PromptToken>, is_likely: bool) -> Choice {
        let bytes: Vec<u8> = echo.iter().flat_map(|token| token.bytes.iter().copied()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Choice { text, echo, is_likely, sampled: Vec::new(), tokens: Vec::new(), offset: 0 }
    }

    /// The tokens behind the text so far, which are told now.
    fn logprobs(&mut self) -> Option<Value> {
        let (echo, tokens) = (std::mem::take(&mut self.echo), std::mem::take(&mut self.tokens));
        self.is_likely.then(|| of_completion(&echo, &tokens, &mut self.offset))
    }
}

impl WholeChoice for Choice {
    const KIND: &'static str = "text_completion";

    fn take(&mut self, event: TokenEvent) {
        match event {
            TokenEvent::Part(ChatEvent::Content(piece)) => {
                self.text.push_str(&piece);
                self.tokens.extend(behind(&piece, std::mem::take(&mut self.sampled)));
            }
            TokenEvent::Sampled(token) => self.sampled.push(token),
            // A plain text has no other parts.
            _ => {}
        }
    }

    fn likelihood(&self) -> f32 {
        let sum: f32 = self.tokens.iter().map(|sampled| sampled.token.log_probability).sum();
        sum / self.tokens.len().max(1) as f32
    }

    fn end(mut self, summary: &Summary) -> Value {
        let logprobs = self.logprobs();
        let reason = finish_reason(summary.finish_reason);
        json!({"text": self.text, "logprobs": logprobs, "finish_reason": reason})
    }
}

impl StreamedChoice for Choice {
    const KIND: &'static str = "text_completion";

    fn first(&mut self) -> Option<Value> {
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then(|| json!({"text": text, "logprobs": self.logprobs()}))
    }

    fn next(&mut self, event: TokenEvent) -> Option<Value> {
        self.take(event);
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then(|| json!({"text": text, "logprobs": self.logprobs()}))
    }

    fn silence(&self) -> Value {
        json!({"text": ""})
    }

    fn last(&mut self, summary: &Summary) -> Value {
        json!({"text": "", "finish_reason": finish_reason(summary.finish_reason)})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        log_probabilities::sampled,
        openai::{
            answer::testing::{Events, head, stream_of, whole_of},
            objects::a_summary,
        },
    };

    fn unscored(text: &str) -> PromptToken {
        PromptToken { bytes: text.into(), scored: None }
    }

    fn events() -> Events {
        let token = |text: &str| TokenEvent::Sampled(sampled(text.as_bytes(), -0.5));
        let part = |text: &str| TokenEvent::Part(ChatEvent::Content(text.to_owned()));
        let end = TokenEvent::Finished(a_summary().into());
        let all = [token(" was"), part(" was"), token(" it"), part(" it"), token("<end>"), end];
        all.into_iter().map(Ok).collect()
    }

    #[actix_web::test]
    async fn a_whole_answer_has_the_shape_of_the_api() {
        let choices = vec![Choice::new(vec![unscored("Once")], true)];
        let answer = whole_of(head(false), choices, vec![events()]).await.expect("an answer");
        assert_eq!(answer["object"], "text_completion");
        let choice = &answer["choices"][0];
        assert_eq!(
            (&choice["text"], &choice["finish_reason"]),
            (&json!("Once was it"), &json!("stop"))
        );
        assert_eq!(choice["logprobs"]["tokens"], json!(["Once", " was", " it"]));
        assert_eq!(choice["logprobs"]["token_logprobs"], json!([null, -0.5, -0.5]));
        assert_eq!(choice["logprobs"]["text_offset"], json!([0, 4, 8]));
    }

    #[actix_web::test]
    async fn the_likeliest_of_several_are_told() {
        let said = |text: &str, log_probability: f32| -> Events {
            let token = TokenEvent::Sampled(sampled(text.as_bytes(), log_probability));
            let part = TokenEvent::Part(ChatEvent::Content(text.to_owned()));
            [token, part, TokenEvent::Finished(a_summary().into())].map(Ok).into()
        };
        // Three to each of two prompts.
        let answers =
            [("a", -3.0), ("b", -1.0), ("c", -2.0), ("d", -1.0), ("e", -9.0), ("f", -0.5)];
        let answers = answers.map(|(text, likely)| said(text, likely)).to_vec();
        let choices = (0..6).map(|_| Choice::new(Vec::new(), false)).collect();
        let head = Head { n: 3, n_told: 2, ..head(false) };
        let answer = whole_of(head, choices, answers).await.expect("an answer");
        let told = answer["choices"].as_array().expect("choices").iter();
        let told: Vec<(&Value, &Value)> = told.map(|one| (&one["index"], &one["text"])).collect();
        let [b, c, f, d] = ["b", "c", "f", "d"].map(Value::from);
        let places = [0, 1, 2, 3].map(Value::from);
        assert_eq!(told, places.iter().zip([&b, &c, &f, &d]).collect::<Vec<_>>());
        // All were computed, each prompt once.
        assert_eq!(answer["usage"]["completion_tokens"], 12);
        assert_eq!(answer["usage"]["prompt_tokens"], 6);
        assert_eq!(answer["swarmllm"]["samples"].as_array().map(Vec::len), Some(4));
    }

    #[actix_web::test]
    async fn a_stream_has_the_same_pieces() {
        let choices = vec![Choice::new(vec![unscored("Once")], true)];
        let sent = stream_of(head(false), choices, vec![events()]).await.expect("a stream");
        let chunk = |data: &String| -> Value { serde_json::from_str(data).expect("JSON") };
        let chunks: Vec<Value> = sent[..sent.len() - 1].iter().map(chunk).collect();
        let texts: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["text"]).collect();
        assert_eq!(texts, ["Once", " was", " it", ""]);
        assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion"));
        assert_eq!(chunks[2]["choices"][0]["logprobs"]["text_offset"], json!([8]));
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
        assert_eq!(sent.last().map(String::as_str), Some("[DONE]"));
    }

    #[actix_web::test]
    async fn without_echo_the_first_chunk_is_of_the_answer() {
        let choices = vec![Choice::new(Vec::new(), false)];
        let sent = stream_of(head(false), choices, vec![events()]).await.expect("a stream");
        let first: Value = serde_json::from_str(&sent[0]).expect("JSON");
        assert_eq!(first["choices"][0]["text"], " was");
        assert_eq!(first["choices"][0]["logprobs"], Value::Null);
    }
}
