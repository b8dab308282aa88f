//! The Anthropic messages dialect: `POST /v1/messages` and `POST /v1/messages/count_tokens`.
//!
//! Routed by `server.rs`. `request.rs` reads a body (`content.rs` its messages, `tools.rs` and
//! `client_tools.rs` its tools), `encoder.rs` turns token events into the events of a stream and
//! `stream.rs` sends them in time, `whole.rs` makes one object of them; `signature.rs` knows
//! thinking of ours again, `errors.rs` the dialect's errors; `models.rs` is its form of the list of
//! models.
//! Every answer has a `request-id` header (`guard.rs`); it is the request's `x-request-id`.
//! Errors before the first event have a status; later ones are an `error` event.
//! Source: Anthropic API reference, messages; what Claude Code and the Python client send.
//! Absent on purpose: batches, files, and tools that a hosted service would run.

mod client_tools;
mod content;
mod encoder;
mod errors;
pub(super) mod models;
mod request;
mod signature;
mod stream;
mod tools;
mod whole;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use serde_json::{Value, json};

use self::{
    encoder::{Answer, Encoder},
    request::MessagesRequest,
    signature::Signer,
};
use super::{
    errors::ApiError,
    fields::Fields,
    guard::request_id,
    server::{random_hex, random_seed},
};
use crate::{
    generate::{ErrorKind, GenerateError, GenerationStream, Prompt, TokenEvent},
    node::NodeHandle,
};

pub use errors::{error_body, response};

/// What the key of signatures is derived for.
const SIGNATURE_PURPOSE: &str = "swarmllm 2026-11 signatures of thinking";

/// Its paths.
pub fn routes(config: &mut web::ServiceConfig) {
    let messages = web::resource("").route(web::post().to(messages));
    let count = web::resource("/count_tokens").route(web::post().to(count_tokens));
    config.service(
        web::scope("/v1/messages")
            .service(messages)
            .service(count)
            .default_service(web::to(no_such_path)),
    );
}

/// POST /v1/messages.
async fn messages(
    request: HttpRequest,
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let id = request_id(&request);
    answer(&node, body, &id).await.unwrap_or_else(|error| response(&error, &id))
}

/// POST /v1/messages/count_tokens.
async fn count_tokens(
    request: HttpRequest,
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    match counted(&node, body).await {
        Ok(count) => HttpResponse::Ok().json(count),
        Err(error) => response(&error, &request_id(&request)),
    }
}

async fn no_such_path(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let message =
        format!("nothing at {path}; there are /v1/messages and /v1/messages/count_tokens");
    let error = ApiError::with(StatusCode::NOT_FOUND, "not_found", message);
    response(&error, &request_id(&request))
}

async fn counted(
    node: &NodeHandle,
    body: Result<Bytes, actix_web::Error>,
) -> Result<Value, ApiError> {
    let signer = Signer::new(node.derive_secret(SIGNATURE_PURPOSE));
    let (model, prompt) = request::parse_prompt(Fields::of_body(body)?, &signer)?;
    match node.count_tokens(&model, &prompt).await {
        Ok(tokens) => Ok(json!({"input_tokens": tokens})),
        Err(error) if error.kind == ErrorKind::ModelNotFound => {
            let estimate = node.estimate_tokens((&model, &prompt), error);
            let (tokens, target) = estimate.map_err(errors::of_generate)?;
            let label =
                json!({"estimated": true, "would_be_answered_by": format!("cloud/{target}")});
            Ok(json!({"input_tokens": tokens, "swarmllm": label}))
        }
        Err(error) => Err(errors::of_generate(error)),
    }
}

async fn answer(
    node: &NodeHandle,
    body: Result<Bytes, actix_web::Error>,
    request_id: &str,
) -> Result<HttpResponse, ApiError> {
    let signer = Signer::new(node.derive_secret(SIGNATURE_PURPOSE));
    let asked = request::parse(Fields::of_body(body)?, random_seed()?, &signer)?;
    let MessagesRequest { generate, thinking, stream, max_tokens } = asked;
    let model = generate.model.clone();
    let prompt = generate.prompt.clone();
    let mut generation = match node.generate(generate).await {
        Ok(generation) => generation,
        Err(error) => return Err(refusal(node, (&model, &prompt), error).await),
    };
    let prompt_tokens = match next_event(&mut generation).await {
        Ok(TokenEvent::Started { prompt_tokens }) => prompt_tokens,
        Ok(_) => return Err(errors::of_generate(cut_short())),
        Err(error) => return Err(errors::of_generate(error)),
    };
    let id = random_hex::<12>()?;
    let answer = Answer { id, model, thinking, signer, prompt_tokens, max_tokens };
    match stream {
        true => stream::start(Encoder::new(answer), generation, request_id).await,
        false => whole::collect(answer, generation).await,
    }
}

/// The error of a request that the node refused; clients compact a conversation when they read
/// exactly these words about its length.
async fn refusal(
    node: &NodeHandle,
    (model, prompt): (&str, &Prompt),
    error: GenerateError,
) -> ApiError {
    if error.kind == ErrorKind::ContextLength
        && let Ok(tokens) = node.count_tokens(model, prompt).await
        && let Ok(model) = node.model(model).await
    {
        // At least one position is the answer's.
        let room = model.model.config().context_length.saturating_sub(1);
        let message = format!("prompt is too long: {tokens} tokens > {room} maximum");
        return ApiError::invalid(message, None);
    }
    errors::of_generate(error)
}

/// The next event; an answer that just ends is an error.
async fn next_event(generation: &mut GenerationStream) -> Result<TokenEvent, GenerateError> {
    generation.events.recv().await.unwrap_or_else(|| Err(cut_short()))
}

fn cut_short() -> GenerateError {
    let message = "the answer ended before its end; see the node's log and try again";
    GenerateError::new(ErrorKind::Internal, message)
}
