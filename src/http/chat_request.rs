//! Reads the body of `/v1/chat/completions` into a dialect-free request.
//!
//! Called by `openai_chat.rs`. Pure. What the API has and this node cannot do is refused by name,
//! never dropped: log-probabilities, forced tool calls, response formats,
//! penalties, content that is no text. Fields nobody knows, and those that only steer a hosted
//! service (`store`, `metadata`, ...), are ignored; `user` tells the node's clients apart.
//! Temperature is 1 when absent, as the API has it.
//! `content` as an array of text parts becomes one text; `developer` becomes `system`.
//! Errors: [`ApiError`] with the field. Source: OpenAI API reference, chat completions.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{errors::ApiError, samples::SAMPLES_MAX};
use crate::{
    generate::{Chat, GenerateRequest, Prompt},
    sampling::SamplingFields,
};

/// Most stop texts the API takes.
const STOPS_MAX: usize = 4;
/// A chat is never longer; each message costs tokens, and contexts end far below.
const MESSAGES_MAX: usize = 65_536;

/// The fields this node reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Value>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    #[serde(flatten)]
    sampling: SamplingFields,
    n: Option<i64>,
    user: Option<String>,
    stop: Option<Stop>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
    logit_bias: Option<Map<String, Value>>,
    response_format: Option<Value>,
    modalities: Option<Vec<String>>,
    functions: Option<Value>,
    function_call: Option<Value>,
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

/// What a chat body asks for.
#[derive(Debug, PartialEq)]
pub struct ChatRequest {
    /// For the node.
    pub generate: GenerateRequest,
    /// How many answers.
    pub n: u32,
    /// As events instead of one object.
    pub stream: bool,
    /// With a last chunk that counts tokens.
    pub include_usage: bool,
}

/// Reads a body; `seed` is used when it names none.
pub fn parse(body: &[u8], seed: u64) -> Result<ChatRequest, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_data() { "the body is no chat request" } else { "no JSON" };
        ApiError::invalid(format!("{what}: {error}"), None)
    })?;
    refuse_what_is_not_there(&body)?;
    let model = body.model.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| ApiError::invalid("`model` is missing", Some("model")))?;
    let messages = body
        .messages
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| ApiError::invalid("`messages` is missing or empty", Some("messages")))?;
    if messages.len() > MESSAGES_MAX {
        let message = format!("at most {MESSAGES_MAX} messages");
        return Err(ApiError::invalid(message, Some("messages")));
    }
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| normalise_message(index, message))
        .collect::<Result<Vec<Value>, ApiError>>()?;
    let no_tools = body.tool_choice.as_ref().and_then(Value::as_str) == Some("none");
    let tools = body.tools.filter(|_| !no_tools).unwrap_or_default();
    let sampling = body
        .sampling
        .resolve(1.0, seed)
        .map_err(|error| ApiError::invalid(error.to_string(), Some(error.field)))?;
    let prompt = Prompt::Chat(Chat { messages: Value::Array(messages), tools, ..Chat::default() });
    let generate = GenerateRequest {
        sampling,
        max_tokens: max_tokens(body.max_completion_tokens, body.max_tokens)?,
        stop: stop_texts(body.stop)?,
        client: body.user.unwrap_or_default(),
        ..GenerateRequest::new(model, prompt)
    };
    let include_usage = body.stream_options.and_then(|options| options.include_usage);
    Ok(ChatRequest {
        generate,
        n: samples(body.n)?,
        stream: body.stream.unwrap_or(false),
        include_usage: include_usage.unwrap_or(false),
    })
}

fn samples(n: Option<i64>) -> Result<u32, ApiError> {
    let n = u32::try_from(n.unwrap_or(1)).ok().filter(|n| (1..=SAMPLES_MAX).contains(n));
    n.ok_or_else(|| ApiError::invalid(format!("`n` must be 1 to {SAMPLES_MAX}"), Some("n")))
}

fn refuse_what_is_not_there(body: &Body) -> Result<(), ApiError> {
    let refuse = |asked: bool, param: &str, message: &str| match asked {
        true => Err(ApiError::unsupported(message, param)),
        false => Ok(()),
    };
    let kind = |value: &Option<Value>| {
        let kind = value.as_ref()?.get("type")?.as_str()?;
        Some(kind.to_owned())
    };
    refuse(body.logprobs == Some(true), "logprobs", "log-probabilities are not given out")?;
    refuse(body.top_logprobs.unwrap_or(0) != 0, "top_logprobs", "see `logprobs`")?;
    let biased = body.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty());
    refuse(biased, "logit_bias", "`logit_bias` is not applied here; leave it out")?;
    let format = kind(&body.response_format);
    let constrained = format.is_some_and(|format| format != "text");
    refuse(constrained, "response_format", "only {\"type\":\"text\"} can be promised here")?;
    let forced = match &body.tool_choice {
        None | Some(Value::Null) => false,
        Some(Value::String(choice)) => choice != "auto" && choice != "none",
        Some(_) => true,
    };
    refuse(forced, "tool_choice", "a tool call cannot be forced here; use \"auto\" or \"none\"")?;
    let spoken = body.modalities.as_ref().is_some_and(|all| all.iter().any(|m| m != "text"));
    refuse(spoken, "modalities", "only [\"text\"] is spoken here")?;
    let old = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
    refuse(old(&body.functions), "functions", "`functions` is the old form; use `tools`")?;
    refuse(old(&body.function_call), "function_call", "this is the old form; use `tool_choice`")
}

fn max_tokens(completion: Option<i64>, old: Option<i64>) -> Result<Option<u32>, ApiError> {
    let (value, param) = match (completion, old) {
        (Some(value), _) => (value, "max_completion_tokens"),
        (None, Some(value)) => (value, "max_tokens"),
        (None, None) => return Ok(None),
    };
    match u32::try_from(value) {
        Ok(value @ 1..) => Ok(Some(value)),
        // More than any context is the rest of the context.
        Err(_) if value > 0 => Ok(None),
        _ => Err(ApiError::invalid(format!("{param} must be at least 1"), Some(param))),
    }
}

fn stop_texts(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
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

/// One message as templates know it: a role they know, and text instead of parts.
fn normalise_message(index: usize, message: Value) -> Result<Value, ApiError> {
    let param = |field: &str| format!("messages[{index}]{field}");
    let Value::Object(mut message) = message else {
        return Err(ApiError::invalid("a message is an object", Some(&param(""))));
    };
    let role = match message.get("role").and_then(Value::as_str) {
        Some("developer" | "system") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool") => "tool",
        other => {
            let found = other.unwrap_or("nothing");
            let message =
                format!("role must be system, developer, user, assistant or tool, got {found}");
            return Err(ApiError::invalid(message, Some(&param(".role"))));
        }
    };
    message.insert("role".to_owned(), role.into());
    let content = match message.remove("content") {
        Some(Value::Array(parts)) => Value::String(joined_text(&parts, &param(".content"))?),
        Some(content @ (Value::String(_) | Value::Null)) => content,
        // An assistant that only called tools said nothing.
        None if role == "assistant" => Value::Null,
        _ => {
            let message = "content is a text or an array of parts";
            return Err(ApiError::invalid(message, Some(&param(".content"))));
        }
    };
    message.insert("content".to_owned(), content);
    Ok(Value::Object(message))
}

fn joined_text(parts: &[Value], param: &str) -> Result<String, ApiError> {
    let mut text = String::new();
    for part in parts {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("nothing");
        match (kind, part.get("text").and_then(Value::as_str)) {
            ("text", Some(piece)) => text.push_str(piece),
            _ => {
                let message = format!("this model reads text only, not a part of type {kind}");
                let error = ApiError::unsupported(message, param);
                return Err(ApiError { code: Some("unsupported_content"), ..error });
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(more: Value) -> Result<ChatRequest, ApiError> {
        let mut body = json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}]});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parse(body.to_string().as_bytes(), 5)
    }

    fn refused(more: Value) -> (u16, Option<String>) {
        let error = chat(more).expect_err("refused");
        (error.status.as_u16(), error.param)
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let request = chat(json!({})).expect("valid");
        assert!(!request.stream && !request.include_usage);
        assert_eq!(request.generate.sampling.temperature, 1.0);
        assert_eq!((request.generate.sampling.seed, request.generate.max_tokens), (5, None));
    }

    #[test]
    fn the_newer_limit_wins_and_a_huge_one_means_the_rest() {
        let both = chat(json!({"max_tokens": 3, "max_completion_tokens": 7})).expect("valid");
        assert_eq!(both.generate.max_tokens, Some(7));
        let huge = chat(json!({"max_tokens": 1_i64 << 40})).expect("valid");
        assert_eq!(huge.generate.max_tokens, None);
        assert_eq!(refused(json!({"max_tokens": 0})), (400, Some("max_tokens".into())));
    }

    #[test]
    fn stop_is_a_text_or_up_to_four() {
        assert_eq!(chat(json!({"stop": "a"})).expect("valid").generate.stop, ["a"]);
        assert_eq!(chat(json!({"stop": ["a", "b"]})).expect("valid").generate.stop, ["a", "b"]);
        assert_eq!(chat(json!({"stop": null})).expect("valid").generate.stop, [""; 0]);
        assert_eq!(refused(json!({"stop": [""]})).0, 400);
        assert_eq!(refused(json!({"stop": ["a", "b", "c", "d", "e"]})).0, 400);
    }

    #[test]
    fn unknown_fields_are_ignored_and_impossible_ones_are_refused_by_name() {
        chat(json!({"user": "x", "store": true, "brand_new": {"a": 1}})).expect("ignored");
        assert_eq!(chat(json!({"n": 3, "user": "x"})).expect("valid").n, 3);
        assert_eq!(refused(json!({"n": 0})).0, 400);
        assert_eq!(refused(json!({"n": 17})).0, 400);
        chat(json!({"n": 1, "presence_penalty": 0, "response_format": {"type": "text"}}))
            .expect("harmless");
        let cases = [
            (json!({"logprobs": true}), "logprobs"),
            (json!({"response_format": {"type": "json_object"}}), "response_format"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
            (json!({"modalities": ["audio"]}), "modalities"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"messages": []}), "messages"),
            (json!({"model": ""}), "model"),
        ];
        for (body, param) in cases {
            assert_eq!(refused(body), (400, Some(param.to_owned())));
        }
    }

    #[test]
    fn parts_of_text_are_joined_and_others_refused() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let message = normalise_message(0, json!({"role": "developer", "content": parts}));
        assert_eq!(message.expect("text"), json!({"role": "system", "content": "ab"}));
        let image = json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]});
        let error = normalise_message(3, image).expect_err("an image");
        assert_eq!(error.code, Some("unsupported_content"));
        assert_eq!(error.param.as_deref(), Some("messages[3].content"));
    }

    #[test]
    fn an_assistant_may_be_silent_beside_its_tool_calls() {
        let silent = normalise_message(0, json!({"role": "assistant", "tool_calls": []}));
        assert_eq!(silent.expect("silent")["content"], Value::Null);
        assert!(normalise_message(0, json!({"role": "user"})).is_err());
        assert!(normalise_message(0, json!({"role": "narrator", "content": ""})).is_err());
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_a_wrong_field() {
        let none = parse(b"hello", 0).expect_err("no JSON");
        assert!(none.message.starts_with("no JSON"), "{none}");
        let wrong = parse(br#"{"model": 3}"#, 0).expect_err("wrong type");
        assert!(wrong.message.starts_with("the body is no chat request"), "{wrong}");
    }
}
