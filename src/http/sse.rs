//! Server-sent events: one JSON object per `data:` line, and the marker that ends a good stream.
//!
//! Used by the dialects. Form: `event: NAME` where a dialect has names, `data: JSON`, then an empty
//! line; JSON on one line, so no event is ever split. Source: HTML living standard, server-sent
//! events.
//! Absent on purpose: event ids, for no dialect resumes a stream.

use std::time::Duration;

use actix_web::{HttpResponse, HttpResponseBuilder, http::header};
use bytes::Bytes;
use serde_json::Value;

/// Longest silence of a stream: clients give up after a while in which they hear nothing.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a stream waits for a refusal before it begins; there is nothing to show before anyway.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Ends a stream that is complete; a stream without it was cut.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The head of a stream.
pub fn response() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // Tells a reverse proxy to pass each event on at once.
        .insert_header(("x-accel-buffering", "no"));
    response
}

/// One event.
pub fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// One event with a name, which has no line end.
pub fn named_event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn an_event_is_one_data_line_whatever_the_text(text in any::<String>()) {
            let bytes = event(&json!({"t": text}));
            let line = std::str::from_utf8(&bytes).expect("JSON is UTF-8");
            let body = line.strip_prefix("data: ").and_then(|l| l.strip_suffix("\n\n"));
            let body = body.expect("data line and empty line");
            prop_assert!(!body.contains('\n') && !body.contains('\r'));
            let back: Value = serde_json::from_str(body).expect("JSON");
            prop_assert_eq!(back["t"].as_str(), Some(text.as_str()));
        }
    }
}
