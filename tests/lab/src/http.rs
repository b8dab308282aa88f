//! Chat requests over HTTP as a client makes them, a connection each.
//!
//! Errors: whatever is not a whole answer, as a sentence; nothing is retried.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A whole answer, however it came.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) token_ids: Vec<u32>,
    /// Events of the stream; 0 of an answer that came whole.
    pub(crate) n_events: usize,
}

/// A greedy question.
pub(crate) fn question(model: &str, text: &str, max_tokens: usize, stream: bool) -> Value {
    json!({
        "model": model, "temperature": 0, "max_tokens": max_tokens, "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
}

/// Asks.
pub(crate) async fn chat(to: SocketAddr, question: &Value) -> Result<Answer, String> {
    let body = question.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut received = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.read_to_end(&mut received).await
    };
    exchange.await.map_err(|error| error.to_string())?;
    let received = String::from_utf8(received).map_err(|error| error.to_string())?;
    let (head, body) = received.split_once("\r\n\r\n").ok_or("no head")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(received);
    }
    if question["stream"] == true { streamed(&unchunked(body)?) } else { whole(body) }
}

/// A body that came in chunks, of which the last is empty.
fn unchunked(mut body: &str) -> Result<String, String> {
    let mut whole = String::with_capacity(body.len());
    loop {
        let (size, rest) = body.split_once("\r\n").ok_or("a chunk without a size")?;
        let size = usize::from_str_radix(size, 16).map_err(|error| error.to_string())?;
        if size == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..size).ok_or("a chunk that is cut")?);
        body = rest.get(size + 2..).ok_or("a chunk without an end")?;
    }
}

fn whole(body: &str) -> Result<Answer, String> {
    let answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    Ok(Answer { text: text.into(), token_ids: ids(&answer)?, n_events: 0 })
}

fn streamed(body: &str) -> Result<Answer, String> {
    let mut answer = Answer { text: String::new(), token_ids: Vec::new(), n_events: 0 };
    let events = body.strip_suffix("data: [DONE]\n\n").ok_or_else(|| format!("cut: {body}"))?;
    for event in events.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").ok_or_else(|| format!("no data: {event}"))?;
        let event: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        let choice = &event["choices"][0];
        answer.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if choice["finish_reason"].is_string() {
            answer.token_ids = ids(&event)?;
        }
        answer.n_events += 1;
    }
    Ok(answer)
}

fn ids(answer: &Value) -> Result<Vec<u32>, String> {
    let ids = answer["swarmllm"]["token_ids"].clone();
    serde_json::from_value(ids).map_err(|_| format!("no token ids in {answer}"))
}
