//! Server-sent events: one JSON object per `data:` line, and the marker that ends a good stream.
//!
//! Used by the dialects. Form: `event: NAME` where a dialect has names, `data: JSON`, an empty line; JSON on one line, so no
//! event is ever split. Source: HTML living standard, server-sent events.
//! Absent on purpose: event ids, for no dialect resumes a stream.

use bytes::Bytes;
use serde_json::Value;

/// Ends a stream that is complete; a stream without it was cut.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

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
