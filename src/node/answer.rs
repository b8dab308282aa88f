//! One answer between the door and the generation: prompt to ids, ids to text, errors to kinds.
//!
//! Called by `NodeHandle::generate`. The generation runs on the node's own Arbiter; this part runs
//! where the door runs, so that detokenising never delays another stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use actix::{Actor, Addr};
use swarmllm_actors::batch_scheduler::policy::client_number;
use swarmllm_actors::entropy;
use swarmllm_actors::generation::{
    Generation, GenerationError, GenerationEvent, GenerationReport, GenerationRequest,
    StopGeneration,
};
use swarmllm_actors::mailbox::offer_to;
use swarmllm_actors::model_store::{FindModel, OpenModel};
use swarmllm_models::KvType;
use swarmllm_models::tokenizer::StreamDecoder;
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::session::{self, GenerationPlan, PlanError};
use tokio::sync::mpsc;

use super::metrics::{Metrics, RequestMeter};
use super::tree::{NodeTree, wire_cache, wire_profile};
use crate::generate::{
    ErrorKind, FinishReason, GenerateError, GenerateRequest, GenerationStream, RouteStage, Summary,
    TokenEvent,
};
use crate::prompt;
use crate::stop::StopMatcher;

/// Answers under way at once; more are told to come back.
const ACTIVE_MAX: usize = 256;
/// Events between generation and door; a slow reader slows its own answer only.
const EVENTS: usize = 64;
/// Prompt tokens of one message; how many are computed at once is the stages' matter.
const CHUNK: u32 = 2048;

/// Counts an answer as active while it lives, and as finished afterwards.
pub(super) struct Counters {
    n_active: Arc<AtomicUsize>,
    n_finished: Arc<AtomicU64>,
}

impl Counters {
    /// Takes a place, if there is one.
    pub(super) fn admit(
        n_active: &Arc<AtomicUsize>,
        n_finished: &Arc<AtomicU64>,
    ) -> Result<Counters, GenerateError> {
        let taken = n_active.fetch_add(1, Ordering::Relaxed);
        let counters =
            Counters { n_active: Arc::clone(n_active), n_finished: Arc::clone(n_finished) };
        if taken >= ACTIVE_MAX {
            let message = format!("{ACTIVE_MAX} answers are under way; try again in a moment");
            return Err(GenerateError::new(ErrorKind::Busy, message));
        }
        Ok(counters)
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        self.n_active.fetch_sub(1, Ordering::Relaxed);
        self.n_finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// An error of a node that can't serve now.
pub(super) fn unavailable(message: impl Into<String>) -> GenerateError {
    GenerateError::new(ErrorKind::Internal, message)
}

/// A request with what its node adds to it.
pub(super) struct Asked {
    pub(super) local: PeerId,
    pub(super) prefix_secret: [u8; 32],
    pub(super) request: GenerateRequest,
}

/// Checks the request, starts its generation and the task that turns tokens into text.
pub(super) async fn start(
    tree: &NodeTree,
    asked: Asked,
    (counters, metrics): (Counters, &Metrics),
) -> Result<GenerationStream, GenerateError> {
    let Asked { local, prefix_secret, request } = asked;
    let began = Instant::now();
    let model = find_model(tree, &request.model).await?;
    let plan = plan_of(&model, &request)?;
    let prompt_tokens = u32::try_from(plan.prompt.len()).unwrap_or(u32::MAX);
    let generation = GenerationRequest {
        request: RequestId(entropy::bytes()),
        local,
        client: client_number(&request.client),
        model: model.id,
        model_name: model.name.clone(),
        n_layers: model.n_layers(),
        profile: wire_profile(model.profile),
        cache: wire_cache(model.cache),
        plan,
        sampling: request.sampling,
        sample_of: request.sample_of,
        prefix_secret,
        deadline: request.deadline,
    };
    let id = generation.request;
    let (door, tokens) = mpsc::channel(EVENTS);
    let actor =
        Generation::new(generation, tree.generation_links(), door).map_err(generate_error)?;
    let actor = Generation::start_in_arbiter(&tree.net, move |_| actor);
    let (sender, events) = mpsc::channel(EVENTS);
    let answer = Answer {
        generation: actor,
        tokens,
        events: sender,
        decoder: model.tokenizer.stream(),
        stops: StopMatcher::new(request.stop),
        token_ids: Vec::new(),
        prompt_tokens,
        cache: model.cache,
        is_stopped: false,
        meter: metrics.request(&model.name, began),
        _counters: counters,
    };
    actix_web::rt::spawn(answer.run());
    Ok(GenerationStream { request: id, events })
}

async fn find_model(tree: &NodeTree, name: &str) -> Result<OpenModel, GenerateError> {
    let find = FindModel { name: name.to_owned() };
    let found = tree.model_store.send(find).await;
    let found = found.map_err(|error| unavailable(error.to_string()))?;
    found.ok_or_else(|| {
        let message = format!("no model {name:?} here; `swarmllm status` lists those that are");
        GenerateError::new(ErrorKind::ModelNotFound, message)
    })
}

fn plan_of(model: &OpenModel, request: &GenerateRequest) -> Result<GenerationPlan, GenerateError> {
    let invalid = |message: String| GenerateError::new(ErrorKind::Invalid, message);
    let tokens = prompt::tokens(&model.tokenizer, model.template.as_deref(), &request.prompt)
        .map_err(|error| invalid(error.to_string()))?;
    let config = model.model.config();
    if let Some(id) = tokens.iter().find(|id| **id >= config.vocab) {
        return Err(invalid(format!("token {id} is beyond the vocabulary of {}", config.vocab)));
    }
    let room =
        config.context_length.saturating_sub(u32::try_from(tokens.len()).unwrap_or(u32::MAX));
    Ok(GenerationPlan {
        prompt: tokens,
        chunk: CHUNK,
        max_new: request.max_tokens.unwrap_or(room).min(room.max(1)),
        end_tokens: model.tokenizer.end_tokens(),
        context: config.context_length,
    })
}

/// The task between generation and door.
struct Answer {
    generation: Addr<Generation>,
    tokens: mpsc::Receiver<GenerationEvent>,
    events: mpsc::Sender<Result<TokenEvent, GenerateError>>,
    decoder: StreamDecoder,
    stops: StopMatcher,
    token_ids: Vec<u32>,
    prompt_tokens: u32,
    cache: KvType,
    is_stopped: bool,
    meter: RequestMeter,
    _counters: Counters,
}

impl Answer {
    /// Runs until the generation ends or the door goes away; dropping `tokens` cancels everywhere.
    async fn run(mut self) {
        let started = TokenEvent::Started { prompt_tokens: self.prompt_tokens };
        if self.events.send(Ok(started)).await.is_err() {
            return;
        }
        loop {
            let event = tokio::select! {
                event = self.tokens.recv() => event,
                () = self.events.closed() => return,
            };
            let is_open = match event {
                Some(GenerationEvent::Started) => true,
                Some(GenerationEvent::Token(token)) => self.token(token).await,
                Some(GenerationEvent::Finished(report)) => return self.finish(report).await,
                Some(GenerationEvent::Failed(error)) => {
                    return self.fail(generate_error(error)).await;
                }
                None => {
                    let message = "a part of this node ended during the answer; ask again";
                    return self.fail(unavailable(message)).await;
                }
            };
            if !is_open {
                return;
            }
        }
    }

    /// Returns false once nobody listens any more.
    async fn token(&mut self, token: u32) -> bool {
        if self.is_stopped {
            return true;
        }
        self.meter.token(self.prompt_tokens);
        self.token_ids.push(token);
        let piece = self.decoder.push(token);
        self.text(&piece).await
    }

    async fn text(&mut self, piece: &str) -> bool {
        let step = self.stops.push(piece);
        if step.stopped && !self.is_stopped {
            self.is_stopped = true;
            // If its box is full it goes on to its limit; the text has ended all the same.
            offer_to(&self.generation, StopGeneration);
        }
        step.text.is_empty() || self.events.send(Ok(TokenEvent::Text(step.text))).await.is_ok()
    }

    async fn finish(mut self, report: GenerationReport) {
        if !self.is_stopped {
            let rest = self.decoder.finish();
            if !self.text(&rest).await {
                return;
            }
            let held = self.stops.finish();
            if !self.is_stopped
                && !held.is_empty()
                && self.events.send(Ok(TokenEvent::Text(held))).await.is_err()
            {
                return;
            }
        }
        let finish_reason = match report.reason {
            session::FinishReason::Length if !self.is_stopped => FinishReason::Length,
            _ => FinishReason::Stop,
        };
        self.meter.finished(finish_reason, report.queue_ms / 1000.0);
        let summary = Summary {
            finish_reason,
            prompt_tokens: self.prompt_tokens,
            token_ids: std::mem::take(&mut self.token_ids),
            route: report.stages.iter().map(route_stage).collect(),
            cached_tokens: report.cached_tokens,
            preemptions: report.preemptions,
            cache: self.cache.to_string(),
            queue_ms: report.queue_ms,
            ttft_ms: report.ttft_ms,
            decode_tok_s: report.decode_tok_s,
        };
        // The door may close right before the end; nobody is left to tell.
        let _ = self.events.send(Ok(TokenEvent::Finished(summary))).await;
    }

    async fn fail(mut self, error: GenerateError) {
        self.meter.failed();
        // As above.
        let _ = self.events.send(Err(error)).await;
    }
}

fn route_stage(stage: &swarmllm_actors::generation::StageReport) -> RouteStage {
    RouteStage {
        peer: stage.peer.to_string(),
        layers: [stage.layers.start, stage.layers.end],
        compute_ms: stage.compute_ms,
        hop_ms: stage.hop_ms,
        bytes_out: stage.bytes_out,
    }
}

fn generate_error(error: GenerationError) -> GenerateError {
    let kind = match &error {
        GenerationError::Plan(PlanError::PromptTooLong { .. }) => ErrorKind::ContextLength,
        GenerationError::Plan(_) => ErrorKind::Invalid,
        GenerationError::NoRoute(_) => ErrorKind::NoRoute,
        GenerationError::Refused { is_busy: true, .. } => ErrorKind::Busy,
        GenerationError::Refused { .. } => ErrorKind::NoRoute,
        GenerationError::StageLost { .. } | GenerationError::TimedOut { .. } => {
            ErrorKind::StageLost
        }
        GenerationError::DeadlinePassed { .. } => ErrorKind::DeadlinePassed,
        GenerationError::OutOfOrder(_) | GenerationError::Internal(_) => ErrorKind::Internal,
    };
    let retry_after_s = match &error {
        GenerationError::Refused { retry_after_s, .. } if *retry_after_s > 0 => {
            Some(*retry_after_s)
        }
        _ => None,
    };
    GenerateError { kind, message: error.to_string(), retry_after_s }
}
