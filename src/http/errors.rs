//! Errors in the OpenAI form: `{"error":{"message","type","param","code"}}` with a fitting status.
//!
//! Used by every handler of this folder. A handler returns `Result<_, ApiError>`; a stream that
//! has begun sends the same object as its last event. 503 and 429 carry `Retry-After` (seconds) and
//! `retry-after-ms`; `x-should-retry` says of every error whether the same request may succeed.
//! Source: the OpenAI API reference (error codes), and what its Python client retries.

use actix_web::{
    HttpResponse, ResponseError,
    error::PayloadError,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::generate::{ErrorKind, GenerateError};

/// Seconds after which a caller may try again: a lost peer is usually back or replaced by then.
const RETRY_AFTER_S: u32 = 5;

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// What happened, why, what to do next.
    pub message: String,
    /// Name of the field that is wrong.
    pub param: Option<String>,
    /// Machine-readable kind.
    pub code: Option<&'static str>,
    /// When trying again is likely to help, where that is known.
    pub retry_after_s: Option<u32>,
}

impl ApiError {
    /// 400 for a body or field that is wrong.
    pub fn invalid(message: impl Into<String>, param: Option<&str>) -> ApiError {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            param: param.map(str::to_owned),
            code: None,
            retry_after_s: None,
        }
    }

    /// 400 for a field that is right but asks for what this node cannot do.
    pub fn unsupported(message: impl Into<String>, param: &str) -> ApiError {
        ApiError { code: Some("unsupported_parameter"), ..ApiError::invalid(message, Some(param)) }
    }

    /// Any status with a kind.
    pub fn with(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            message: message.into(),
            param: None,
            code: Some(code),
            retry_after_s: None,
        }
    }

    /// 404 for a model nobody here knows.
    pub fn model_not_found(message: impl Into<String>) -> ApiError {
        let error = ApiError::with(StatusCode::NOT_FOUND, "model_not_found", message);
        ApiError { param: Some("model".to_owned()), ..error }
    }

    /// Whether a name is known to nobody here.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// The error object.
    pub fn body(&self) -> Value {
        let kind = match self.status.as_u16() {
            429 => "rate_limit_error",
            403 => "permission_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        }})
    }

    /// The status and its headers, with this body: every dialect has a shape of its own.
    pub fn answer(&self, body: &Value) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        let should_retry = matches!(self.status.as_u16(), 408 | 409 | 429 | 500 | 503);
        response.insert_header(("x-should-retry", should_retry.to_string()));
        let retry_after_s = self.retry_after_s.unwrap_or(RETRY_AFTER_S);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                response.insert_header((header::RETRY_AFTER, retry_after_s));
                response.insert_header(("retry-after-ms", u64::from(retry_after_s) * 1000));
            }
            StatusCode::UNAUTHORIZED => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            _ => {}
        }
        response.json(body)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(&self.body())
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> ApiError {
        let (status, code) = match error.kind {
            ErrorKind::ModelNotFound => return ApiError::model_not_found(error.message),
            ErrorKind::ContextLength => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
            ErrorKind::Invalid | ErrorKind::Grammar => {
                return ApiError::invalid(error.message, None);
            }
            ErrorKind::NoRoute => (StatusCode::SERVICE_UNAVAILABLE, "no_route"),
            ErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            ErrorKind::StageLost => (StatusCode::SERVICE_UNAVAILABLE, "stage_lost"),
            ErrorKind::DeadlinePassed => (StatusCode::GATEWAY_TIMEOUT, "deadline_passed"),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        let param = (error.kind == ErrorKind::ContextLength).then(|| "messages".to_owned());
        let retry_after_s = error.retry_after_s;
        ApiError { param, retry_after_s, ..ApiError::with(status, code, error.message) }
    }
}

/// The fields of a body in which the node may find a mistake.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// What may be too long.
    pub length: &'static str,
    /// What may be no prompt.
    pub prompt: &'static str,
    /// What an answer may not be able to follow.
    pub rules: &'static str,
}

impl Places {
    /// All of them are one field.
    pub fn all(field: &'static str) -> Places {
        Places { length: field, prompt: field, rules: field }
    }

    /// An error of the node with its field.
    pub fn name(self, error: GenerateError) -> ApiError {
        let field = match error.kind {
            ErrorKind::ContextLength => self.length,
            ErrorKind::Invalid => self.prompt,
            ErrorKind::Grammar => self.rules,
            _ => return error.into(),
        };
        ApiError { param: Some(field.to_owned()), ..error.into() }
    }
}

/// The error of a body that could not be read whole.
pub fn body_error(error: &actix_web::Error) -> ApiError {
    if let Some(PayloadError::Overflow) = error.as_error::<PayloadError>() {
        let message = format!("the body is larger than {} bytes", super::server::BODY_MAX_BYTES);
        return ApiError::with(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message);
    }
    if let Some(PayloadError::Io(cause)) = error.as_error::<PayloadError>()
        && cause.kind() == std::io::ErrorKind::TimedOut
    {
        let message = "the body stopped coming; send it again";
        return ApiError::with(StatusCode::REQUEST_TIMEOUT, "request_timeout", message);
    }
    if error.as_response_error().status_code() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::with(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            error.to_string(),
        );
    }
    ApiError::invalid(format!("the body could not be read: {error}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(kind: ErrorKind) -> ApiError {
        GenerateError::new(kind, "m").into()
    }

    #[test]
    fn every_kind_has_its_status_and_code() {
        let cases = [
            (ErrorKind::ModelNotFound, 404, Some("model_not_found")),
            (ErrorKind::ContextLength, 400, Some("context_length_exceeded")),
            (ErrorKind::Invalid, 400, None),
            (ErrorKind::Grammar, 400, None),
            (ErrorKind::NoRoute, 503, Some("no_route")),
            (ErrorKind::Busy, 429, Some("rate_limit_exceeded")),
            (ErrorKind::StageLost, 503, Some("stage_lost")),
            (ErrorKind::Internal, 500, Some("internal_error")),
        ];
        for (kind, status, code) in cases {
            let error = mapped(kind);
            assert_eq!((error.status.as_u16(), error.code), (status, code), "{kind:?}");
        }
    }

    #[test]
    fn a_mistake_that_the_node_finds_has_its_field() {
        let places = Places { length: "prompt", prompt: "suffix", rules: "tools" };
        let cases = [
            (ErrorKind::ContextLength, Some("prompt")),
            (ErrorKind::Invalid, Some("suffix")),
            (ErrorKind::Grammar, Some("tools")),
            (ErrorKind::ModelNotFound, Some("model")),
            (ErrorKind::Busy, None),
        ];
        for (kind, field) in cases {
            let error = places.name(GenerateError::new(kind, "m"));
            assert_eq!(error.param.as_deref(), field, "{kind:?}");
        }
    }

    #[test]
    fn a_caller_is_told_when_to_try_again() {
        let response = mapped(ErrorKind::NoRoute).error_response();
        let told = |response: &HttpResponse, name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        assert_eq!(told(&response, "retry-after").as_deref(), Some("5"));
        assert_eq!(told(&response, "retry-after-ms").as_deref(), Some("5000"));
        assert_eq!(told(&response, "x-should-retry").as_deref(), Some("true"));
        let busy =
            GenerateError { retry_after_s: Some(7), ..GenerateError::new(ErrorKind::Busy, "m") };
        assert_eq!(
            told(&ApiError::from(busy).error_response(), "retry-after").as_deref(),
            Some("7")
        );
        let invalid = mapped(ErrorKind::Invalid).error_response();
        assert_eq!(told(&invalid, "retry-after"), None);
        assert_eq!(told(&invalid, "x-should-retry").as_deref(), Some("false"));
        let late = mapped(ErrorKind::DeadlinePassed).error_response();
        assert_eq!(told(&late, "x-should-retry").as_deref(), Some("false"));
    }

    #[test]
    fn the_object_has_the_four_fields() {
        let body = ApiError::invalid("m", Some("stop")).body();
        let expected = json!({"error": {
            "message": "m", "type": "invalid_request_error", "param": "stop", "code": null,
        }});
        assert_eq!(body, expected);
    }
}
