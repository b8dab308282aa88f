//! Shapes of tokenizing and templates. Read by `operations.rs`.

use serde_json::Value;
use utoipa::ToSchema;

/// Text for a tokenizer: one of `content`, `prompt` and `messages`.
#[derive(ToSchema)]
pub(in super::super) struct TokenizeRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// A text; nothing is added unless `add_special` is set.
    content: Option<String>,
    /// A prompt; what begins one is added unless `add_special_tokens` is false.
    prompt: Option<String>,
    /// A conversation, which is rendered first.
    #[schema(value_type = Option<Vec<Object>>)]
    messages: Option<Vec<Value>>,
    /// Add what begins and ends a prompt.
    add_special: Option<bool>,
    /// The same, as vLLM calls it.
    add_special_tokens: Option<bool>,
    /// Read control tokens out of the text.
    parse_special: Option<bool>,
    /// Answer each token with its text.
    with_pieces: Option<bool>,
}

/// Tokens.
#[derive(ToSchema)]
pub(in super::super) struct Tokenized {
    /// Ids or, with `with_pieces`, objects with `id` and `piece`.
    tokens: Vec<Value>,
    count: i64,
    /// The model's context.
    max_model_len: i64,
    model: String,
}

/// Tokens to be read.
#[derive(ToSchema)]
pub(in super::super) struct DetokenizeRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// Token ids.
    tokens: Vec<u32>,
}

/// Their text, under both names.
#[derive(ToSchema)]
pub(in super::super) struct Detokenized {
    content: String,
    prompt: String,
    model: String,
}

/// A conversation to be rendered.
#[derive(ToSchema)]
pub(in super::super) struct TemplateRequest {
    /// Name of a model; the first one when absent.
    model: Option<String>,
    /// `{"role", "content"}` objects, oldest first.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Functions that may be called.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// More variables of the template.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Value>,
}

/// A conversation as the model reads it.
#[derive(ToSchema)]
pub(in super::super) struct Rendered {
    prompt: String,
    model: String,
}
