//! `POST /v1/chat/completions`: the OpenAI chat dialect, whole or as a stream.
//!
//! Called by `mod.rs`. `chat_request.rs` reads the body, `answer.rs` runs the choices; this file
//! says how a choice looks. The first delta names the role. A call's first delta has its index, id
//! and name, later ones its index and a piece of its arguments; the old form is `function_call`.
//! A call that broke off after it was shown ends where it is; in a whole answer it is content.
//! `reasoning_content` is an extension that clients of other servers know.
//! `logprobs` are those of the content: a delta has the tokens sampled since the one before it.
//! Errors: [`ApiError`]. Source: OpenAI API reference, chat completions.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    answer::{self, StreamedChoice, WholeChoice},
    chat_request::{self, ChatRequest},
    log_probabilities::of_chat,
    objects::{Head, finish_reason},
};
use crate::{
    generate::{FinishReason, SampledToken, Summary, TokenEvent},
    http::{
        errors::{ApiError, body_error},
        log_probabilities::behind,
        samples::Samples,
        server::random_seed,
    },
    node::NodeHandle,
};

/// POST /v1/chat/completions.
pub(super) async fn chat_completions(
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| body_error(&error))?;
    let ChatRequest { asked, is_old } = chat_request::parse(&body, random_seed()?)?;
    let head = Head::new("chatcmpl", &asked)?;
    let is_likely = asked.requests.iter().any(|request| request.log_probabilities.is_some());
    let form = |index| Form { calls: head.part_id("call", index), is_old, is_likely };
    let forms: Vec<Form> = (0..asked.n as usize).map(form).collect();
    let samples = Samples::start(&node, asked.requests, asked.n).await;
    let samples = samples.map_err(|error| head.places.name(error))?;
    match asked.stream {
        true => {
            let choices = forms.into_iter().map(Deltas::new).collect();
            answer::streamed(head, samples, choices).await
        }
        false => {
            let choices = forms.into_iter().map(Message::new).collect();
            answer::whole(&head, samples, choices).await
        }
    }
}

/// How a choice is told.
#[derive(Debug)]
struct Form {
    /// What its calls' ids begin with.
    calls: String,
    /// Its call is a `function_call`.
    is_old: bool,
    /// With log-probabilities.
    is_likely: bool,
}

impl Form {
    fn finish_reason(&self, reason: FinishReason) -> &'static str {
        match reason {
            FinishReason::ToolCalls if self.is_old => "function_call",
            reason => finish_reason(reason),
        }
    }

    /// A call as it is told; `n` counts the calls of the choice.
    fn call(&self, n: usize, name: &str, arguments: &str) -> Value {
        let function = json!({"name": name, "arguments": arguments});
        json!({"id": format!("{}{n}", self.calls), "type": "function", "function": function})
    }
}

/// A choice of a stream.
struct Deltas {
    form: Form,
    /// Tokens behind the text that comes next.
    sampled: Vec<SampledToken>,
    /// Calls that are over.
    n_calls: usize,
}

impl Deltas {
    fn new(form: Form) -> Deltas {
        Deltas { form, sampled: Vec::new(), n_calls: 0 }
    }

    fn content(&mut self, piece: &str) -> Value {
        let sampled = behind(piece, std::mem::take(&mut self.sampled));
        let logprobs = self.form.is_likely.then(|| of_chat(&sampled));
        json!({"delta": {"content": piece}, "logprobs": logprobs})
    }

    fn call_begins(&self, name: &str) -> Value {
        if self.form.is_old {
            return json!({"delta": {"function_call": {"name": name, "arguments": ""}}});
        }
        let mut call = self.form.call(self.n_calls, name, "");
        call["index"] = self.n_calls.into();
        json!({"delta": {"tool_calls": [call]}})
    }

    fn arguments(&self, piece: &str) -> Value {
        let function = json!({"arguments": piece});
        match self.form.is_old {
            true => json!({"delta": {"function_call": function}}),
            false => {
                let call = json!({"index": self.n_calls, "function": function});
                json!({"delta": {"tool_calls": [call]}})
            }
        }
    }
}

impl StreamedChoice for Deltas {
    const KIND: &'static str = "chat.completion.chunk";

    fn first(&mut self) -> Option<Value> {
        Some(json!({"delta": {"role": "assistant", "content": ""}}))
    }

    fn next(&mut self, event: TokenEvent) -> Option<Value> {
        let part = match event {
            TokenEvent::Part(part) => part,
            TokenEvent::Sampled(token) => {
                self.sampled.push(token);
                return None;
            }
            TokenEvent::Started { .. } | TokenEvent::Opened { .. } | TokenEvent::Finished(_) => {
                return None;
            }
        };
        if let ChatEvent::Content(piece) = part {
            return Some(self.content(&piece));
        }
        self.sampled.clear();
        match part {
            ChatEvent::Content(_) => None,
            ChatEvent::Reasoning(piece) => Some(json!({"delta": {"reasoning_content": piece}})),
            ChatEvent::ToolCallBegin(name) => Some(self.call_begins(&name)),
            ChatEvent::ToolCallArguments(piece) => Some(self.arguments(&piece)),
            ChatEvent::ToolCallEnd | ChatEvent::ToolCallBroken(_) => {
                self.n_calls += 1;
                None
            }
        }
    }

    fn silence(&self) -> Value {
        json!({"delta": {"content": ""}})
    }

    fn last(&mut self, summary: &Summary) -> Value {
        json!({"delta": {}, "finish_reason": self.form.finish_reason(summary.finish_reason)})
    }
}

/// A choice of a whole answer.
struct Message {
    form: Form,
    content: String,
    reasoning: String,
    /// Name and arguments of each call.
    calls: Vec<(String, String)>,
    /// Tokens behind the text that comes next.
    sampled: Vec<SampledToken>,
    /// Tokens of the content.
    tokens: Vec<SampledToken>,
}

impl Message {
    fn new(form: Form) -> Message {
        Message {
            form,
            content: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            sampled: Vec::new(),
            tokens: Vec::new(),
        }
    }

    fn part(&mut self, part: ChatEvent) {
        match &part {
            ChatEvent::Content(piece) => {
                self.tokens.extend(behind(piece, std::mem::take(&mut self.sampled)));
            }
            _ => self.sampled.clear(),
        }
        match part {
            ChatEvent::Content(piece) => self.content.push_str(&piece),
            ChatEvent::Reasoning(piece) => self.reasoning.push_str(&piece),
            ChatEvent::ToolCallBegin(name) => self.calls.push((name, String::new())),
            ChatEvent::ToolCallArguments(piece) => {
                if let Some((_, arguments)) = self.calls.last_mut() {
                    arguments.push_str(&piece);
                }
            }
            ChatEvent::ToolCallEnd => {}
            ChatEvent::ToolCallBroken(text) => {
                self.calls.pop();
                self.content.push_str(&text);
            }
        }
    }
}

impl WholeChoice for Message {
    const KIND: &'static str = "chat.completion";

    fn take(&mut self, event: TokenEvent) {
        match event {
            TokenEvent::Part(part) => self.part(part),
            TokenEvent::Sampled(token) => self.sampled.push(token),
            TokenEvent::Started { .. } | TokenEvent::Opened { .. } | TokenEvent::Finished(_) => {}
        }
    }

    fn likelihood(&self) -> f32 {
        // All are told.
        0.0
    }

    fn end(self, summary: &Summary) -> Value {
        let is_silent = self.content.is_empty() && !self.calls.is_empty();
        let content = (!is_silent).then_some(self.content);
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = self.reasoning.into();
        }
        match &self.calls[..] {
            [] => {}
            [(name, arguments), ..] if self.form.is_old => {
                message["function_call"] = json!({"name": name, "arguments": arguments});
            }
            calls => {
                let calls = calls.iter().enumerate();
                let call = |(n, (name, arguments)): (usize, &(String, String))| {
                    self.form.call(n, name, arguments)
                };
                message["tool_calls"] = calls.map(call).collect();
            }
        }
        json!({
            "message": message,
            "logprobs": self.form.is_likely.then(|| of_chat(&self.tokens)),
            "finish_reason": self.form.finish_reason(summary.finish_reason),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        generate::GenerateError,
        http::log_probabilities::sampled,
        http::openai::{
            answer::testing::{head, stream_of, whole_of},
            objects::a_summary,
        },
    };

    fn form() -> Form {
        Form { calls: "call_x".into(), is_old: false, is_likely: false }
    }

    fn events(parts: &[ChatEvent], reason: FinishReason) -> Vec<Result<TokenEvent, GenerateError>> {
        let parts = parts.iter().cloned().map(TokenEvent::Part);
        let summary = Summary { finish_reason: reason, ..a_summary() };
        parts.chain([TokenEvent::Finished(summary.into())]).map(Ok).collect()
    }

    fn a_call(name: &str) -> Vec<ChatEvent> {
        let arguments = |text: &str| ChatEvent::ToolCallArguments(text.into());
        vec![
            ChatEvent::ToolCallBegin(name.into()),
            arguments("{\"a\""),
            arguments(": 1}"),
            ChatEvent::ToolCallEnd,
        ]
    }

    /// Choices of all chunks.
    async fn streamed(form: Form, events: Vec<Result<TokenEvent, GenerateError>>) -> Vec<Value> {
        let sent = stream_of(head(false), vec![Deltas::new(form)], vec![events]).await;
        let mut sent = sent.expect("a stream");
        assert_eq!(sent.pop().as_deref(), Some("[DONE]"));
        let chunk = |data: &String| -> Value { serde_json::from_str(data).expect("JSON") };
        sent.iter().map(|data| chunk(data)["choices"][0].clone()).collect()
    }

    async fn whole(form: Form, events: Vec<Result<TokenEvent, GenerateError>>) -> Value {
        let whole = whole_of(head(false), vec![Message::new(form)], vec![events]).await;
        whole.expect("an answer")["choices"][0].clone()
    }

    #[actix_web::test]
    async fn a_stream_has_role_reasoning_texts_and_reason() {
        let parts = [
            ChatEvent::Reasoning("hm".into()),
            ChatEvent::Content("Hi ".into()),
            ChatEvent::Content("you".into()),
        ];
        let choices = streamed(form(), events(&parts, FinishReason::Length)).await;
        let deltas: Vec<&Value> = choices.iter().map(|choice| &choice["delta"]).collect();
        assert_eq!(deltas[0], &json!({"role": "assistant", "content": ""}));
        assert_eq!(deltas[1], &json!({"reasoning_content": "hm"}));
        assert_eq!(
            (deltas[2], deltas[3]),
            (&json!({"content": "Hi "}), &json!({"content": "you"}))
        );
        assert_eq!((deltas[4], &choices[4]["finish_reason"]), (&json!({}), &json!("length")));
        let whole = whole(form(), events(&parts, FinishReason::Stop)).await;
        let message = json!({
            "role": "assistant", "content": "Hi you", "refusal": null, "reasoning_content": "hm",
        });
        assert_eq!((&whole["message"], &whole["finish_reason"]), (&message, &json!("stop")));
        assert_eq!((&whole["index"], &whole["logprobs"]), (&json!(0), &Value::Null));
    }

    #[actix_web::test]
    async fn calls_are_told_piece_by_piece_and_counted() {
        let parts = [a_call("one"), a_call("two")].concat();
        let choices = streamed(form(), events(&parts, FinishReason::ToolCalls)).await;
        let call = |i: usize| choices[i]["delta"]["tool_calls"][0].clone();
        let begin = |n: usize, name: &str| {
            json!({
                "index": n, "id": format!("call_x{n}"), "type": "function",
                "function": {"name": name, "arguments": ""},
            })
        };
        assert_eq!((call(1), call(4)), (begin(0, "one"), begin(1, "two")));
        assert_eq!(call(2), json!({"index": 0, "function": {"arguments": "{\"a\""}}));
        assert_eq!(call(6), json!({"index": 1, "function": {"arguments": ": 1}"}}));
        assert_eq!(choices[7]["finish_reason"], "tool_calls");
        let message =
            whole(form(), events(&parts, FinishReason::ToolCalls)).await["message"].clone();
        assert_eq!(message["content"], Value::Null);
        let second = json!({
            "id": "call_x1", "type": "function",
            "function": {"name": "two", "arguments": "{\"a\": 1}"},
        });
        assert_eq!(message["tool_calls"][1], second);
    }

    #[actix_web::test]
    async fn the_old_form_has_one_call_by_its_old_name() {
        let old = || Form { is_old: true, ..form() };
        let choices = streamed(old(), events(&a_call("one"), FinishReason::ToolCalls)).await;
        let call = |i: usize| choices[i]["delta"]["function_call"].clone();
        assert_eq!(call(1), json!({"name": "one", "arguments": ""}));
        assert_eq!(call(2), json!({"arguments": "{\"a\""}));
        assert_eq!(choices[4]["finish_reason"], "function_call");
        let choice = whole(old(), events(&a_call("one"), FinishReason::ToolCalls)).await;
        let call = json!({"name": "one", "arguments": "{\"a\": 1}"});
        assert_eq!(choice["message"]["function_call"], call);
        assert_eq!(choice["message"].get("tool_calls"), None);
        assert_eq!(choice["finish_reason"], "function_call");
    }

    #[actix_web::test]
    async fn a_broken_call_is_content_of_a_whole_answer_and_ends_in_a_stream() {
        let mut parts = a_call("one");
        parts[3] = ChatEvent::ToolCallBroken("{broken".into());
        parts.extend(a_call("two"));
        let choices = streamed(form(), events(&parts, FinishReason::ToolCalls)).await;
        assert_eq!(choices[4]["delta"]["tool_calls"][0]["index"], 1);
        let message =
            whole(form(), events(&parts, FinishReason::ToolCalls)).await["message"].clone();
        assert_eq!(message["content"], "{broken");
        assert_eq!(message["tool_calls"].as_array().map(Vec::len), Some(1));
        assert_eq!(message["tool_calls"][0]["function"]["name"], "two");
    }

    #[actix_web::test]
    async fn log_probabilities_are_those_of_the_content() {
        let token = |text: &str| Ok(TokenEvent::Sampled(sampled(text.as_bytes(), -0.5)));
        let part = |part: ChatEvent| Ok(TokenEvent::Part(part));
        let events = vec![
            token("hm"),
            part(ChatEvent::Reasoning("hm".into())),
            token("a"),
            token("b"),
            part(ChatEvent::Content("ab".into())),
            token("c"),
            part(ChatEvent::Content("c".into())),
            token("<end>"),
            Ok(TokenEvent::Finished(a_summary().into())),
        ];
        let likely = || Form { is_likely: true, ..form() };
        let choices = streamed(likely(), events.clone()).await;
        let tokens = |choice: &Value| -> Vec<String> {
            let tokens = choice["logprobs"]["content"].as_array().into_iter().flatten();
            tokens.map(|token| token["token"].as_str().expect("a text").to_owned()).collect()
        };
        let told: Vec<Vec<String>> = choices.iter().map(tokens).collect();
        assert_eq!(told, [vec![], vec![], vec!["a", "b"], vec!["c"], vec![]]);
        let whole = whole(likely(), events).await;
        assert_eq!(tokens(&whole), ["a", "b", "c"]);
        assert_eq!(
            whole["logprobs"]["content"][0]["top_logprobs"].as_array().map(Vec::len),
            Some(2)
        );
    }

    #[actix_web::test]
    async fn choices_of_one_answer_are_told_apart() {
        let answer = |text: &str| events(&[ChatEvent::Content(text.into())], FinishReason::Stop);
        let choices = || (Deltas::new(form()), Deltas::new(form()));
        let (first, second) = choices();
        let answers = vec![answer("a"), answer("b")];
        let sent = stream_of(head(true), vec![first, second], answers).await.expect("a stream");
        let chunk = |data: &String| -> Value { serde_json::from_str(data).expect("JSON") };
        let chunks: Vec<Value> = sent[..sent.len() - 1].iter().map(chunk).collect();
        let text = |index: usize| -> String {
            let of_it = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index);
            of_it.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
        };
        assert_eq!((text(0).as_str(), text(1).as_str()), ("a", "b"));
        let reasons = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
        assert_eq!(reasons.count(), 2);
        assert_eq!(chunks.last().map(|last| &last["choices"]), Some(&json!([])));
    }
}
