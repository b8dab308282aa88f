//! `/tokenize`, `/detokenize` and `/apply-template`: how a model reads and writes text, to look at.
//!
//! Called by `server.rs`. Nothing is generated. The fields are those of llama-server (`content`,
//! `add_special`, `parse_special`, `with_pieces`) and of vLLM (`prompt`, `add_special_tokens`), the
//! answers hold both names; `messages` are rendered first. Without `model` it is the first one
//! here. Errors: [`ApiError`].

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use swarmllm_actors::model_store::OpenModel;
use swarmllm_models::tokenizer::EncodeOptions;

use super::{errors::ApiError, fields::Fields};
use crate::{
    generate::{Chat, ErrorKind, GenerateError, Prompt},
    node::NodeHandle,
    prompt::{self, PromptError},
};

type Body = Result<Bytes, actix_web::Error>;

/// Their paths.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/tokenize").route(web::post().to(tokenize)))
        .service(web::resource("/detokenize").route(web::post().to(detokenize)))
        .service(web::resource("/apply-template").route(web::post().to(apply_template)));
}

async fn tokenize(node: web::Data<NodeHandle>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let model = model(&node, &mut fields).await?;
    let tokens = match fields.optional::<Vec<Value>>("messages")? {
        Some(messages) => {
            let prompt = Prompt::Chat(chat(messages, &mut fields)?);
            let prepared = prompt::prepare(&model.tokenizer, model.template.as_deref(), &prompt);
            prepared.map_err(refused)?.tokens
        }
        None => {
            let content: Option<String> = fields.optional("content")?;
            let prompt: Option<String> = fields.optional("prompt")?;
            // llama-server adds nothing to a content, vLLM begins a prompt as the model does.
            let adds = fields.optional("add_special")?;
            let adds = adds.or(fields.optional("add_special_tokens")?);
            let options = EncodeOptions {
                add_special: adds.unwrap_or(content.is_none()),
                parse_special: fields.optional("parse_special")?.unwrap_or(true),
            };
            let missing = || {
                let message = "give `content`, `prompt` or `messages`";
                ApiError::invalid(message, Some("content"))
            };
            model.tokenizer.encode(&content.or(prompt).ok_or_else(missing)?, options)
        }
    };
    let count = tokens.len();
    let tokens = match fields.optional("with_pieces")? {
        Some(true) => tokens.into_iter().map(|id| with_piece(&model, id)).collect(),
        _ => json!(tokens),
    };
    let context = model.model.config().context_length;
    Ok(HttpResponse::Ok().json(json!({
        "tokens": tokens, "count": count, "max_model_len": context, "model": model.name,
    })))
}

/// A token's text, or its bytes where they are no whole characters.
fn with_piece(model: &OpenModel, id: u32) -> Value {
    let bytes = model.tokenizer.token_bytes(id);
    let piece = std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text));
    json!({"id": id, "piece": piece})
}

async fn detokenize(node: web::Data<NodeHandle>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let model = model(&node, &mut fields).await?;
    let tokens = fields.optional::<Vec<u32>>("tokens")?;
    let tokens = tokens.ok_or_else(|| ApiError::invalid("`tokens` is missing", Some("tokens")))?;
    let n_known = model.tokenizer.vocab_size();
    if let Some(id) = tokens.iter().find(|id| **id >= n_known) {
        let message = format!("token {id} is beyond the vocabulary of {n_known}");
        return Err(ApiError::invalid(message, Some("tokens")));
    }
    let bytes = model.tokenizer.decode(&tokens);
    let text = String::from_utf8_lossy(&bytes);
    Ok(HttpResponse::Ok().json(json!({"content": text, "prompt": text, "model": model.name})))
}

async fn apply_template(node: web::Data<NodeHandle>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let model = model(&node, &mut fields).await?;
    let messages = fields.optional("messages")?;
    let messages =
        messages.ok_or_else(|| ApiError::invalid("`messages` is missing", Some("messages")))?;
    let chat = chat(messages, &mut fields)?;
    let prompt = prompt::render(&model.tokenizer, model.template.as_deref(), &chat);
    let prompt = prompt.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({"prompt": prompt, "model": model.name})))
}

fn chat(messages: Vec<Value>, fields: &mut Fields) -> Result<Chat, ApiError> {
    Ok(Chat {
        messages: Value::Array(messages),
        tools: fields.optional("tools")?.unwrap_or_default(),
        variables: fields
            .optional::<Map<String, Value>>("chat_template_kwargs")?
            .unwrap_or_default(),
        ..Chat::default()
    })
}

async fn model(node: &NodeHandle, fields: &mut Fields) -> Result<OpenModel, ApiError> {
    match fields.optional::<String>("model")? {
        Some(name) => Ok(node.model(&name).await?),
        None => {
            let models = node.open_models().await?;
            let none = || GenerateError::new(ErrorKind::ModelNotFound, "no model is held here");
            Ok(models.into_iter().next().ok_or_else(none)?)
        }
    }
}

fn refused(error: PromptError) -> ApiError {
    ApiError::invalid(error.to_string(), None)
}
