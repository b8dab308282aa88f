//! One answer between the door and the generation: prompt to ids, ids to text, errors to kinds.
//!
//! Called by `NodeHandle::generate`. The generation runs on the node's own Arbiter; this part runs
//! where the door runs, so that detokenising never delays another stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use serde_json::{Value, json};
use swarmllm_actors::batch_scheduler::policy::client_number;
use swarmllm_actors::entropy;
use swarmllm_actors::generation::{
    Generation, GenerationError, GenerationEvent, GenerationReport, GenerationRequest, Gives,
    StopGeneration,
};
use swarmllm_actors::mailbox::offer_to;
use swarmllm_actors::model_store::{FindModel, OpenModel};
use swarmllm_models::KvType;
use swarmllm_models::chat_output::{ChatEvent, ChatOutputParser, OutputFormat};
use swarmllm_models::constraint::{AnswerCalls, AnswerRules, AnswerText, answer_grammar};
use swarmllm_models::tokenizer::{StreamDecoder, Tokenizer};
use swarmllm_protocol::guide::{GrammarKind, GuideGrammar};
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::session::{self, GenerationPlan, PlanError};
use swarmllm_protocol::wire::LogProbabilities;
use tokio::sync::{mpsc, oneshot};

use super::metrics::{Metrics, RequestMeter};
use super::tree::{NodeTree, wire_cache, wire_profile};
use crate::caller::Caller;
use crate::generate::{
    AnswerFormat, ErrorKind, FinishReason, GenerateError, GenerateRequest, GenerationStream,
    Prompt, RouteStage, SampledToken, Summary, TokenEvent, TokenLogProbability, ToolChoice,
};
use crate::prompt::{self, PreparedPrompt};
use crate::stop::StopMatcher;

/// Answers under way at once; more are told to come back.
const ACTIVE_MAX: usize = 256;
/// Events between generation and door; a slow reader slows its own answer only.
const EVENTS: usize = 64;
/// How long a door may leave events unread: a client that stands still must not hold pages forever.
const UNREAD_DEADLINE: Duration = Duration::from_secs(300);
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
    /// Is told of a failure instead of the door until every stage has a place; then it is dropped.
    pub(super) refused: Option<oneshot::Sender<GenerateError>>,
    /// Whose request it is, if a door made a caller for it.
    pub(super) caller: Option<Arc<Caller>>,
}

/// Checks the request, starts its generation and the task that turns tokens into text.
pub(super) async fn start(
    tree: &NodeTree,
    asked: Asked,
    (counters, metrics): (Counters, &Metrics),
) -> Result<GenerationStream, GenerateError> {
    let began = Instant::now();
    let model = find_model(tree, &asked.request.model).await?;
    let prepared = prepare(&model, &asked.request.prompt)?;
    let PreparedPrompt { output, in_reasoning, .. } = prepared;
    let generation = generation_request(&model, &asked, prepared)?;
    let prompt_tokens = u32::try_from(generation.plan.prompt.len()).unwrap_or(u32::MAX);
    let id = generation.request;
    let (door, tokens) = mpsc::channel(EVENTS);
    let actor =
        Generation::new(generation, tree.generation_links(), door).map_err(generate_error)?;
    let actor = Generation::start_in_arbiter(&tree.net, move |_| actor);
    let (sender, events) = mpsc::channel(EVENTS);
    let answer = Answer {
        id,
        generation: actor,
        tokens,
        events: sender,
        tokenizer: Arc::clone(&model.tokenizer),
        decoder: model.tokenizer.stream_with_tags(&output.tags()),
        stops: StopMatcher::new(asked.request.stop),
        parser: ChatOutputParser::new(output, in_reasoning),
        token_ids: Vec::new(),
        reasoning_tokens: 0,
        has_called: false,
        is_single_call: matches!(&asked.request.prompt, Prompt::Chat(chat) if chat.single_call),
        prompt_tokens,
        cache: model.cache,
        meter: metrics.request(&model.name, began),
        refused: asked.refused,
        caller: asked.caller,
        _counters: counters,
    };
    // Not on the local set of a door: some doors run where there is none.
    tokio::spawn(answer.run());
    Ok(GenerationStream { request: id, events })
}

/// What a request asks of the swarm, once its prompt is tokens.
pub(super) fn generation_request(
    model: &OpenModel,
    asked: &Asked,
    prepared: PreparedPrompt,
) -> Result<GenerationRequest, GenerateError> {
    let Asked { local, prefix_secret, request, .. } = asked;
    Ok(GenerationRequest {
        request: RequestId(entropy::bytes()),
        local: *local,
        client: client_number(&request.client),
        model: model.id,
        model_name: model.name.clone(),
        n_layers: model.n_layers(),
        n_vocab: model.model.config().vocab,
        hidden: model.model.config().hidden,
        profile: wire_profile(model.profile),
        cache: wire_cache(model.cache),
        grammar: grammar_of(model, request, &prepared)?,
        plan: plan_of(model, request, prepared.tokens)?,
        gives: Gives::Tokens,
        sampling: request.sampling,
        logit_bias: request.logit_bias.clone(),
        log_probabilities: request.log_probabilities,
        sample_of: request.sample_of,
        prefix_secret: *prefix_secret,
        deadline: request.deadline,
    })
}

/// Tokens of a prompt, as its model reads it.
pub(super) async fn count_tokens(
    tree: &NodeTree,
    (name, prompt): (&str, &Prompt),
) -> Result<u32, GenerateError> {
    let model = find_model(tree, name).await?;
    Ok(u32::try_from(prepare(&model, prompt)?.tokens.len()).unwrap_or(u32::MAX))
}

/// What the answer must follow, as the last stage takes it: a bound text or calls, behind reasoning
/// where the model reasons.
fn grammar_of(
    model: &OpenModel,
    request: &GenerateRequest,
    prepared: &PreparedPrompt,
) -> Result<Option<GuideGrammar>, GenerateError> {
    let object = json!({"type": "object"});
    let text = match &request.format {
        AnswerFormat::Text => AnswerText::Free,
        AnswerFormat::JsonObject => AnswerText::Json(&object),
        AnswerFormat::JsonSchema(schema) => AnswerText::Json(schema),
        AnswerFormat::Regex(text) => AnswerText::Regex(text),
        AnswerFormat::Lark(text) => {
            return Ok(Some(GuideGrammar { kind: GrammarKind::Lark, text: text.clone() }));
        }
    };
    let calls = callable(&request.prompt)?;
    let is_free = matches!(text, AnswerText::Free);
    let rules = match &calls {
        Some(Callable { tools, single, is_forced, is_strict }) => {
            if is_free && !is_forced && !is_strict {
                return Ok(None);
            }
            let calls = Some(AnswerCalls { tools, single: *single });
            AnswerRules { text: Some(text).filter(|_| !is_forced), calls }
        }
        None if is_free => return Ok(None),
        None => AnswerRules { text: Some(text), calls: None },
    };
    let template = model.template.as_ref().map_or("", |template| template.source());
    let format = (&prepared.output, template);
    let text = answer_grammar(format, prepared.in_reasoning, rules, &model.tokenizer);
    let text = text.map_err(|error| GenerateError::new(ErrorKind::Grammar, error.to_string()))?;
    Ok(Some(GuideGrammar { kind: GrammarKind::Lark, text }))
}

/// Tools that an answer may call, and how.
struct Callable {
    tools: Vec<Value>,
    single: bool,
    is_forced: bool,
    is_strict: bool,
}

fn callable(prompt: &Prompt) -> Result<Option<Callable>, GenerateError> {
    let Prompt::Chat(chat) = prompt else { return Ok(None) };
    let name = |tool: &Value| tool["function"]["name"].as_str().map(str::to_owned);
    let tools: Vec<Value> = match &chat.tool_choice {
        ToolChoice::None => return Ok(None),
        ToolChoice::Auto if chat.tools.is_empty() => return Ok(None),
        ToolChoice::Auto | ToolChoice::Required => chat.tools.clone(),
        ToolChoice::OneOf(names) => {
            let is_meant = |tool: &&Value| name(tool).is_some_and(|name| names.contains(&name));
            chat.tools.iter().filter(is_meant).cloned().collect()
        }
    };
    if tools.is_empty() {
        let message = "a call is forced, but of no tool that is offered; add it to the tools";
        return Err(GenerateError::new(ErrorKind::Grammar, message));
    }
    let is_one = matches!(&chat.tool_choice, ToolChoice::OneOf(names) if names.len() == 1);
    Ok(Some(Callable {
        tools,
        single: chat.single_call || is_one,
        is_forced: chat.tool_choice != ToolChoice::Auto,
        is_strict: chat.tools.iter().any(|tool| tool["function"]["strict"] == true),
    }))
}

pub(super) fn prepare(model: &OpenModel, prompt: &Prompt) -> Result<PreparedPrompt, GenerateError> {
    let prepared = prompt::prepare(&model.tokenizer, model.template.as_deref(), prompt);
    prepared.map_err(|error| GenerateError::new(ErrorKind::Invalid, error.to_string()))
}

/// A model of this node.
pub(super) async fn find_model(tree: &NodeTree, name: &str) -> Result<OpenModel, GenerateError> {
    let find = FindModel { name: name.to_owned() };
    let found = super::ask(&tree.model_store, find).await;
    let found = found.map_err(|error| unavailable(error.to_string()))?;
    found.ok_or_else(|| {
        let message = format!("no model {name:?} here; `swarmllm status` lists those that are");
        GenerateError::new(ErrorKind::ModelNotFound, message)
    })
}

fn plan_of(
    model: &OpenModel,
    request: &GenerateRequest,
    tokens: Vec<u32>,
) -> Result<GenerationPlan, GenerateError> {
    let invalid = |message: String| GenerateError::new(ErrorKind::Invalid, message);
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
        end_tokens: match request.ignores_end {
            true => Vec::new(),
            false => model.tokenizer.end_tokens(),
        },
        context: config.context_length,
    })
}

/// The task between generation and door.
struct Answer {
    id: RequestId,
    generation: Addr<Generation>,
    tokens: mpsc::Receiver<GenerationEvent>,
    events: mpsc::Sender<Result<TokenEvent, GenerateError>>,
    tokenizer: Arc<Tokenizer>,
    decoder: StreamDecoder,
    stops: StopMatcher,
    parser: ChatOutputParser,
    token_ids: Vec<u32>,
    reasoning_tokens: u32,
    has_called: bool,
    /// The answer ends with its first call.
    is_single_call: bool,
    prompt_tokens: u32,
    cache: KvType,
    meter: RequestMeter,
    refused: Option<oneshot::Sender<GenerateError>>,
    caller: Option<Arc<Caller>>,
    _counters: Counters,
}

impl Answer {
    /// Runs until the generation ends or the door goes away; dropping `tokens` cancels everywhere.
    async fn run(mut self) {
        let started = TokenEvent::Started { prompt_tokens: self.prompt_tokens };
        if !self.send(started).await {
            return;
        }
        loop {
            let event = tokio::select! {
                event = self.tokens.recv() => event,
                () = self.events.closed() => return,
            };
            let is_open = match event {
                Some(GenerationEvent::Started { cached_tokens }) => {
                    drop(self.refused.take());
                    self.send(TokenEvent::Opened { cached_tokens }).await
                }
                Some(GenerationEvent::Token { token, log_probabilities }) => {
                    self.token(token, log_probabilities).await
                }
                Some(GenerationEvent::Embedding(_) | GenerationEvent::Scores(_)) => true,
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
    async fn token(&mut self, token: u32, likely: Option<LogProbabilities>) -> bool {
        if self.stops.found().is_some() {
            return true;
        }
        self.meter.token(self.prompt_tokens);
        self.token_ids.push(token);
        if let Some(LogProbabilities { chosen, top }) = likely {
            let top = top.into_iter().map(|(id, value)| self.with_bytes(id, value)).collect();
            let sampled = SampledToken { token: self.with_bytes(token, chosen), top };
            if !self.send(TokenEvent::Sampled(sampled)).await {
                return false;
            }
        }
        self.reasoning_tokens += u32::from(self.parser.is_in_reasoning());
        let piece = self.decoder.push(token);
        self.text(&piece).await
    }

    fn with_bytes(&self, id: u32, log_probability: f32) -> TokenLogProbability {
        TokenLogProbability { id, bytes: self.tokenizer.token_bytes(id).to_vec(), log_probability }
    }

    async fn text(&mut self, piece: &str) -> bool {
        let step = self.stops.push(piece);
        if step.stopped {
            // If its box is full it goes on to its limit; the text has ended all the same.
            offer_to(&self.generation, StopGeneration);
        }
        let parts = self.parser.push(&step.text);
        self.parts(parts).await
    }

    async fn parts(&mut self, parts: Vec<ChatEvent>) -> bool {
        for part in parts {
            if self.is_single_call && self.has_called {
                return true;
            }
            let ends_call = part == ChatEvent::ToolCallEnd;
            if !self.send(TokenEvent::Part(part)).await {
                return false;
            }
            self.has_called |= ends_call;
            if ends_call && self.is_single_call {
                offer_to(&self.generation, StopGeneration);
            }
        }
        true
    }

    async fn send(&mut self, event: TokenEvent) -> bool {
        let sent = tokio::time::timeout(UNREAD_DEADLINE, self.events.send(Ok(event))).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    async fn finish(mut self, report: GenerationReport) {
        if self.stops.found().is_none() {
            let rest = self.decoder.finish();
            if !self.text(&rest).await {
                return;
            }
            let held = self.stops.finish();
            let parts = self.parser.push(&held);
            if !self.parts(parts).await {
                return;
            }
        }
        let parser = ChatOutputParser::new(OutputFormat::PLAIN, false);
        let parts = std::mem::replace(&mut self.parser, parser).finish();
        if !self.parts(parts).await {
            return;
        }
        let stop_text = self.stops.found().map(str::to_owned);
        let finish_reason = match report.reason {
            session::FinishReason::Length if stop_text.is_none() => FinishReason::Length,
            _ if self.has_called => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        let summary = Summary {
            finish_reason,
            prompt_tokens: self.prompt_tokens,
            token_ids: std::mem::take(&mut self.token_ids),
            reasoning_tokens: self.reasoning_tokens,
            stop_text,
            route: report.stages.iter().map(route_stage).collect(),
            cached_tokens: report.cached_tokens,
            preemptions: report.preemptions,
            cache: self.cache.to_string(),
            queue_ms: report.queue_ms,
            ttft_ms: report.ttft_ms,
            decode_tok_s: report.decode_tok_s,
            cloud: None,
        };
        self.meter.finished(&summary);
        // The door may close right before the end; nobody is left to tell.
        self.send(TokenEvent::Finished(summary.into())).await;
    }

    async fn fail(mut self, error: GenerateError) {
        self.meter.failed();
        let error = match self.refused.take() {
            Some(refused) => match refused.send(error) {
                Ok(()) => return,
                Err(error) => error,
            },
            None => error,
        };
        if let Some(caller) = &self.caller {
            caller.withdraw(self.id);
        }
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

pub(super) fn generate_error(error: GenerationError) -> GenerateError {
    let kind = match &error {
        GenerationError::Plan(PlanError::PromptTooLong { .. }) => ErrorKind::ContextLength,
        GenerationError::Plan(_) => ErrorKind::Invalid,
        GenerationError::Invalid(_) => ErrorKind::Grammar,
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
