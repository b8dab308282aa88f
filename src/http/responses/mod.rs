//! `/v1/responses`: the OpenAI Responses dialect, whole or as a stream, with a memory of answers.
//!
//! Called by `server.rs`. `request.rs` reads a body with `input.rs` and `tools.rs`; `encoder.rs`
//! turns token events into the dialect's events and objects; `answer.rs` sends them; `store.rs`
//! keeps answers for `previous_response_id` and for being fetched again, in memory, up to a count
//! and a number of bytes, oldest out; `truncate.rs` drops old turns where that is asked for.
//! Answers in the background and conversations kept by the server are refused in words.
//! Extension: a finished response carries `swarmllm` with token ids, route and timings.
//! Errors: [`ApiError`]. Source: OpenAI API reference, responses; what Codex sends, measured.

mod answer;
mod encoder;
mod input;
mod request;
mod store;
mod tools;
mod truncate;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, middleware::from_fn, web};
use bytes::Bytes;
use serde_json::json;

use super::{
    errors::{ApiError, body_error},
    processing_time::timed,
    server::random_hex,
};
use crate::node::NodeHandle;
use answer::{Answer, Keep};
use encoder::Encoder;
use request::{Identity, ResponseRequest};
pub use store::ResponseStore;

/// Its paths.
pub fn routes(config: &mut web::ServiceConfig) {
    let resource = |path: &str, route: actix_web::Route| web::resource(path).route(route);
    config
        .service(resource("/v1/responses", web::post().to(create)).wrap(from_fn(timed)))
        .service(resource("/v1/responses/input_tokens", web::post().to(input_tokens)))
        .service(
            resource("/v1/responses/{id}", web::get().to(retrieve)).route(web::delete().to(delete)),
        )
        .service(resource("/v1/responses/{id}/input_items", web::get().to(input_items)))
        .service(resource("/v1/responses/{id}/cancel", web::post().to(cancel)));
}

/// POST /v1/responses.
async fn create(
    node: web::Data<NodeHandle>,
    store: web::Data<ResponseStore>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let mut asked = read(&store, body)?;
    if asked.truncates {
        truncate::fit(&node, &mut asked.generate).await?;
    }
    let places = asked.places();
    let ResponseRequest { generate, head, style, items, stream, store: is_kept, .. } = asked;
    let generation = node.generate(generate).await.map_err(|error| places.name(error))?;
    let keep = is_kept.then(|| Keep { store: store.get_ref().clone(), items });
    let answer = Answer::new(generation, Encoder::new(head, style), keep, places);
    if stream { answer.streamed().await } else { answer.whole().await }
}

/// POST /v1/responses/input_tokens.
async fn input_tokens(
    node: web::Data<NodeHandle>,
    store: web::Data<ResponseStore>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let asked = read(&store, body)?;
    let counted = node.count_tokens(&asked.generate.model, &asked.generate.prompt).await;
    let input_tokens = counted.map_err(|error| asked.places().name(error))?;
    let count = json!({"object": "response.input_tokens", "input_tokens": input_tokens});
    Ok(HttpResponse::Ok().json(count))
}

/// Reads a body, with the conversation that it goes on with.
fn read(
    store: &ResponseStore,
    body: Result<Bytes, actix_web::Error>,
) -> Result<ResponseRequest, ApiError> {
    let body = body.map_err(|error| body_error(&error))?;
    let seed = random_hex::<8>()?;
    let identity = Identity {
        suffix: random_hex::<12>()?,
        created_at: now_unix_s(),
        seed: u64::from_str_radix(&seed, 16).unwrap_or(0),
    };
    request::parse(&body, &identity, store)
}

/// GET /v1/responses/{id}.
async fn retrieve(
    store: web::Data<ResponseStore>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    if query(&request)?.get("stream").is_some_and(|value| value == "true") {
        let message = "only answers made in the background can be streamed again, and there are \
                       none here; leave `stream` out";
        return Err(ApiError::unsupported(message, "stream"));
    }
    let response = store.response(&id).ok_or_else(|| not_found(&id))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(response.to_string()))
}

/// DELETE /v1/responses/{id}.
async fn delete(
    store: web::Data<ResponseStore>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    match store.remove(&id) {
        true => {
            let deleted = json!({"id": *id, "object": "response", "deleted": true});
            Ok(HttpResponse::Ok().json(deleted))
        }
        false => Err(not_found(&id)),
    }
}

/// GET /v1/responses/{id}/input_items.
async fn input_items(
    store: web::Data<ResponseStore>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let items = store.input(&id).ok_or_else(|| not_found(&id))?;
    Ok(HttpResponse::Ok().json(store::page(&items, &query(&request)?)?))
}

/// POST /v1/responses/{id}/cancel.
async fn cancel(
    store: web::Data<ResponseStore>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    store.response(&id).ok_or_else(|| not_found(&id))?;
    let message = "only an answer made in the background can be cancelled, and there are none \
                   here; to end one that is under way, close its connection";
    Err(ApiError::invalid(message, None))
}

fn query(request: &HttpRequest) -> Result<HashMap<String, String>, ApiError> {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string());
    let invalid = |error| ApiError::invalid(format!("the query can't be read: {error}"), None);
    Ok(query.map_err(invalid)?.into_inner())
}

fn not_found(id: &str) -> ApiError {
    let message = format!(
        "no response `{id}` is kept here: it was sent with `store` false, deleted, or pushed out \
         by newer ones; send the whole conversation instead"
    );
    ApiError::with(StatusCode::NOT_FOUND, "response_not_found", message)
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
