//! A running node of this machine, reached over its control socket: what `swarmllm mcp` works on.
//!
//! Called by `cli/mcp.rs`. Every question has a connection of its own, so that dropping it cancels
//! what it asked for, and a node that was started again is found again.
//! Errors: [`GenerateError`] with the message of the socket's client.

use std::path::PathBuf;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;
use swarmllm_protocol::ids::RequestId;
use tokio::sync::mpsc;

use super::node::{Look, Node};
use crate::{
    control::client::{ClientError, ControlClient, Step},
    generate::{ErrorKind, GenerateError, GenerateRequest, GenerationStream, Prompt, TokenEvent},
};

/// Events between the connection and whoever reads them.
const EVENTS: usize = 64;

type Event = Result<TokenEvent, GenerateError>;

/// A node behind its control socket.
#[derive(Debug, Clone)]
pub struct RemoteNode {
    socket: PathBuf,
    private: bool,
}

impl RemoteNode {
    /// The node that listens there, now or later; `private` requests never leave the swarm.
    pub fn at(socket: PathBuf, private: bool) -> RemoteNode {
        RemoteNode { socket, private }
    }

    async fn start(&self, mut request: GenerateRequest) -> Result<GenerationStream, GenerateError> {
        // Each process is a client of its own; clients share a node evenly.
        request.client = format!("mcp-{}", std::process::id());
        request.private |= self.private;
        let params = params_of(&request)?;
        let mut client = ControlClient::connect(&self.socket).await.map_err(failure)?;
        let id = client.ask("generate", params).await.map_err(failure)?;
        let (sender, events) = mpsc::channel(EVENTS);
        tokio::spawn(async move {
            tokio::select! {
                () = forward(client, id, &sender) => {}
                // Nobody listens any more: the connection ends, and with it the answer.
                () = sender.closed() => {}
            }
        });
        // Further samples of a prompt are not asked for over this door.
        Ok(GenerationStream { request: RequestId([0; 16]), events })
    }
}

impl Node for RemoteNode {
    fn generate(
        &self,
        request: GenerateRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, GenerateError>> {
        self.start(request).boxed()
    }

    fn look(&self, what: Look) -> BoxFuture<'_, Result<Value, GenerateError>> {
        async move {
            let mut client = ControlClient::connect(&self.socket).await.map_err(failure)?;
            client.call(what.method(), json!({})).await.map_err(failure)
        }
        .boxed()
    }
}

/// The parameters of the control method `generate`; what it can't say is refused.
fn params_of(request: &GenerateRequest) -> Result<Value, GenerateError> {
    let Prompt::Chat(chat) = &request.prompt else {
        let message = "only conversations go over the control socket";
        return Err(GenerateError::new(ErrorKind::Invalid, message));
    };
    Ok(json!({
        "model": request.model,
        "messages": chat.messages,
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "seed": request.sampling.seed.cast_signed(),
        "client": request.client,
        "private": request.private,
    }))
}

/// Turns what comes over the connection into events, up to the end.
async fn forward(mut client: ControlClient, id: u64, events: &mpsc::Sender<Event>) {
    loop {
        let (event, is_last) = match client.step(id).await {
            Ok(Step::Heard(method, params)) => match heard(&method, &params) {
                Some(event) => (Ok(event), false),
                None => continue,
            },
            Ok(Step::Answered(summary)) => (finished(summary), true),
            Err(error) => (Err(failure(error)), true),
        };
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

fn heard(method: &str, params: &Value) -> Option<TokenEvent> {
    let text = || params["text"].as_str().map(str::to_owned);
    match method {
        "generate.started" => {
            let prompt_tokens = u32::try_from(params["prompt_tokens"].as_u64()?).ok()?;
            Some(TokenEvent::Started { prompt_tokens })
        }
        "generate.text" => Some(TokenEvent::Part(ChatEvent::Content(text()?))),
        "generate.reasoning" => Some(TokenEvent::Part(ChatEvent::Reasoning(text()?))),
        _ => None,
    }
}

fn finished(summary: Value) -> Event {
    serde_json::from_value(summary).map(TokenEvent::Finished).map_err(|error| {
        let message = format!("the node's answer is not understood ({error}); is it this version?");
        GenerateError::new(ErrorKind::Internal, message)
    })
}

fn failure(error: ClientError) -> GenerateError {
    let kind = match &error {
        ClientError::Refused(refused) => refused.data.as_ref().and_then(|data| {
            let kind = data.get("kind").cloned()?;
            serde_json::from_value(kind).ok()
        }),
        _ => None,
    };
    GenerateError::new(kind.unwrap_or(ErrorKind::Internal), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Chat;

    #[test]
    fn a_request_keeps_what_decides_its_tokens() {
        let messages = json!([{"role": "user", "content": "hi"}]);
        let mut request =
            GenerateRequest::new("demo", Prompt::Chat(Chat::of_messages(messages.clone())));
        request.sampling.seed = u64::MAX;
        request.max_tokens = Some(3);
        let params = params_of(&request).expect("a chat");
        assert_eq!((&params["messages"], &params["max_tokens"]), (&messages, &json!(3)));
        assert_eq!(params["seed"], -1);
        request.prompt = Prompt::Tokens(vec![1]);
        assert_eq!(params_of(&request).expect_err("no chat").kind, ErrorKind::Invalid);
    }

    #[test]
    fn a_refusal_keeps_its_kind() {
        let refused: ClientError = serde_json::from_value::<crate::control::json_rpc::RpcError>(
            json!({"code": -32000, "message": "no model", "data": {"kind": "model_not_found"}}),
        )
        .expect("an error")
        .into();
        assert_eq!(failure(refused), GenerateError::new(ErrorKind::ModelNotFound, "no model"));
        assert_eq!(failure(ClientError::Closed).kind, ErrorKind::Internal);
    }

    #[test]
    fn what_is_no_summary_is_an_error_and_unknown_notifications_are_left_out() {
        assert!(finished(json!({"text": "no summary"})).is_err());
        assert_eq!(heard("generate.other", &json!({})), None);
        assert_eq!(heard("generate.text", &json!({})), None);
    }
}
