//! A request as the body of an OpenAI chat completion.
//!
//! Called by `fallback.rs`, before anything leaves. Only fields that we know are copied. What a
//! provider can't promise is refused by name ([`refusal`], for both dialects), never dropped; what
//! only colours an answer (`top_k`, `min_p`, repetition penalty, template variables) is left out,
//! for most providers refuse fields they do not know. Defaults of the API are left out as well.
//! Source: OpenAI API reference, chat completions.

use serde_json::{Map, Value, json};

use super::provider::{Capabilities, Dialect, Provider};
use crate::generate::{AnswerFormat, Chat, GenerateRequest, Prompt, ToolChoice};

/// Seeds that every provider takes.
const SEED_MAX: u64 = i32::MAX as u64;

/// Why a request can't be put in a provider's words, if it can't.
pub(super) fn refusal(provider: &Provider, request: &GenerateRequest) -> Option<&'static str> {
    let Capabilities { tools, json_schema, logprobs, .. } = provider.capabilities;
    let is_openai = provider.dialect == Dialect::OpenaiChat;
    let chat = match &request.prompt {
        Prompt::Tokens(_) => return Some("the prompt exists only as token ids of another model"),
        Prompt::Infill { .. } => return Some("it does not fill in between a prefix and a suffix"),
        Prompt::Text(_) => &Chat::default(),
        Prompt::Chat(chat) => chat,
    };
    let uses_tools = !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None;
    let refused = [
        (chat.continue_last, "it does not continue an answer"),
        (!tools && uses_tools, "it takes no tools"),
        (!request.logit_bias.is_empty(), "biases name tokens of another vocabulary"),
        (request.ignores_end, "it does not go on behind its end"),
        (request.log_probabilities.is_some() && !logprobs, "it gives no log-probabilities"),
    ];
    let format = match &request.format {
        AnswerFormat::Text => None,
        AnswerFormat::JsonObject => (!is_openai).then_some("it promises JSON for a schema only"),
        AnswerFormat::JsonSchema(_) => (!json_schema).then_some("it follows no JSON schema"),
        AnswerFormat::Regex(_) | AnswerFormat::Lark(_) => Some("it follows no grammar"),
    };
    refused.into_iter().find_map(|(is_so, why)| is_so.then_some(why)).or(format)
}

/// The body; the request has no [`refusal`].
pub(super) fn body(provider: &Provider, model: &str, request: &GenerateRequest) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("model", model.into());
    put("messages", messages(&request.prompt, provider.capabilities.reasoning_input));
    put("stream", true.into());
    if provider.capabilities.stream_usage {
        put("stream_options", json!({"include_usage": true}));
    }
    if let Some(limit) = request.max_tokens {
        put(provider.limit_field, limit.into());
    }
    let sampling = &request.sampling;
    for (name, value, usual) in [
        ("temperature", sampling.temperature, 1.0),
        ("top_p", sampling.top_p, 1.0),
        ("frequency_penalty", sampling.frequency_penalty, 0.0),
        ("presence_penalty", sampling.presence_penalty, 0.0),
    ] {
        if value != usual {
            put(name, short(value));
        }
    }
    if provider.capabilities.seed && sampling.temperature > 0.0 {
        put("seed", (sampling.seed & SEED_MAX).into());
    }
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    if let Some(top) = request.log_probabilities {
        put("logprobs", true.into());
        put("top_logprobs", top.into());
    }
    match &request.format {
        AnswerFormat::JsonObject => drop(put("response_format", json!({"type": "json_object"}))),
        AnswerFormat::JsonSchema(schema) => {
            let named = json!({"name": "answer", "schema": schema});
            put("response_format", json!({"type": "json_schema", "json_schema": named}));
        }
        _ => {}
    }
    if let Prompt::Chat(chat) = &request.prompt {
        put_tools(chat, &mut body);
    }
    Value::Object(body)
}

/// A number as people write it: 0.7, not 0.699999988079071.
pub(super) fn short(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// The tools that an answer may call: all, or those that are named.
pub(super) fn offered(chat: &Chat) -> Vec<&Value> {
    let is_offered = |tool: &&Value| match &chat.tool_choice {
        ToolChoice::OneOf(names) => {
            let name = tool["function"]["name"].as_str();
            name.is_some_and(|name| names.iter().any(|known| known == name))
        }
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => true,
    };
    chat.tools.iter().filter(is_offered).collect()
}

fn put_tools(chat: &Chat, body: &mut Map<String, Value>) {
    let tools = offered(chat);
    if tools.is_empty() {
        return;
    }
    let choice = match &chat.tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::OneOf(names) if names.len() == 1 => {
            Some(json!({"type": "function", "function": {"name": names[0]}}))
        }
        ToolChoice::Required | ToolChoice::OneOf(_) => Some(json!("required")),
    };
    body.insert("tools".to_owned(), json!(tools));
    body.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
    if chat.single_call {
        body.insert("parallel_tool_calls".to_owned(), false.into());
    }
}

fn messages(prompt: &Prompt, with_reasoning: bool) -> Value {
    let messages = match prompt {
        Prompt::Text(text) => return json!([{"role": "user", "content": text}]),
        Prompt::Chat(chat) => chat.messages.as_array().map(Vec::as_slice).unwrap_or_default(),
        Prompt::Tokens(_) | Prompt::Infill { .. } => &[],
    };
    messages.iter().map(|message| one(message, with_reasoning)).collect()
}

fn one(message: &Value, with_reasoning: bool) -> Value {
    let mut out = Map::new();
    let content = message["content"].as_str();
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    out.insert("role".to_owned(), message["role"].clone());
    // Null stands for silence beside calls only.
    let silent = content.is_none() && !calls.is_empty();
    let content = if silent { Value::Null } else { content.unwrap_or_default().into() };
    out.insert("content".to_owned(), content);
    if with_reasoning && message["reasoning_content"].is_string() {
        out.insert("reasoning_content".to_owned(), message["reasoning_content"].clone());
    }
    if !calls.is_empty() {
        let call = |call: &Value| {
            let function = &call["function"];
            json!({"id": call["id"], "type": "function", "function": {
                "name": function["name"], "arguments": arguments(&function["arguments"]),
            }})
        };
        out.insert("tool_calls".to_owned(), calls.iter().map(call).collect());
    }
    if message["role"] == "tool" {
        out.insert("tool_call_id".to_owned(), message["tool_call_id"].clone());
    }
    Value::Object(out)
}

/// Arguments as the text that they are in this dialect.
fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    fn row(id: &str) -> Provider {
        table::rows().into_iter().find(|row| row.id == id).expect("there")
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    fn request(chat: Chat) -> GenerateRequest {
        let mut request = GenerateRequest::new("demo", Prompt::Chat(chat));
        request.sampling.temperature = 1.0;
        request
    }

    #[test]
    fn a_plain_request_is_small() {
        let messages = json!([{"role": "user", "content": "hi", "secret": 1}]);
        let mut plain = request(Chat::of_messages(messages));
        plain.sampling.seed = u64::MAX;
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true,
            "stream_options": {"include_usage": true}, "seed": i32::MAX,
        });
        assert_eq!(body(&row("openai"), "m", &plain), expected);
        let mistral = body(&row("mistral"), "m", &plain);
        assert_eq!((&mistral["seed"], &mistral["stream_options"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn calls_and_their_results_go_back_as_texts() {
        let call = json!({"id": "c1", "type": "function",
                          "function": {"name": "a", "arguments": {"x": 1}}});
        let chat = Chat {
            messages: json!([
                {"role": "assistant", "content": null, "reasoning_content": "hm",
                 "tool_calls": [call]},
                {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "a"},
            ]),
            tools: vec![tool("a"), tool("b")],
            tool_choice: ToolChoice::OneOf(vec!["b".to_owned()]),
            single_call: true,
            ..Chat::default()
        };
        let sent = body(&row("openai"), "m", &request(chat.clone()));
        let function = &sent["messages"][0]["tool_calls"][0]["function"];
        assert_eq!(function["arguments"], "{\"x\":1}");
        assert_eq!(sent["messages"][0].get("reasoning_content"), None);
        let result = json!({"role": "tool", "content": "2", "tool_call_id": "c1"});
        assert_eq!(sent["messages"][1], result);
        assert_eq!(sent["tools"].as_array().map(Vec::len), Some(1));
        assert_eq!(sent["tool_choice"]["function"]["name"], "b");
        assert_eq!(sent["parallel_tool_calls"], false);
        let sent = body(&row("deepseek"), "m", &request(chat));
        assert_eq!(sent["messages"][0]["reasoning_content"], "hm");
    }

    #[test]
    fn wishes_are_sent_in_the_provider_s_words() {
        let mut wish = request(Chat::of_messages(json!([])));
        wish.sampling.temperature = 0.7;
        wish.max_tokens = Some(9);
        wish.stop = vec!["END".to_owned()];
        wish.format = AnswerFormat::JsonSchema(json!({"type": "object"}));
        wish.log_probabilities = Some(3);
        let sent = body(&row("openai"), "m", &wish);
        assert_eq!((&sent["temperature"], &sent["stop"]), (&json!(0.7), &json!(["END"])));
        assert_eq!((&sent["max_completion_tokens"], &sent["top_logprobs"]), (&json!(9), &json!(3)));
        assert_eq!(sent["response_format"]["json_schema"]["schema"]["type"], "object");
        assert_eq!(body(&row("groq"), "m", &wish)["max_tokens"], 9);
    }

    #[test]
    fn what_a_provider_can_t_promise_is_refused() {
        let (openai, anthropic) = (row("openai"), row("anthropic"));
        let plain = request(Chat::of_messages(json!([])));
        assert_eq!(refusal(&openai, &plain), None);
        let tokens = GenerateRequest::new("demo", Prompt::Tokens(vec![1]));
        assert!(refusal(&openai, &tokens).is_some());
        let grammar = AnswerFormat::Regex("a+".to_owned());
        let bias = vec![(1, 1.0)];
        for refused in [
            GenerateRequest { logit_bias: bias, ..plain.clone() },
            GenerateRequest { ignores_end: true, ..plain.clone() },
            GenerateRequest { format: grammar, ..plain.clone() },
            request(Chat { continue_last: true, ..Chat::default() }),
        ] {
            assert!(refusal(&openai, &refused).is_some(), "{refused:?}");
        }
        let likely = GenerateRequest { log_probabilities: Some(0), ..plain.clone() };
        let json = GenerateRequest { format: AnswerFormat::JsonObject, ..plain };
        for one in [likely, json] {
            assert_eq!(refusal(&openai, &one), None);
            assert!(refusal(&anthropic, &one).is_some());
        }
    }
}
