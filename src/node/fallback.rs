//! Who answers a request: the swarm, or a provider in the cloud when the swarm can't.
//!
//! Called by `NodeHandle::generate`; what doors may ask about such providers is here too. The swarm
//! is always asked first. A request that has a stand-in is given to the door only when every stage
//! has a place for it, so that who answers is decided before the first event: no answer changes
//! hands after that. One that waits longer than [`DECIDE`] stays with the swarm. Further samples of
//! a prompt go where the first one went. Who answers is noted for the caller, and withdrawn when
//! the answer fails after all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use swarmllm_protocol::ids::RequestId;
use tokio::sync::oneshot;

use super::{NodeHandle, answer};
use crate::caller::{AnsweredBy, Caller};
use crate::cloud::{Asked, CloudError, CloudModel, Held, Reason, Target};
use crate::generate::{ErrorKind, GenerateError, GenerateRequest, GenerationStream, Prompt};

/// How long a door is kept waiting for the swarm's decision; no client takes that for death.
const DECIDE: Duration = Duration::from_secs(20);

/// Starts an answer.
pub(super) async fn generate(
    node: &NodeHandle,
    mut request: GenerateRequest,
) -> Result<GenerationStream, GenerateError> {
    let began = Instant::now();
    if let Some(caller) = node.caller.as_ref().filter(|_| request.client.is_empty()) {
        request.client = caller.client().to_owned();
    }
    request.private |= forbids_cloud(node);
    if let Some(first) = request.sample_of {
        let by = node.caller.as_ref().and_then(|caller| caller.who_answers(first));
        let Some(AnsweredBy::Cloud(target, reason)) = by else {
            return by_swarm(node, request, None).await;
        };
        let asked = Asked { target, reason, request, began };
        return by_cloud(node, asked).await.map_err(|error| error.to_generate_error());
    }
    let cloud = &node.shared.cloud;
    if let Some(target) = cloud.stand_in(&request) {
        let (refused, refusal) = oneshot::channel();
        let refusal = match by_swarm(node, request.clone(), Some(refused)).await {
            Err(error) => error,
            Ok(stream) => match tokio::time::timeout(DECIDE, refusal).await {
                Ok(Ok(error)) => error,
                // Accepted, or still in a queue.
                Ok(Err(_)) | Err(_) => return Ok(note(node, stream, AnsweredBy::Swarm)),
            },
        };
        let Some(reason) = Reason::of_kind(refusal.kind) else { return Err(refusal) };
        let asked = Asked { target: target.clone(), reason, request, began };
        let answered = by_cloud(node, asked).await;
        return answered.map_err(|error| both(refusal, &target, &error));
    }
    let Some(target) = cloud.named(&request.model) else {
        return by_swarm(node, request, None).await.map(|s| note(node, s, AnsweredBy::Swarm));
    };
    // A model of the swarm may have such a name.
    match by_swarm(node, request.clone(), None).await {
        Ok(stream) => Ok(note(node, stream, AnsweredBy::Swarm)),
        Err(refusal) if refusal.kind != ErrorKind::ModelNotFound => Err(refusal),
        Err(refusal) => {
            if let Err(why) = cloud.may_leave(request.private) {
                return Err(not_asked(refusal, &target, why));
            }
            let asked = Asked { target, reason: Reason::Named, request, began };
            by_cloud(node, asked).await.map_err(|error| error.to_generate_error())
        }
    }
}

/// An answer of a provider counts like one of the swarm.
struct UnderWay {
    caller: Option<Arc<Caller>>,
    _counters: answer::Counters,
}

impl Held for UnderWay {
    fn failed(&self, request: RequestId) {
        if let Some(caller) = &self.caller {
            caller.withdraw(request);
        }
    }
}

impl NodeHandle {
    /// Tokens of a prompt that only a provider in the cloud could answer, estimated by its length,
    /// and who that is. Nobody is asked: a count is no reason to send a prompt away. `unknown` is
    /// this node's own refusal.
    ///
    /// # Errors
    /// That one where no provider could answer, else why it may not be asked.
    pub fn estimate_tokens(
        &self,
        (model, prompt): (&str, &Prompt),
        unknown: GenerateError,
    ) -> Result<(u32, Target), GenerateError> {
        let private = forbids_cloud(self);
        let request = GenerateRequest { private, ..GenerateRequest::new(model, prompt.clone()) };
        let cloud = self.cloud();
        let Some(target) = cloud.stand_in(&request).or_else(|| cloud.named(model)) else {
            return Err(unknown);
        };
        if let Err(why) = cloud.may_leave(private) {
            return Err(not_asked(unknown, &target, why));
        }
        let tokens = cloud.estimate(&target, &request);
        Ok((tokens.map_err(|error| error.to_generate_error())?, target))
    }

    /// Models of providers that this caller's requests may name.
    pub fn cloud_models(&self) -> Vec<CloudModel> {
        self.cloud().models(forbids_cloud(self))
    }
}

/// Whether the caller wants everything to stay in the swarm.
fn forbids_cloud(node: &NodeHandle) -> bool {
    node.caller.as_ref().is_some_and(|caller| caller.forbids_cloud())
}

/// The swarm knows no such model, and the provider that the name says may not be asked.
fn not_asked(refusal: GenerateError, target: &Target, why: &str) -> GenerateError {
    let message = format!("{}; {} is not asked: {why}", refusal.message, target.provider);
    GenerateError { message, ..refusal }
}

async fn by_swarm(
    node: &NodeHandle,
    request: GenerateRequest,
    refused: Option<oneshot::Sender<GenerateError>>,
) -> Result<GenerationStream, GenerateError> {
    let tree = node.tree().map_err(|error| answer::unavailable(error.to_string()))?;
    let asked = answer::Asked {
        local: node.peer_id(),
        prefix_secret: node.shared.prefix_secret,
        request,
        refused,
        caller: node.caller.clone(),
    };
    let counters = answer::Counters::admit(&node.shared.n_active, &node.shared.n_finished)?;
    answer::start(&tree, asked, (counters, &node.shared.metrics)).await
}

async fn by_cloud(node: &NodeHandle, asked: Asked) -> Result<GenerationStream, CloudError> {
    let shared = &node.shared;
    let by = AnsweredBy::Cloud(asked.target.clone(), asked.reason);
    let admitted = answer::Counters::admit(&shared.n_active, &shared.n_finished);
    let counters = admitted.map_err(|_| CloudError::NodeBusy)?;
    let held = UnderWay { caller: node.caller.clone(), _counters: counters };
    let stream = shared.cloud.answer(asked, held).await?;
    Ok(note(node, stream, by))
}

fn note(node: &NodeHandle, stream: GenerationStream, by: AnsweredBy) -> GenerationStream {
    if let Some(caller) = &node.caller {
        caller.note(stream.request, by);
    }
    stream
}

/// The swarm's refusal, and why its stand-in did not help.
fn both(refusal: GenerateError, target: &Target, error: &CloudError) -> GenerateError {
    let other = error.to_generate_error();
    let message = format!("{}; {target}, which stands in, failed too: {error}", refusal.message);
    let kind = match (refusal.kind, other.kind) {
        (_, ErrorKind::DeadlinePassed) => ErrorKind::DeadlinePassed,
        (ErrorKind::ModelNotFound, kind) => kind,
        (kind, _) => kind,
    };
    let retry_after_s = refusal.retry_after_s.or(other.retry_after_s);
    GenerateError { kind, message, retry_after_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stand_in_does_not_hide_the_swarm_s_own_refusal() {
        let target = Target::of_text("openai/gpt").expect("valid");
        let refused = |status| CloudError::Refused {
            provider: "openai".to_owned(),
            status,
            message: "no".to_owned(),
            retry_after_ms: Some(1500),
        };
        let no_route = GenerateError::new(ErrorKind::NoRoute, "layers are missing");
        let error = both(no_route, &target, &refused(429));
        assert_eq!((error.kind, error.retry_after_s), (ErrorKind::NoRoute, Some(2)));
        assert!(error.message.contains("layers are missing") && error.message.contains("429"));
        let unknown = GenerateError::new(ErrorKind::ModelNotFound, "no model");
        assert_eq!(both(unknown, &target, &refused(500)).kind, ErrorKind::NoRoute);
    }
}
