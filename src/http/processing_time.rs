//! `openai-processing-ms`: how long this node took for an answer; of a stream, until it began.
//!
//! Wrapped around the paths of the OpenAI dialects. Unit: milliseconds. Errors: those of the
//! handler.

use std::time::Instant;

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};

const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

/// Passes a request on and notes the time.
pub(super) async fn timed(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = Instant::now();
    let mut response = next.call(request).await?;
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(PROCESSING_MS, HeaderValue::from(elapsed_ms));
    Ok(response)
}
