//! From a request's prompt to token ids: template, tokenizer, specials. From here on only ids.
//!
//! Called by `node/answer.rs` and `local.rs`, so that a chat reads the same bits through a service
//! and without one. Errors: [`PromptError`], for the person who asked.

use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};
use swarmllm_models::tokenizer::{EncodeOptions, Tokenizer};

use crate::generate::Prompt;

/// Why a prompt can't be turned into ids.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The model came without a template.
    #[error("the model has no chat template; send a plain prompt instead")]
    NoTemplate,
    /// The template refused the messages.
    #[error("the model's chat template refused the messages: {0}")]
    Template(#[from] TemplateError),
    /// Nothing to answer.
    #[error("the prompt is empty")]
    Empty,
}

/// Token ids of a prompt.
///
/// A template writes its own special tokens, so they are parsed there; the begin token is added
/// only where the tokenizer wants one and the template did not write it.
///
/// # Errors
/// When there is no template for a chat, it refuses, or nothing comes out.
pub fn tokens(
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    prompt: &Prompt,
) -> Result<Vec<u32>, PromptError> {
    let ids = match prompt {
        Prompt::Tokens(ids) => ids.clone(),
        Prompt::Text(text) => {
            tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: false })
        }
        Prompt::Chat { messages, tools } => {
            let template = template.ok_or(PromptError::NoTemplate)?;
            let special = |id: Option<u32>| {
                id.map_or_else(String::new, |id| {
                    String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned()
                })
            };
            let text = template.render(&ChatInput {
                messages: messages.clone(),
                tools: tools.clone(),
                add_generation_prompt: true,
                bos_token: special(tokenizer.bos()),
                eos_token: special(tokenizer.eos()),
                ..ChatInput::default()
            })?;
            chat_tokens(tokenizer, &text)
        }
    };
    if ids.is_empty() { Err(PromptError::Empty) } else { Ok(ids) }
}

fn chat_tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true });
    let bos = tokenizer.bos();
    if bos.is_some() && ids.len() > 1 && ids.first().copied() == bos && ids.get(1).copied() == bos {
        ids.remove(0);
    }
    ids
}
