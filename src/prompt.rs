//! From a request's prompt to token ids: template, tokenizer, specials. From here on only ids.
//!
//! Called by `node/answer.rs` and `local.rs`, so that a chat reads the same bits through a service
//! and without one. Errors: [`PromptError`], for the person who asked.

mod call_ids;
mod shapes;

use serde_json::Value;
use swarmllm_models::chat_output::{OutputFormat, ToolCallFormat};
use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};
use swarmllm_models::tokenizer::{EncodeOptions, Tokenizer};

use crate::generate::{Chat, Prompt, ToolChoice};

/// Why a prompt can't be turned into ids.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The model came without a template.
    #[error("the model has no chat template; send a plain prompt instead")]
    NoTemplate,
    /// The vocabulary has no tokens for it.
    #[error("the model can't fill in text between a prefix and a suffix; leave `suffix` out")]
    NoInfill,
    /// The template refused the messages.
    #[error("the model's chat template refused the messages: {0}")]
    Template(#[from] TemplateError),
    /// Nothing to answer.
    #[error("the prompt is empty")]
    Empty,
}

/// A prompt as a model reads it, and how its answer is read.
#[derive(Debug)]
pub struct PreparedPrompt {
    /// Token ids, at least one.
    pub tokens: Vec<u32>,
    /// In which format the answer comes.
    pub output: OutputFormat,
    /// Whether the answer begins inside reasoning.
    pub in_reasoning: bool,
}

/// Turns a prompt into ids.
///
/// A template writes its own special tokens, so they are parsed there; the begin token is added
/// only where the tokenizer wants one and the template did not write it. A template that knows
/// nothing of tools gets them as a text in front of the conversation.
///
/// # Errors
/// When there is no template for a chat, it refuses, or nothing comes out.
pub fn prepare(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    prompt: &Prompt,
) -> Result<PreparedPrompt, PromptError> {
    let plain =
        |tokens| PreparedPrompt { tokens, output: OutputFormat::PLAIN, in_reasoning: false };
    let prepared = match prompt {
        Prompt::Tokens(ids) => plain(ids.clone()),
        Prompt::Text(text) => {
            plain(tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: false }))
        }
        Prompt::Infill { prefix, suffix } => {
            plain(tokenizer.encode_infill(prefix, suffix).ok_or(PromptError::NoInfill)?)
        }
        Prompt::Chat(chat) => prepare_chat(tokenizer, template, chat)?,
    };
    if prepared.tokens.is_empty() { Err(PromptError::Empty) } else { Ok(prepared) }
}

fn prepare_chat(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    chat: &Chat,
) -> Result<PreparedPrompt, PromptError> {
    let Rendered { text, output } = render_chat(tokenizer, template, chat)?;
    let in_reasoning = output.reasons_from_the_start(&text);
    Ok(PreparedPrompt { tokens: chat_tokens(tokenizer, &text), output, in_reasoning })
}

/// A conversation as the model's template writes it.
///
/// # Errors
/// When there is no template, or it refuses.
pub fn render(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    chat: &Chat,
) -> Result<String, PromptError> {
    Ok(render_chat(tokenizer, template, chat)?.text)
}

struct Rendered {
    text: String,
    output: OutputFormat,
}

/// A tool as models were trained to read it.
fn without_strict(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(function) = tool.get_mut("function").and_then(Value::as_object_mut) {
        function.shift_remove("strict");
    }
    tool
}

fn render_chat(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    chat: &Chat,
) -> Result<Rendered, PromptError> {
    let template = template.ok_or(PromptError::NoTemplate)?;
    let has_tools = !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None;
    let tools: Vec<Value> = chat.tools.iter().map(without_strict).collect();
    let source = template.source();
    let knows_tools = source.contains("tools");
    let mut output = OutputFormat::of_template(source);
    let mut messages = chat.messages.clone();
    if output.tool_calls == ToolCallFormat::Mistral {
        call_ids::shorten(&mut messages);
    }
    if has_tools && !knows_tools {
        output.tool_calls = ToolCallFormat::None;
        describe_tools(&mut messages, &tools);
    }
    if !source.contains("tool_calls") {
        let knows_results = source.contains("'tool'") || source.contains("\"tool\"");
        shapes::calls_as_texts(&mut messages, output.tool_calls, knows_results);
    }
    if !has_tools {
        output = output.without_tool_calls();
    }
    if has_tools && output.tool_calls == ToolCallFormat::None {
        output.tool_calls = ToolCallFormat::BareJson;
    }
    let special = |id: Option<u32>| {
        id.map_or_else(String::new, |id| {
            String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned()
        })
    };
    let input = ChatInput {
        tools: (has_tools && knows_tools).then(|| tools.into()),
        add_generation_prompt: !chat.continue_last,
        bos_token: special(tokenizer.bos()),
        eos_token: special(tokenizer.eos()),
        variables: chat.variables.clone(),
        messages,
        ..ChatInput::default()
    };
    let text = shapes::render(template, input)?;
    let text = match chat.continue_last {
        true => cut_behind_last(&text, &chat.messages).to_owned(),
        false => text,
    };
    Ok(Rendered { text, output })
}

/// Tells a model of functions whose template can't.
fn describe_tools(messages: &mut Value, tools: &[Value]) {
    let functions = tools.iter().map(|tool| tool.get("function").unwrap_or(tool).to_string());
    let functions: Vec<String> = functions.collect();
    let text = format!(
        "You may call one of these functions:\n{}\nTo call one, answer with nothing but \
         {{\"name\": <name>, \"arguments\": <object>}}.",
        functions.join("\n")
    );
    let Some(messages) = messages.as_array_mut() else { return };
    // Such templates often refuse a system message, so it goes to the first one of a user.
    let user = messages.iter_mut().find(|message| message["role"] == "user");
    if let Some(Value::String(content)) = user.and_then(|message| message.get_mut("content")) {
        *content = format!("{text}\n\n{content}");
    }
}

/// The rendering up to the end of the last message's text, for the model to go on there.
fn cut_behind_last<'t>(text: &'t str, messages: &Value) -> &'t str {
    let last = messages.as_array().and_then(|all| all.last());
    let content = last.and_then(|last| last["content"].as_str()).unwrap_or_default().trim();
    let end = text.rfind(content).map(|at| at + content.len());
    match end {
        Some(end) if !content.is_empty() => &text[..end],
        _ => text,
    }
}

fn chat_tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true });
    let bos = tokenizer.bos();
    if bos.is_some() && ids.len() > 1 && ids.first().copied() == bos && ids.get(1).copied() == bos {
        ids.remove(0);
    }
    ids
}
