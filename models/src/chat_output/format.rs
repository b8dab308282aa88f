//! Which format a model writes reasoning and tool calls in, read off its chat template.
//!
//! Called once per model by whoever parses its answers. A template shows the model its own earlier
//! calls, so it holds the very texts the model was trained to write. Errors: none; a template that
//! says nothing known gives [`OutputFormat::PLAIN`]. Source: published templates.
//! Absent on purpose: formats of families that are not served (channels, sections, Python).

use super::{
    block::{Begins, CallBlock, begins},
    event::is_name,
    json_block::{Around, JsonBlock},
    named_block::{self, NamedBlock, Naming},
    tagged_block::{self, TaggedBlock},
};

/// How a model writes tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolCallFormat {
    /// Not at all, or in no known way.
    None,
    /// An object with `name` and `arguments` or `parameters` that is the whole answer. For models
    /// without a format of their own (Gemma 2, Phi-3) when the prompt asks for it.
    BareJson,
    /// Llama 3: like `BareJson`, also after `<|python_tag|>`.
    Llama3,
    /// Hermes, Qwen 2.5 and 3, Granite 4: `<tool_call>{...}</tool_call>`.
    Hermes,
    /// Qwen 3 Coder and 3.5: `<tool_call><function=NAME><parameter=KEY>...`.
    QwenCoder,
    /// Mistral: `[TOOL_CALLS][...]` and `[TOOL_CALLS]NAME[ARGS]{...}`.
    Mistral,
    /// DeepSeek V3, R1 and V3.1: `<|tool_calls_begin|>...` with its own bars and underscores.
    DeepSeek,
    /// GLM-4 of 2024: a line with the name, then an object.
    Glm4,
    /// GLM 4.5 on: `<tool_call>NAME<arg_key>...`.
    Glm45,
}

/// The texts around reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasoningTags {
    /// Begins it, only where an answer begins.
    pub open: &'static str,
    /// Ends it.
    pub close: &'static str,
}

const DEEPSEEK_MARKER: &str = "<\u{ff5c}tool\u{2581}calls\u{2581}begin\u{ff5c}>";
const THINK: ReasoningTags = ReasoningTags { open: "<think>", close: "</think>" };
const MISTRAL_THINK: ReasoningTags = ReasoningTags { open: "[THINK]", close: "[/THINK]" };

/// How a model writes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputFormat {
    /// Around reasoning; absent when the model does not reason.
    pub reasoning: Option<ReasoningTags>,
    /// How it calls tools.
    pub tool_calls: ToolCallFormat,
}

impl OutputFormat {
    /// Everything is content.
    pub const PLAIN: OutputFormat =
        OutputFormat { reasoning: None, tool_calls: ToolCallFormat::None };

    /// The format of the model whose chat template has this source.
    pub fn of_template(source: &str) -> OutputFormat {
        let has = |text: &str| source.contains(text);
        let reasoning = match () {
            () if has("[THINK]") && has("[/THINK]") => Some(MISTRAL_THINK),
            () if has("</think>") => Some(THINK),
            () => None,
        };
        // A template that only makes the tags up from parts does not hold both of them.
        let has_tag = has("<tool_call>") && has("</tool_call>");
        let tool_calls = match () {
            () if has(DEEPSEEK_MARKER) => ToolCallFormat::DeepSeek,
            () if has("[TOOL_CALLS]") => ToolCallFormat::Mistral,
            () if has_tag && has("<arg_key>") => ToolCallFormat::Glm45,
            () if has_tag && has("<function=") => ToolCallFormat::QwenCoder,
            () if has_tag => ToolCallFormat::Hermes,
            () if has("<function=") => ToolCallFormat::None,
            () if has("<|python_tag|>") => ToolCallFormat::Llama3,
            () if has("ipython") && has("\"parameters\"") => ToolCallFormat::Llama3,
            () if has("[gMASK]") && has("<|observation|>") => ToolCallFormat::Glm4,
            () => ToolCallFormat::None,
        };
        OutputFormat { reasoning, tool_calls }
    }

    /// The same without tool calls, for requests that offer no tools.
    pub fn without_tool_calls(self) -> OutputFormat {
        OutputFormat { tool_calls: ToolCallFormat::None, ..self }
    }

    /// The texts of the format that may be control tokens of the model's vocabulary.
    pub fn tags(&self) -> Vec<&'static str> {
        let reasoning = self.reasoning.iter().flat_map(|tags| [tags.open, tags.close]);
        let inner: &[&str] = match self.tool_calls {
            ToolCallFormat::None
            | ToolCallFormat::BareJson
            | ToolCallFormat::Llama3
            | ToolCallFormat::Glm4 => &[],
            ToolCallFormat::Mistral => named_block::MISTRAL_TAGS,
            ToolCallFormat::DeepSeek => named_block::DEEPSEEK_TAGS,
            ToolCallFormat::Hermes | ToolCallFormat::QwenCoder => &["</tool_call>"],
            ToolCallFormat::Glm45 => tagged_block::GLM_TAGS,
        };
        reasoning.chain(self.tool_calls.marker()).chain(inner.iter().copied()).collect()
    }

    /// Whether an answer to `prompt` begins inside reasoning: the template opened it already.
    pub fn reasons_from_the_start(&self, prompt: &str) -> bool {
        self.reasoning.is_some_and(|tags| prompt.trim_end().ends_with(tags.open))
    }
}

impl ToolCallFormat {
    /// The text that announces calls anywhere in an answer.
    pub(crate) fn marker(self) -> Option<&'static str> {
        match self {
            ToolCallFormat::None | ToolCallFormat::BareJson | ToolCallFormat::Glm4 => None,
            ToolCallFormat::Llama3 => Some("<|python_tag|>"),
            ToolCallFormat::Mistral => Some("[TOOL_CALLS]"),
            ToolCallFormat::DeepSeek => Some(DEEPSEEK_MARKER),
            ToolCallFormat::Hermes | ToolCallFormat::QwenCoder | ToolCallFormat::Glm45 => {
                Some("<tool_call>")
            }
        }
    }

    /// Whether an answer that begins with `text` (no white space before) begins with a call.
    pub(super) fn opens_answer(self, text: &str) -> Begins {
        match self {
            ToolCallFormat::BareJson | ToolCallFormat::Llama3 => begins(text, "{"),
            ToolCallFormat::Glm4 => match text.split_once('\n') {
                Some((name, rest)) if is_name(name) => begins(rest.trim_start(), "{"),
                None if text.is_empty() || is_name(text) => Begins::Perhaps,
                _ => Begins::No,
            },
            _ => Begins::No,
        }
    }

    /// The parser of what follows the marker, or of an answer that begins with a call; `None` when
    /// `text` is too short to tell which.
    pub(super) fn block(self, text: &str) -> Option<Box<dyn CallBlock>> {
        Some(match self {
            ToolCallFormat::None => return None,
            ToolCallFormat::BareJson | ToolCallFormat::Llama3 => {
                Box::new(JsonBlock::new(Around::Nothing))
            }
            ToolCallFormat::Hermes => Box::new(JsonBlock::new(Around::Tag("</tool_call>"))),
            ToolCallFormat::QwenCoder => Box::new(TaggedBlock::new(&tagged_block::QWEN_CODER)),
            ToolCallFormat::Glm45 => Box::new(TaggedBlock::new(&tagged_block::GLM)),
            ToolCallFormat::DeepSeek => Box::new(NamedBlock::new(Naming::DeepSeek)),
            ToolCallFormat::Glm4 => Box::new(NamedBlock::new(Naming::Line)),
            ToolCallFormat::Mistral => match text.trim_start().chars().next()? {
                '[' => Box::new(JsonBlock::new(Around::List)),
                _ => Box::new(NamedBlock::new(Naming::Mistral)),
            },
        })
    }
}
