//! Errors in the Anthropic form: `{"type":"error","error":{"type","message"},"request_id"}`.
//!
//! Used by every file of this folder, and by `guard.rs`, which refuses requests for this dialect's
//! paths before they get here. What is busy or away for a moment is 529 with `retry-after`
//! (seconds), which its clients honour. Source: Anthropic API reference, errors.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use super::super::errors::{ApiError, Places};
use crate::generate::{ErrorKind, GenerateError};

/// Seconds after which a caller may try again where nobody knows better.
const RETRY_AFTER_S: u32 = 5;
/// Where the node may find a mistake.
const PLACES: Places = Places { length: "messages", prompt: "messages", rules: "tools" };
/// The status of this dialect for a node that can't take more now.
const OVERLOADED: u16 = 529;

/// The error object; a field that is wrong is named in front of a message that does not name it.
pub fn error_body(error: &ApiError, request_id: &str) -> Value {
    let names = |param: &str| {
        error.message.starts_with(param) || error.message.contains(&format!("`{param}`"))
    };
    let message = match &error.param {
        Some(param) if !error.is_not_found() && !names(param) => {
            format!("{param}: {}", error.message)
        }
        _ => error.message.clone(),
    };
    json!({
        "type": "error",
        "error": {"type": kind(status(error)), "message": message},
        "request_id": request_id,
    })
}

/// The whole answer.
pub fn response(error: &ApiError, request_id: &str) -> HttpResponse {
    let status = status(error);
    let mut response = HttpResponse::build(status);
    if [OVERLOADED, 429].contains(&status.as_u16()) {
        let seconds = error.retry_after_s.unwrap_or(RETRY_AFTER_S);
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    response.json(error_body(error, request_id))
}

/// The error of a request that the node refused or gave up.
pub(super) fn of_generate(error: GenerateError) -> ApiError {
    let is_busy = error.kind == ErrorKind::Busy;
    let error = PLACES.name(error);
    if is_busy { ApiError { status: StatusCode::SERVICE_UNAVAILABLE, ..error } } else { error }
}

fn status(error: &ApiError) -> StatusCode {
    match error.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        }
        status => status,
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        OVERLOADED => "overloaded_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_status_and_type() {
        let cases = [
            (ErrorKind::ModelNotFound, 404, "not_found_error"),
            (ErrorKind::ContextLength, 400, "invalid_request_error"),
            (ErrorKind::Invalid, 400, "invalid_request_error"),
            (ErrorKind::NoRoute, 529, "overloaded_error"),
            (ErrorKind::Busy, 529, "overloaded_error"),
            (ErrorKind::StageLost, 529, "overloaded_error"),
            (ErrorKind::DeadlinePassed, 504, "timeout_error"),
            (ErrorKind::Internal, 500, "api_error"),
        ];
        for (failure, status, expected) in cases {
            let error = of_generate(GenerateError::new(failure, "m"));
            let body = error_body(&error, "req_1");
            assert_eq!(body["error"]["type"], expected, "{failure:?}");
            let response = response(&error, "req_1");
            assert_eq!(response.status().as_u16(), status, "{failure:?}");
            let has_retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(has_retry, status == 529, "{failure:?}");
        }
    }

    #[test]
    fn a_refusal_of_the_guard_keeps_its_meaning() {
        let refused = |status: StatusCode| {
            let error = ApiError::with(status, "c", "m");
            let body = error_body(&error, "r");
            (response(&error, "r").status().as_u16(), body["error"]["type"].clone())
        };
        assert_eq!(refused(StatusCode::UNAUTHORIZED), (401, json!("authentication_error")));
        assert_eq!(refused(StatusCode::FORBIDDEN), (403, json!("permission_error")));
        assert_eq!(refused(StatusCode::PAYLOAD_TOO_LARGE), (413, json!("request_too_large")));
        assert_eq!(refused(StatusCode::TOO_MANY_REQUESTS), (429, json!("rate_limit_error")));
        assert_eq!(refused(StatusCode::SERVICE_UNAVAILABLE), (529, json!("overloaded_error")));
    }

    #[test]
    fn the_field_that_is_wrong_is_named_once() {
        let body = error_body(&ApiError::invalid("is no text", Some("messages.0")), "r");
        let expected = json!({
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "messages.0: is no text"},
            "request_id": "r",
        });
        assert_eq!(body, expected);
        let named = error_body(&ApiError::invalid("top_k must be 1", Some("top_k")), "r");
        assert_eq!(named["error"]["message"], "top_k must be 1");
        // A word of the message is no name of a field.
        let held = error_body(&ApiError::invalid("holds 1 to 9 messages", Some("messages")), "r");
        assert_eq!(held["error"]["message"], "messages: holds 1 to 9 messages");
    }
}
