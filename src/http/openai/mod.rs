//! The OpenAI dialects: chat completions, completions, embeddings and the list of models.
//!
//! Called by `server.rs`. In reading order: `options.rs` reads what chat and completions share,
//! `chat_request.rs` (with `messages.rs` and `tools.rs`), `completion_request.rs` and `inputs.rs`
//! the rest; `answer.rs` runs the choices of one answer, whole or as a stream; `chat.rs` and
//! `completions.rs` say how a choice of theirs looks, `objects.rs` and `log_probabilities.rs` what
//! is the same in both; `embeddings.rs`, `models.rs`. Errors:
//! [`ApiError`](super::errors::ApiError).
//! Source: OpenAI API reference.

mod answer;
mod chat;
mod chat_request;
mod completion_request;
mod completions;
mod embeddings;
mod inputs;
mod log_probabilities;
mod messages;
mod models;
mod objects;
mod options;
mod tools;

use actix_web::{middleware::from_fn, web};

use super::processing_time::timed;

/// Its paths.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/v1/chat/completions")
                .route(web::post().to(chat::chat_completions))
                .wrap(from_fn(timed)),
        )
        .service(
            web::resource("/v1/completions")
                .route(web::post().to(completions::completions))
                .wrap(from_fn(timed)),
        )
        .service(
            web::resource("/v1/embeddings")
                .route(web::post().to(embeddings::embeddings))
                .wrap(from_fn(timed)),
        )
        .service(web::resource("/v1/models").route(web::get().to(models::list)))
        .service(web::resource("/v1/models/{id:.+}").route(web::get().to(models::get)));
}
