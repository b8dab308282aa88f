//! Reads the body of `/v1/chat/completions` into a dialect-free request.
//!
//! Called by `chat.rs`. Pure. What the API has and this node cannot do (sound, search) is refused
//! by name, never dropped. Fields nobody knows, and those that only steer a hosted service
//! (`store`, `metadata`, `prompt_cache_key`, ...), are ignored.
//! `reasoning_effort` and `verbosity` become variables of the model's chat template; one that does
//! not know them pays no heed. `chat_template_kwargs` sets more, and wins.
//! Errors: 400 [`ApiError`] with the field. Source: OpenAI API reference, chat completions.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    messages,
    options::{self, Asked},
    tools,
};
use crate::{
    generate::{AnswerFormat, Chat, Prompt},
    http::{errors::ApiError, fields::Fields, generation_fields, schema},
};

/// Variables of a template that are not the caller's to set.
const RESERVED: [&str; 5] =
    ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

/// What a chat body asks for.
#[derive(Debug, PartialEq)]
pub(super) struct ChatRequest {
    /// For the node; one prompt.
    pub(super) asked: Asked,
    /// Calls are told in the old form, `function_call`.
    pub(super) is_old: bool,
}

/// Reads a body; `seed` is used when it names none.
pub(super) fn parse(body: &[u8], seed: u64) -> Result<ChatRequest, ApiError> {
    let mut fields = Fields::of_bytes(body)?;
    refuse_what_is_not_there(&mut fields)?;
    let messages = messages::read(fields.required("messages")?)?;
    let offer = tools::read(&mut fields)?;
    let format = format(&mut fields)?;
    let place = match offer.is_old {
        true => ("functions", "parameters"),
        false => ("tools", "function.parameters"),
    };
    schema::check_tools(&offer.tools, &offer.choice, &format, place)?;
    let continue_last = fields.optional("continue_final_message")?.unwrap_or(false);
    if continue_last && !ends_with_a_text_of_the_assistant(&messages) {
        let message = "the final message must be a text of the assistant's to be continued";
        return Err(ApiError::invalid(message, Some("continue_final_message")));
    }
    let prompt = Prompt::Chat(Chat {
        messages,
        tools: offer.tools,
        tool_choice: offer.choice,
        single_call: offer.single_call,
        continue_last,
        variables: variables(&mut fields)?,
    });
    let log_probabilities = log_probabilities(&mut fields)?;
    let mut asked = options::read(&mut fields, vec![prompt], None, seed)?;
    for request in &mut asked.requests {
        request.format = format.clone();
        request.log_probabilities = log_probabilities;
    }
    Ok(ChatRequest { asked, is_old: offer.is_old })
}

fn refuse_what_is_not_there(fields: &mut Fields) -> Result<(), ApiError> {
    let modalities: Option<Vec<String>> = fields.optional("modalities")?;
    if modalities.is_some_and(|all| all.iter().any(|modality| modality != "text")) {
        return Err(ApiError::unsupported("only [\"text\"] is spoken here", "modalities"));
    }
    let mut refuse = |name: &str, message: &str| match fields.optional::<Value>(name)? {
        Some(_) => Err(ApiError::unsupported(message, name)),
        None => Ok(()),
    };
    refuse("audio", "there is no sound here; leave it out")?;
    refuse("web_search_options", "there is no search here; offer one of `tools`")
}

fn ends_with_a_text_of_the_assistant(messages: &Value) -> bool {
    let last = messages.as_array().and_then(|all| all.last());
    last.is_some_and(|last| last["role"] == "assistant" && last["content"].is_string())
}

fn variables(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    let effort = generation_fields::word(fields, "reasoning_effort")?;
    let verbosity = generation_fields::word(fields, "verbosity")?;
    let mut variables = generation_fields::variables(effort.as_deref(), verbosity.as_deref());
    let more: Map<String, Value> = fields.optional("chat_template_kwargs")?.unwrap_or_default();
    if let Some(name) = more.keys().find(|name| RESERVED.contains(&name.as_str())) {
        let message = format!("`{name}` has a field of its own and is no variable");
        return Err(ApiError::invalid(message, Some("chat_template_kwargs")));
    }
    variables.extend(more);
    Ok(variables)
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    schema: Option<Value>,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

/// Schemas are followed whether `strict` or not; `schema` beside `json_object` is an extension that
/// other servers have, too.
fn format(fields: &mut Fields) -> Result<AnswerFormat, ApiError> {
    let Some(format) = fields.optional::<Format>("response_format")? else {
        return Ok(AnswerFormat::Text);
    };
    const NAMED: &str = "response_format.json_schema.schema";
    let (schema, place) = match format.r#type.as_str() {
        "text" => return Ok(AnswerFormat::Text),
        "json_object" => match format.schema {
            None => return Ok(AnswerFormat::JsonObject),
            schema => (schema, "response_format.schema"),
        },
        "json_schema" => (format.json_schema.and_then(|named| named.schema), NAMED),
        other => {
            let message = format!("a format is text, json_object or json_schema, not {other:?}");
            return Err(ApiError::invalid(message, Some("response_format.type")));
        }
    };
    match schema {
        Some(schema @ Value::Object(_)) => {
            schema::check(&schema, place)?;
            Ok(AnswerFormat::JsonSchema(schema))
        }
        _ => {
            let message =
                "a format of type json_schema has a `schema`, an object, in `json_schema`";
            Err(ApiError::invalid(message, Some(place)))
        }
    }
}

fn log_probabilities(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let wanted = fields.optional("logprobs")?.unwrap_or(false);
    let n_top = generation_fields::top(fields, "top_logprobs")?;
    match wanted {
        true => Ok(Some(n_top)),
        false if n_top > 0 => Err(fields.wrong("top_logprobs", "needs `logprobs`: true")),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        generate::{GenerateRequest, ToolChoice},
        http::testing::any_body,
    };

    fn chat(more: Value) -> Result<ChatRequest, ApiError> {
        let mut body = json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}]});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parse(body.to_string().as_bytes(), 5)
    }

    fn request(more: Value) -> GenerateRequest {
        chat(more).expect("valid").asked.requests.remove(0)
    }

    fn prompt(more: Value) -> Chat {
        match request(more).prompt {
            Prompt::Chat(chat) => chat,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_of_hosted_services_and_unknown_ones_are_ignored() {
        let more = json!({
            "store": true, "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "x",
            "prompt_cache_retention": "24h", "safety_identifier": "y", "prediction": {"type": "z"},
            "modalities": ["text"], "audio": null, "brand_new": {"a": [1]},
            "stream_options": {"include_usage": true, "include_obfuscation": false},
        });
        let with = chat(more).expect("ignored");
        assert!(with.asked.include_usage);
        assert_eq!(with.asked.requests, chat(json!({})).expect("valid").asked.requests);
    }

    #[test]
    fn formats_are_promised() {
        let format = |format: Value| request(json!({"response_format": format})).format;
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let named = json!({"name": "n", "strict": true, "schema": schema});
        assert_eq!(format(json!({"type": "text"})), AnswerFormat::Text);
        assert_eq!(format(json!({"type": "json_object"})), AnswerFormat::JsonObject);
        let expected = AnswerFormat::JsonSchema(schema.clone());
        assert_eq!(format(json!({"type": "json_schema", "json_schema": named})), expected);
        assert_eq!(format(json!({"type": "json_object", "schema": schema})), expected);
    }

    #[test]
    fn log_probabilities_are_asked_for_by_both_fields() {
        assert_eq!(request(json!({})).log_probabilities, None);
        assert_eq!(request(json!({"logprobs": true})).log_probabilities, Some(0));
        let five = request(json!({"logprobs": true, "top_logprobs": 5}));
        assert_eq!(five.log_probabilities, Some(5));
        assert_eq!(request(json!({"logprobs": false, "top_logprobs": 0})).log_probabilities, None);
    }

    #[test]
    fn effort_becomes_variables_of_the_template() {
        let high = prompt(json!({"reasoning_effort": "high", "verbosity": "low"})).variables;
        assert_eq!(high["enable_thinking"], true);
        assert_eq!(
            (&high["reasoning_effort"], &high["verbosity"]),
            (&json!("high"), &json!("low"))
        );
        let none = prompt(json!({"reasoning_effort": "none"})).variables;
        assert_eq!((&none["enable_thinking"], none.get("reasoning_effort")), (&json!(false), None));
        let kwargs = json!({"enable_thinking": true, "x": 1});
        let both = prompt(json!({"reasoning_effort": "none", "chat_template_kwargs": kwargs}));
        assert_eq!(
            (&both.variables["enable_thinking"], &both.variables["x"]),
            (&json!(true), &json!(1))
        );
    }

    #[test]
    fn tools_reach_the_template() {
        let tool = json!({"type": "function", "function": {"name": "now", "description": "time"}});
        let chat = prompt(json!({"tools": [tool], "tool_choice": "required"}));
        assert_eq!((chat.tools.len(), chat.tool_choice), (1, ToolChoice::Required));
        assert!(self::chat(json!({"functions": [{"name": "now"}]})).expect("valid").is_old);
    }

    #[test]
    fn only_what_the_assistant_said_is_continued() {
        let said = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
        let more = json!({"messages": said, "continue_final_message": true});
        assert!(prompt(more).continue_last);
        let error = chat(json!({"continue_final_message": true})).expect_err("a user's");
        assert_eq!(error.param.as_deref(), Some("continue_final_message"));
    }

    #[test]
    fn what_is_not_here_and_what_is_wrong_is_told_by_its_field() {
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]);
        let cases = [
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"audio": {"voice": "x"}}), "audio"),
            (json!({"web_search_options": {}}), "web_search_options"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": "hello"}), "messages"),
            (json!({"messages": image}), "messages[0].content"),
            (json!({"model": ""}), "model"),
            (json!({"model": null}), "model"),
            (json!({"model": 3}), "model"),
            (json!({"top_logprobs": 3}), "top_logprobs"),
            (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
            (json!({"logprobs": 3}), "logprobs"),
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (json!({"response_format": "json"}), "response_format"),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}),
                "response_format.json_schema.schema",
            ),
            (json!({"reasoning_effort": ""}), "reasoning_effort"),
            (json!({"chat_template_kwargs": {"messages": []}}), "chat_template_kwargs"),
        ];
        for (body, param) in cases {
            let error = chat(body.clone()).expect_err("refused");
            assert_eq!(
                (error.status.as_u16(), error.param.as_deref()),
                (400, Some(param)),
                "{body}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = parse(&bytes, 0) {
                prop_assert_eq!(error.status.as_u16(), 400);
            }
        }

        #[test]
        fn any_body_is_read_or_refused(body in any_body(&[
            "messages", "tools", "tool_choice", "functions", "function_call", "response_format",
            "logit_bias", "stop", "stream_options", "n", "top_logprobs", "logprobs",
            "chat_template_kwargs", "reasoning_effort", "modalities", "max_tokens", "seed",
        ])) {
            if let Err(error) = parse(&body, 0) {
                prop_assert_eq!(error.status.as_u16(), 400);
                prop_assert!(error.param.is_some());
            }
        }
    }
}
