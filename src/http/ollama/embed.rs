//! `/api/embed` and its older form `/api/embeddings`: texts as vectors of length 1.
//!
//! Called by `mod.rs`. A text that is too long is cut at its end unless `truncate` is false.
//! Errors: [`ApiError`] with the field, then those of the node.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use swarmllm_actors::model_store::OpenModel;
use swarmllm_models::tokenizer::EncodeOptions;

use super::{
    super::{errors::ApiError, fields::Fields, vectors::shortened},
    Body, OllamaError,
    answer::nanoseconds,
    find,
};
use crate::{
    generate::{EmbedRequest, Embeddings, Prompt},
    node::NodeHandle,
};

/// Most texts of one request.
const INPUTS_MAX: usize = 2048;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
}

/// POST /api/embed.
pub(super) async fn embed(
    node: web::Data<NodeHandle>,
    body: Body,
) -> Result<HttpResponse, OllamaError> {
    let began = Instant::now();
    let mut fields = Fields::of_body(body)?;
    let name = fields.text(&["model", "name"])?;
    let inputs = match fields.optional("input")? {
        // Whoever sends none only wants the model in memory.
        None => Vec::new(),
        Some(Input::One(text)) if text.is_empty() => Vec::new(),
        Some(Input::One(text)) => vec![text],
        Some(Input::Several(texts)) if texts.len() <= INPUTS_MAX => texts,
        _ => {
            let message = format!("`input` is a text or up to {INPUTS_MAX} of them");
            return Err(ApiError::invalid(message, Some("input")).into());
        }
    };
    let truncates = fields.optional("truncate")?.unwrap_or(true);
    let dimensions = match fields.optional::<u32>("dimensions")? {
        Some(0) | None => None,
        Some(dimensions) => Some(dimensions as usize),
    };
    let Embeddings { vectors, prompt_tokens } = embedded(&node, &name, inputs, truncates).await?;
    let vectors = vectors.into_iter().map(|vector| shortened(vector, dimensions));
    let vectors = vectors.collect::<Result<Vec<Vec<f32>>, ApiError>>()?;
    Ok(HttpResponse::Ok().json(json!({
        "model": name,
        "embeddings": vectors,
        "total_duration": nanoseconds(began.elapsed().as_secs_f64()),
        "load_duration": nanoseconds(0.0),
        "prompt_eval_count": prompt_tokens,
    })))
}

/// POST /api/embeddings.
pub(super) async fn embeddings(
    node: web::Data<NodeHandle>,
    body: Body,
) -> Result<HttpResponse, OllamaError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.text(&["model", "name"])?;
    let prompt = fields.optional::<String>("prompt")?.filter(|prompt| !prompt.is_empty());
    let found = embedded(&node, &name, prompt.into_iter().collect(), true).await?;
    let vector = found.vectors.into_iter().next().unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({"embedding": vector})))
}

async fn embedded(
    node: &NodeHandle,
    name: &str,
    texts: Vec<String>,
    truncates: bool,
) -> Result<Embeddings, ApiError> {
    let model = find(node, name).await?;
    if texts.is_empty() {
        return Ok(Embeddings { vectors: Vec::new(), prompt_tokens: 0 });
    }
    let inputs = texts.into_iter().map(|text| match truncates {
        true => fitting(&model, text),
        false => Prompt::Text(text),
    });
    let inputs = inputs.collect();
    let request = EmbedRequest { model: model.name.clone(), inputs, client: String::new() };
    Ok(node.embed(request).await?)
}

/// A text as far as the context goes.
fn fitting(model: &OpenModel, text: String) -> Prompt {
    let room = model.model.config().context_length.saturating_sub(1) as usize;
    // No token is shorter than a byte, but for those that begin and end a text.
    if text.len() + 2 <= room {
        return Prompt::Text(text);
    }
    let options = EncodeOptions { add_special: true, parse_special: false };
    let mut tokens = model.tokenizer.encode(&text, options);
    tokens.truncate(room);
    Prompt::Tokens(tokens)
}
