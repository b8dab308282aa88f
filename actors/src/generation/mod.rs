//! One request at its requester: route, stages, rounds, the end.
//!
//! Started by `node.rs` for each request; stages answer it through `StageReply`. What to send next
//! and when to stop is `swarmllm_protocol::session`; which chain serves is
//! `swarmllm_protocol::route`. When the door drops its receiver, everything is freed everywhere.
//! A route that can't be opened is replaced without the stage that failed; an answer that has
//! begun ends with a typed error.

mod messages;
mod report;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, SpawnHandle,
    WrapFuture,
};
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::ids::{LayerRange, ModelId, PeerId, RequestId};
use swarmllm_protocol::route::{self, Candidate};
use swarmllm_protocol::session::{Action, FinishReason, Generation as Session, GenerationPlan};
use swarmllm_protocol::wire::{
    Body, Message, NextHop, OpenStage, PeerAddress, Profile, RefusalReason, RowEncoding, Rows,
    Sampling, TokenSampled,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

pub use messages::{
    GenerationError, GenerationEvent, GenerationReport, StageReply, StageReplyBody, StageReport,
    StopGeneration,
};
use report::RouteReport;

use crate::batch_scheduler::{CancelSequence, OpenSequence, StageOwner, SubmitRows};
use crate::entropy;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer};
use crate::peer_directory::{FindCandidates, FindSession};
use crate::peer_session::{SendFrame, SessionHandle};

/// Stages open within this time or another route is tried without those that did not: more than
/// opening a connection takes (`peer_directory`), less than noticing a silent peer.
const OPEN_SECONDS: u64 = 8;
/// A round comes back within this time or the generation fails; sessions notice a dead peer
/// sooner, so this only catches a stage that lives and does not answer.
const ROUND_SECONDS: u64 = 300;
/// Routes tried before the first token.
const ROUTES_MAX: u32 = 3;
/// How long a request waits for a place at busy stages before it is told to come back.
const QUEUE_SECONDS: u64 = 60;
/// How often it asks again.
const QUEUE_RETRY: Duration = Duration::from_millis(100);

/// Whom a generation talks to.
#[derive(Debug, Clone)]
pub struct GenerationLinks {
    /// peer_directory.
    pub candidates: Recipient<FindCandidates>,
    /// peer_directory.
    pub find_session: Recipient<FindSession>,
    /// batch_scheduler of this node.
    pub open: Recipient<OpenSequence>,
    /// batch_scheduler of this node.
    pub rows: Recipient<SubmitRows>,
    /// batch_scheduler of this node.
    pub cancel: Recipient<CancelSequence>,
    /// event_log.
    pub events: Recipient<Record>,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerationRequest {
    /// Unguessable number of the request.
    pub request: RequestId,
    /// This node.
    pub local: PeerId,
    /// Which model.
    pub model: ModelId,
    /// Its name, for the log.
    pub model_name: String,
    /// Its layers.
    pub n_layers: u32,
    /// Its run profile.
    pub profile: Profile,
    /// Prompt and limits.
    pub plan: GenerationPlan,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
}

enum Link {
    Local,
    Remote(SessionHandle),
}

struct Stage {
    peer: PeerId,
    layers: LayerRange,
    addresses: Vec<SocketAddr>,
    link: Link,
    is_open: bool,
}

/// The actor.
pub struct Generation {
    request: GenerationRequest,
    links: GenerationLinks,
    door: mpsc::Sender<GenerationEvent>,
    session: Session,
    actions: VecDeque<Action>,
    stages: Vec<Stage>,
    excluded: HashSet<PeerId>,
    /// Why the last peer was excluded: the reason to give when nobody else holds its layers.
    exclusion: Option<GenerationError>,
    routes_tried: u32,
    report: Option<RouteReport>,
    started_at: Instant,
    opened_at: Option<Instant>,
    sent_at: Option<Instant>,
    first_token_at: Option<Instant>,
    n_tokens: u32,
    deadline: Option<SpawnHandle>,
    has_ended: bool,
}

impl Generation {
    /// Checks the request; `door` hears what comes of it once the actor is started.
    ///
    /// # Errors
    /// When the prompt is empty or does not fit into the context.
    pub fn new(
        request: GenerationRequest,
        links: GenerationLinks,
        door: mpsc::Sender<GenerationEvent>,
    ) -> Result<Generation, GenerationError> {
        let session = Session::new(request.plan.clone())?;
        Ok(Generation {
            request,
            links,
            door,
            session,
            actions: VecDeque::new(),
            stages: Vec::new(),
            excluded: HashSet::new(),
            exclusion: None,
            routes_tried: 0,
            report: None,
            started_at: Instant::now(),
            opened_at: None,
            sent_at: None,
            first_token_at: None,
            n_tokens: 0,
            deadline: None,
            has_ended: false,
        })
    }

    /// Looks for a chain over all layers and opens its stages.
    fn find_route(&mut self, ctx: &mut Context<Self>) {
        let (links, request) = (self.links.clone(), self.request.clone());
        let excluded = self.excluded.clone();
        let found = async move { find_stages(&links, &request, &excluded).await };
        ctx.spawn(found.into_actor(self).map(|found, generation, ctx| match found {
            Ok(stages) => generation.open_stages(stages, ctx),
            Err(error) => {
                let error = generation.exclusion.take().unwrap_or(error);
                generation.fail(error, ctx);
            }
        }));
        self.set_deadline(OPEN_SECONDS, Self::open_late, ctx);
    }

    fn open_stages(&mut self, stages: Vec<Stage>, ctx: &mut Context<Self>) {
        self.stages = stages;
        let n = self.stages.len();
        for index in 0..n {
            let is_last = index + 1 == n;
            let next = match self.stages.get(index + 1) {
                Some(next) => NextHop::Stage(PeerAddress {
                    peer: next.peer,
                    addresses: next.addresses.clone(),
                }),
                None => NextHop::Requester,
            };
            let open = OpenStage {
                request: self.request.request,
                model: self.request.model,
                layers: self.stages[index].layers,
                stage: u16::try_from(index).unwrap_or(u16::MAX),
                profile: self.request.profile,
                next,
                sampling: is_last.then(|| sampling_of(&self.request.sampling)),
                max_positions: self.session.max_positions(),
            };
            if !self.open_stage(index, open, ctx) {
                return self.stage_lost(self.stages[index].peer, "its queue is full".into(), ctx);
            }
        }
    }

    fn open_stage(&self, index: usize, open: OpenStage, ctx: &Context<Self>) -> bool {
        match &self.stages[index].link {
            Link::Local => {
                let reply = ctx.address().recipient();
                let owner = StageOwner { session: 0, peer: self.request.local, reply };
                offer(&self.links.open, OpenSequence { open, owner })
            }
            Link::Remote(session) => {
                let message = Message::new(Body::OpenStage(open));
                let replies = Some(ctx.address().recipient());
                offer(&session.send, SendFrame { message, replies })
            }
        }
    }

    fn stage_opened(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.peer == peer) {
            stage.is_open = true;
        }
        if self.report.is_some() || !self.stages.iter().all(|stage| stage.is_open) {
            return;
        }
        let route: Vec<_> = self.stages.iter().map(|stage| (stage.peer, stage.layers)).collect();
        let words: Vec<String> =
            route.iter().map(|(peer, layers)| format!("{} {layers}", peer.short())).collect();
        offer(
            &self.links.events,
            Record(Event::GenerationStarted {
                request: self.request.request.to_string(),
                model: self.request.model_name.clone(),
                prompt_tokens: u32::try_from(self.request.plan.prompt.len()).unwrap_or(u32::MAX),
                route: words.join(" -> "),
            }),
        );
        self.opened_at = Some(Instant::now());
        self.report = Some(RouteReport::new(&route, self.request.local));
        let actions = self.session.start();
        self.actions.extend(actions);
        self.advance(ctx);
    }

    /// Carries out what the session decided, as far as the door keeps up.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        let n_chunks =
            self.actions.iter().filter(|action| matches!(action, Action::SendRows { .. })).count();
        while let Some(action) = self.actions.pop_front() {
            let event = match action {
                Action::SendRows { first_position, tokens, sample } => {
                    // Overlapping chunks say nothing about a link, see `RouteReport::add`.
                    self.sent_at = (n_chunks == 1).then(Instant::now);
                    if !self.send_rows(first_position, &tokens, sample) {
                        let peer = self.stages[0].peer;
                        return self.stage_lost(peer, "its queue is full".into(), ctx);
                    }
                    self.set_deadline(ROUND_SECONDS, Self::round_late, ctx);
                    continue;
                }
                Action::Emit { token } => GenerationEvent::Token(token),
                Action::Finish(reason) => return self.finish(reason, ctx),
            };
            match self.door.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return self.cancel(ctx),
                Err(TrySendError::Full(event)) => return self.wait_for_door(event, ctx),
            }
        }
    }

    /// A slow reader slows its own generation down and nobody else's.
    fn wait_for_door(&mut self, event: GenerationEvent, ctx: &mut Context<Self>) {
        let door = self.door.clone();
        ctx.spawn(async move { door.send(event).await.is_ok() }.into_actor(self).map(
            |is_open, generation, ctx| {
                if is_open {
                    generation.advance(ctx);
                } else {
                    generation.cancel(ctx);
                }
            },
        ));
    }

    fn send_rows(&self, first_position: u32, tokens: &[u32], sample: bool) -> bool {
        let payload = Rows::token_payload(tokens);
        let rows = Rows {
            request: self.request.request,
            first_position,
            n_rows: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
            hidden: 0,
            encoding: RowEncoding::Tokens,
            sample,
            trace: Vec::new(),
        };
        match &self.stages[0].link {
            Link::Local => {
                let received_at = Instant::now();
                offer(&self.links.rows, SubmitRows { rows, payload, received_at })
            }
            Link::Remote(session) => {
                let message = Message::rows(rows, payload);
                offer(&session.send, SendFrame { message, replies: None })
            }
        }
    }

    fn sampled(&mut self, sampled: TokenSampled, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.first_token_at.get_or_insert(now);
        self.n_tokens += 1;
        let elapsed = self.sent_at.take().map(|sent_at| now - sent_at);
        let return_rtt_us = match self.stages.last().map(|stage| &stage.link) {
            Some(Link::Remote(session)) => session.rtt_us(),
            _ => 0,
        };
        if let Some(report) = &mut self.report {
            report.add(&sampled.trace, elapsed, return_rtt_us);
        }
        match self.session.token_sampled(sampled.position, sampled.token) {
            Ok(actions) => {
                self.actions.extend(actions);
                self.advance(ctx);
            }
            Err(error) => self.fail(GenerationError::OutOfOrder(error.to_string()), ctx),
        }
    }

    fn finish(&mut self, reason: FinishReason, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let first = self.first_token_at.unwrap_or(now);
        let opened = self.opened_at.unwrap_or(now);
        let ttft_ms = (first - self.started_at).as_secs_f64() * 1000.0;
        let decode_s = (now - first).as_secs_f64();
        let after_first = f64::from(self.n_tokens.saturating_sub(1));
        let report = GenerationReport {
            reason,
            stages: self.report.take().map_or_else(Vec::new, RouteReport::into_stages),
            queue_ms: (opened - self.started_at).as_secs_f64() * 1000.0,
            ttft_ms,
            decode_tok_s: if decode_s > 0.0 { after_first / decode_s } else { 0.0 },
        };
        let event = Event::GenerationFinished {
            request: self.request.request.to_string(),
            tokens: self.n_tokens,
            ttft_ms,
            total_ms: (now - self.started_at).as_secs_f64() * 1000.0,
        };
        self.end(GenerationEvent::Finished(report), event, ctx);
    }

    fn fail(&mut self, error: GenerationError, ctx: &mut Context<Self>) {
        let request = self.request.request.to_string();
        let event = Event::GenerationFailed { request, reason: error.to_string() };
        self.end(GenerationEvent::Failed(error), event, ctx);
    }

    fn cancel(&mut self, ctx: &mut Context<Self>) {
        if !self.has_ended {
            self.has_ended = true;
            let request = self.request.request.to_string();
            let reason = "the client went away".to_owned();
            offer(&self.links.events, Record(Event::GenerationFailed { request, reason }));
            self.close_stages();
        }
        ctx.stop();
    }

    fn end(&mut self, last: GenerationEvent, event: Event, ctx: &mut Context<Self>) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        offer(&self.links.events, Record(event));
        self.close_stages();
        let door = self.door.clone();
        let told = async move { door.send(last).await };
        ctx.spawn(told.into_actor(self).map(|_, _, ctx| ctx.stop()));
    }

    fn close_stages(&mut self) {
        let request = self.request.request;
        for stage in self.stages.drain(..) {
            match stage.link {
                Link::Local => {
                    offer(&self.links.cancel, CancelSequence { request, owner: None });
                }
                Link::Remote(session) => {
                    let message = Message::new(Body::CloseStage { request });
                    offer(&session.send, SendFrame { message, replies: None });
                }
            }
        }
    }

    /// Before the first round another route is tried; afterwards the answer ends, said clearly.
    fn stage_lost(&mut self, peer: PeerId, detail: String, ctx: &mut Context<Self>) {
        let error = GenerationError::StageLost { peer: peer.short(), detail };
        if self.report.is_none() && self.may_try_another() {
            self.try_without(&[peer], error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    /// Stages that live and say nothing are left out of the next route.
    fn open_late(&mut self, ctx: &mut Context<Self>) {
        let silent: Vec<PeerId> =
            self.stages.iter().filter(|stage| !stage.is_open).map(|stage| stage.peer).collect();
        let error = GenerationError::TimedOut { seconds: OPEN_SECONDS };
        if !silent.is_empty() && self.may_try_another() {
            self.try_without(&silent, error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    fn round_late(&mut self, ctx: &mut Context<Self>) {
        self.fail(GenerationError::TimedOut { seconds: ROUND_SECONDS }, ctx);
    }

    fn may_try_another(&self) -> bool {
        self.routes_tried + 1 < ROUTES_MAX
    }

    fn refused(
        &mut self,
        peer: PeerId,
        (reason, detail): (RefusalReason, String),
        ctx: &mut Context<Self>,
    ) {
        let is_busy = matches!(reason, RefusalReason::Busy | RefusalReason::OutOfPages);
        if is_busy && self.started_at.elapsed() < Duration::from_secs(QUEUE_SECONDS) {
            self.forget_route();
            ctx.run_later(QUEUE_RETRY, |generation, ctx| {
                if !generation.has_ended {
                    generation.find_route(ctx);
                }
            });
            return;
        }
        let error = GenerationError::Refused { peer: peer.short(), is_busy, detail };
        if !is_busy && self.may_try_another() {
            self.try_without(&[peer], error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    fn try_without(&mut self, peers: &[PeerId], error: GenerationError, ctx: &mut Context<Self>) {
        self.routes_tried += 1;
        self.excluded.extend(peers);
        self.exclusion = Some(error);
        self.forget_route();
        self.find_route(ctx);
    }

    /// Closes what was opened. A new number, so that a late reply of the old route can't be taken
    /// for one of the next.
    fn forget_route(&mut self) {
        self.close_stages();
        self.request.request = RequestId(entropy::bytes());
    }

    fn set_deadline(
        &mut self,
        seconds: u64,
        late: fn(&mut Self, &mut Context<Self>),
        ctx: &mut Context<Self>,
    ) {
        if let Some(old) = self.deadline.take() {
            ctx.cancel_future(old);
        }
        self.deadline = Some(ctx.run_later(Duration::from_secs(seconds), late));
    }
}

fn sampling_of(params: &SamplingParams) -> Sampling {
    Sampling {
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        seed: params.seed,
    }
}

/// Plans a route over what is connected now and takes its sessions.
async fn find_stages(
    links: &GenerationLinks,
    request: &GenerationRequest,
    excluded: &HashSet<PeerId>,
) -> Result<Vec<Stage>, GenerationError> {
    let internal = |error: actix::MailboxError| GenerationError::Internal(error.to_string());
    let found = links.candidates.send(FindCandidates { model: request.model }).await;
    let found = found.map_err(internal)?;
    let candidates: Vec<Candidate> =
        found.candidates.into_iter().filter(|c| !excluded.contains(&c.peer)).collect();
    let route = route::plan_route(request.n_layers, request.local, &candidates)?;
    let addresses: HashMap<PeerId, Vec<SocketAddr>> = found.addresses;
    let mut stages = Vec::with_capacity(route.len());
    for planned in route {
        let addresses = addresses.get(&planned.peer).cloned().unwrap_or_default();
        let link =
            if planned.peer == request.local {
                Link::Local
            } else {
                let find = FindSession { peer: planned.peer, addresses: addresses.clone() };
                let session = links.find_session.send(find).await.map_err(internal)?;
                let peer = planned.peer.short();
                Link::Remote(session.map_err(|error| GenerationError::StageLost {
                    peer,
                    detail: error.to_string(),
                })?)
            };
        let layers = planned.layers;
        stages.push(Stage { peer: planned.peer, layers, addresses, link, is_open: false });
    }
    Ok(stages)
}

impl Actor for Generation {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::GENERATION);
        let door = self.door.clone();
        ctx.spawn(
            async move { door.closed().await }
                .into_actor(self)
                .map(|(), generation, ctx| generation.cancel(ctx)),
        );
        self.find_route(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Whatever ended the actor, no stage keeps pages for it.
        self.close_stages();
    }
}

impl Handler<StageReply> for Generation {
    type Result = ();

    fn handle(&mut self, reply: StageReply, ctx: &mut Self::Context) {
        if self.has_ended || reply.request != self.request.request {
            return;
        }
        let peer = reply.peer;
        match reply.body {
            StageReplyBody::Opened => self.stage_opened(peer, ctx),
            StageReplyBody::Refused { reason, detail } => self.refused(peer, (reason, detail), ctx),
            StageReplyBody::Failed { detail } | StageReplyBody::Lost { detail } => {
                self.stage_lost(peer, detail, ctx);
            }
            StageReplyBody::Sampled(sampled) => {
                let is_last = self.stages.last().is_some_and(|stage| stage.peer == peer);
                if is_last {
                    self.sampled(sampled, ctx);
                } else {
                    let stray = format!("{} is not the last stage", peer.short());
                    self.fail(GenerationError::OutOfOrder(stray), ctx);
                }
            }
        }
    }
}

impl Handler<StopGeneration> for Generation {
    type Result = ();

    fn handle(&mut self, _: StopGeneration, ctx: &mut Self::Context) {
        self.actions.clear();
        self.finish(FinishReason::Stop, ctx);
    }
}
