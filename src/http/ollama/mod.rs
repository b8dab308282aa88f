//! The Ollama routes, for programs that speak only those.
//!
//! Called by `server.rs`. `request.rs` reads bodies, `answer.rs` writes answers whole or as lines
//! of JSON, `embed.rs` makes vectors, `catalogue.rs` tells of models. Thin on purpose: what these
//! routes do, `/v1` does as well; models are neither pulled, made nor removed here. A name may end
//! with `:latest`, which says nothing. Times are nanoseconds. Errors are `{"error": message}`; one
//! that comes later is a line of that form, and the last. Source: the Ollama API reference.

mod answer;
mod catalogue;
mod embed;
mod request;

use std::time::Instant;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use swarmllm_actors::model_store::OpenModel;

use super::errors::ApiError;
use crate::{generate::ErrorKind, node::NodeHandle};
use answer::{Answer, Shape};
use request::Asked;

type Body = Result<Bytes, actix_web::Error>;

/// What names may end with.
const LATEST: &str = ":latest";

/// An error in the form of this dialect.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct OllamaError(#[from] ApiError);

impl actix_web::ResponseError for OllamaError {
    fn status_code(&self) -> actix_web::http::StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.0.answer(&serde_json::json!({"error": self.0.message}))
    }
}

/// Its paths.
pub fn routes(config: &mut web::ServiceConfig) {
    // Programs look with HEAD whether somebody is here.
    let tags = web::resource("/api/tags").route(web::get().to(catalogue::tags));
    let version = web::resource("/api/version").route(web::get().to(catalogue::version));
    config
        .service(tags.route(web::head().to(catalogue::tags)))
        .service(version.route(web::head().to(catalogue::version)))
        .service(web::resource("/api/chat").route(web::post().to(chat)))
        .service(web::resource("/api/generate").route(web::post().to(generate)))
        .service(web::resource("/api/embed").route(web::post().to(embed::embed)))
        .service(web::resource("/api/embeddings").route(web::post().to(embed::embeddings)))
        .service(web::resource("/api/ps").route(web::get().to(catalogue::running)))
        .service(web::resource("/api/show").route(web::post().to(catalogue::show)))
        .service(web::resource("/api/pull").route(web::post().to(catalogue::pull)));
}

async fn chat(node: web::Data<NodeHandle>, body: Body) -> Result<HttpResponse, OllamaError> {
    let asked = request::chat(body)?;
    respond(&node, asked, Shape::Chat).await
}

async fn generate(node: web::Data<NodeHandle>, body: Body) -> Result<HttpResponse, OllamaError> {
    let asked = request::generate(body)?;
    respond(&node, asked, Shape::Generate).await
}

async fn respond(
    node: &NodeHandle,
    asked: Asked,
    shape: Shape,
) -> Result<HttpResponse, OllamaError> {
    let began = Instant::now();
    let Asked { model: name, stream, unloads, .. } = &asked;
    let (name, stream, unloads) = (name.clone(), *stream, *unloads);
    let request = match find(node, &name).await {
        Ok(model) => asked.into_request(&model.name, model.template.is_some()),
        // A provider in the cloud may have it; else the node says that nobody has.
        Err(error) if error.is_not_found() => asked.into_request(&name, true),
        Err(error) => return Err(error.into()),
    };
    let Some(request) = request else {
        find(node, &name).await?;
        return Ok(answer::of_nothing(&name, shape, unloads));
    };
    let generation = node.generate(request).await.map_err(ApiError::from)?;
    let answer = Answer::new(name, shape, began, generation);
    Ok(if stream { answer.streamed().await? } else { answer.whole().await? })
}

/// The model of a name, with or without what it may end with.
async fn find(node: &NodeHandle, name: &str) -> Result<OpenModel, ApiError> {
    let stem = name.strip_suffix(LATEST).filter(|stem| !stem.is_empty());
    match (node.model(name).await, stem) {
        (Ok(model), _) => Ok(model),
        (Err(error), Some(stem)) if error.kind == ErrorKind::ModelNotFound => {
            Ok(node.model(stem).await?)
        }
        (Err(error), _) => Err(error.into()),
    }
}
