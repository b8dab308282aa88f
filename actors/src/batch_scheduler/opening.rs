//! From the request for a sequence to its pages: checks, the way to the next stage, the queue.

use std::collections::{HashMap, VecDeque};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, MailboxError, WrapFuture};
use swarmllm_protocol::guide::Guide;
use swarmllm_protocol::ids::RequestId;
use swarmllm_protocol::limits::{PAGE_TOKENS, RETRY_AFTER_MAX_MS};
use swarmllm_protocol::schedule::{Admission, Held, Newcomer, SequenceId};
use swarmllm_protocol::wire::{Lineage, NextHop, RefusalReason};
use tokio::time::Instant;

use super::sequence::tell;
use super::{BatchScheduler, OpenSequence, Sequence, policy};
use crate::generation::StageReplyBody;
use crate::kv_cache_store::{AttachSequence, Attachment};
use crate::peer_directory::FindSession;
use crate::shard_worker::guide::TokenGuide;

/// Preempted sequences whose age is remembered.
const AGES_MAX: usize = 1024;

/// Ages of preempted sequences, until they come back.
#[derive(Debug, Default)]
pub(super) struct Ages {
    ages: HashMap<RequestId, u64>,
    order: VecDeque<RequestId>,
}

impl Ages {
    /// Remembers one, and forgets the oldest of too many.
    pub(super) fn keep(&mut self, request: RequestId, age: u64) {
        self.ages.insert(request, age);
        self.order.push_back(request);
        if self.order.len() > AGES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ages.remove(&oldest);
        }
    }

    fn take(&mut self, request: RequestId) -> Option<u64> {
        self.ages.remove(&request)
    }
}

impl BatchScheduler {
    /// Prepares what guides the tokens of a sequence, away from this thread.
    fn take_guide(&mut self, id: SequenceId, guide: Guide, ctx: &mut Context<Self>) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        if let Some(scoring) = &mut sequence.scoring {
            if guide.answered.len() != sequence.prompt as usize {
                let detail = "the prompt to score did not come with the request".to_owned();
                return self.refuse(id, RefusalReason::Invalid, detail, ctx);
            }
            scoring.tokens = guide.answered;
            return self.enqueue(id, ctx);
        }
        let penalised = sequence.sampling.is_some_and(|params| params.has_penalties());
        if guide == Guide::default() && !penalised {
            return self.enqueue(id, ctx);
        }
        let vocabulary = self.shards[sequence.shard].vocabulary.clone();
        let made = tokio::task::spawn_blocking(move || TokenGuide::new(guide, &vocabulary));
        ctx.spawn(made.into_actor(self).map(move |made, scheduler, ctx| match made {
            Ok(Ok(guide)) => {
                if let Some(sequence) = scheduler.sequences.get_mut(&id) {
                    sequence.guide = Some(Box::new(guide));
                }
                scheduler.enqueue(id, ctx);
            }
            Ok(Err(detail)) => scheduler.refuse(id, RefusalReason::Invalid, detail, ctx),
            Err(error) => scheduler.refuse(id, RefusalReason::Busy, error.to_string(), ctx),
        }));
    }

    /// Puts a checked sequence into the queue of its shard.
    fn enqueue(&mut self, id: SequenceId, ctx: &mut Context<Self>) {
        let now_us = self.now_us();
        let Some(sequence) = self.sequences.get(&id) else { return };
        let shard = sequence.shard;
        let age = match sequence.lineage {
            Lineage::Resumes(request) => self.ages.take(request),
            _ => None,
        };
        let newcomer = Newcomer {
            sequence: id,
            flow: policy::flow_of(sequence.owner.peer, sequence.owner.client),
            weight: 1,
            prompt: sequence.prompt,
            stages: sequence.stages,
            age,
            // Whoever waits at a later stage would hold pages at the first one.
            may_wait: sequence.stage == 0,
        };
        let schedule = &mut self.shards[shard].schedule;
        if let Err(full) = schedule.enqueue(newcomer, now_us) {
            return self.refuse(id, RefusalReason::Busy, full.to_string(), ctx);
        }
        let parent = sequence.sample_of.and_then(|parent| self.sequences.get(&parent));
        if let (Some(id_of_parent), Some(parent)) = (sequence.sample_of, parent) {
            schedule.follows(id, id_of_parent, parent.prompt);
        }
        self.untold.push(id);
        self.wake(shard, ctx);
    }

    /// The sequence whose prompt this one is another sample of: of the same requester, here.
    fn parent_of(&self, shard: usize, message: &OpenSequence) -> Option<SequenceId> {
        let Lineage::SampleOf(request) = message.open.lineage else { return None };
        let id = *self.requests.get(&request)?;
        let parent = self.sequences.get(&id)?;
        (parent.shard == shard && parent.owner.peer == message.owner.peer).then_some(id)
    }

    /// Asks for the pages of a sequence that has a place.
    pub(super) fn attach(&mut self, admission: Admission, ctx: &mut Context<Self>) {
        let id = admission.sequence;
        let Some(sequence) = self.sequences.get(&id) else { return };
        let attach = AttachSequence {
            shard: sequence.shard,
            sequence: id,
            namespace: policy::namespace_of(sequence.owner.peer),
            keys: sequence.keys.clone(),
            prompt: sequence.prompt,
            pages_max: admission.pages_max,
            sample_of: sequence.sample_of,
            alone: admission.alone,
        };
        let attached = self.links.attach.send(attach);
        ctx.spawn(attached.into_actor(self).map(move |attachment, scheduler, ctx| {
            scheduler.attached(id, attachment, ctx);
        }));
    }

    fn attached(
        &mut self,
        id: SequenceId,
        attachment: Result<Attachment, MailboxError>,
        ctx: &mut Context<Self>,
    ) {
        let now_us = self.now_us();
        // A sequence that was cancelled meanwhile was detached behind this.
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        let shard = sequence.shard;
        let schedule = &mut self.shards[shard].schedule;
        match attachment {
            Ok(Attachment::Attached { positions, pages, room }) => {
                schedule.set_room(room);
                // Only a sample begins inside of a page: one that both will write into.
                let copies = !positions.is_multiple_of(PAGE_TOKENS);
                schedule.attached(id, positions, Held { pages, copies }, now_us);
                sequence.is_open = true;
                sequence.heard_at = Instant::now();
                sequence.due = positions;
                sequence.reply(StageReplyBody::Opened { known: positions });
                if copies && let Some(parent) = sequence.sample_of {
                    schedule.shares(parent);
                }
            }
            Ok(Attachment::Behind { leader, positions }) => {
                // A sample shares the whole prompt, not only its full pages.
                let is_sample = sequence.sample_of == Some(leader);
                let positions = if is_sample { sequence.prompt } else { positions };
                schedule.follows(id, leader, positions);
                self.untold.push(id);
            }
            Ok(Attachment::NoRoom) if sequence.stage == 0 => {
                schedule.found_no_room(id);
                self.untold.push(id);
            }
            Ok(Attachment::NoRoom) => {
                let detail = "all cache pages are in use: try again when others are done".into();
                self.refuse(id, RefusalReason::OutOfPages, detail, ctx);
            }
            Err(error) => self.refuse(id, RefusalReason::Busy, error.to_string(), ctx),
        }
        self.wake(shard, ctx);
    }

    /// Tells those who were not admitted at once that they wait.
    pub(super) fn tell_waiting(&mut self, shard: usize) {
        let schedule = &self.shards[shard].schedule;
        let sequences = &self.sequences;
        self.untold.retain(|id| {
            let Some(sequence) = sequences.get(id).filter(|s| !s.is_open) else { return false };
            if sequence.shard != shard {
                return true;
            }
            if schedule.is_waiting(*id) {
                let waiting = u32::try_from(schedule.n_waiting()).unwrap_or(u32::MAX);
                sequence.reply(StageReplyBody::Queued { waiting });
            }
            false
        });
    }

    /// Turns a sequence away that is not open yet.
    pub(super) fn refuse(
        &mut self,
        id: SequenceId,
        reason: RefusalReason,
        detail: String,
        ctx: &mut Context<Self>,
    ) {
        let Some(sequence) = self.close(id, &[], ctx) else { return };
        let helps = matches!(reason, RefusalReason::Busy | RefusalReason::OutOfPages);
        let retry_after_us = self.shards[sequence.shard].schedule.retry_after_us();
        let retry_after_ms = match helps {
            true => u32::try_from(retry_after_us / 1000).unwrap_or(RETRY_AFTER_MAX_MS),
            false => 0,
        };
        let retry_after_ms = retry_after_ms.min(RETRY_AFTER_MAX_MS);
        sequence.reply(StageReplyBody::Refused { reason, detail, retry_after_ms });
    }
}

impl Handler<OpenSequence> for BatchScheduler {
    type Result = ();

    fn handle(&mut self, message: OpenSequence, ctx: &mut Self::Context) {
        let (open, owner) = (&message.open, &message.owner);
        let request = open.request;
        let n_open = self.sequences.len();
        let brings = message.keys.len() + message.guide.len();
        let is_too_much =
            owner.session != 0 && policy::brings_too_much(brings, || self.brought_bytes());
        let admitted = policy::admit(&self.facts, n_open, open).and_then(|shard| {
            if is_too_much {
                let detail = "other requests brought too much with them: try again".to_owned();
                return Err((RefusalReason::Busy, detail));
            }
            let is_known = self.requests.contains_key(&request);
            let again = (RefusalReason::Invalid, "that request is open here already".to_owned());
            if is_known { Err(again) } else { Ok(shard) }
        });
        let shard = match admitted {
            Ok(shard) => shard,
            Err((reason, detail)) => {
                let refused = StageReplyBody::Refused { reason, detail, retry_after_ms: 0 };
                return tell(owner, request, refused);
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        let guide = match Guide::decode(&message.guide) {
            Ok(guide) => guide,
            Err(error) => {
                let (reason, detail) = (RefusalReason::Invalid, error.to_string());
                let refused = StageReplyBody::Refused { reason, detail, retry_after_ms: 0 };
                return tell(owner, request, refused);
            }
        };
        let next = open.next.clone();
        let asked_by = (owner.session != 0).then_some(owner.peer);
        let sample_of = self.parent_of(shard, &message);
        self.requests.insert(request, id);
        self.sequences.insert(id, Sequence::new(shard, message, sample_of));
        let NextHop::Stage(to) = next else { return self.take_guide(id, guide, ctx) };
        let find = FindSession { peer: to.peer, addresses: to.addresses, asked_by };
        let found = self.links.find_session.send(find);
        ctx.spawn(found.into_actor(self).map(move |found, scheduler, ctx| {
            let reason = match found {
                Ok(Ok(next)) => {
                    if let Some(sequence) = scheduler.sequences.get_mut(&id) {
                        sequence.next = Some(next);
                    }
                    return scheduler.enqueue(id, ctx);
                }
                Ok(Err(error)) => (RefusalReason::NextUnreachable, error.to_string()),
                Err(error) => (RefusalReason::Busy, error.to_string()),
            };
            scheduler.refuse(id, reason.0, reason.1, ctx);
        }));
    }
}
