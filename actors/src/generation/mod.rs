//! One request at its requester: route, stages, rounds, the end.
//!
//! Started by `node.rs` for each request; stages answer it through `StageReply`. What to send next
//! and when to stop is `swarmllm_protocol::session`; which chain serves is
//! `swarmllm_protocol::route`. When the door drops its receiver, everything is freed everywhere.
//! A route that can't be opened, or loses a stage, is replaced without that stage; the answer goes
//! on from its last token. So it does after its pages went to an older sequence.

mod messages;
mod report;
mod request;
mod stages;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture,
};
use bytes::Bytes;
use swarmllm_protocol::ids::{PeerId, RequestId};
use swarmllm_protocol::prefix::{self, PrefixChain};
use swarmllm_protocol::session::{Action, FinishReason, Generation as Session};
use swarmllm_protocol::wire::{Lineage, LogProbabilities, RefusalReason, StageTrace, TokenSampled};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

pub use messages::{
    GenerationError, GenerationEvent, GenerationReport, StageReply, StageReplyBody, StageReport,
    StopGeneration,
};
use report::RouteReport;
pub use request::{GenerationLinks, GenerationRequest, Gives};
use stages::{Stage, find_stages, openings};

use crate::entropy;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer};

/// Stages open, or say that one must wait, within this time; or another route is tried without
/// those that did not: more than opening a connection takes (`peer_directory`), less than noticing
/// a silent peer.
const OPEN_SECONDS: u64 = 8;
/// How long a request waits for a place before it is told to come back: a little longer than the
/// queue of a stage lets it wait, which answers with the time to come back.
const QUEUE_SECONDS: u64 = 660;
/// A round comes back within this time, and longer for many rows, or the generation fails;
/// sessions notice a dead peer sooner, so this only catches a stage that lives and does not answer.
const ROUND_SECONDS: u64 = 300;
/// Rows that a round may take a second longer for.
const ROWS_PER_SECOND: u64 = 10;
/// Routes tried for a token.
const ROUTES_MAX: u32 = 3;

/// The actor.
pub struct Generation {
    request: GenerationRequest,
    links: GenerationLinks,
    door: mpsc::Sender<GenerationEvent>,
    session: Session,
    /// Names of the pages of prompt and answer.
    chain: PrefixChain,
    /// How many of them the stages were given when they were opened.
    named: usize,
    lineage: Lineage,
    actions: VecDeque<Action>,
    stages: Vec<Stage>,
    excluded: HashSet<PeerId>,
    /// Why the last peer was excluded: the reason to give when nobody else holds its layers.
    exclusion: Option<GenerationError>,
    routes_tried: u32,
    report: Option<RouteReport>,
    /// Whether the stages of the route are open.
    is_running: bool,
    cached_tokens: u32,
    preemptions: u32,
    started_at: Instant,
    opened_at: Option<Instant>,
    sent_at: Option<Instant>,
    first_token_at: Option<Instant>,
    n_tokens: u32,
    /// Of the token that was sampled last.
    log_probabilities: Option<LogProbabilities>,
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
        let GenerationRequest { model, profile, cache, .. } = request;
        let chain = PrefixChain::new(&request.prefix_secret, model, profile, cache);
        let lineage = request.sample_of.map_or(Lineage::New, Lineage::SampleOf);
        Ok(Generation {
            request,
            links,
            door,
            session,
            chain,
            named: 0,
            lineage,
            actions: VecDeque::new(),
            stages: Vec::new(),
            excluded: HashSet::new(),
            exclusion: None,
            routes_tried: 0,
            report: None,
            is_running: false,
            cached_tokens: 0,
            preemptions: 0,
            started_at: Instant::now(),
            opened_at: None,
            sent_at: None,
            first_token_at: None,
            n_tokens: 0,
            log_probabilities: None,
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
        self.name_pages();
        self.named = self.chain.keys().len();
        let answered = self.session.tokens().skip(self.session.prompt_tokens() as usize);
        let guide = match self.request.guide(answered).encode() {
            Ok(guide) => guide,
            Err(error) => return self.fail(GenerationError::Invalid(error.to_string()), ctx),
        };
        let keys = prefix::payload_of(self.chain.keys());
        let named_pages = u32::try_from(self.named).unwrap_or(0);
        let sizes = (self.session.next_position(), self.session.max_positions(), named_pages);
        let openings = openings(&self.stages, &self.request, self.lineage, sizes);
        let asked = (&self.request, &self.links);
        let full = self.stages.iter().zip(openings).find(|(stage, open)| {
            let is_last = open.wanted.is_some();
            let guide = if is_last { guide.clone() } else { Bytes::new() };
            !stage.open(open.clone(), (keys.clone(), guide), asked, ctx.address().recipient())
        });
        if let Some((stage, _)) = full {
            self.stage_lost(stage.peer, "its queue is full".into(), ctx);
        }
    }

    /// Brings the names of pages up to the last token.
    fn name_pages(&mut self) {
        // What a stage knows from before it does not add up.
        if self.request.gives != Gives::Tokens {
            return;
        }
        let tokens: Vec<u32> = self.session.tokens().skip(self.chain.n_tokens()).collect();
        self.chain.extend(&tokens);
    }

    fn stage_queued(&mut self, peer: PeerId, ctx: &mut Context<Self>) {
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.peer == peer) {
            stage.is_queued = true;
        }
        let waited = self.started_at.elapsed().as_secs();
        self.set_deadline(QUEUE_SECONDS.saturating_sub(waited).max(1), Self::open_late, ctx);
    }

    fn stage_opened(&mut self, peer: PeerId, known: u32, ctx: &mut Context<Self>) {
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.peer == peer) {
            stage.known = Some(known);
        }
        let known = self.stages.iter().map(|stage| stage.known).min().flatten();
        let (Some(known), false) = (known, self.is_running) else { return };
        self.is_running = true;
        let route: Vec<_> = self.stages.iter().map(|stage| (stage.peer, stage.layers)).collect();
        match &mut self.report {
            Some(report) => report.continue_on(&route),
            None => {
                self.report = Some(RouteReport::new(&route, self.request.local));
                self.opened_at = Some(Instant::now());
                self.cached_tokens = known;
                self.note_start(&route);
                // The door's box is empty: nothing was sent before.
                let _ = self.door.try_send(GenerationEvent::Started { cached_tokens: known });
            }
        }
        let actions = self.session.start(known);
        self.actions.extend(actions);
        self.advance(ctx);
    }

    fn note_start(&self, route: &[(PeerId, swarmllm_protocol::ids::LayerRange)]) {
        let words: Vec<String> =
            route.iter().map(|(peer, layers)| format!("{} {layers}", peer.short())).collect();
        offer(
            &self.links.events,
            Record(Event::GenerationStarted {
                request: self.request.request.to_string(),
                model: self.request.model_name.clone(),
                prompt_tokens: self.session.prompt_tokens(),
                route: words.join(" -> "),
            }),
        );
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
                    let Some(first) = self.stages.first() else { return };
                    let rows = (first_position, &tokens[..], sample);
                    if !first.send_rows(self.request.request, rows, &self.links) {
                        let peer = first.peer;
                        return self.stage_lost(peer, "its queue is full".into(), ctx);
                    }
                    let longer = (first_position as u64 + tokens.len() as u64) / ROWS_PER_SECOND;
                    self.set_deadline(ROUND_SECONDS + longer, Self::round_late, ctx);
                    continue;
                }
                Action::Emit { token } => {
                    let log_probabilities = self.log_probabilities.take();
                    GenerationEvent::Token { token, log_probabilities }
                }
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

    fn sampled(&mut self, sampled: TokenSampled, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.first_token_at.get_or_insert(now);
        self.n_tokens += 1;
        self.routes_tried = 0;
        let elapsed = self.sent_at.take().map(|sent_at| now - sent_at);
        let return_rtt_us = self.stages.last().map_or(0, Stage::rtt_us);
        if let Some(report) = &mut self.report {
            report.add(&sampled.trace, elapsed, return_rtt_us);
        }
        self.log_probabilities = sampled.log_probabilities;
        match self.session.token_sampled(sampled.position, sampled.token) {
            Ok(actions) => {
                self.actions.extend(actions);
                self.advance(ctx);
            }
            Err(error) => self.fail(GenerationError::OutOfOrder(error.to_string()), ctx),
        }
    }

    /// What was wanted of the prompt, once.
    fn told(&mut self, event: GenerationEvent, trace: &[StageTrace], ctx: &mut Context<Self>) {
        self.first_token_at.get_or_insert(Instant::now());
        if let Some(report) = &mut self.report {
            report.add(trace, None, 0);
        }
        // The door's box is empty but for the start.
        let _ = self.door.try_send(event);
        self.finish(FinishReason::Stop, ctx);
    }

    fn finish(&mut self, reason: FinishReason, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let first = self.first_token_at.unwrap_or(now);
        let ttft_ms = milliseconds(first - self.started_at);
        let decode_s = (now - first).as_secs_f64();
        let after_first = f64::from(self.n_tokens.saturating_sub(1));
        let report = GenerationReport {
            reason,
            stages: self.report.take().map_or_else(Vec::new, RouteReport::into_stages),
            cached_tokens: self.cached_tokens,
            preemptions: self.preemptions,
            queue_ms: self.opened_at.map_or(0.0, |at| milliseconds(at - self.started_at)),
            ttft_ms,
            decode_tok_s: if decode_s > 0.0 { after_first / decode_s } else { 0.0 },
        };
        let event = Event::GenerationFinished {
            request: self.request.request.to_string(),
            tokens: self.n_tokens,
            ttft_ms,
            total_ms: milliseconds(now - self.started_at),
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
        self.name_pages();
        let keys = self.chain.keys().get(self.named..).unwrap_or_default();
        for stage in self.stages.drain(..) {
            stage.close(self.request.request, keys, &self.links);
        }
    }

    /// Another route is tried without the stage, as long as there are some.
    fn stage_lost(&mut self, peer: PeerId, detail: String, ctx: &mut Context<Self>) {
        let error = GenerationError::StageLost { peer: peer.short(), detail };
        if self.may_try_another() {
            self.try_without(&[peer], error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    /// Stages that live and say nothing are left out of the next route.
    fn open_late(&mut self, ctx: &mut Context<Self>) {
        let is_silent = |stage: &&Stage| stage.known.is_none() && !stage.is_queued;
        let silent: Vec<PeerId> =
            self.stages.iter().filter(is_silent).map(|stage| stage.peer).collect();
        let error = GenerationError::TimedOut { seconds: self.started_at.elapsed().as_secs() };
        if !silent.is_empty() && self.may_try_another() {
            self.try_without(&silent, error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    fn round_late(&mut self, ctx: &mut Context<Self>) {
        self.fail(GenerationError::TimedOut { seconds: ROUND_SECONDS }, ctx);
    }

    fn deadline_passed(&mut self, ctx: &mut Context<Self>) {
        let seconds = self.request.deadline.unwrap_or_default().as_secs_f64();
        self.fail(GenerationError::DeadlinePassed { seconds }, ctx);
    }

    fn may_try_another(&self) -> bool {
        self.routes_tried + 1 < ROUTES_MAX
    }

    fn refused(
        &mut self,
        peer: PeerId,
        (reason, detail, retry_after_ms): (RefusalReason, String, u32),
        ctx: &mut Context<Self>,
    ) {
        if reason == RefusalReason::Invalid {
            return self.fail(GenerationError::Invalid(detail), ctx);
        }
        let is_busy = reason == RefusalReason::Busy || retry_after_ms > 0;
        let is_first = self.stages.first().is_some_and(|stage| stage.peer == peer);
        // The first stage has a queue of its own: it refuses when that is full. Others have none.
        if is_busy && !is_first && self.started_at.elapsed().as_secs() < QUEUE_SECONDS {
            self.forget_route();
            let [byte, ..] = entropy::bytes::<16>();
            let wait_ms = u64::from(retry_after_ms.clamp(50, 1000)) * (128 + u64::from(byte)) / 256;
            ctx.run_later(Duration::from_millis(wait_ms), |generation, ctx| {
                if !generation.has_ended {
                    generation.find_route(ctx);
                }
            });
            return;
        }
        let retry_after_s = retry_after_ms.div_ceil(1000);
        let error = GenerationError::Refused { peer: peer.short(), is_busy, detail, retry_after_s };
        if !is_busy && self.may_try_another() {
            self.try_without(&[peer], error, ctx);
        } else {
            self.fail(error, ctx);
        }
    }

    /// The pages went to an older sequence: the same stages are asked again.
    fn preempted(&mut self, ctx: &mut Context<Self>) {
        self.preemptions += 1;
        let resumed = self.request.request;
        self.forget_route();
        self.lineage = Lineage::Resumes(resumed);
        self.find_route(ctx);
    }

    fn try_without(&mut self, peers: &[PeerId], error: GenerationError, ctx: &mut Context<Self>) {
        self.routes_tried += 1;
        self.excluded.extend(peers);
        self.exclusion = Some(error);
        self.forget_route();
        self.find_route(ctx);
    }

    /// Closes what was opened; what is still to be said to the door stays. A new number, so that a
    /// late reply of the old route can't be taken for one of the next.
    fn forget_route(&mut self) {
        self.close_stages();
        self.session.interrupt();
        self.actions.retain(|action| matches!(action, Action::Emit { .. }));
        self.is_running = false;
        self.sent_at = None;
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

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
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
        if let Some(deadline) = self.request.deadline {
            ctx.run_later(deadline, Self::deadline_passed);
        }
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
            StageReplyBody::Queued { .. } => self.stage_queued(peer, ctx),
            StageReplyBody::Opened { known } => self.stage_opened(peer, known, ctx),
            StageReplyBody::Refused { reason, detail, retry_after_ms } => {
                self.refused(peer, (reason, detail, retry_after_ms), ctx);
            }
            StageReplyBody::Preempted => self.preempted(ctx),
            StageReplyBody::Failed { detail } | StageReplyBody::Lost { detail } => {
                self.stage_lost(peer, detail, ctx);
            }
            StageReplyBody::Sampled(_)
            | StageReplyBody::Embedded { .. }
            | StageReplyBody::Scored { .. }
                if self.stages.last().is_none_or(|stage| stage.peer != peer) =>
            {
                let stray = format!("{} is not the last stage", peer.short());
                self.fail(GenerationError::OutOfOrder(stray), ctx);
            }
            StageReplyBody::Sampled(sampled) => match self.request.check_sampled(&sampled) {
                Ok(()) => self.sampled(sampled, ctx),
                Err(stray) => self.fail(GenerationError::OutOfOrder(stray), ctx),
            },
            StageReplyBody::Embedded { values, trace } => {
                match self.request.check_embedded(&values) {
                    Ok(()) => self.told(GenerationEvent::Embedding(values), &trace, ctx),
                    Err(stray) => self.fail(GenerationError::OutOfOrder(stray), ctx),
                }
            }
            StageReplyBody::Scored { scores, trace } => match self.request.check_scored(&scores) {
                Ok(()) => self.told(GenerationEvent::Scores(scores), &trace, ctx),
                Err(stray) => self.fail(GenerationError::OutOfOrder(stray), ctx),
            },
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
