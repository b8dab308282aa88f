//! Reads the bodies of `/api/chat` and `/api/generate` into dialect-free requests.
//!
//! Called by `mod.rs`. Pure. Options that are absent have Ollama's defaults (temperature 0.8,
//! `top_k` 40, `top_p` 0.9); those that steer a runner (`num_ctx`, `num_gpu`, ...), `keep_alive`
//! and whatever nobody knows are ignored. Tool calls get ids, which this dialect does not need but
//! templates do. Images and templates in a request are refused, never dropped.
//! Errors: [`ApiError`] with the field.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use swarmllm_actors::entropy;
use swarmllm_models::sampler::SamplingParams;

use super::{
    super::{errors::ApiError, fields::Fields, schema},
    Body,
};
use crate::{
    generate::{AnswerFormat, Chat, GenerateRequest, Prompt},
    sampling::SamplingFields,
};

const TEMPERATURE: f64 = 0.8;
const TOP_K: i64 = 40;
const TOP_P: f64 = 0.9;
/// Most stop texts: editors that complete code send dozens.
const STOPS_MAX: usize = 64;
/// A chat is never longer; each message costs tokens, and contexts end far below.
const MESSAGES_MAX: usize = 65_536;

/// What is to be answered.
#[derive(Debug, PartialEq)]
enum Input {
    /// A conversation.
    Chat(Chat),
    /// A prompt with what belongs in front of it.
    Prompt { system: Option<String>, prompt: String, variables: Map<String, Value> },
    /// A prompt as it is.
    Raw(String),
    /// What stands around the missing text.
    Infill { prefix: String, suffix: String },
    /// Nothing: the caller wants the model in memory, or out of it.
    Nothing,
}

/// A body of either route.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    /// The model as the caller calls it.
    pub(super) model: String,
    /// Answer as lines.
    pub(super) stream: bool,
    /// The caller is done with the model.
    pub(super) unloads: bool,
    input: Input,
    sampling: SamplingParams,
    max_tokens: Option<u32>,
    stop: Vec<String>,
    format: AnswerFormat,
}

impl Asked {
    /// What the node is asked, of the model it knows by this name; `None` when nothing is to be
    /// answered.
    pub(super) fn into_request(self, model: &str, has_template: bool) -> Option<GenerateRequest> {
        let prompt = match self.input {
            Input::Nothing => return None,
            Input::Chat(chat) => Prompt::Chat(chat),
            Input::Raw(text) => Prompt::Text(text),
            Input::Infill { prefix, suffix } => Prompt::Infill { prefix, suffix },
            Input::Prompt { system, prompt, variables } if has_template => {
                let system = system.map(|text| json!({"role": "system", "content": text}));
                let user = json!({"role": "user", "content": prompt});
                let messages = system.into_iter().chain([user]).collect();
                Prompt::Chat(Chat { variables, ..Chat::of_messages(messages) })
            }
            Input::Prompt { system, prompt, .. } => {
                let system = system.map(|text| text + "\n\n").unwrap_or_default();
                Prompt::Text(system + &prompt)
            }
        };
        Some(GenerateRequest {
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            stop: self.stop,
            format: self.format,
            ..GenerateRequest::new(model, prompt)
        })
    }
}

/// Reads a body of `/api/chat`.
pub(super) fn chat(body: Body) -> Result<Asked, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let messages: Vec<Value> = fields.optional("messages")?.unwrap_or_default();
    if messages.len() > MESSAGES_MAX {
        let message = format!("at most {MESSAGES_MAX} messages");
        return Err(ApiError::invalid(message, Some("messages")));
    }
    // What the assistant said last is the beginning of its answer.
    let continue_last = messages.last().is_some_and(|last| {
        let has_text = last["content"].as_str().is_some_and(|text| !text.is_empty());
        last["role"] == "assistant" && has_text && !last["tool_calls"].is_array()
    });
    let input = match messages.is_empty() {
        true => Input::Nothing,
        false => Input::Chat(Chat {
            messages: Messages::default().normalised(messages)?,
            continue_last,
            tools: tools(&mut fields)?,
            variables: thinking(&mut fields)?,
            ..Chat::default()
        }),
    };
    common(fields, input)
}

/// Reads a body of `/api/generate`.
pub(super) fn generate(body: Body) -> Result<Asked, ApiError> {
    let mut fields = Fields::of_body(body)?;
    refuse_images(&mut fields, "images")?;
    let text = |fields: &mut Fields, name| {
        Ok::<_, ApiError>(fields.optional::<String>(name)?.filter(|text| !text.is_empty()))
    };
    if text(&mut fields, "template")?.is_some() {
        let message = "the model's own template is used; send `raw` with a prompt that is rendered";
        return Err(ApiError::unsupported(message, "template"));
    }
    let prompt = text(&mut fields, "prompt")?;
    let is_raw = fields.optional("raw")?.unwrap_or(false);
    let input = match (prompt, text(&mut fields, "suffix")?) {
        (prefix, Some(suffix)) => Input::Infill { prefix: prefix.unwrap_or_default(), suffix },
        (None, None) => Input::Nothing,
        (Some(prompt), None) if is_raw => Input::Raw(prompt),
        (Some(prompt), None) => {
            let system = text(&mut fields, "system")?;
            Input::Prompt { system, prompt, variables: thinking(&mut fields)? }
        }
    };
    common(fields, input)
}

/// The fields that both routes have.
fn common(mut fields: Fields, input: Input) -> Result<Asked, ApiError> {
    let mut options = fields.object("options")?;
    Ok(Asked {
        model: fields.text(&["model", "name"])?,
        stream: fields.optional("stream")?.unwrap_or(true),
        unloads: unloads(&mut fields)?,
        format: format(&mut fields)?,
        sampling: sampling(&mut options)?,
        max_tokens: max_tokens(&mut options)?,
        stop: stop_texts(&mut options)?,
        input,
    })
}

/// Whether `keep_alive`, a number of seconds or a text such as `10m`, says that the caller is done.
fn unloads(fields: &mut Fields) -> Result<bool, ApiError> {
    match fields.optional::<Value>("keep_alive")? {
        None => Ok(false),
        Some(time @ (Value::Number(_) | Value::String(_))) => Ok(is_zero(&time)),
        Some(_) => Err(fields.wrong("keep_alive", "is a number of seconds or a text such as 10m")),
    }
}

/// Whether a time such as `0`, `"0"` or `"0s"` is none.
fn is_zero(time: &Value) -> bool {
    match time {
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            let unit = text.trim_start_matches(['0', '.']);
            text.starts_with('0') && unit.chars().all(char::is_alphabetic)
        }
        _ => false,
    }
}

fn format(fields: &mut Fields) -> Result<AnswerFormat, ApiError> {
    match fields.optional::<Value>("format")? {
        None => Ok(AnswerFormat::Text),
        Some(Value::String(text)) if text.is_empty() => Ok(AnswerFormat::Text),
        Some(Value::String(text)) if text == "json" => Ok(AnswerFormat::JsonObject),
        Some(schema @ Value::Object(_)) => {
            schema::check(&schema, "format")?;
            Ok(AnswerFormat::JsonSchema(schema))
        }
        Some(_) => Err(ApiError::invalid("`format` is \"json\" or a schema", Some("format"))),
    }
}

/// `think` as templates know it.
fn thinking(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    let variables = match fields.optional::<Value>("think")? {
        None => Value::Null,
        // Templates have two names for it.
        Some(Value::Bool(think)) => json!({"enable_thinking": think, "thinking": think}),
        Some(Value::String(effort)) if ["low", "medium", "high"].contains(&effort.as_str()) => {
            json!({"enable_thinking": true, "thinking": true, "reasoning_effort": effort})
        }
        Some(_) => {
            let message = "`think` is true, false, \"low\", \"medium\" or \"high\"";
            return Err(ApiError::invalid(message, Some("think")));
        }
    };
    Ok(match variables {
        Value::Object(variables) => variables,
        _ => Map::new(),
    })
}

fn tools(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    let tools: Vec<Value> = fields.optional("tools")?.unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        if !tool["function"]["name"].is_string() {
            let param = format!("tools[{index}].function.name");
            return Err(ApiError::invalid("a tool is a function with a name", Some(&param)));
        }
    }
    Ok(tools)
}

fn sampling(options: &mut Fields) -> Result<SamplingParams, ApiError> {
    let seed = whole(options, "seed")?;
    let fields = SamplingFields {
        temperature: options.optional("temperature")?,
        top_p: Some(options.optional("top_p")?.unwrap_or(TOP_P)),
        // Below zero is off as well.
        top_k: Some(whole(options, "top_k")?.unwrap_or(TOP_K).max(0)),
        min_p: options.optional("min_p")?,
        typical_p: options.optional("typical_p")?,
        frequency_penalty: options.optional("frequency_penalty")?,
        presence_penalty: options.optional("presence_penalty")?,
        repetition_penalty: options.optional("repeat_penalty")?,
        seed,
    };
    let any_seed = u64::from_le_bytes(entropy::bytes());
    fields.resolve(TEMPERATURE, any_seed).map_err(|error| {
        ApiError::invalid(error.to_string(), Some(&format!("options.{}", error.field)))
    })
}

/// A whole number, also when it is written as `42.0`.
fn whole(options: &mut Fields, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(number) = options.optional::<serde_json::Number>(name)? else { return Ok(None) };
    // Up to here every whole number is one of these, and nothing is lost.
    let exact = |float: &f64| float.fract() == 0.0 && float.abs() < 9e15;
    let whole = number.as_i64().or_else(|| Some(number.as_f64().filter(exact)? as i64));
    whole.map(Some).ok_or_else(|| options.wrong(name, "is a whole number"))
}

/// From zero down there is no limit.
fn max_tokens(options: &mut Fields) -> Result<Option<u32>, ApiError> {
    let limit = whole(options, "num_predict")?.filter(|limit| *limit > 0);
    Ok(limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)))
}

fn stop_texts(options: &mut Fields) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Several(Vec<String>),
    }
    let mut stops = match options.optional("stop")? {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Several(texts)) => texts,
    };
    // Programs that split a field of theirs send these.
    stops.retain(|text| !text.is_empty());
    if stops.len() > STOPS_MAX {
        let message = format!("`stop` has up to {STOPS_MAX} texts");
        return Err(ApiError::invalid(message, Some("options.stop")));
    }
    Ok(stops)
}

fn refuse_images(fields: &mut Fields, param: &str) -> Result<(), ApiError> {
    let images: Vec<Value> = fields.optional("images")?.unwrap_or_default();
    match images.is_empty() {
        true => Ok(()),
        false => {
            let error = ApiError::unsupported("this model reads text only, no images", param);
            Err(ApiError { code: Some("unsupported_content"), ..error })
        }
    }
}

/// Messages on their way into the form that templates take.
#[derive(Default)]
struct Messages {
    n_calls: usize,
    /// Id and name of the calls that no tool has answered yet.
    open: VecDeque<(String, String)>,
}

impl Messages {
    fn normalised(mut self, messages: Vec<Value>) -> Result<Value, ApiError> {
        let mut normalised = Vec::with_capacity(messages.len());
        for (index, message) in messages.into_iter().enumerate() {
            normalised.push(self.message(message).map_err(|error| {
                let param = error.param.as_deref();
                let within = param.map_or_else(String::new, |param| format!(".{param}"));
                ApiError { param: Some(format!("messages[{index}]{within}")), ..error }
            })?);
        }
        Ok(Value::Array(normalised))
    }

    fn message(&mut self, message: Value) -> Result<Value, ApiError> {
        let Value::Object(map) = message else {
            return Err(ApiError::invalid("a message is an object", None));
        };
        let mut fields = Fields::of_map(map);
        refuse_images(&mut fields, "images")?;
        let role = fields.text(&["role"])?;
        let content: Option<String> = fields.optional("content")?;
        let mut message = Map::new();
        message.insert("role".to_owned(), role.as_str().into());
        match role.as_str() {
            "system" | "user" => {}
            "assistant" => {
                if let Some(thinking) = fields.optional::<String>("thinking")? {
                    message.insert("reasoning_content".to_owned(), thinking.into());
                }
                let calls: Vec<Value> = fields.optional("tool_calls")?.unwrap_or_default();
                if !calls.is_empty() {
                    let calls = calls.iter().map(|call| self.call(call));
                    let calls = calls.collect::<Result<Vec<Value>, ApiError>>()?;
                    message.insert("tool_calls".to_owned(), calls.into());
                }
            }
            "tool" => {
                let (id, name) = self.answered(&mut fields)?;
                message.insert("tool_call_id".to_owned(), id.into());
                message.insert("name".to_owned(), name.into());
            }
            _ => {
                let message = "role must be system, user, assistant or tool";
                return Err(ApiError::invalid(message, Some("role")));
            }
        }
        message.insert("content".to_owned(), content.unwrap_or_default().into());
        Ok(Value::Object(message))
    }

    fn call(&mut self, call: &Value) -> Result<Value, ApiError> {
        let function = &call["function"];
        let (Some(name), Value::Object(_)) = (function["name"].as_str(), &function["arguments"])
        else {
            let message = "a tool call has a function with a name, and arguments as an object";
            return Err(ApiError::invalid(message, Some("tool_calls")));
        };
        let id = match call["id"].as_str() {
            Some(id) => id.to_owned(),
            None => format!("call_{}", self.n_calls),
        };
        self.n_calls += 1;
        self.open.push_back((id.clone(), name.to_owned()));
        Ok(json!({"id": id, "type": "function", "function": function}))
    }

    /// The call that a tool's message answers: the one it names, else the oldest.
    fn answered(&mut self, fields: &mut Fields) -> Result<(String, String), ApiError> {
        let id: Option<String> = fields.optional("tool_call_id")?;
        let name: Option<String> = fields.optional("tool_name")?;
        let name = name.or(fields.optional("name")?);
        let fits = |call: &(String, String)| {
            id.as_ref().is_none_or(|id| *id == call.0)
                && name.as_ref().is_none_or(|name| *name == call.1)
        };
        let at = self.open.iter().position(fits);
        let found = at.and_then(|at| self.open.remove(at));
        Ok(found.unwrap_or_else(|| (id.unwrap_or_default(), name.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::http::testing::any_json;

    fn body(value: &Value) -> Body {
        Ok(Bytes::from(value.to_string()))
    }

    fn asked(more: Value) -> Result<Asked, ApiError> {
        let mut value = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (key, field) in more.as_object().expect("an object") {
            value[key] = field.clone();
        }
        chat(body(&value))
    }

    fn messages_of(asked: Asked) -> Value {
        match asked.input {
            Input::Chat(chat) => chat.messages,
            other => panic!("no chat: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let asked = asked(json!({"keep_alive": "5m", "brand_new": 1})).expect("valid");
        let s = asked.sampling;
        assert_eq!((s.temperature, s.top_k, s.top_p), (0.8, 40, 0.9));
        assert!(asked.stream && !asked.unloads);
        assert_eq!((asked.max_tokens, asked.format), (None, AnswerFormat::Text));
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let options = json!({"seed": 3, "num_predict": 5, "stop": "x", "top_k": -1,
            "repeat_penalty": 1.1, "num_ctx": 4096, "temperature": 0});
        let asked_for = asked(json!({"options": options})).expect("valid");
        assert_eq!((asked_for.sampling.seed, asked_for.max_tokens), (3, Some(5)));
        assert_eq!((asked_for.sampling.top_k, asked_for.sampling.temperature), (0, 0.0));
        assert_eq!(asked_for.stop, ["x"]);
        let endless = asked(json!({"options": {"num_predict": -1}})).expect("valid");
        assert_eq!(endless.max_tokens, None);
        for (more, param) in [
            (json!({"options": {"temperature": "hot"}}), "options.temperature"),
            (json!({"options": {"temperature": 9}}), "options.temperature"),
            (json!({"options": {"num_predict": "3"}}), "options.num_predict"),
            (json!({"options": []}), "options"),
            (json!({"format": "xml"}), "format"),
            (json!({"think": "deeply"}), "think"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"tools": [{}]}), "tools[0].function.name"),
            (json!({"model": ""}), "model"),
            (json!({"messages": [3]}), "messages[0]"),
            (json!({"messages": [{"role": "king"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "images": ["aGk="]}]}), "messages[0].images"),
        ] {
            let error = asked(more).expect_err(param);
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)));
        }
    }

    #[test]
    fn formats_and_thinking_are_understood() {
        let json = asked(json!({"format": "json", "think": "low"})).expect("valid");
        assert_eq!(json.format, AnswerFormat::JsonObject);
        let Input::Chat(chat) = json.input else { panic!("a chat") };
        assert_eq!(chat.variables["enable_thinking"], true);
        let schema = json!({"type": "object"});
        let with_schema = asked(json!({"format": schema})).expect("valid");
        assert_eq!(with_schema.format, AnswerFormat::JsonSchema(schema));
        let odd = json!({"properties": {"a": {"not": {}}}});
        let refused = asked(json!({"format": odd})).expect_err("can't be followed");
        assert_eq!(refused.param.as_deref(), Some("format.properties.a"));
    }

    #[test]
    fn results_of_tools_find_their_calls() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {}}});
        let messages = messages_of(
            asked(json!({"messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "thinking": "hm", "tool_calls": [call("a"), call("b")]},
                {"role": "tool", "content": "2", "tool_name": "b"},
                {"role": "tool", "content": "1"},
            ]}))
            .expect("valid"),
        );
        assert_eq!(messages[1]["tool_calls"][1]["id"], "call_1");
        assert_eq!(messages[1]["reasoning_content"], "hm");
        assert_eq!(
            (&messages[2]["tool_call_id"], &messages[2]["name"]),
            (&json!("call_1"), &json!("b"))
        );
        assert_eq!(messages[3]["tool_call_id"], "call_0");
    }

    #[test]
    fn nothing_to_answer_is_a_wish_to_load() {
        let load = chat(body(&json!({"model": "m"}))).expect("valid");
        assert_eq!(load.input, Input::Nothing);
        let unload = generate(body(&json!({"model": "m", "keep_alive": 0}))).expect("valid");
        assert!(unload.unloads);
        assert!(is_zero(&json!("0s")) && !is_zero(&json!("10m")) && !is_zero(&json!("0.5h")));
        assert!(is_zero(&json!("0.0s")) && is_zero(&json!(0.0)) && !is_zero(&json!(-1)));
        let error = asked(json!({"keep_alive": [1]})).expect_err("a list");
        assert_eq!(error.param.as_deref(), Some("keep_alive"));
    }

    #[test]
    fn an_answer_that_was_begun_is_continued() {
        let continues = |last: Value| {
            let messages = json!([{"role": "user", "content": "hi"}, last]);
            let Input::Chat(chat) = asked(json!({"messages": messages})).expect("valid").input
            else {
                panic!("a chat")
            };
            chat.continue_last
        };
        assert!(continues(json!({"role": "assistant", "content": "Hel"})));
        assert!(!continues(json!({"role": "assistant", "content": ""})));
        assert!(!continues(json!({"role": "user", "content": "more"})));
        let call = json!({"function": {"name": "f", "arguments": {}}});
        let called = json!({"role": "assistant", "content": "wait", "tool_calls": [call]});
        assert!(!continues(called));
    }

    #[test]
    fn whole_numbers_may_have_a_point_and_empty_stop_texts_mean_nothing() {
        let with = |options: Value| asked(json!({"options": options}));
        let same = with(json!({"seed": 42.0, "num_predict": 3.0, "top_k": 5.0})).expect("valid");
        let asked = with(json!({"seed": 42, "num_predict": 3, "top_k": 5})).expect("valid");
        assert_eq!((&same.sampling, same.max_tokens), (&asked.sampling, Some(3)));
        let error = with(json!({"seed": 1.5})).expect_err("no whole number");
        assert_eq!(error.param.as_deref(), Some("options.seed"));
        for unlimited in [0, -1, -2] {
            let asked = with(json!({"num_predict": unlimited})).expect("valid");
            assert_eq!(asked.max_tokens, None, "{unlimited}");
        }
        let stops: Vec<String> = (0..64).map(|n| format!("<{n}>")).collect();
        assert_eq!(with(json!({"stop": stops})).expect("valid").stop, stops);
        assert_eq!(with(json!({"stop": ["", "a"]})).expect("valid").stop, ["a"]);
    }

    #[test]
    fn a_prompt_is_rendered_raw_or_filled_in() {
        let input = |more: Value| {
            let mut value = json!({"model": "m", "prompt": "a"});
            for (key, field) in more.as_object().expect("an object") {
                value[key] = field.clone();
            }
            generate(body(&value)).map(|asked| asked.input)
        };
        assert_eq!(input(json!({"raw": true})).expect("valid"), Input::Raw("a".into()));
        let infill = Input::Infill { prefix: "a".into(), suffix: "b".into() };
        assert_eq!(input(json!({"suffix": "b"})).expect("valid"), infill);
        let Ok(Input::Prompt { system, .. }) = input(json!({"system": "s"})) else {
            panic!("a prompt")
        };
        assert_eq!(system.as_deref(), Some("s"));
        assert_eq!(input(json!({"template": "{{ .Prompt }}"})).expect_err("no").status, 400);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_refusals_are_the_callers(
            values in prop::collection::vec(any_json(), 8),
        ) {
            const NAMES: [&str; 8] =
                ["model", "messages", "tools", "options", "format", "think", "prompt", "stop"];
            let map: Map<String, Value> =
                NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect();
            for read in [chat, generate] {
                if let Err(error) = read(body(&Value::Object(map.clone()))) {
                    prop_assert_eq!(error.status.as_u16(), 400);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(chat(Ok(Bytes::from(bytes))).is_err());
        }
    }
}
