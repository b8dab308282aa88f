//! The batch scheduler: open stage sequences of this node and whose rows run next.
//!
//! Rows come from `peer_session` (an earlier stage, a remote requester) or `generation` (this
//! node); batches go to `shard_worker`; results go straight to the next stage's session, or as a
//! sampled token to whoever opened the sequence. Decisions are in `policy.rs`. Positions count
//! tokens from 0. A step that fails ends its own sequence and nothing else.

mod messages;
pub mod policy;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, Recipient, WrapFuture,
};
use bytes::Bytes;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_models::{BorderType, HiddenRows, LogitsWanted, SequenceRows, ShardInput};
use swarmllm_protocol::ids::RequestId;
use swarmllm_protocol::wire::{
    Message, NextHop, OpenStage, RefusalReason, RowEncoding, Rows, TokenSampled,
};
use tokio::time::Instant;

pub use messages::{CancelSequence, GetOpenSequences, OpenSequence, StageOwner, SubmitRows};
pub use policy::ShardFacts;
use policy::{StepQueue, Unreported};

use crate::clock::micros;
use crate::generation::{StageReply, StageReplyBody};
use crate::kv_cache_store::{ReleasePages, ReservePages};
use crate::mailbox::{self, offer};
use crate::peer_directory::FindSession;
use crate::peer_session::{SendFrame, SessionClosed, SessionHandle};
use crate::shard_worker::{BatchRun, RunBatch, RunBatchError, SampleAt};

/// Whom the scheduler talks to.
#[derive(Debug, Clone)]
pub struct SchedulerLinks {
    /// kv_cache_store.
    pub reserve: Recipient<ReservePages>,
    /// kv_cache_store.
    pub release: Recipient<ReleasePages>,
    /// peer_directory.
    pub find_session: Recipient<FindSession>,
}

struct LoadedShard {
    worker: Recipient<RunBatch>,
    queue: StepQueue<SubmitRows>,
}

struct Sequence {
    shard: usize,
    stage: u16,
    owner: StageOwner,
    next: Option<SessionHandle>,
    sampling: Option<SamplingParams>,
    pages: Arc<[u32]>,
    position: u32,
    max_positions: u32,
    unreported: Unreported,
}

/// What opening needs from others.
struct Opened {
    pages: Vec<u32>,
    next: Option<SessionHandle>,
}

/// The actor.
pub struct BatchScheduler {
    facts: Vec<ShardFacts>,
    shards: Vec<LoadedShard>,
    sequences: HashMap<RequestId, Sequence>,
    opening: HashSet<RequestId>,
    links: SchedulerLinks,
}

impl BatchScheduler {
    /// A scheduler over these shards; their order numbers them for `kv_cache_store`.
    pub fn new(
        shards: Vec<(ShardFacts, Recipient<RunBatch>)>,
        links: SchedulerLinks,
    ) -> BatchScheduler {
        let (facts, shards) = shards
            .into_iter()
            .map(|(facts, worker)| (facts, LoadedShard { worker, queue: StepQueue::new() }))
            .unzip();
        BatchScheduler { facts, shards, sequences: HashMap::new(), opening: HashSet::new(), links }
    }

    fn reply(owner: &StageOwner, request: RequestId, body: StageReplyBody) {
        offer(&owner.reply, StageReply { request, peer: owner.peer, body });
    }

    fn finish_opening(
        &mut self,
        (open, owner, shard): (OpenStage, StageOwner, usize),
        outcome: Result<Opened, (RefusalReason, String)>,
    ) {
        let request = open.request;
        // The requester may have cancelled, or gone, while the way was being found.
        let is_wanted = self.opening.remove(&request) && owner.reply.connected();
        match outcome {
            Err((reason, detail)) => {
                Self::reply(&owner, request, StageReplyBody::Refused { reason, detail });
            }
            Ok(opened) if !is_wanted => self.release(shard, opened.pages),
            Ok(opened) => {
                let sampling = open.sampling.map(|s| SamplingParams {
                    temperature: s.temperature,
                    top_k: s.top_k,
                    top_p: s.top_p,
                    min_p: s.min_p,
                    seed: s.seed,
                    ..SamplingParams::default()
                });
                let sequence = Sequence {
                    shard,
                    stage: open.stage,
                    owner: owner.clone(),
                    next: opened.next,
                    sampling,
                    pages: opened.pages.into(),
                    position: 0,
                    max_positions: open.max_positions,
                    unreported: Unreported::default(),
                };
                self.sequences.insert(request, sequence);
                Self::reply(&owner, request, StageReplyBody::Opened);
            }
        }
    }

    fn release(&self, shard: usize, pages: Vec<u32>) {
        // The store's box holds far more than all sequences together; a refusal here would leak
        // pages, so it must be heard.
        if !offer(&self.links.release, ReleasePages { shard, pages }) {
            tracing::error!("pages could not be given back");
        }
    }

    fn close(&mut self, request: RequestId) -> Option<StageOwner> {
        self.opening.remove(&request);
        let sequence = self.sequences.remove(&request)?;
        self.shards[sequence.shard].queue.cancel(request);
        self.release(sequence.shard, sequence.pages.to_vec());
        Some(sequence.owner)
    }

    fn fail(&mut self, request: RequestId, detail: String) {
        if let Some(owner) = self.close(request) {
            Self::reply(&owner, request, StageReplyBody::Failed { detail });
        }
    }

    /// Starts the next step of a shard when its worker is free.
    fn pump(&mut self, shard: usize, ctx: &mut Context<Self>) {
        while let Some((request, step)) = self.shards[shard].queue.start_next() {
            let Some(sequence) = self.sequences.get(&request) else {
                self.shards[shard].queue.finish();
                continue;
            };
            let rows = step.rows;
            let batch = batch_of(sequence, &rows, step.payload);
            let received_at = step.received_at;
            let run = self.shards[shard].worker.send(batch);
            ctx.spawn(run.into_actor(self).map(move |outcome, scheduler, ctx| {
                scheduler.shards[shard].queue.finish();
                scheduler.step_done(rows, received_at, outcome);
                scheduler.pump(shard, ctx);
            }));
            return;
        }
    }

    fn step_done(
        &mut self,
        rows: Rows,
        received_at: Instant,
        outcome: Result<Result<BatchRun, RunBatchError>, MailboxError>,
    ) {
        let request = rows.request;
        let run = match outcome {
            Ok(Ok(run)) => run,
            Ok(Err(error)) => return self.fail(request, error.to_string()),
            Err(error) => return self.fail(request, format!("the shard is gone: {error}")),
        };
        let Some(sequence) = self.sequences.get_mut(&request) else { return };
        if let Some(message) = on_message(sequence, rows, received_at, run) {
            match (&sequence.next, message) {
                (Some(next), Outcome::Frame(message)) => {
                    let frame = SendFrame { message, replies: None };
                    if next.send.try_send(frame).is_err() {
                        let detail = format!("the link to {} is gone", next.peer.short());
                        self.fail(request, detail);
                    }
                }
                (_, Outcome::Token(sampled)) => {
                    let owner = sequence.owner.clone();
                    Self::reply(&owner, request, StageReplyBody::Sampled(sampled));
                }
                (None, Outcome::Frame(_)) => {
                    self.fail(request, "this stage has nowhere to send its rows".into());
                }
            }
        }
    }
}

enum Outcome {
    Frame(Message),
    Token(TokenSampled),
}

/// The engine's view of a step.
fn batch_of(sequence: &Sequence, rows: &Rows, payload: Bytes) -> RunBatch {
    let input = match rows.encoding {
        RowEncoding::Tokens => ShardInput::Tokens(rows.tokens(&payload)),
        RowEncoding::F16 | RowEncoding::F32 => ShardInput::Hidden(HiddenRows {
            dtype: if rows.encoding == RowEncoding::F16 {
                BorderType::F16
            } else {
                BorderType::F32
            },
            n_rows: rows.n_rows,
            hidden: rows.hidden,
            bytes: payload,
        }),
    };
    let params = sequence.sampling.filter(|_| rows.sample);
    let position = rows.first_position + rows.n_rows;
    let logits = if params.is_some() { LogitsWanted::Last } else { LogitsWanted::None };
    RunBatch {
        sequences: vec![SequenceRows {
            pages: sequence.pages.clone(),
            first_position: rows.first_position,
            n_rows: rows.n_rows,
            logits,
        }],
        input,
        samples: vec![params.map(|params| SampleAt { position, params })],
    }
}

/// What a finished step sends on, if anything: the rows to the next stage, or a token.
fn on_message(
    sequence: &mut Sequence,
    rows: Rows,
    received_at: Instant,
    run: BatchRun,
) -> Option<Outcome> {
    let bytes_out = run.hidden.as_ref().map_or(4, |hidden| hidden.bytes.len());
    sequence.unreported.add(run.compute_us, u32::try_from(bytes_out).unwrap_or(u32::MAX));
    let position = rows.first_position + rows.n_rows;
    let mut trace = rows.trace;
    if rows.sample {
        let rtt_us = sequence.next.as_ref().map_or(0, SessionHandle::rtt_us);
        trace.push(sequence.unreported.report(
            sequence.stage,
            micros(received_at.elapsed()),
            rtt_us,
        ));
    }
    if let Some(hidden) = run.hidden {
        let encoding = match hidden.dtype {
            BorderType::F16 => RowEncoding::F16,
            BorderType::F32 => RowEncoding::F32,
        };
        let rows = Rows { hidden: hidden.hidden, encoding, trace, ..rows };
        return Some(Outcome::Frame(Message::rows(rows, hidden.bytes)));
    }
    let token = run.tokens.into_iter().next().flatten()?;
    Some(Outcome::Token(TokenSampled { request: rows.request, position, token, trace }))
}

impl Actor for BatchScheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::BATCH_SCHEDULER);
    }
}

impl Handler<OpenSequence> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, OpenSequence { open, owner }: OpenSequence, ctx: &mut Self::Context) {
        let request = open.request;
        let n_open = self.sequences.len() + self.opening.len();
        let admitted = policy::admit(&self.facts, n_open, &open).and_then(|shard| {
            let is_known = self.sequences.contains_key(&request);
            if is_known || !self.opening.insert(request) {
                return Err((RefusalReason::Invalid, "that request is open here already".into()));
            }
            Ok(shard)
        });
        let shard = match admitted {
            Ok(shard) => shard,
            Err((reason, detail)) => {
                return Self::reply(&owner, request, StageReplyBody::Refused { reason, detail });
            }
        };
        let links = self.links.clone();
        let (next, positions) = (open.next.clone(), open.max_positions);
        let opened = async move { prepare(&links, shard, positions, next).await };
        ctx.spawn(opened.into_actor(self).map(move |outcome, scheduler, _| {
            scheduler.finish_opening((open, owner, shard), outcome);
        }));
    }
}

/// Finds the way to the next stage, then reserves pages: in this order nothing needs undoing.
async fn prepare(
    links: &SchedulerLinks,
    shard: usize,
    positions: u32,
    next: NextHop,
) -> Result<Opened, (RefusalReason, String)> {
    let internal = |error: MailboxError| (RefusalReason::Busy, error.to_string());
    let next = match next {
        NextHop::Requester => None,
        NextHop::Stage(to) => {
            let find = FindSession { peer: to.peer, addresses: to.addresses };
            let found = links.find_session.send(find).await.map_err(internal)?;
            let unreachable = |error: crate::peer_directory::FindSessionError| {
                (RefusalReason::NextUnreachable, error.to_string())
            };
            Some(found.map_err(unreachable)?)
        }
    };
    let reserve = ReservePages { shard, positions };
    let pages = links.reserve.send(reserve).await.map_err(internal)?;
    let pages = pages.map_err(|error| (RefusalReason::OutOfPages, error.to_string()))?;
    Ok(Opened { pages, next })
}

impl Handler<SubmitRows> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, submit: SubmitRows, ctx: &mut Self::Context) {
        let request = submit.rows.request;
        let Some(sequence) = self.sequences.get_mut(&request) else {
            tracing::debug!(%request, "rows of a sequence that is not open");
            return;
        };
        match policy::check_rows(&submit.rows, sequence.position, sequence.max_positions) {
            Ok(end) => sequence.position = end,
            Err(detail) => return self.fail(request, detail),
        }
        let shard = sequence.shard;
        if self.shards[shard].queue.push(request, submit).is_err() {
            return self.fail(request, "too many steps wait at this stage: try again".into());
        }
        self.pump(shard, ctx);
    }
}

impl Handler<CancelSequence> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, cancel: CancelSequence, _: &mut Self::Context) {
        let owner = self.sequences.get(&cancel.request).map(|sequence| sequence.owner.session);
        let is_owner = cancel.owner.is_none() || owner.is_none() || cancel.owner == owner;
        if is_owner {
            self.close(cancel.request);
        }
    }
}

impl Handler<SessionClosed> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, closed: SessionClosed, _: &mut Self::Context) {
        let owned: Vec<RequestId> = self
            .sequences
            .iter()
            .filter(|(_, sequence)| sequence.owner.session == closed.id)
            .map(|(request, _)| *request)
            .collect();
        for request in owned {
            self.close(request);
        }
        let broken: Vec<RequestId> = self
            .sequences
            .iter()
            .filter(|(_, sequence)| sequence.next.as_ref().is_some_and(|n| n.id == closed.id))
            .map(|(request, _)| *request)
            .collect();
        for request in broken {
            let peer = closed.peer.map_or_else(String::new, |peer| peer.short());
            self.fail(request, format!("the next stage {peer} was lost: {}", closed.reason));
        }
    }
}

impl Handler<GetOpenSequences> for BatchScheduler {
    type Result = usize;

    fn handle(&mut self, _: GetOpenSequences, _: &mut Self::Context) -> usize {
        self.sequences.len()
    }
}
