//! One call of a tool: the node it works on, how far it is, and the answers it asks for.
//!
//! Made by `server.rs`, used by `tools/`. Answers are greedy with seed 0 unless told otherwise, so
//! the same call gives the same text. Dropping whatever a job awaits cancels it on every node.
//! Units: tokens, milliseconds. Errors: [`ToolError`].

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    node::{Look, Node},
    tool::ToolError,
};
use crate::{
    generate::{
        Chat, ErrorKind, FinishReason, GenerateError, GenerateRequest, Prompt, RouteStage, Summary,
        TokenEvent,
    },
    sampling::SamplingFields,
};

/// Length of an answer where nothing else is asked for.
const MAX_TOKENS: u32 = 2048;
/// Answers of one call under way at once.
const CONCURRENT: usize = 8;
/// The place of an answer that the node and its peers computed.
const SWARM: &str = "swarm";

/// A call under way.
pub struct Job {
    /// Who answers.
    pub node: Arc<dyn Node>,
    tokens: AtomicU64,
    note: Mutex<String>,
}

/// How the tokens of an answer are chosen, and how many; absent is greedy, seed 0 and 2048.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sampling {
    /// At most so many.
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: Option<f64>,
    /// The same one gives the same answer.
    pub seed: Option<i64>,
}

/// An answer and who computed it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// The model that answered.
    pub model: String,
    /// `swarm`, or `cloud/PROVIDER/MODEL` where a provider stood in.
    pub answered_by: String,
    /// What it said.
    pub text: String,
    /// What it thought before, where the model shows that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// `stop`: the model ended it; `length`: it reached max_tokens or the context.
    pub finish_reason: FinishReason,
    /// Tokens read and written.
    pub usage: Usage,
    /// Milliseconds from the request to its first token.
    pub ttft_ms: f64,
    /// New tokens per second after the first.
    pub decode_tok_s: f64,
    /// Which peers computed which layers, in order; of a provider one entry, without layers.
    pub route: Vec<RouteStage>,
}

/// Tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of those, the ones that were known from before.
    pub cached_tokens: u32,
    /// Of the answer, its end included.
    pub completion_tokens: u32,
}

/// An answer, or why there is none: part of a call whose other parts may be well.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Attempt {
    /// Present when it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Present when it was not: what happened and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Attempt {
    /// For text: the answer with its route, or the error.
    pub fn text(&self) -> String {
        match (&self.answer, &self.error) {
            (Some(answer), _) => answer.text_with_route(),
            (None, error) => format!("error: {}", error.as_deref().unwrap_or("no answer")),
        }
    }
}

impl Answer {
    /// The answer, then one line about who computed it.
    pub fn text_with_route(&self) -> String {
        let stage = |stage: &RouteStage| {
            let peer: String = stage.peer.chars().take(8).collect();
            format!("{peer} layers {}-{}", stage.layers[0], stage.layers[1])
        };
        let stages: Vec<String> = self.route.iter().map(stage).collect();
        let computed_by = match self.answered_by.as_str() {
            SWARM if !stages.is_empty() => stages.join(", "),
            place => place.to_owned(),
        };
        let limited = match self.finish_reason {
            FinishReason::Length => ", cut at its limit",
            FinishReason::Stop | FinishReason::ToolCalls => "",
        };
        format!(
            "{}\n\n[{}, {} tokens{limited}; computed by {computed_by}]",
            self.text, self.model, self.usage.completion_tokens,
        )
    }

    fn new(model: String, (text, reasoning): (String, String), summary: Summary) -> Answer {
        let completion_tokens = summary.completion_tokens();
        let answered_by = match &summary.cloud {
            Some(cloud) => format!("cloud/{}/{}", cloud.provider, cloud.model),
            None => SWARM.to_owned(),
        };
        Answer {
            model,
            answered_by,
            text,
            reasoning: Some(reasoning).filter(|reasoning| !reasoning.is_empty()),
            finish_reason: summary.finish_reason,
            usage: Usage {
                prompt_tokens: summary.prompt_tokens,
                cached_tokens: summary.cached_tokens,
                completion_tokens,
            },
            ttft_ms: summary.ttft_ms,
            decode_tok_s: summary.decode_tok_s,
            route: summary.route,
        }
    }
}

/// Messages of a chat with one question, behind a system message where there is one.
pub fn question(system: Option<&str>, text: &str) -> Value {
    let user = json!({"role": "user", "content": text});
    match system {
        Some(system) => json!([{"role": "system", "content": system}, user]),
        None => json!([user]),
    }
}

impl Job {
    /// A call that this node answers.
    pub fn new(node: Arc<dyn Node>) -> Job {
        Job { node, tokens: AtomicU64::new(0), note: Mutex::default() }
    }

    /// Pieces of text so far, each at least one token.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// What is being done, in words.
    pub fn note(&self) -> String {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is being done now.
    pub fn says(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// The named model, else the first one that can answer, with its context length where known.
    pub async fn model(&self, named: Option<String>) -> Result<(String, Option<u64>), ToolError> {
        let listed = self.node.look(Look::Models).await?;
        let models = listed["models"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = models.iter().find(|model| match &named {
            Some(name) => model["name"] == name.as_str(),
            None => model["servable"] == true,
        });
        let context = found.and_then(|model| model["context_length"].as_u64());
        let name = named.or_else(|| Some(found?["name"].as_str()?.to_owned()));
        let name = name.ok_or_else(|| {
            let message = "no model of this node can answer now: layers are missing in the swarm; \
                           `models` lists them, and more nodes bring more layers";
            GenerateError::new(ErrorKind::NoRoute, message)
        })?;
        Ok((name, context))
    }

    /// One answer to these messages.
    pub async fn ask(
        &self,
        model: &str,
        messages: Value,
        sampling: Sampling,
    ) -> Result<Answer, ToolError> {
        let fields = SamplingFields {
            temperature: sampling.temperature,
            seed: sampling.seed,
            ..SamplingFields::default()
        };
        if sampling.max_tokens == Some(0) {
            return Err(ToolError::Arguments("`max_tokens`: must be at least 1".to_owned()));
        }
        let request = GenerateRequest {
            sampling: fields
                .resolve(0.0, 0)
                .map_err(|error| ToolError::Arguments(error.to_string()))?,
            max_tokens: Some(sampling.max_tokens.unwrap_or(MAX_TOKENS)),
            ..GenerateRequest::new(model, Prompt::Chat(Chat::of_messages(messages)))
        };
        let mut stream = self.node.generate(request).await?;
        let (mut text, mut reasoning) = (String::new(), String::new());
        while let Some(event) = stream.events.recv().await {
            let part = match event? {
                TokenEvent::Part(part) => part,
                TokenEvent::Finished(summary) => {
                    return Ok(Answer::new(model.to_owned(), (text, reasoning), *summary));
                }
                _ => continue,
            };
            self.tokens.fetch_add(1, Ordering::Relaxed);
            match part {
                ChatEvent::Content(piece) => text.push_str(&piece),
                ChatEvent::Reasoning(piece) => reasoning.push_str(&piece),
                // No tools are offered, so nothing can be called.
                _ => {}
            }
        }
        let message = "the answer ended before its end; see the node's log and try again";
        Err(ToolError::Failed(message.to_owned()))
    }

    /// Answers to several questions `(model, messages)`, some at once, in their order.
    pub async fn ask_all(
        &self,
        questions: Vec<(String, Value)>,
        sampling: Sampling,
    ) -> Vec<Attempt> {
        let n = questions.len();
        let done = &AtomicU64::new(0);
        self.says(format!("0 of {n} answers"));
        let asked = questions.into_iter().map(|(model, messages)| async move {
            let answer = self.ask(&model, messages, sampling).await;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            self.says(format!("{done} of {n} answers"));
            match answer {
                Ok(answer) => Attempt { answer: Some(answer), error: None },
                Err(error) => Attempt { answer: None, error: Some(error.to_string()) },
            }
        });
        stream::iter(asked).buffered(CONCURRENT).collect().await
    }
}

/// The error of a call of which nothing succeeded.
pub fn none_succeeded(attempts: &[Attempt]) -> Option<ToolError> {
    let errors: Option<Vec<&str>> =
        attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    let errors = errors.filter(|errors| !errors.is_empty())?;
    let first = errors[0];
    Some(ToolError::Failed(match errors.iter().all(|error| *error == first) {
        true => first.to_owned(),
        false => errors.join("; "),
    }))
}

/// Refuses a list that is empty or too long.
pub fn check_count(field: &str, count: usize, max: usize) -> Result<(), ToolError> {
    match (1..=max).contains(&count) {
        true => Ok(()),
        false => Err(ToolError::Arguments(format!("`{field}`: 1 to {max} of them, got {count}"))),
    }
}
