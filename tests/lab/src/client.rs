//! Requests as a client makes them: over the control socket, one connection each, timed here.
//!
//! Errors of a single request are part of what came of it ([`Heard::end`]); nothing is retried.

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use swarmllm::control::client::ControlClient;
use swarmllm::local::LocalAnswer;
use swarmllm_models::Tokenizer;
use tokio::sync::Notify;

use crate::figures::{Gap, gaps, ms};
use crate::workload::Request;

/// How a request ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With `generate`'s result.
    Answered(Value),
    /// The connection was closed from here.
    Cancelled,
    /// Otherwise; the text says how.
    Failed(String),
}

/// One request as its client saw it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) asked_at: Instant,
    pub(crate) ended_at: Instant,
    /// When each piece of text came.
    pub(crate) text_at: Vec<Instant>,
    /// All pieces.
    pub(crate) text: String,
    /// Longest silence between any two things heard, milliseconds.
    pub(crate) silence_ms: f64,
    pub(crate) end: End,
}

impl Heard {
    /// The sampled tokens of an answer that came to its end.
    pub(crate) fn token_ids(&self) -> Option<Vec<u32>> {
        let End::Answered(answer) = &self.end else { return None };
        serde_json::from_value(answer["token_ids"].clone()).ok()
    }

    /// Whether this is that answer, token by token and as text.
    pub(crate) fn is(&self, expected: &LocalAnswer) -> bool {
        let End::Answered(answer) = &self.end else { return false };
        answer["text"] == self.text.as_str()
            && self.token_ids().as_ref() == Some(&expected.token_ids)
    }

    /// Whether what was heard until the connection was closed is how that answer begins.
    pub(crate) fn begins(&self, expected: &LocalAnswer) -> bool {
        // A shorter answer may have ended within a character.
        let text = self.text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        matches!(self.end, End::Cancelled) && expected.text.starts_with(text)
    }

    /// Milliseconds to the first text; `None` when none came.
    pub(crate) fn ttft_ms(&self) -> Option<f64> {
        self.text_at.first().map(|first| ms(self.asked_at, *first))
    }

    /// The gaps between tokens, which are `expected`'s. When the connection was closed from here,
    /// the silence before that is one as well: the next token was not sooner.
    pub(crate) fn gaps(&self, expected: &LocalAnswer, tokenizer: &Tokenizer) -> Vec<Gap> {
        let mut gaps = gaps(&self.text_at, &expected.token_ids, tokenizer);
        if let (End::Cancelled, Some(began)) = (&self.end, self.text_at.last().copied()) {
            let ended = self.ended_at;
            gaps.push(Gap { began, ended, ms: ms(began, ended) });
        }
        gaps
    }
}

/// Whether and when the client goes away before the end.
pub(crate) enum Patience<'a> {
    /// Never.
    Endless,
    /// After it heard so many things, the first being that the prompt was accepted.
    Notifications(usize),
    /// When somebody says so.
    Until(&'a Notify),
}

/// What is heard while a request runs.
struct Ear {
    text_at: Vec<Instant>,
    text: String,
    last_at: Instant,
    silence_ms: f64,
    notifications: usize,
}

impl Ear {
    fn hear(&mut self, method: &str, params: &Value) {
        let now = Instant::now();
        self.silence_ms = self.silence_ms.max(ms(self.last_at, now));
        self.last_at = now;
        self.notifications += 1;
        if let ("generate.text", Some(text)) = (method, params["text"].as_str()) {
            self.text.push_str(text);
            self.text_at.push(now);
        }
    }
}

/// Asks and listens; `on_text` is told how many pieces of text have come.
pub(crate) async fn ask(
    control: &Path,
    request: &Request,
    patience: Patience<'_>,
    on_text: impl Fn(usize),
) -> Heard {
    let connected = ControlClient::connect(control).await;
    let asked_at = Instant::now();
    let ear = RefCell::new(Ear {
        text_at: Vec::new(),
        text: String::new(),
        last_at: asked_at,
        silence_ms: 0.0,
        notifications: 0,
    });
    let enough = Notify::new();
    let end = match connected {
        Err(error) => End::Failed(error.to_string()),
        Ok(mut client) => {
            let answer = client.call_with("generate", request.params(), |method, params| {
                let mut ear = ear.borrow_mut();
                ear.hear(method, params);
                on_text(ear.text_at.len());
                if matches!(patience, Patience::Notifications(n) if ear.notifications >= n) {
                    enough.notify_one();
                }
            });
            let stop = match patience {
                Patience::Until(stop) => stop,
                Patience::Endless | Patience::Notifications(_) => &enough,
            };
            tokio::select! {
                biased;
                () = stop.notified() => End::Cancelled,
                answer = answer => match answer {
                    Ok(answer) => End::Answered(answer),
                    Err(error) => End::Failed(error.to_string()),
                },
            }
        }
    };
    let ended_at = Instant::now();
    let Ear { text_at, text, last_at, silence_ms, .. } = ear.into_inner();
    let silence_ms = silence_ms.max(ms(last_at, ended_at));
    Heard { asked_at, ended_at, text_at, text, silence_ms, end }
}

/// Asks everything with `concurrent` requests under way at any time; answers in their order.
pub(crate) async fn ask_all(control: &Path, requests: &[Request], concurrent: usize) -> Vec<Heard> {
    let asked = requests.iter().enumerate().map(|(index, request)| async move {
        (index, ask(control, request, Patience::Endless, |_| ()).await)
    });
    let mut heard: Vec<(usize, Heard)> =
        stream::iter(asked).buffer_unordered(concurrent).collect().await;
    heard.sort_by_key(|(index, _)| *index);
    heard.into_iter().map(|(_, heard)| heard).collect()
}
