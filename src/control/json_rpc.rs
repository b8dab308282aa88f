//! JSON-RPC 2.0 as lines: cutting a byte stream into lines, reading requests, writing answers.
//!
//! Called by `server.rs` and `client.rs`. Pure: bytes in, values out.
//! Form: one JSON object per line, ended by `\n`; a line is at most [`LINE_MAX_BYTES`] long, what
//! is longer is skipped up to its end and answered by one error. A request without `id` is a
//! notification and gets no answer.
//! Errors: [`RpcError`], the error object of the specification (jsonrpc.org/specification).
//! Absent on purpose: batches; they are refused as an invalid request.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest request line: a prompt that fills a large context, as text, with room.
pub const LINE_MAX_BYTES: usize = 4 << 20;

/// The line was no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The line was JSON but no request.
pub const INVALID_REQUEST: i64 = -32600;
/// Nobody knows the method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The method does not take these parameters.
pub const INVALID_PARAMS: i64 = -32602;
/// The node failed.
pub const INTERNAL_ERROR: i64 = -32603;
/// The node refused a generation; `data.kind` says why.
pub const GENERATION_FAILED: i64 = -32000;
/// Too many requests are under way on this connection.
pub const TOO_MANY_REQUESTS: i64 = -32001;

/// The error object of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// One of the codes above.
    pub code: i64,
    /// What happened and what to do.
    pub message: String,
    /// More, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<Value>>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into(), data: None }
    }
}

/// One request or notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Present when an answer is wanted: a string, a number or null.
    pub id: Option<Value>,
    /// What to do.
    pub method: String,
    /// With what; null when absent.
    pub params: Value,
}

/// Reads one line; on failure also the id to answer to, as far as it could be read.
pub fn parse_request(line: &[u8]) -> Result<Request, (Value, RpcError)> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        (Value::Null, RpcError::new(PARSE_ERROR, format!("the line is no JSON: {error}")))
    })?;
    let invalid =
        |id: &Value, message: &str| Err((id.clone(), RpcError::new(INVALID_REQUEST, message)));
    let Value::Object(mut object) = value else {
        return invalid(&Value::Null, "a request is one JSON object; batches are not taken");
    };
    let id = object.remove("id");
    let answer_to = match &id {
        None | Some(Value::Null | Value::String(_) | Value::Number(_)) => {
            id.clone().unwrap_or(Value::Null)
        }
        Some(_) => return invalid(&Value::Null, "`id` must be a string, a number or null"),
    };
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid(&answer_to, "`jsonrpc` must be \"2.0\"");
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return invalid(&answer_to, "`method` must be a string");
    };
    let params = object.remove("params").unwrap_or(Value::Null);
    if !(params.is_null() || params.is_object() || params.is_array()) {
        return invalid(&answer_to, "`params` must be an object or an array");
    }
    Ok(Request { id, method, params })
}

/// The line of an answer.
pub fn response_line(id: &Value, result: &Result<Value, RpcError>) -> String {
    let answer = match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    };
    format!("{answer}\n")
}

/// The line of a request or, without id, of a notification.
pub fn request_line(id: Option<u64>, method: &str, params: &Value) -> String {
    let mut request = json!({"jsonrpc": "2.0", "method": method});
    if let Some(id) = id {
        request["id"] = id.into();
    }
    if !params.is_null() {
        request["params"] = params.clone();
    }
    format!("{request}\n")
}

/// One line of a stream, or what is left of one that was too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its end.
    Whole(Vec<u8>),
    /// A line beyond the bound; its bytes are gone.
    TooLong,
}

/// Cuts a byte stream into lines of bounded length.
#[derive(Debug)]
pub struct LineSplitter {
    max_bytes: usize,
    held: Vec<u8>,
    skipping: bool,
}

impl LineSplitter {
    /// A splitter that refuses lines beyond `max_bytes`.
    pub fn new(max_bytes: usize) -> LineSplitter {
        LineSplitter { max_bytes, held: Vec::new(), skipping: false }
    }

    /// Takes the next bytes; returns the lines they complete. Blank lines are left out.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let held = std::mem::take(&mut self.held);
            if std::mem::take(&mut self.skipping) {
                lines.push(Line::TooLong);
            } else if !held.iter().all(u8::is_ascii_whitespace) {
                lines.push(Line::Whole(held));
            }
        }
        self.extend(bytes);
        lines
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping || self.held.len() + bytes.len() > self.max_bytes {
            self.skipping = true;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_code(line: &str) -> (Value, i64) {
        let (id, error) = parse_request(line.as_bytes()).expect_err("refused");
        (id, error.code)
    }

    #[test]
    fn a_request_is_read_with_and_without_params_and_id() {
        let request = parse_request(br#"{"jsonrpc":"2.0","id":7,"method":"status"}"#);
        let expected = Request { id: Some(json!(7)), method: "status".into(), params: Value::Null };
        assert_eq!(request, Ok(expected));
        let notification = parse_request(br#"{"jsonrpc":"2.0","method":"x","params":{"a":1}}"#);
        assert_eq!(notification.expect("valid").id, None);
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_code_and_id() {
        assert_eq!(error_code("{"), (Value::Null, PARSE_ERROR));
        assert_eq!(error_code("[]"), (Value::Null, INVALID_REQUEST));
        assert_eq!(error_code(r#"{"id":3,"method":"a"}"#), (json!(3), INVALID_REQUEST));
        assert_eq!(error_code(r#"{"jsonrpc":"2.0","id":"q"}"#), (json!("q"), INVALID_REQUEST));
        assert_eq!(error_code(r#"{"jsonrpc":"2.0","id":[],"method":"a"}"#).1, INVALID_REQUEST);
        let number = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":1}"#;
        assert_eq!(error_code(number), (json!(1), INVALID_REQUEST));
    }

    #[test]
    fn answers_are_single_lines() {
        let line = response_line(&json!(1), &Ok(json!({"text": "a\nb"})));
        assert_eq!(line.matches('\n').count(), 1);
        let line = response_line(&Value::Null, &Err(RpcError::new(PARSE_ERROR, "x")));
        assert_eq!(
            line,
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"x\"}}\n"
        );
    }

    #[test]
    fn a_line_too_long_is_skipped_and_the_next_is_read() {
        let mut splitter = LineSplitter::new(4);
        assert_eq!(splitter.push(b"abcdefgh"), []);
        assert_eq!(splitter.push(b"ij\nab\n"), [Line::TooLong, Line::Whole(b"ab".to_vec())]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_arrive(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()],
                0..200,
            ),
            cuts in prop::collection::vec(0usize..200, 0..10),
        ) {
            let whole = LineSplitter::new(16).push(&bytes);
            let mut bounds: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
            bounds.extend([0, bytes.len()]);
            bounds.sort_unstable();
            let mut splitter = LineSplitter::new(16);
            let pieces: Vec<Line> = bounds.windows(2)
                .flat_map(|pair| splitter.push(&bytes[pair[0]..pair[1]])).collect();
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn no_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..100)) {
            // Whatever it is, it is a request or an error.
            let _ = parse_request(&line);
        }
    }
}
