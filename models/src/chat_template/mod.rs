//! Renders a model's own chat template: messages in, prompt text out.
//!
//! Called by the doors before tokenisation and by `swarmllm template`. Templates come with model
//! files and are untrusted: they see the conversation and nothing else, run on limited fuel (which
//! bounds time and memory, see [`fuel_for`]; the engine's own operations that are not charged in
//! full are replaced, see `guard.rs`) and limited recursion, and cannot include files.
//! They are written for Jinja2 in Python as Hugging Face sets it up, so the environment imitates
//! that: `trim_blocks`, `lstrip_blocks`, Python methods on values, Python's spelling of values
//! (`python.rs`), `raise_exception`, `strftime_now`, loop controls, `tojson` with raw characters.
//! `{% generation %}` (a training aid) counts as nothing.
//! Errors: [`TemplateError`]. Source: `transformers.utils.chat_template_utils`.
//! Absent on purpose: a choice among several named templates of a file.

mod guard;
mod meter;
mod methods;
mod operators;
mod python;
mod strftime;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, machinery,
    value::{Kwargs, Serde, Value},
};

use crate::gguf::Gguf;

pub use strftime::format as format_time;

/// Longest template source; published ones stay below 20 KiB.
const MAX_SOURCE_BYTES: usize = 128 << 10;
/// Stack for parsing, per byte of source: the engine walks and drops deep expressions recursively.
const STACK_BYTES_PER_SOURCE_BYTE: usize = 1 << 10;
/// Stack for rendering, per unit of fuel: one unit can nest a value one level deeper, and the
/// engine drops nested values recursively. Measured: below 128 bytes a level.
const STACK_BYTES_PER_FUEL: usize = 192;
/// Stack for everything else.
const BASE_STACK_BYTES: usize = 16 << 20;
/// Nesting of blocks, macros and calls.
const MAX_RECURSION: usize = 200;
/// Fuel of every rendering: about as many instructions, or 64 bytes of data each.
const BASE_FUEL: u64 = 1_000_000;
/// Fuel of the largest input; the stack for it is address space, not memory, until it is used.
const MAX_FUEL: u64 = 8_000_000;
const NAME: &str = "chat";

/// Why a template cannot be used, or gave no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The model has none.
    #[error("the model has no chat template; send plain text or tokens instead")]
    Missing,
    /// The metadata key holds something else.
    #[error("tokenizer.chat_template is not text")]
    NotText,
    /// The source is absurdly long.
    #[error("the chat template has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It does not parse.
    #[error("the chat template does not parse: {reason}")]
    Syntax {
        /// What and where.
        reason: String,
    },
    /// It refused the conversation, in its own words.
    #[error("the chat template refuses these messages: {message}")]
    Raised {
        /// The template's words.
        message: String,
    },
    /// It used up its fuel or nesting.
    #[error("the chat template exceeds its limits: {reason}")]
    Exhausted {
        /// Which limit.
        reason: String,
    },
    /// It failed on the way.
    #[error("the chat template failed: {reason}")]
    Failed {
        /// What and where.
        reason: String,
    },
}

/// What a template sees.
#[derive(Debug, Clone, Default)]
pub struct ChatInput {
    /// JSON array of messages.
    pub messages: serde_json::Value,
    /// JSON array of tool definitions.
    pub tools: Option<serde_json::Value>,
    /// Whether the text ends where the assistant begins to speak.
    pub add_generation_prompt: bool,
    /// Text of the beginning-of-sequence token.
    pub bos_token: String,
    /// Text of the end-of-sequence token.
    pub eos_token: String,
    /// What `strftime_now` takes for now, in seconds since 1970; the system's clock when absent.
    pub now_unix_s: Option<i64>,
    /// Any more variables; they win over the ones above.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// A parsed template; cheap to clone.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    /// What is compiled for every rendering.
    code: Arc<str>,
}

/// What `raise_exception` said, found again in the error's chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl ChatTemplate {
    /// The template in a file's metadata.
    pub fn from_gguf(gguf: &Gguf) -> Result<ChatTemplate, TemplateError> {
        let value = gguf.value("tokenizer.chat_template").ok_or(TemplateError::Missing)?;
        ChatTemplate::new(value.as_str().ok_or(TemplateError::NotText)?)
    }

    /// Parses `source`.
    pub fn new(source: &str) -> Result<ChatTemplate, TemplateError> {
        if source.len() > MAX_SOURCE_BYTES {
            let (bytes, limit) = (source.len(), MAX_SOURCE_BYTES);
            return Err(TemplateError::TooLong { bytes, limit });
        }
        let stack = stack_for(source);
        on_stack(stack, || ChatTemplate::parse(source))?
    }

    fn parse(source: &str) -> Result<ChatTemplate, TemplateError> {
        let mut environment = guard::environment();
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_formatter(python::format);
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", |state: &State, value: Value| python::text(state, &value));
        environment.add_function("raise_exception", raise_exception);
        let code = without_generation_tags(source);
        let syntax = |error| TemplateError::Syntax { reason: explain(&error) };
        let code: Arc<str> = guard::without_constant_products(&code).map_err(syntax)?.into();
        guard::compile(NAME, &code).map_err(syntax)?;
        Ok(ChatTemplate { environment: Arc::new(environment), source: source.into(), code })
    }

    /// The source as it came.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt text for `input`.
    pub fn render(&self, input: &ChatInput) -> Result<String, TemplateError> {
        let fuel = fuel_for(input);
        let stack = stack_for(&self.code) + fuel as usize * STACK_BYTES_PER_FUEL;
        on_stack(stack, || self.render_here(input, fuel))?
    }

    fn render_here(&self, input: &ChatInput, fuel: u64) -> Result<String, TemplateError> {
        let mut environment = (*self.environment).clone();
        environment.set_fuel(Some(fuel));
        let now_unix_s = input.now_unix_s.unwrap_or_else(system_time_unix_s);
        environment
            .add_function("strftime_now", move |format: &str| strftime::format(format, now_unix_s));
        let failed = |error| classify(&error);
        let compiled = guard::compile(NAME, &self.code).map_err(failed)?;
        let mut text = String::new();
        let mut output = machinery::make_string_output(&mut text);
        let (root, blocks) = (context(input), &compiled.blocks);
        let code = &compiled.instructions;
        machinery::eval(&environment, code, root, blocks, &mut output, AutoEscape::None)
            .map_err(failed)?;
        drop(output);
        Ok(text)
    }
}

/// Runs `work` on a thread whose stack holds whatever nesting a template can build: an overflow
/// would end the whole process.
fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T, TemplateError> {
    let failed = |reason: String| TemplateError::Failed { reason };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".into()).stack_size(bytes);
        let handle = thread.spawn_scoped(scope, work).map_err(|error| failed(error.to_string()))?;
        handle.join().map_err(|_| failed("the template engine panicked".into()))
    })
}

/// Stack for parsing `source`.
fn stack_for(source: &str) -> usize {
    BASE_STACK_BYTES + source.len() * STACK_BYTES_PER_SOURCE_BYTE
}

/// A rendering may touch its input many times over, but not without bound.
fn fuel_for(input: &ChatInput) -> u64 {
    let values = [Some(&input.messages), input.tools.as_ref()].into_iter().flatten();
    let weights = values.chain(input.variables.values()).map(weight);
    weights.fold(BASE_FUEL, u64::saturating_add).min(MAX_FUEL)
}

/// Text bytes / 4 plus 500 instructions for every value.
fn weight(value: &serde_json::Value) -> u64 {
    let inner = match value {
        serde_json::Value::String(text) => text.len() as u64 / 4,
        serde_json::Value::Array(items) => items.iter().map(weight).sum(),
        serde_json::Value::Object(fields) => fields.values().map(weight).sum(),
        _ => 0,
    };
    inner.saturating_add(500)
}

fn context(input: &ChatInput) -> Value {
    let mut context = serde_json::Map::new();
    let tools = input.tools.clone().unwrap_or(serde_json::Value::Null);
    context.insert("messages".into(), input.messages.clone());
    context.insert("tools".into(), tools);
    context.insert("documents".into(), serde_json::Value::Null);
    context.insert("add_generation_prompt".into(), input.add_generation_prompt.into());
    context.insert("bos_token".into(), input.bos_token.clone().into());
    context.insert("eos_token".into(), input.eos_token.clone().into());
    context.extend(input.variables.clone());
    Value::from(Serde(context))
}

fn classify(error: &Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return TemplateError::Raised { message: message.clone() };
        }
        cause = current.source();
    }
    let reason = explain(error);
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::Exhausted { reason },
        _ if reason.contains("recursion limit") => TemplateError::Exhausted { reason },
        _ => TemplateError::Failed { reason },
    }
}

/// The error and its causes in one line.
fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

fn raise_exception(state: &State, message: Value) -> Result<Value, Error> {
    let message = python::text(state, &message)?;
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
}

/// Hugging Face's `tojson`: raw characters, Python's separators, optional indent.
fn tojson(state: &State, value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<(String, String)> = match options.get::<Option<Value>>("separators")? {
        None => None,
        Some(pair) => {
            let item = |at: usize| python::text(state, &pair.get_item(&Value::from(at))?);
            Some((item(0)?, item(1)?))
        }
    };
    let ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let style = python::JsonStyle { indent, separators, ensure_ascii, sort_keys };
    python::json(state, &value, &style).map(Value::from)
}

fn system_time_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Turns `{% generation %}` and its end into an `if` that always holds, keeping `-` and `+`.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let inner = &rest[start + 2..start + length];
        let (before, word) = inner.split_at(usize::from(inner.starts_with(['-', '+'])));
        let after = if word.ends_with('-') && word.len() > 1 { "-" } else { "" };
        let word = word.trim_end_matches('-').trim();
        text.push_str(&rest[..start]);
        match word {
            "generation" => text.push_str(&format!("{{%{before} if true {after}%}}")),
            "endgeneration" => text.push_str(&format!("{{%{before} endif {after}%}}")),
            _ => text.push_str(&rest[start..start + length + 2]),
        }
        rest = &rest[start + length + 2..];
    }
    text.push_str(rest);
    text
}
