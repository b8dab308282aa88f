//! The batch scheduler: stage sequences of this node, and whose rows run next.
//!
//! Rows come from `peer_session` (an earlier stage, a remote requester) or `generation` (this
//! node); batches go to `shard_worker`; results go straight to the next stage's session, or as a
//! sampled token to whoever opened the sequence. Who computes next is decided by
//! `swarmllm_protocol::schedule`, one per shard; pages are `kv_cache_store`'s. Every event wakes
//! the planner once, after everybody who was told something had a chance to answer, so that tokens
//! of one step come back before the next one is planned.
//! Positions count tokens from 0. A step that fails ends its own sequences and nothing else.

mod batch;
mod messages;
mod opening;
pub mod policy;
mod rows;
mod sequence;

use std::collections::HashMap;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, MessageResult, Recipient,
    WrapFuture,
};
use swarmllm_protocol::ids::RequestId;
use swarmllm_protocol::limits::PAGE_TOKENS;
use swarmllm_protocol::prefix;
use swarmllm_protocol::schedule::{
    Held, Limits, PageRoom, Schedule, SequenceId, Share, Step, plan_step,
};
use swarmllm_protocol::wire::RefusalReason;
use tokio::time::Instant;

use batch::{Batch, Entry, Outcome, Results, milestones};
pub use messages::{
    CancelSequence, GetSchedulerUsage, OpenSequence, SchedulerUsage, StageOwner, SubmitRows,
};
use opening::Ages;
pub use policy::ShardFacts;
use sequence::Sequence;

use crate::clock::micros;
use crate::generation::StageReplyBody;
use crate::kv_cache_store::{
    AttachSequence, DetachSequence, PrepareStep, RowsComputed, StepPages, Stretch, TrimSequence,
};
use crate::mailbox::{self, offer};
use crate::peer_directory::FindSession;
use crate::peer_session::{SendFrame, SessionClosed, SessionDrained, SessionHandle};
use crate::shard_worker::guide::AnswerVocabulary;
use crate::shard_worker::{BatchRun, RunBatch, RunBatchError};

/// How often what depends on time alone is looked at: deadlines, leaders that stopped.
const TICK: Duration = Duration::from_millis(250);
/// A shard with rows that computes nothing for so long gives back the room they take: two nodes
/// whose stages follow each other in turn might wait for one another.
const STALLED: Duration = Duration::from_secs(5);
/// Who has a place and sends no rows for so long gives it to those who wait; it may come back.
const UNHEARD: Duration = Duration::from_secs(30);
/// Bytes of rows whose room was given back so and that still wait; with more, no room is given.
const UNCOUNTED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Whom the scheduler talks to.
#[derive(Debug, Clone)]
pub struct SchedulerLinks {
    /// kv_cache_store.
    pub attach: Recipient<AttachSequence>,
    /// kv_cache_store.
    pub trim: Recipient<TrimSequence>,
    /// kv_cache_store.
    pub prepare: Recipient<PrepareStep>,
    /// kv_cache_store.
    pub computed: Recipient<RowsComputed>,
    /// kv_cache_store.
    pub detach: Recipient<DetachSequence>,
    /// peer_directory.
    pub find_session: Recipient<FindSession>,
}

struct LoadedShard {
    facts: ShardFacts,
    vocabulary: AnswerVocabulary,
    worker: Recipient<RunBatch>,
    schedule: Schedule,
    is_woken: bool,
    /// Since when nothing is computed; `None` while something is.
    idle_since: Option<Instant>,
    usage: SchedulerUsage,
}

/// The actor.
pub struct BatchScheduler {
    facts: Vec<ShardFacts>,
    shards: Vec<LoadedShard>,
    sequences: HashMap<SequenceId, Sequence>,
    requests: HashMap<RequestId, SequenceId>,
    /// Opened, not yet told whether they must wait.
    untold: Vec<SequenceId>,
    ages: Ages,
    next_id: SequenceId,
    started_at: Instant,
    links: SchedulerLinks,
}

impl BatchScheduler {
    /// A scheduler over these shards; their order numbers them for `kv_cache_store`.
    pub fn new(
        shards: Vec<(ShardFacts, AnswerVocabulary, Recipient<RunBatch>)>,
        limits: Limits,
        links: SchedulerLinks,
    ) -> BatchScheduler {
        let facts = shards.iter().map(|(facts, ..)| facts.clone()).collect();
        let shards = shards.into_iter().map(|(facts, vocabulary, worker)| {
            let room = PageRoom { total: facts.n_pages, available: facts.n_pages };
            let schedule = Schedule::new(limits, room);
            let idle_since = Some(Instant::now());
            let usage = SchedulerUsage::default();
            LoadedShard { schedule, facts, vocabulary, worker, is_woken: false, idle_since, usage }
        });
        BatchScheduler {
            facts,
            shards: shards.collect(),
            sequences: HashMap::new(),
            requests: HashMap::new(),
            untold: Vec::new(),
            ages: Ages::default(),
            next_id: 1,
            started_at: Instant::now(),
            links,
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Plans soon: after those who were told something have answered.
    fn wake(&mut self, shard: usize, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.shards[shard].is_woken, true) {
            return;
        }
        let turn = tokio::task::yield_now();
        ctx.spawn(turn.into_actor(self).map(move |(), scheduler, ctx| {
            scheduler.shards[shard].is_woken = false;
            scheduler.pump(shard, ctx);
        }));
    }

    /// Carries out what is planned now.
    fn pump(&mut self, shard: usize, ctx: &mut Context<Self>) {
        let started = Instant::now();
        let now_us = self.now_us();
        self.hold_back(shard);
        let step = plan_step(&self.shards[shard].schedule, now_us);
        self.shards[shard].schedule.begin(&step);
        for id in &step.turn_away {
            self.refuse(*id, RefusalReason::Busy, "no place became free in time".into(), ctx);
        }
        for id in &step.preempt {
            self.preempt(*id, ctx);
        }
        for admission in &step.admit {
            self.attach(*admission, ctx);
        }
        self.tell_waiting(shard);
        if !step.rows.is_empty() {
            self.prepare(shard, step, ctx);
        }
        self.shards[shard].usage.planning_us += u64::from(micros(started.elapsed()));
    }

    /// Rows whose result could not be sent on soon are not computed yet.
    fn hold_back(&mut self, shard: usize) {
        let schedule = &mut self.shards[shard].schedule;
        for (id, sequence) in self.sequences.iter().filter(|(_, s)| s.shard == shard) {
            let next = sequence.next.as_ref();
            schedule.hold_back(*id, next.is_some_and(SessionHandle::is_congested));
        }
    }

    /// Bytes of rows that take no room in any session's window.
    fn uncounted_bytes(&self) -> usize {
        self.sequences.values().map(|sequence| sequence.pending.uncounted_bytes()).sum()
    }

    /// Bytes that other nodes' sequences brought with them when they were opened.
    fn brought_bytes(&self) -> usize {
        let others = self.sequences.values().filter(|sequence| sequence.owner.session != 0);
        others.map(|sequence| sequence.brought_bytes).sum()
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        for shard in 0..self.shards.len() {
            let idle_since = self.shards[shard].idle_since;
            let has_stalled = idle_since.is_some_and(|since| since.elapsed() >= STALLED);
            if has_stalled && self.uncounted_bytes() < UNCOUNTED_MAX_BYTES {
                let here = self.sequences.values_mut().filter(|sequence| sequence.shard == shard);
                here.for_each(|sequence| sequence.pending.release_credit());
            }
            if self.shards[shard].schedule.n_waiting() > 0 {
                self.make_place(shard, ctx);
            }
            self.wake(shard, ctx);
        }
    }

    /// Takes the places of those that do nothing with them.
    fn make_place(&mut self, shard: usize, ctx: &mut Context<Self>) {
        let is_unheard = |sequence: &Sequence| {
            let is_open = sequence.is_open && sequence.shard == shard;
            is_open && sequence.pending.is_empty() && sequence.heard_at.elapsed() >= UNHEARD
        };
        let unheard = self.sequences.iter().filter(|(_, sequence)| is_unheard(sequence));
        let unheard: Vec<SequenceId> = unheard.map(|(id, _)| *id).collect();
        unheard.into_iter().for_each(|id| self.preempt(id, ctx));
    }

    /// Asks for the pages of a step.
    fn prepare(&mut self, shard: usize, step: Step, ctx: &mut Context<Self>) {
        let stretch = |share: &Share| Stretch {
            sequence: share.sequence,
            from: share.first_position,
            to: share.first_position + share.rows,
        };
        let stretches = step.rows.iter().map(stretch).collect();
        let pages = self.links.prepare.send(PrepareStep { shard, stretches });
        ctx.spawn(pages.into_actor(self).map(move |pages, scheduler, ctx| {
            let started = Instant::now();
            scheduler.run(shard, step, pages.unwrap_or_default(), ctx);
            scheduler.shards[shard].usage.planning_us += u64::from(micros(started.elapsed()));
        }));
    }

    /// Puts a step together from what is still there, and hands it to the worker.
    fn run(&mut self, shard: usize, mut step: Step, pages: StepPages, ctx: &mut Context<Self>) {
        let LoadedShard { facts, worker, schedule, .. } = &mut self.shards[shard];
        if pages.room.total > 0 {
            schedule.set_room(pages.room);
        }
        let mut tables = pages.tables.into_iter();
        let mut batch = Batch::default();
        for mut share in step.rows.drain(..) {
            let table = tables.next().flatten();
            let Some(sequence) = self.sequences.get_mut(&share.sequence) else { continue };
            let Some(table) = table else {
                schedule.put_back(share.sequence, share.rows);
                continue;
            };
            schedule.holds(share.sequence, Held { pages: table.len() as u32, copies: false });
            let (rows, taken) = sequence.pending.take(share.rows);
            schedule.put_back(share.sequence, share.rows - rows);
            share.rows = rows;
            if rows > 0 {
                batch.add(sequence, share, taken, table);
            }
        }
        if batch.entries.is_empty() {
            let now_us = self.now_us();
            self.shards[shard].schedule.end(&Step::default(), None, now_us);
            return self.wake(shard, ctx);
        }
        let (run, entries) = batch.into_run(facts, pages.copies);
        let outcome = worker.send(run);
        self.shards[shard].idle_since = None;
        ctx.spawn(outcome.into_actor(self).map(move |outcome, scheduler, ctx| {
            let started = Instant::now();
            scheduler.step_done(shard, entries, outcome, ctx);
            scheduler.shards[shard].usage.planning_us += u64::from(micros(started.elapsed()));
        }));
    }

    fn step_done(
        &mut self,
        shard: usize,
        entries: Vec<Entry>,
        outcome: Result<Result<BatchRun, RunBatchError>, MailboxError>,
        ctx: &mut Context<Self>,
    ) {
        let now_us = self.now_us();
        self.shards[shard].idle_since = Some(Instant::now());
        let rows: Vec<Share> = entries.iter().map(|entry| entry.share).collect();
        let n_rows = rows.iter().map(|share| share.rows).sum();
        let step = Step { rows, ..Step::default() };
        let run = match outcome {
            Ok(Ok(run)) => run,
            failed => {
                let detail = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => format!("the shard is gone: {error}"),
                    Ok(Ok(_)) => String::new(),
                };
                self.shards[shard].schedule.end(&step, None, now_us);
                step.rows.iter().for_each(|share| self.fail(share.sequence, &detail, ctx));
                return self.wake(shard, ctx);
            }
        };
        self.shards[shard].usage.steps += 1;
        self.shards[shard].usage.rows += u64::from(n_rows);
        self.shards[shard].usage.compute_us += u64::from(run.compute_us);
        self.shards[shard].schedule.end(&step, Some(run.compute_us.into()), now_us);
        let computed = milestones(&entries, |id| self.sequences.get(&id), PAGE_TOKENS);
        if !computed.is_empty() {
            offer(&self.links.computed, RowsComputed { shard, computed });
        }
        let mut results = Results::new(run, n_rows);
        for entry in entries {
            let id = entry.share.sequence;
            let result = results.next(entry, self.sequences.get_mut(&id));
            if let Some(outcome) = result {
                self.pass_on(id, outcome, ctx);
            }
        }
        self.wake(shard, ctx);
    }

    fn pass_on(&mut self, id: SequenceId, outcome: Outcome, ctx: &mut Context<Self>) {
        let Some(sequence) = self.sequences.get(&id) else { return };
        let detail = match (&sequence.next, outcome) {
            (_, Outcome::Token(sampled)) => {
                return sequence.reply(StageReplyBody::Sampled(sampled));
            }
            (_, Outcome::Embedding { values, trace }) => {
                return sequence.reply(StageReplyBody::Embedded { values, trace });
            }
            (_, Outcome::Scores { scores, trace }) => {
                return sequence.reply(StageReplyBody::Scored { scores, trace });
            }
            (_, Outcome::Failed(detail)) => detail,
            (Some(next), Outcome::Frame(message)) => {
                match next.send.try_send(SendFrame { message, replies: None }) {
                    Ok(()) => return,
                    Err(_) => format!("the link to {} is gone", next.peer.short()),
                }
            }
            (None, Outcome::Frame(_)) => "this stage has nowhere to send its rows".to_owned(),
        };
        self.fail(id, &detail, ctx);
    }

    /// Forgets a sequence and gives its pages back; those with names are kept for reuse.
    fn close(&mut self, id: SequenceId, keys: &[u8], ctx: &mut Context<Self>) -> Option<Sequence> {
        let sequence = self.sequences.remove(&id)?;
        self.requests.remove(&sequence.request);
        let shard = sequence.shard;
        let now_us = self.now_us();
        let schedule = &mut self.shards[shard].schedule;
        let computed = schedule.computed(id);
        schedule.remove(id, now_us);
        let keys = prefix::keys_of(keys);
        let detached =
            self.links.detach.send(DetachSequence { shard, sequence: id, computed, keys });
        ctx.spawn(detached.into_actor(self).map(move |reply, scheduler, ctx| {
            match reply {
                Ok(room) => scheduler.shards[shard].schedule.set_room(room.0),
                Err(error) => tracing::error!(%error, "pages could not be given back"),
            }
            scheduler.wake(shard, ctx);
        }));
        Some(sequence)
    }

    fn fail(&mut self, id: SequenceId, detail: &str, ctx: &mut Context<Self>) {
        if let Some(sequence) = self.close(id, &[], ctx) {
            sequence.reply(StageReplyBody::Failed { detail: detail.to_owned() });
        }
    }

    fn preempt(&mut self, id: SequenceId, ctx: &mut Context<Self>) {
        let shard = self.sequences.get(&id).map(|sequence| sequence.shard);
        let age = shard.and_then(|shard| self.shards[shard].schedule.age(id));
        if let Some(sequence) = self.close(id, &[], ctx) {
            self.shards[sequence.shard].usage.preemptions += 1;
            if let Some(age) = age {
                self.ages.keep(sequence.request, age);
            }
            sequence.reply(StageReplyBody::Preempted);
        }
    }
}

impl Actor for BatchScheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::BATCH_SCHEDULER);
        ctx.run_interval(TICK, Self::tick);
    }
}

impl Handler<SubmitRows> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, submit: SubmitRows, ctx: &mut Self::Context) {
        let request = submit.rows.request;
        let Some((id, sequence)) = self
            .requests
            .get(&request)
            .and_then(|id| self.sequences.get_mut(id).map(|sequence| (*id, sequence)))
        else {
            tracing::debug!(%request, "rows of a sequence that is not open");
            return;
        };
        let shard = sequence.shard;
        let LoadedShard { facts, schedule, .. } = &mut self.shards[shard];
        let first = submit.rows.first_position;
        if !sequence.has_rows && sequence.is_open && first < sequence.due {
            // Another stage knew less: what is known beyond goes back.
            offer(&self.links.trim, TrimSequence { shard, sequence: id, positions: first });
            let held = Held { pages: first.div_ceil(PAGE_TOKENS), copies: false };
            schedule.go_back(id, first, held);
            sequence.due = first;
        }
        sequence.has_rows = true;
        sequence.heard_at = Instant::now();
        let checked = policy::check_kind(facts, &submit.rows, &submit.payload)
            .and_then(|()| policy::check_rows(&submit.rows, sequence.due, sequence.max_positions));
        match checked {
            Ok(end) => sequence.due = end,
            Err(detail) => return self.fail(id, &detail, ctx),
        }
        if let Some(credit) = &submit.credit {
            credit.were_due();
        }
        schedule.arrived(id, submit.rows.n_rows);
        sequence.pending.push(submit);
        self.wake(shard, ctx);
    }
}

impl Handler<CancelSequence> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, cancel: CancelSequence, ctx: &mut Self::Context) {
        let Some(id) = self.requests.get(&cancel.request).copied() else { return };
        let owner = self.sequences.get(&id).map(|sequence| sequence.owner.session);
        if cancel.owner.is_none() || cancel.owner == owner {
            self.close(id, &cancel.keys, ctx);
        }
    }
}

impl Handler<SessionDrained> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, _: SessionDrained, ctx: &mut Self::Context) {
        (0..self.shards.len()).for_each(|shard| self.wake(shard, ctx));
    }
}

impl Handler<SessionClosed> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, closed: SessionClosed, ctx: &mut Self::Context) {
        let of = |is: &dyn Fn(&Sequence) -> bool| -> Vec<SequenceId> {
            self.sequences.iter().filter(|(_, s)| is(s)).map(|(id, _)| *id).collect()
        };
        let owned = of(&|sequence| sequence.owner.session == closed.id);
        let broken =
            of(&|sequence| sequence.next.as_ref().is_some_and(|next| next.id == closed.id));
        for id in owned {
            self.close(id, &[], ctx);
        }
        for id in broken {
            let peer = closed.peer.map_or_else(String::new, |peer| peer.short());
            let detail = format!("the next stage {peer} was lost: {}", closed.reason);
            self.fail(id, &detail, ctx);
        }
    }
}

impl Handler<GetSchedulerUsage> for BatchScheduler {
    type Result = MessageResult<GetSchedulerUsage>;

    fn handle(&mut self, _: GetSchedulerUsage, _: &mut Self::Context) -> Self::Result {
        let of_shard = |shard: &LoadedShard| SchedulerUsage {
            running: shard.schedule.n_running(),
            waiting: shard.schedule.n_waiting(),
            ..shard.usage
        };
        MessageResult(self.shards.iter().map(of_shard).collect())
    }
}
