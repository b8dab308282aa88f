//! A scripted model: rules instead of weights. What it says follows from the prompt's text alone.
//!
//! Made by [`Model::scripted`] from a script, run by `shard` as any other model: it has layers, a
//! tokenizer (that of `demo`), a chat template and pages, so everything around the arithmetic is
//! real. For tests of long dialogues with programs that need a model to say one certain thing.
//!
//! A script is one JSON object:
//! ```text
//! {"rules": [{"when": REGEX, "in": "turn" | "prompt", "after_calls": N, "say": TEXT}, ..],
//!  "template": TEXT, "context": TOKENS, "prefill_tokens_per_s": X, "decode_tokens_per_s": X}
//! ```
//! The first rule that fits is what is said; `say` alone is needed and fits always. `when` is
//! looked for in the text from the last message of a user or tool on, or in the whole prompt;
//! `after_calls` counts the messages with results of tools since the user last spoke. Where no rule
//! fits, and behind prompts that the chat template did not make, the answer is empty. The rates
//! make the thread that computes wait. Tags of calls and reasoning are part of `say`.
//!
//! In a file: the metadata of a GGUF without tensors, the script under [`SCRIPT_KEY`].
//! Errors: [`ScriptError`]. Absent on purpose: variables, several replies to choose from.

mod network;
mod reply;
#[cfg(test)]
mod tests;

use regex_automata::meta::Regex;
use serde::Deserialize;

pub use network::ScriptedLoadError;
pub(crate) use network::ScriptedNetwork;

use crate::gguf::{Gguf, GgufWriter, MetadataValue};

#[cfg(doc)]
use crate::Model;

/// `general.architecture` of scripted models.
pub const ARCHITECTURE: &str = "scripted";
/// Where the script is in the metadata.
const SCRIPT_KEY: &str = "scripted.script";
/// Cuts are possible between layers, so there are some.
const N_LAYERS: u32 = 4;
/// A token in the residual stream: two digits, each of which is exact as an f16.
const HIDDEN: u32 = 2;
/// Context of scripts that do not say.
const CONTEXT: u32 = 1 << 20;

/// Why a script makes no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// It is no JSON of the form above.
    #[error("the script is not of the expected form: {0}")]
    Json(#[from] serde_json::Error),
    /// A regular expression does not parse.
    #[error("`when` of rule {rule} is no regular expression: {source}")]
    Regex {
        /// Number of the rule, from 0.
        rule: usize,
        /// What is wrong with it.
        source: Box<regex_automata::meta::BuildError>,
    },
    /// A speed that is none.
    #[error("`{field}` is {value}, it must be above 0")]
    Rate {
        /// Which one.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// The vocabulary lacks what the rules look for.
    #[error("the vocabulary has no token {0}, by which turns are told apart")]
    Vocabulary(&'static str),
}

/// A script as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    rules: Vec<RuleText>,
    template: Option<String>,
    context: Option<u32>,
    prefill_tokens_per_s: Option<f64>,
    decode_tokens_per_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    when: Option<String>,
    #[serde(default, rename = "in")]
    scope: Scope,
    after_calls: Option<usize>,
    say: String,
}

/// Where a rule looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// From the last message of a user or tool on.
    #[default]
    Turn,
    /// Everywhere.
    Prompt,
}

/// A rule, ready to be looked for.
#[derive(Debug)]
struct Rule {
    when: Option<Regex>,
    scope: Scope,
    after_calls: Option<usize>,
    say: String,
}

impl Script {
    fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = serde_json::from_str(text)?;
        let rates = [
            ("prefill_tokens_per_s", script.prefill_tokens_per_s),
            ("decode_tokens_per_s", script.decode_tokens_per_s),
        ];
        for (field, value) in rates {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
                return Err(ScriptError::Rate { field, value });
            }
        }
        Ok(script)
    }

    fn of_gguf(gguf: &Gguf) -> Result<Self, ScriptError> {
        Self::parse(gguf.get_str(SCRIPT_KEY).unwrap_or_default())
    }

    fn rules(&self) -> Result<Vec<Rule>, ScriptError> {
        let compile = |(rule, text): (usize, &RuleText)| {
            let when = text.when.as_deref().map(Regex::new).transpose();
            let when =
                when.map_err(|source| ScriptError::Regex { rule, source: Box::new(source) })?;
            let RuleText { scope, after_calls, ref say, .. } = *text;
            Ok(Rule { when, scope, after_calls, say: say.clone() })
        };
        self.rules.iter().enumerate().map(compile).collect()
    }
}

/// Whether the script in a file can be used.
pub(crate) fn check(gguf: &Gguf) -> Result<(), ScriptError> {
    Script::of_gguf(gguf)?.rules().map(drop)
}

/// The file of a scripted model: the script, and the vocabulary of another model.
pub(crate) fn file(script: &str, vocabulary_of: &Gguf) -> Result<Vec<u8>, ScriptError> {
    let parsed = Script::parse(script)?;
    parsed.rules()?;
    let mut writer = GgufWriter::new();
    let text = |text: &str| MetadataValue::String(text.into());
    writer.key("general.architecture", text(ARCHITECTURE));
    writer.key("general.name", text("a script, no weights"));
    writer.key(SCRIPT_KEY, text(script));
    let sizes = [
        ("block_count", N_LAYERS),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", 1),
        ("attention.head_count", 1),
        ("context_length", parsed.context.unwrap_or(CONTEXT)),
    ];
    for (key, size) in sizes {
        writer.key(&format!("{ARCHITECTURE}.{key}"), MetadataValue::U32(size));
    }
    let epsilon = format!("{ARCHITECTURE}.attention.layer_norm_rms_epsilon");
    writer.key(&epsilon, MetadataValue::F32(1e-5));
    for (key, value) in vocabulary_of.metadata() {
        match (key.as_str(), &parsed.template) {
            ("tokenizer.chat_template", Some(template)) => writer.key(key, text(template)),
            _ if key.starts_with("tokenizer.") => writer.key(key, value.clone()),
            _ => &mut writer,
        };
    }
    Ok(writer.finish())
}
