//! Reads a body of `/v1/responses` into a dialect-free request and what the response repeats of it.
//!
//! Called by `mod.rs`. The store knows what `previous_response_id` and references to items mean.
//! Unknown fields and those that only steer a hosted service are ignored. `store` is true when
//! absent, as the API has it. Extensions: the sampling fields of the chat dialect.
//! Errors: [`ApiError`] with the field. Source: OpenAI API reference, responses.

use serde_json::{Map, Value, json};

use super::encoder::{Head, Style};
use super::store::{Item, ResponseStore};
use super::{input, tools};
use crate::generate::{AnswerFormat, Chat, GenerateRequest, Prompt};
use crate::http::errors::{ApiError, Places};
use crate::http::fields::Fields;
use crate::http::{generation_fields, schema};

/// Bounds of `metadata`.
const METADATA_MAX: usize = 16;
const METADATA_KEY_MAX_CHARS: usize = 64;
const METADATA_VALUE_MAX_CHARS: usize = 512;

/// What makes one response different from the next.
#[derive(Debug)]
pub(super) struct Identity {
    /// Random, plain; every id of the response has it.
    pub(super) suffix: String,
    /// Unix time, seconds.
    pub(super) created_at: u64,
    /// Of the sampler, when the body names none.
    pub(super) seed: u64,
}

/// What a body asks for.
#[derive(Debug)]
pub(super) struct ResponseRequest {
    /// For the node.
    pub(super) generate: GenerateRequest,
    /// What the response repeats.
    pub(super) head: Head,
    /// How the answer is shown.
    pub(super) style: Style,
    /// The whole conversation.
    pub(super) items: Vec<Item>,
    /// As events instead of one object.
    pub(super) stream: bool,
    /// To be kept.
    pub(super) store: bool,
    /// Old turns may be left out.
    pub(super) truncates: bool,
}

impl ResponseRequest {
    /// Where the node may find a mistake.
    pub(super) fn places(&self) -> Places {
        let is_free = self.generate.format == AnswerFormat::Text;
        Places { rules: if is_free { "tools" } else { "text.format" }, ..Places::all("input") }
    }
}

/// Reads a body.
pub(super) fn parse(
    body: &[u8],
    identity: &Identity,
    store: &ResponseStore,
) -> Result<ResponseRequest, ApiError> {
    let mut fields = Fields::of_bytes(body)?;
    refuse_what_is_not_there(&mut fields)?;
    let model: String = fields.required("model")?;
    if model.is_empty() {
        return Err(fields.wrong("model", "is empty"));
    }
    let stream = fields.optional("stream")?.unwrap_or(false);
    let is_kept = fields.optional("store")?.unwrap_or(true);
    let mut echo = Map::new();
    let (items, messages) = conversation(&mut fields, identity, store, &mut echo)?;
    let mut chat = Chat { messages: Value::Array(messages), ..Chat::default() };
    take_tools(&mut fields, &mut chat, &mut echo)?;
    let mut style = Style { is_whole: !stream, ..Style::default() };
    let format = take_reasoning_and_text(&mut fields, &mut chat, &mut style, &mut echo)?;
    schema::check_tools(&chat.tools, &chat.tool_choice, &format, ("tools", "parameters"))?;
    let mut generate = GenerateRequest::new(model, Prompt::Chat(chat));
    take_sampling(&mut fields, identity.seed, &mut generate, &mut echo)?;
    generate.format = format;
    take_log_probabilities(&mut fields, &mut generate, &mut style, &mut echo)?;
    generate.max_tokens = take_max_tokens(&mut fields, &mut echo)?;
    generate.client = take_client(&mut fields, &mut echo)?;
    let truncates = take_truncation(&mut fields, &mut echo)?;
    echo.insert("metadata".to_owned(), take_metadata(&mut fields)?);
    echo.insert("store".to_owned(), is_kept.into());
    let head = Head {
        suffix: identity.suffix.clone(),
        created_at: identity.created_at,
        model: generate.model.clone(),
        echo,
    };
    Ok(ResponseRequest { generate, head, style, items, stream, store: is_kept, truncates })
}

fn refuse_what_is_not_there(fields: &mut Fields) -> Result<(), ApiError> {
    if fields.optional::<bool>("background")?.unwrap_or(false) {
        let message = "answers are not made in the background here; leave `background` out, and \
                       set `stream` to follow a long one";
        return Err(ApiError::unsupported(message, "background"));
    }
    for (field, instead) in [
        ("conversation", "send the items, or go on with `previous_response_id`"),
        ("prompt", "send its text as `instructions` and `input`"),
    ] {
        if fields.has(field) {
            let message = format!("no `{field}` objects are kept here; {instead}");
            return Err(ApiError::unsupported(message, field));
        }
    }
    Ok(())
}

/// All items, earlier ones included, and the messages they make.
fn conversation(
    fields: &mut Fields,
    identity: &Identity,
    store: &ResponseStore,
    echo: &mut Map<String, Value>,
) -> Result<(Vec<Item>, Vec<Value>), ApiError> {
    let instructions: Option<String> = fields.optional("instructions")?;
    let previous: Option<String> = fields.optional("previous_response_id")?;
    let mut kept = match &previous {
        None => Vec::new(),
        Some(id) => store.history(id).ok_or_else(|| previous_not_found(id))?,
    };
    let mut items: Vec<Value> =
        kept.iter().filter_map(|item| serde_json::from_str(item).ok()).collect();
    if let Some(given) = fields.optional::<Value>("input")? {
        let given = input::read(given, &identity.suffix, store)?;
        kept.extend(given.iter().map(|item| Item::from(item.to_string())));
        items.extend(given);
    }
    let messages = input::messages(instructions.as_deref(), &items)?;
    if messages.is_empty() {
        return Err(fields.wrong("input", "is missing or says nothing"));
    }
    echo.insert("instructions".to_owned(), instructions.into());
    echo.insert("previous_response_id".to_owned(), previous.into());
    Ok((kept, messages))
}

fn previous_not_found(id: &str) -> ApiError {
    let message = format!(
        "no response `{id}` is kept here to go on from: it was sent with `store` false, deleted, \
         or pushed out by newer ones; send the whole conversation as `input`"
    );
    let error = ApiError::invalid(message, Some("previous_response_id"));
    ApiError { code: Some("previous_response_not_found"), ..error }
}

fn take_tools(
    fields: &mut Fields,
    chat: &mut Chat,
    echo: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let tools = tools::read(fields)?;
    let parallel = fields.optional("parallel_tool_calls")?.unwrap_or(true);
    chat.tools = tools.functions;
    chat.tool_choice = tools.choice;
    chat.single_call = !parallel;
    echo.insert("tools".to_owned(), tools.echo.into());
    echo.insert("tool_choice".to_owned(), tools.choice_echo);
    echo.insert("parallel_tool_calls".to_owned(), parallel.into());
    Ok(())
}

/// How a model is to think and to write, and the format of its text.
fn take_reasoning_and_text(
    fields: &mut Fields,
    chat: &mut Chat,
    style: &mut Style,
    echo: &mut Map<String, Value>,
) -> Result<AnswerFormat, ApiError> {
    let mut reasoning = fields.object("reasoning")?;
    let effort = generation_fields::word(&mut reasoning, "effort")?;
    let summary: Option<String> = reasoning.optional("summary")?;
    let mut text = fields.object("text")?;
    let verbosity = generation_fields::word(&mut text, "verbosity")?;
    chat.variables = generation_fields::variables(effort.as_deref(), verbosity.as_deref());
    style.is_summarised = summary.is_some();
    echo.insert("reasoning".to_owned(), json!({"effort": effort, "summary": summary}));
    let format: Option<Value> = text.optional("format")?;
    let shown = format.clone().unwrap_or(json!({"type": "text"}));
    echo.insert("text".to_owned(), json!({"format": shown, "verbosity": verbosity}));
    format.map_or(Ok(AnswerFormat::Text), format_of)
}

fn take_sampling(
    fields: &mut Fields,
    seed: u64,
    generate: &mut GenerateRequest,
    echo: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let sampling = generation_fields::sampling(fields)?;
    generate.sampling = generation_fields::resolved(&sampling, seed)?;
    echo.insert("temperature".to_owned(), sampling.temperature.unwrap_or(1.0).into());
    echo.insert("top_p".to_owned(), sampling.top_p.unwrap_or(1.0).into());
    Ok(())
}

fn format_of(format: Value) -> Result<AnswerFormat, ApiError> {
    let mut format = Fields::of_value(format, "text.format")?;
    match format.kind()?.as_str() {
        "text" => Ok(AnswerFormat::Text),
        "json_object" => Ok(AnswerFormat::JsonObject),
        "json_schema" => {
            format.required::<String>("name")?;
            let schema: Map<String, Value> = format.required("schema")?;
            let schema = Value::Object(schema);
            schema::check(&schema, &format.path("schema"))?;
            Ok(AnswerFormat::JsonSchema(schema))
        }
        _ => Err(format.wrong("type", "must be `text`, `json_object` or `json_schema`")),
    }
}

fn take_log_probabilities(
    fields: &mut Fields,
    generate: &mut GenerateRequest,
    style: &mut Style,
    echo: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let include: Vec<String> = fields.optional("include")?.unwrap_or_default();
    let n = generation_fields::top(fields, "top_logprobs")?;
    let includes = |what: &str| include.iter().any(|included| included == what);
    if n > 0 || includes("message.output_text.logprobs") {
        generate.log_probabilities = Some(n);
    }
    style.has_opaque_reasoning = includes("reasoning.encrypted_content");
    echo.insert("top_logprobs".to_owned(), n.into());
    Ok(())
}

fn take_max_tokens(
    fields: &mut Fields,
    echo: &mut Map<String, Value>,
) -> Result<Option<u32>, ApiError> {
    let given = generation_fields::limit(fields, "max_output_tokens")?;
    echo.insert("max_output_tokens".to_owned(), given.into());
    // More than any context is the rest of the context.
    Ok(given.and_then(|given| u32::try_from(given).ok()))
}

/// Who asks, as the node's clients are told apart.
fn take_client(fields: &mut Fields, echo: &mut Map<String, Value>) -> Result<String, ApiError> {
    let mut client = String::new();
    for name in ["prompt_cache_key", "user", "safety_identifier"] {
        let given: Option<String> = fields.optional(name)?;
        if let (Some(given), true) = (&given, name != "prompt_cache_key") {
            client.clone_from(given);
        }
        echo.insert(name.to_owned(), given.into());
    }
    Ok(client)
}

fn take_truncation(fields: &mut Fields, echo: &mut Map<String, Value>) -> Result<bool, ApiError> {
    let given: Option<String> = fields.optional("truncation")?;
    let truncates = match given.as_deref() {
        None | Some("disabled") => false,
        Some("auto") => true,
        Some(_) => return Err(fields.wrong("truncation", "must be `auto` or `disabled`")),
    };
    let shown = if truncates { "auto" } else { "disabled" };
    echo.insert("truncation".to_owned(), shown.into());
    Ok(truncates)
}

fn take_metadata(fields: &mut Fields) -> Result<Value, ApiError> {
    let metadata: Map<String, Value> = fields.optional("metadata")?.unwrap_or_default();
    let fits = |(key, value): (&String, &Value)| {
        let value = value.as_str().map(|value| value.chars().count());
        key.chars().count() <= METADATA_KEY_MAX_CHARS
            && value.is_some_and(|n_chars| n_chars <= METADATA_VALUE_MAX_CHARS)
    };
    if metadata.len() > METADATA_MAX || !metadata.iter().all(fits) {
        let what = format!(
            "must be at most {METADATA_MAX} pairs of texts, names up to {METADATA_KEY_MAX_CHARS} \
             characters, values up to {METADATA_VALUE_MAX_CHARS}"
        );
        return Err(fields.wrong("metadata", &what));
    }
    Ok(Value::Object(metadata))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::ToolChoice;

    fn parsed(body: &Value) -> Result<ResponseRequest, ApiError> {
        let identity = Identity { suffix: "s".to_owned(), created_at: 7, seed: 5 };
        let kept = ResponseStore::default();
        let item = json!({"type": "message", "role": "user", "content":
            [{"type": "input_text", "text": "before"}]});
        let said = json!({"id": "msg_0ao0", "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "said"}]});
        kept.insert("resp_known", &json!({"output": []}), vec![Item::from(item.to_string())]);
        kept.insert("resp_0a", &json!({"output": [said]}), Vec::new());
        parse(body.to_string().as_bytes(), &identity, &kept)
    }

    fn request(more: Value) -> Result<ResponseRequest, ApiError> {
        let mut body = json!({"model": "demo", "input": "hi"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parsed(&body)
    }

    fn chat(request: &ResponseRequest) -> &Chat {
        let Prompt::Chat(chat) = &request.generate.prompt else { panic!("a chat") };
        chat
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let request = request(json!({})).expect("valid");
        assert!(!request.stream && request.store && !request.truncates);
        let sampling = &request.generate.sampling;
        assert_eq!((sampling.temperature, sampling.top_p, sampling.seed), (1.0, 1.0, 5));
        assert_eq!((request.generate.max_tokens, request.generate.log_probabilities), (None, None));
        assert_eq!(chat(&request).messages, json!([{"role": "user", "content": "hi"}]));
        assert!(!chat(&request).single_call && chat(&request).variables.is_empty());
        assert_eq!(request.head.echo["tool_choice"], "auto");
    }

    #[test]
    fn every_field_reaches_the_request() {
        let schema = json!({"type": "object"});
        let request = request(json!({
            "instructions": "be brief", "max_output_tokens": 9, "parallel_tool_calls": false,
            "reasoning": {"effort": "none", "summary": "auto"}, "stream": true, "store": false,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}},
            "include": ["message.output_text.logprobs", "reasoning.encrypted_content", "else"],
            "top_logprobs": 2, "user": "u", "truncation": "auto", "metadata": {"k": "v"},
            "tools": [{"type": "function", "name": "f"}], "tool_choice": "required", "new": [],
        }))
        .expect("valid");
        let generate = &request.generate;
        assert_eq!(generate.format, AnswerFormat::JsonSchema(schema));
        assert_eq!((generate.max_tokens, generate.log_probabilities), (Some(9), Some(2)));
        assert_eq!(generate.client, "u");
        let chat = chat(&request);
        assert!(chat.single_call && chat.tool_choice == ToolChoice::Required);
        assert_eq!(chat.messages[0], json!({"role": "system", "content": "be brief"}));
        let variables = json!({"enable_thinking": false, "thinking": false});
        assert_eq!(Value::Object(chat.variables.clone()), variables);
        let style = Style { is_whole: false, is_summarised: true, has_opaque_reasoning: true };
        assert_eq!(request.style, style);
        assert!(request.stream && !request.store && request.truncates);
        assert_eq!(request.head.echo["metadata"], json!({"k": "v"}));
    }

    #[test]
    fn a_known_response_is_gone_on_with_and_an_unknown_one_is_refused() {
        let known = request(json!({"previous_response_id": "resp_known"})).expect("kept");
        assert_eq!(
            (known.items.len(), &chat(&known).messages[0]["content"]),
            (2, &json!("before"))
        );
        let error = request(json!({"previous_response_id": "resp_x"})).expect_err("unknown");
        assert_eq!(error.code, Some("previous_response_not_found"));
    }

    #[test]
    fn an_item_that_was_kept_may_be_referred_to() {
        for reference in
            [json!({"type": "item_reference", "id": "msg_0ao0"}), json!({"id": "msg_0ao0"})]
        {
            let known = request(json!({"input": [reference]})).expect("kept");
            assert_eq!(chat(&known).messages, json!([{"role": "assistant", "content": "said"}]));
        }
        for id in ["msg_0ao1", "msg_0bo0", "rs_0ao0", "msg_0a", "x", "_o"] {
            let reference = json!({"type": "item_reference", "id": id});
            let error = request(json!({"input": [reference]})).expect_err("unknown");
            assert_eq!(error.param.as_deref(), Some("input[0].id"), "{id}");
        }
    }

    #[test]
    fn effort_and_verbosity_reach_the_template() {
        let more = json!({"reasoning": {"effort": "high"}, "text": {"verbosity": "low"}});
        let request = request(more).expect("valid");
        let variables = json!({"enable_thinking": true, "thinking": true,
            "reasoning_effort": "high", "verbosity": "low"});
        assert_eq!(Value::Object(chat(&request).variables.clone()), variables);
        assert_eq!(request.head.echo["text"]["verbosity"], "low");
    }

    #[test]
    fn what_is_wrong_or_not_there_is_refused_by_name() {
        for (more, param) in [
            (json!({"background": true}), "background"),
            (json!({"conversation": "c"}), "conversation"),
            (json!({"prompt": {"id": "p"}}), "prompt"),
            (json!({"model": ""}), "model"),
            (json!({"model": 3}), "model"),
            (json!({"input": null}), "input"),
            (json!({"input": []}), "input"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"top_p": "x"}), "top_p"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"top_logprobs": 21}), "top_logprobs"),
            (json!({"top_logprobs": -1}), "top_logprobs"),
            (json!({"metadata": {"k": 1}}), "metadata"),
            (json!({"truncation": "some"}), "truncation"),
            (json!({"reasoning": "high"}), "reasoning"),
            (json!({"reasoning": {"effort": 3}}), "reasoning.effort"),
            (json!({"reasoning": {"effort": ""}}), "reasoning.effort"),
            (json!({"text": {"verbosity": 3}}), "text.verbosity"),
            (
                json!({"text": {"format": {"type": "json_schema", "name": "n",
                    "schema": {"properties": {"a": {"not": {}}}}}}}),
                "text.format.schema.properties.a",
            ),
            (
                json!({"tools": [{"type": "function", "name": "f", "parameters": {"not": {}}}],
                    "tool_choice": "required"}),
                "tools[0].parameters",
            ),
            (json!({"tools": [{"name": "f"}]}), "tools[0].type"),
            (json!({"tools": [{"type": 3, "name": "f"}]}), "tools[0].type"),
            (json!({"tools": [{"type": "function", "name": "a b"}]}), "tools[0].name"),
            (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
            (
                json!({"text": {"format": {"type": "json_schema", "name": "n"}}}),
                "text.format.schema",
            ),
            (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
            (json!({"tools": {}}), "tools"),
        ] {
            let error = request(more.clone()).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some(param)),
                "{more}"
            );
        }
        let huge = request(json!({"max_output_tokens": 1_i64 << 40})).expect("the rest");
        assert_eq!(huge.generate.max_tokens, None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "message",
            "function_call",
            "function_call_output",
            "reasoning",
            "function",
            "user",
            "assistant",
            "developer",
            "auto",
            "required",
            "allowed_tools",
            "json_schema",
            "",
            "input_text",
            "item_reference",
            "resp_known",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            word.prop_map(Value::from),
        ];
        let name = prop::sample::select(vec![
            "type",
            "role",
            "content",
            "id",
            "call_id",
            "name",
            "arguments",
            "output",
            "text",
            "summary",
            "encrypted_content",
            "tools",
            "mode",
            "format",
            "schema",
            "effort",
            "parameters",
            "x",
        ]);
        leaf.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_in_any_field_is_read_or_refused_as_the_caller_s_mistake(
            field in prop::sample::select(vec![
                "input", "instructions", "tools", "tool_choice", "text", "reasoning", "include",
                "metadata", "previous_response_id", "max_output_tokens", "top_logprobs", "stream",
                "store", "temperature", "seed", "truncation", "user", "model", "background",
            ]),
            value in any_json(),
        ) {
            if let Err(error) = request(json!({field: value})) {
                prop_assert_eq!(error.status.as_u16(), 400);
                prop_assert!(error.param.is_some(), "{}", error);
            }
        }

        #[test]
        fn any_body_is_read_or_refused(value in any_json(), bytes: Vec<u8>) {
            let identity = Identity { suffix: "s".to_owned(), created_at: 7, seed: 5 };
            for body in [value.to_string().into_bytes(), bytes] {
                if let Err(error) = parse(&body, &identity, &ResponseStore::default()) {
                    prop_assert_eq!(error.status.as_u16(), 400);
                }
            }
        }
    }
}
