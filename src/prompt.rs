//! From a request's prompt to token ids: template, tokenizer, specials. From here on only ids.
//!
//! Called by `node/answer.rs` and `local.rs`, so that a chat reads the same bits through a service
//! and without one. Errors: [`PromptError`], for the person who asked.

use serde_json::{Value, json};
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
    if let Some(function) = tool["function"].as_object_mut() {
        function.remove("strict");
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
    let knows_tools = template.source().contains("tools");
    let mut output = OutputFormat::of_template(template.source());
    let mut messages = chat.messages.clone();
    match (has_tools, knows_tools) {
        (false, _) => output = output.without_tool_calls(),
        (true, true) => {}
        (true, false) => {
            output.tool_calls = ToolCallFormat::None;
            describe_tools(&mut messages, &tools);
        }
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
    let text = render_input(template, input)?;
    let text = match chat.continue_last {
        true => cut_behind_last(&text, &chat.messages).to_owned(),
        false => text,
    };
    Ok(Rendered { text, output })
}

/// Renders; for a template that takes no instructions, or none in the middle, a user says them.
fn render_input(template: &ChatTemplate, input: ChatInput) -> Result<String, TemplateError> {
    let refusal = match template.render(&input) {
        Err(error @ TemplateError::Raised { .. }) => error,
        rendered => return rendered,
    };
    for kept in [1, 0] {
        let Some(messages) = said_by_users(&input.messages, kept) else { break };
        if let Ok(text) = template.render(&ChatInput { messages, ..input.clone() }) {
            return Ok(text);
        }
    }
    Err(refusal)
}

/// The messages with all instructions behind the first `kept` messages told by users, whose
/// messages that then follow each other are one; none where there is no such instruction.
fn said_by_users(messages: &Value, kept: usize) -> Option<Value> {
    let messages = messages.as_array()?;
    let has_system = messages.iter().any(|message| message["role"] == "system");
    let mut told: Vec<Value> = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let is_system = message["role"] == "system" && index >= kept;
        let text = message["content"].as_str().unwrap_or_default();
        let before = told.last_mut().filter(|last| last["role"] == "user");
        match before.and_then(|last| last.get_mut("content")) {
            Some(Value::String(content)) if is_system || message["role"] == "user" => {
                *content = format!("{content}\n\n{text}");
            }
            _ if is_system => told.push(json!({"role": "user", "content": text})),
            _ => told.push(message.clone()),
        }
    }
    has_system.then(|| told.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "{%- for m in messages %}{{ '[' + m.role + ']' + m.content }}{% endfor %}";

    /// Renders with a template that refuses what `refuses` says of a message.
    fn rendered(refuses: &str, messages: Value) -> Result<String, TemplateError> {
        let check = "{%- for m in messages %}{% if REFUSES %}{{ raise_exception('no') }}\
                     {% endif %}{% endfor %}";
        let source = check.replace("REFUSES", refuses) + PLAIN;
        let template = ChatTemplate::new(&source).expect("a template");
        render_input(&template, ChatInput { messages, ..ChatInput::default() })
    }

    fn messages() -> Value {
        let said = [("system", "a"), ("user", "b"), ("system", "c"), ("assistant", "d")];
        said.map(|(role, content)| json!({"role": role, "content": content})).into_iter().collect()
    }

    #[test]
    fn instructions_are_told_by_users_where_a_template_wants_none() {
        let text = |refuses| rendered(refuses, messages()).expect("a text");
        assert_eq!(text("false"), "[system]a[user]b[system]c[assistant]d");
        let in_the_middle = "m.role == 'system' and not loop.first";
        assert_eq!(text(in_the_middle), "[system]a[user]b\n\nc[assistant]d");
        assert_eq!(text("m.role == 'system'"), "[user]a\n\nb\n\nc[assistant]d");
    }

    #[test]
    fn a_refusal_for_another_reason_stays_one() {
        let raised = Err(TemplateError::Raised { message: "no".into() });
        assert_eq!(rendered("m.role == 'assistant'", messages()), raised);
        let user = json!([{"role": "user", "content": "a"}]);
        assert_eq!(rendered("m.role == 'user'", user), raised);
    }
}
