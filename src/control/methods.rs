//! What can be asked over the control socket, and how the node answers.
//!
//! Called by `server.rs`, one call per request line. Methods and their parameters are listed in
//! [`METHODS`], which `rpc.discover` returns as an OpenRPC document; unknown parameters are
//! refused. While `generate` and `events.subscribe` run they send notifications:
//! `generate.started {id, prompt_tokens}`, `generate.text {id, text}`,
//! `generate.reasoning {id, text}`, `event {..}`.
//! Units: milliseconds, seconds and bytes as the names say. Errors: [`RpcError`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;
use tokio::sync::mpsc;

use super::json_rpc::{
    GENERATION_FAILED, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Request, RpcError,
    request_line,
};
use super::{cloud, invites, keys};
use crate::{
    generate::{Chat, GenerateError, GenerateRequest, Prompt, TokenEvent},
    http::keys::KeyStore,
    node::{NodeError, NodeHandle},
    sampling::SamplingFields,
};

/// Stop texts of one request, as the OpenAI API has it.
const STOPS_MAX: usize = 4;

/// Name, meaning, and parameters with their JSON type.
type Method = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Every method.
const METHODS: [Method; 16] = [
    ("rpc.discover", "This list.", &[]),
    ("status", "State of the node.", &[]),
    ("peers", "Known peers and what they offer.", &[]),
    ("models", "Models of this node, and whether a route over all layers exists.", &[]),
    (
        "invite.create",
        "A signed invite code; whoever has it can come in.",
        &[("valid_for_s", "integer"), ("uses", "integer"), ("role", "string"), ("pool", "string")],
    ),
    ("invite.list", "Invites made here, and who came by them.", &[]),
    (
        "invite.revoke",
        "Takes an invite back, with `members` those whom it admitted as well.",
        &[("id", "string"), ("members", "boolean")],
    ),
    ("key.create", "A new API key for the HTTP server, shown once.", &[("name", "string")]),
    ("key.list", "API keys without what makes them keys.", &[]),
    ("key.revoke", "Forgets an API key, by name or id.", &[("key", "string")]),
    (
        "generate",
        "One answer to `messages`, `prompt` or `tokens`, streamed as notifications.",
        &[
            ("model", "string"),
            ("messages", "array"),
            ("prompt", "string"),
            ("tokens", "array"),
            ("max_tokens", "integer"),
            ("temperature", "number"),
            ("top_p", "number"),
            ("top_k", "integer"),
            ("min_p", "number"),
            ("seed", "integer"),
            ("stop", "array"),
            ("client", "string"),
            ("deadline_ms", "integer"),
            ("private", "boolean"),
        ],
    ),
    ("events.subscribe", "Events as `event` notifications until the connection closes.", &[]),
    ("net.check", "How the node is seen, which ways of finding peers work, and what to do.", &[]),
    ("cloud.list", "Providers in the cloud: keys, use, errors and cost so far.", &[]),
    ("cloud.models", "Models of a provider, as it tells them now.", &[("provider", "string")]),
    ("shutdown", "Ends the node after its running answers.", &[]),
];

/// What the methods work on; cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlState {
    /// The node.
    pub node: NodeHandle,
    /// API keys of its HTTP server.
    pub keys: Arc<KeyStore>,
    /// Where `shutdown` is said.
    pub end: mpsc::Sender<()>,
}

/// Where a running method sends its notifications.
pub type Lines = mpsc::Sender<String>;

/// What a method answers.
#[derive(Debug)]
pub enum Answer {
    /// A result.
    Once(Value),
    /// A result, then these as `event` notifications until the connection closes.
    Subscription(mpsc::Receiver<Value>),
}

/// Runs one request.
pub async fn call(
    state: &ControlState,
    request: &Request,
    lines: &Lines,
) -> Result<Answer, RpcError> {
    let node = &state.node;
    let result = match request.method.as_str() {
        "invite.create" => invites::create(node, params(request)?).await?,
        "invite.list" => {
            no_params(request)?;
            json!({"invites": node.invites().await.map_err(node_error)?})
        }
        "invite.revoke" => invites::revoke(node, params(request)?).await?,
        "key.create" => keys::create(&state.keys, params(request)?)?,
        "key.list" => {
            no_params(request)?;
            json!({"keys": state.keys.list()})
        }
        "key.revoke" => keys::revoke(&state.keys, params(request)?)?,
        "cloud.list" => {
            no_params(request)?;
            cloud::list(node)
        }
        "cloud.models" => cloud::models(node, params(request)?).await?,
        "generate" => generate(state, request, lines).await?,
        "rpc.discover" => {
            no_params(request)?;
            discover()
        }
        "status" => {
            no_params(request)?;
            json!(node.status().await.map_err(node_error)?)
        }
        "peers" => {
            no_params(request)?;
            json!({"peers": node.peers().await.map_err(node_error)?})
        }
        "models" => {
            no_params(request)?;
            json!({"models": node.models().await.map_err(node_error)?})
        }
        "net.check" => {
            no_params(request)?;
            json!(node.net_check().await.map_err(node_error)?)
        }
        "events.subscribe" => {
            no_params(request)?;
            return Ok(Answer::Subscription(node.subscribe().await.map_err(node_error)?));
        }
        "shutdown" => {
            no_params(request)?;
            // A full box means that the node is ending already.
            let _ = state.end.try_send(());
            json!({"stopping": true})
        }
        other => {
            let known = METHODS.map(|(name, ..)| name).join(", ");
            let message = format!("no method `{other}`; known: {known}");
            return Err(RpcError::new(METHOD_NOT_FOUND, message));
        }
    };
    Ok(Answer::Once(result))
}

fn discover() -> Value {
    let methods = METHODS.map(|(name, summary, parameters)| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|(name, kind)| json!({"name": name, "schema": {"type": kind}}))
            .collect();
        json!({"name": name, "summary": summary, "paramStructure": "by-name",
               "params": parameters, "result": {"name": "result", "schema": {"type": "object"}}})
    });
    json!({"openrpc": "1.3.2",
           "info": {"title": "SwarmLLM node", "version": env!("CARGO_PKG_VERSION")},
           "methods": methods})
}

fn params<T: DeserializeOwned>(request: &Request) -> Result<T, RpcError> {
    let params = match &request.params {
        Value::Null => json!({}),
        params => params.clone(),
    };
    if !params.is_object() {
        return Err(RpcError::new(INVALID_PARAMS, "parameters are given by name, as an object"));
    }
    serde_json::from_value(params)
        .map_err(|error| RpcError::new(INVALID_PARAMS, format!("{}: {error}", request.method)))
}

fn no_params(request: &Request) -> Result<(), RpcError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    params::<Nothing>(request).map(|_| ())
}

pub(super) fn node_error(error: NodeError) -> RpcError {
    RpcError::new(INTERNAL_ERROR, error.to_string())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerateParams {
    model: Option<String>,
    messages: Option<Vec<Value>>,
    prompt: Option<String>,
    tokens: Option<Vec<u32>>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    seed: Option<i64>,
    #[serde(default)]
    stop: Vec<String>,
    client: Option<String>,
    deadline_ms: Option<u64>,
    /// No provider in the cloud may answer.
    #[serde(default)]
    private: bool,
}

impl GenerateParams {
    fn into_request(self, default_model: String) -> Result<GenerateRequest, String> {
        let prompt = match (self.messages, self.prompt, self.tokens) {
            (Some(messages), None, None) => Prompt::Chat(Chat::of_messages(Value::Array(messages))),
            (None, Some(text), None) => Prompt::Text(text),
            (None, None, Some(tokens)) => Prompt::Tokens(tokens),
            _ => return Err("give exactly one of messages, prompt and tokens".to_owned()),
        };
        if self.stop.len() > STOPS_MAX {
            return Err(format!("at most {STOPS_MAX} stop texts"));
        }
        let fields = SamplingFields {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            seed: self.seed,
            ..SamplingFields::default()
        };
        Ok(GenerateRequest {
            sampling: fields.resolve(0.0, 0).map_err(|error| error.to_string())?,
            max_tokens: self.max_tokens,
            stop: self.stop,
            client: self.client.unwrap_or_default(),
            deadline: self.deadline_ms.map(Duration::from_millis),
            private: self.private,
            ..GenerateRequest::new(self.model.unwrap_or(default_model), prompt)
        })
    }
}

async fn generate(
    state: &ControlState,
    request: &Request,
    lines: &Lines,
) -> Result<Value, RpcError> {
    let params: GenerateParams = params(request)?;
    let default_model = match &params.model {
        Some(name) => name.clone(),
        None => {
            let models = state.node.models().await.map_err(node_error)?;
            models.into_iter().next().map(|model| model.name).unwrap_or_default()
        }
    };
    let generate = params
        .into_request(default_model)
        .map_err(|message| RpcError::new(INVALID_PARAMS, message))?;
    let mut stream = state.node.generate(generate).await.map_err(generation_error)?;
    let mut text = String::new();
    while let Some(event) = stream.events.recv().await {
        match event.map_err(generation_error)? {
            TokenEvent::Started { prompt_tokens } => {
                let params = json!({"id": request.id, "prompt_tokens": prompt_tokens});
                notify(lines, "generate.started", &params).await?;
            }
            TokenEvent::Part(ChatEvent::Content(piece)) => {
                text.push_str(&piece);
                let params = json!({"id": request.id, "text": piece});
                notify(lines, "generate.text", &params).await?;
            }
            TokenEvent::Part(ChatEvent::Reasoning(piece)) => {
                let params = json!({"id": request.id, "text": piece});
                notify(lines, "generate.reasoning", &params).await?;
            }
            TokenEvent::Opened { .. } | TokenEvent::Sampled(_) | TokenEvent::Part(_) => {}
            TokenEvent::Finished(summary) => {
                let mut result = json!(summary);
                result["text"] = text.into();
                return Ok(result);
            }
        }
    }
    Err(RpcError::new(INTERNAL_ERROR, "the answer ended without its end; see the node's log"))
}

fn generation_error(error: GenerateError) -> RpcError {
    RpcError {
        code: GENERATION_FAILED,
        message: error.message,
        data: Some(Box::new(json!({"kind": error.kind}))),
    }
}

async fn notify(lines: &Lines, method: &str, params: &Value) -> Result<(), RpcError> {
    let gone = |_| RpcError::new(INTERNAL_ERROR, "the connection was closed");
    lines.send(request_line(None, method, params)).await.map_err(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params_of(value: Value) -> Result<GenerateRequest, String> {
        let params: GenerateParams =
            serde_json::from_value(value).map_err(|error| error.to_string())?;
        params.into_request("demo".to_owned())
    }

    #[test]
    fn a_generation_is_greedy_unless_told_otherwise() {
        let request = params_of(json!({"prompt": "a"})).expect("valid");
        assert_eq!(request.sampling.temperature, 0.0);
        assert_eq!((request.model.as_str(), request.prompt), ("demo", Prompt::Text("a".into())));
    }

    #[test]
    fn exactly_one_prompt_is_taken_and_unknown_fields_are_not() {
        assert!(params_of(json!({})).is_err());
        assert!(params_of(json!({"prompt": "a", "tokens": [1]})).is_err());
        assert!(params_of(json!({"prompt": "a", "temprature": 1})).is_err());
        assert!(params_of(json!({"prompt": "a", "temperature": 9})).is_err());
    }

    #[test]
    fn every_listed_method_is_in_the_document() {
        let document = discover();
        let methods = document["methods"].as_array().expect("array");
        assert_eq!(methods.len(), METHODS.len());
        let generate = methods.iter().find(|method| method["name"] == "generate");
        assert_eq!(generate.expect("listed")["params"][0]["name"], "model");
    }
}
