//! Reads the bodies of `/v1/messages` and `/v1/messages/count_tokens` into a dialect-free request.
//!
//! Called by `mod.rs`. Pure. Fields nobody knows, and those that only steer a hosted service, are
//! ignored; `metadata.user_id` tells the node's clients apart. Temperature is 1 when absent, as the
//! API has it. A last message of the assistant is continued. Without `thinking` the model is told
//! not to reason, where its template can say so.
//! Errors: [`ApiError`] with the field. Source: Anthropic API reference, messages.

use serde_json::{Map, Value};

use super::{
    super::{errors::ApiError, fields::Fields, schema},
    content::Conversation,
    signature::Signer,
    tools::{self, Tools},
};
use crate::{
    generate::{AnswerFormat, Chat, GenerateRequest, Prompt},
    sampling::SamplingFields,
};

/// Most messages, as the API has it.
const MESSAGES_MAX: usize = 100_000;
/// Most stop texts; every piece of an answer is compared with all of them.
const STOPS_MAX: usize = 64;
/// Longest of them.
const STOP_MAX_BYTES: usize = 1024;

/// What becomes of the model's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It was not asked for and is not shown.
    Off,
    /// It is a block of the answer.
    Shown,
    /// Its block is there, without text.
    Omitted,
}

/// What a messages body asks for.
#[derive(Debug, PartialEq)]
pub(super) struct MessagesRequest {
    pub(super) generate: GenerateRequest,
    pub(super) thinking: Thinking,
    /// As events instead of one object.
    pub(super) stream: bool,
    /// Most tokens of the answer; 0 wants the prompt read and no answer.
    pub(super) max_tokens: Option<u32>,
}

/// Reads a body; `seed` is used when it names none.
pub(super) fn parse(
    mut fields: Fields,
    seed: u64,
    signer: &Signer,
) -> Result<MessagesRequest, ApiError> {
    let Read { model, chat, thinking, format } = read(&mut fields, signer)?;
    let sampling = SamplingFields {
        temperature: fields.optional("temperature")?,
        top_p: fields.optional("top_p")?,
        top_k: fields.optional("top_k")?,
        seed: fields.optional("seed")?,
        ..SamplingFields::default()
    };
    let sampling = sampling
        .resolve(1.0, seed)
        .map_err(|error| ApiError::invalid(error.to_string(), Some(error.field)))?;
    let max_tokens = max_tokens(fields.optional("max_tokens")?)?;
    let generate = GenerateRequest {
        sampling,
        // One token is computed behind every prompt.
        max_tokens: max_tokens.map(|max| max.max(1)),
        // Nobody else's cache is worth a prompt.
        private: max_tokens == Some(0),
        stop: stop_texts(fields.optional("stop_sequences")?.unwrap_or_default())?,
        client: fields.object("metadata")?.optional("user_id")?.unwrap_or_default(),
        format,
        ..GenerateRequest::new(model, Prompt::Chat(chat))
    };
    let stream = fields.optional("stream")?.unwrap_or(false);
    Ok(MessagesRequest { generate, thinking, stream, max_tokens })
}

/// Reads what of a body is read by the model: its name and the prompt.
pub(super) fn parse_prompt(
    mut fields: Fields,
    signer: &Signer,
) -> Result<(String, Prompt), ApiError> {
    let Read { model, chat, .. } = read(&mut fields, signer)?;
    Ok((model, Prompt::Chat(chat)))
}

/// What both bodies have.
struct Read {
    model: String,
    chat: Chat,
    thinking: Thinking,
    format: AnswerFormat,
}

fn read(fields: &mut Fields, signer: &Signer) -> Result<Read, ApiError> {
    let model = fields.text(&["model"])?;
    let messages: Vec<Value> = fields.optional("messages")?.unwrap_or_default();
    if !(1..=MESSAGES_MAX).contains(&messages.len()) {
        let message = format!("holds 1 to {MESSAGES_MAX} messages");
        return Err(ApiError::invalid(message, Some("messages")));
    }
    let mut conversation = Conversation::new(&model, signer);
    if let Some(system) = fields.optional::<Value>("system")? {
        conversation.system("system", &system)?;
    }
    for (index, message) in messages.iter().enumerate() {
        conversation.message(&format!("messages.{index}"), message)?;
    }
    let mut messages = conversation.into_messages();
    let continue_last = continues_last(&mut messages);
    if messages.is_empty() {
        let message = "nobody says anything in them; send what is to be answered";
        return Err(ApiError::invalid(message, Some("messages")));
    }
    let tools = fields.optional("tools")?.unwrap_or_default();
    let choice = fields.optional("tool_choice")?;
    let Tools { offered, choice, single_call } = tools::parse(tools, choice)?;
    let mut variables = Map::new();
    let thinking = thinking(fields, &mut variables)?;
    let mut output = fields.object("output_config")?;
    if let Some(effort) = output.optional::<String>("effort")?.as_deref().and_then(effort) {
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    // The older place, at the top, is still in use.
    let format = match output.optional("format")? {
        None => fields.optional("output_format")?,
        format => format,
    };
    let format = answer_format(format)?;
    schema::check_tools(&offered, &choice, &format, ("tools", "input_schema"))?;
    let chat = Chat {
        messages: messages.into(),
        tools: offered,
        tool_choice: choice,
        single_call,
        continue_last,
        variables,
    };
    Ok(Read { model, chat, thinking, format })
}

/// Whether the last message is one to go on with; an empty one is none at all.
fn continues_last(messages: &mut Vec<Value>) -> bool {
    let Some(last) = messages.last() else { return false };
    if last["role"] != "assistant" || last.get("tool_calls").is_some() {
        return false;
    }
    if last["content"].as_str().is_some_and(|text| !text.trim().is_empty()) {
        return true;
    }
    messages.pop();
    false
}

/// Whether to reason and to show it; tells the template, and how long where it can say so.
fn thinking(fields: &mut Fields, variables: &mut Map<String, Value>) -> Result<Thinking, ApiError> {
    let is_asked = fields.has("thinking");
    let mut asked = fields.object("thinking")?;
    let display: Option<String> = asked.optional("display")?;
    let budget: Option<u32> = asked.optional("budget_tokens")?;
    let thinking = match asked.optional::<String>("type")?.as_deref() {
        None if is_asked => {
            return Err(ApiError::invalid("is an object with a `type`", Some("thinking")));
        }
        None | Some("disabled") => Thinking::Off,
        Some(_) if display.as_deref() == Some("omitted") => Thinking::Omitted,
        Some(_) => Thinking::Shown,
    };
    variables.insert("enable_thinking".to_owned(), (thinking != Thinking::Off).into());
    if let Some(budget) = budget.filter(|_| thinking != Thinking::Off) {
        variables.insert("thinking_budget".to_owned(), budget.into());
    }
    Ok(thinking)
}

/// How much to reason, in the words of templates, which know three of them.
fn effort(effort: &str) -> Option<&'static str> {
    match effort {
        "low" => Some("low"),
        "medium" => Some("medium"),
        "high" | "xhigh" | "max" => Some("high"),
        _ => None,
    }
}

fn answer_format(format: Option<Value>) -> Result<AnswerFormat, ApiError> {
    let Some(format) = format else { return Ok(AnswerFormat::Text) };
    match (format.get("type").and_then(Value::as_str), format.get("schema")) {
        (Some("text"), _) => Ok(AnswerFormat::Text),
        (Some("json_schema"), Some(schema @ Value::Object(_))) => {
            schema::check(schema, "output_config.format.schema")?;
            Ok(AnswerFormat::JsonSchema(schema.clone()))
        }
        _ => {
            let message = "is {\"type\":\"json_schema\",\"schema\":{..}}";
            Err(ApiError::invalid(message, Some("output_config.format")))
        }
    }
}

fn max_tokens(value: Option<i64>) -> Result<Option<u32>, ApiError> {
    let missing = || ApiError::invalid("`max_tokens` is missing", Some("max_tokens"));
    let value = value.ok_or_else(missing)?;
    match u32::try_from(value) {
        Ok(value) => Ok(Some(value)),
        // More than any context is the rest of the context.
        Err(_) if value > 0 => Ok(None),
        Err(_) => Err(ApiError::invalid("must be at least 0", Some("max_tokens"))),
    }
}

fn stop_texts(stops: Vec<String>) -> Result<Vec<String>, ApiError> {
    let is_good = |stop: &String| (1..=STOP_MAX_BYTES).contains(&stop.len());
    if stops.len() > STOPS_MAX || !stops.iter().all(is_good) {
        let message = format!("holds up to {STOPS_MAX} texts of 1 to {STOP_MAX_BYTES} bytes");
        return Err(ApiError::invalid(message, Some("stop_sequences")));
    }
    Ok(stops)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::generate::ToolChoice;

    fn fields(body: impl Into<Bytes>) -> Result<Fields, ApiError> {
        Fields::of_body(Ok(body.into()))
    }

    fn request(more: Value) -> Result<MessagesRequest, ApiError> {
        let messages = json!([{"role": "user", "content": "hi"}]);
        let mut body = json!({"model": "demo", "max_tokens": 9, "messages": messages});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parse(fields(body.to_string())?, 5, &Signer::new([7; 32]))
    }

    fn chat_of(more: Value) -> Chat {
        match request(more).expect("valid").generate.prompt {
            Prompt::Chat(chat) => chat,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let asked = request(json!({})).expect("valid");
        let MessagesRequest { generate, thinking, stream, .. } = asked;
        assert_eq!((thinking, stream), (Thinking::Off, false));
        assert_eq!((generate.sampling.temperature, generate.sampling.seed), (1.0, 5));
        assert_eq!(generate.max_tokens, Some(9));
        assert_eq!(generate.format, AnswerFormat::Text);
    }

    #[test]
    fn a_body_of_claude_code_is_understood() {
        let more = json!({
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
            "metadata": {"user_id": "{\"session_id\":\"x\"}"}, "max_tokens": 32000,
            "thinking": {"type": "adaptive", "display": "omitted"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
            "output_config": {"effort": "high"}, "stream": true, "service_tier": "auto",
        });
        let asked = request(more.clone()).expect("valid");
        let MessagesRequest { generate, thinking, stream, max_tokens } = asked;
        assert_eq!((thinking, stream, max_tokens), (Thinking::Omitted, true, Some(32_000)));
        assert_eq!((generate.max_tokens, generate.client.len()), (Some(32_000), 18));
        let chat = chat_of(more);
        assert_eq!((chat.tools.len(), chat.tool_choice), (1, ToolChoice::Auto));
        let expected = json!({"enable_thinking": true, "reasoning_effort": "high"});
        assert_eq!(Value::Object(chat.variables), expected);
    }

    #[test]
    fn thinking_is_off_unless_asked_for() {
        let variable = |more| chat_of(more).variables["enable_thinking"].clone();
        assert_eq!(variable(json!({})), false);
        assert_eq!(variable(json!({"thinking": {"type": "disabled"}})), false);
        let enabled = json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
        assert_eq!(variable(enabled.clone()), true);
        assert_eq!(chat_of(enabled.clone()).variables["thinking_budget"], 1024);
        assert_eq!(request(enabled).expect("valid").thinking, Thinking::Shown);
    }

    #[test]
    fn a_prompt_that_is_only_to_be_read_stays_in_the_swarm() {
        let asked = request(json!({"max_tokens": 0})).expect("valid");
        assert_eq!((asked.max_tokens, asked.generate.max_tokens), (Some(0), Some(1)));
        assert!(asked.generate.private && !request(json!({})).expect("valid").generate.private);
    }

    #[test]
    fn an_answer_that_has_begun_is_continued() {
        let last = |content: Value| {
            let messages = json!([
                {"role": "user", "content": "hi"}, {"role": "assistant", "content": content},
            ]);
            let chat = chat_of(json!({"messages": messages}));
            (chat.continue_last, chat.messages.as_array().map_or(0, Vec::len))
        };
        assert_eq!(last(json!("The answer is")), (true, 2));
        assert_eq!(last(json!("")), (false, 1));
        let call = json!([{"type": "tool_use", "id": "a", "name": "b", "input": {}}]);
        assert_eq!(last(call), (false, 2));
    }

    #[test]
    fn a_schema_is_promised_in_both_places() {
        let schema = json!({"type": "object"});
        let format = json!({"type": "json_schema", "schema": schema});
        for more in [json!({"output_config": {"format": format}}), json!({"output_format": format})]
        {
            let format = request(more).expect("valid").generate.format;
            assert_eq!(format, AnswerFormat::JsonSchema(schema.clone()));
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let cases = [
            (json!({"model": null}), "model"),
            (json!({"model": 3}), "model"),
            (json!({"max_tokens": null}), "max_tokens"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"messages": [{"role": "assistant", "content": ""}]}), "messages"),
            (json!({"messages": [{"role": "system", "content": ""}]}), "messages"),
            (json!({"max_tokens": "many"}), "max_tokens"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": "hello"}), "messages"),
            (json!({"system": 3}), "system"),
            (json!({"tools": {}}), "tools"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"temperature": -1}), "temperature"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stop_sequences": "a"}), "stop_sequences"),
            (json!({"stop_sequences": [""]}), "stop_sequences"),
            (json!({"metadata": {"user_id": 3}}), "metadata.user_id"),
            (json!({"thinking": true}), "thinking"),
            (json!({"thinking": {}}), "thinking"),
            (json!({"thinking": {"type": 1}}), "thinking.type"),
            (
                json!({"thinking": {"type": "enabled", "budget_tokens": "x"}}),
                "thinking.budget_tokens",
            ),
            (json!({"output_config": "high"}), "output_config"),
            (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format"),
            (
                json!({"output_format": {"type": "json_schema", "schema": {"not": {}}}}),
                "output_config.format.schema",
            ),
            (
                json!({"tools": [{"name": "a", "strict": true, "input_schema": {"not": {}}}]}),
                "tools[0].input_schema",
            ),
        ];
        for (more, field) in cases {
            let error = request(more).expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(field)));
        }
        assert_eq!(
            request(json!({"max_tokens": 1_i64 << 40})).expect("valid").generate.max_tokens,
            None
        );
    }

    /// JSON made of the words this dialect knows, so that it gets deep into the parser.
    fn json_value() -> impl Strategy<Value = Value> {
        const WORDS: &[&str] = &[
            "user",
            "assistant",
            "system",
            "text",
            "thinking",
            "redacted_thinking",
            "tool_use",
            "tool_result",
            "image",
            "document",
            "search_result",
            "auto",
            "any",
            "tool",
            "none",
            "enabled",
            "disabled",
            "json_schema",
            "content",
            "x-anthropic-billing-header",
            "",
        ];
        const KEYS: &[&str] = &[
            "model",
            "messages",
            "max_tokens",
            "system",
            "tools",
            "tool_choice",
            "thinking",
            "output_config",
            "stop_sequences",
            "metadata",
            "user_id",
            "role",
            "content",
            "type",
            "text",
            "signature",
            "id",
            "name",
            "input",
            "input_schema",
            "tool_use_id",
            "is_error",
            "source",
            "data",
            "effort",
            "format",
            "schema",
            "temperature",
            "top_k",
            "stream",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop::sample::select(WORDS).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            let pair = (prop::sample::select(KEYS), inner.clone());
            let object = prop::collection::vec(pair, 0..8).prop_map(|pairs| {
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
            });
            prop_oneof![
                prop::collection::vec(inner, 0..8).prop_map(Value::from),
                object.prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_panics_or_is_the_node_s_fault(
            content in json_value(), system in json_value(), more in json_value(),
        ) {
            let signer = Signer::new([7; 32]);
            let role = more.get("role").cloned().unwrap_or("assistant".into());
            let mut body = json!({
                "model": "demo", "max_tokens": 9, "messages": [{"role": role, "content": content}],
            });
            if let Some(more) = more.as_object() {
                body.as_object_mut().expect("an object").extend(more.clone());
            } else {
                body["system"] = system;
            }
            for body in [body.to_string(), more.to_string()] {
                let read = |body: &str| fields(body.to_owned());
                if let Err(error) = read(&body).and_then(|body| parse(body, 0, &signer)) {
                    prop_assert!(error.status.is_client_error(), "{error:?}");
                }
                if let Err(error) = read(&body).and_then(|body| parse_prompt(body, &signer)) {
                    prop_assert!(error.status.is_client_error(), "{error:?}");
                }
            }
        }

        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let read = fields(body).and_then(|body| parse(body, 0, &Signer::new([7; 32])));
            prop_assert!(read.is_err_and(|error| error.status.is_client_error()));
        }
    }
}
