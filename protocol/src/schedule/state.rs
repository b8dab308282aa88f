//! What is known of the sequences at one shard, and the events that change it.
//!
//! Called by the owner of the shard; `plan.rs` reads it. A sequence waits, is being attached to its
//! pages by the KV store, or runs; only running ones hold pages.

use std::collections::BTreeMap;

use super::{
    Limits, SequenceId, Step, StepCost,
    fairness::{FlowId, Flows},
};

/// A requester is asked to come back no sooner and no later than this.
const RETRY_AFTER_US: std::ops::RangeInclusive<u64> = 500_000..=60_000_000;
/// Weight of the newest end of a sequence in the estimate of how often one ends.
const RECENT: f64 = 0.2;

/// A sequence that wants to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    /// Its number.
    pub sequence: SequenceId,
    /// Who asks.
    pub flow: FlowId,
    /// The requester's share; its tier.
    pub weight: u32,
    /// Rows to be computed before the first token, those known from before included.
    pub prompt: u32,
    /// Stages of the route, this one included.
    pub stages: u16,
    /// Its age, when it was here before ([`Schedule::age`]).
    pub age: Option<u64>,
    /// Whether it may wait for a place; otherwise it is admitted soon or not at all.
    pub may_wait: bool,
}

/// Pages of the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageRoom {
    /// In all.
    pub total: u32,
    /// Free, or kept only for reuse.
    pub available: u32,
}

/// Pages of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// How many, shared ones included.
    pub pages: u32,
    /// Whether its next row lies in a shared one, which must be copied first.
    pub copies: bool,
}

/// No place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait here; try again in {} s", .retry_after_us.div_ceil(1_000_000))]
pub struct QueueFull {
    /// When a place is likely.
    pub retry_after_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Attaching,
    Running,
}

/// A live sequence that computes a prefix this one has too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leader {
    pub(super) sequence: SequenceId,
    pub(super) positions: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Sequence {
    pub(super) flow: FlowId,
    pub(super) age: u64,
    pub(super) phase: Phase,
    pub(super) may_wait: bool,
    /// Since when it is in its phase, or made no progress.
    pub(super) since_us: u64,
    pub(super) stages: u16,
    pub(super) prompt: u32,
    /// Rows computed, or being computed in the step that runs.
    pub(super) position: u32,
    /// Rows computed.
    pub(super) computed: u32,
    /// Rows that have arrived and are not in a step.
    pub(super) pending: u32,
    pub(super) held: Held,
    /// Tried since pages became free, and found too large.
    pub(super) is_blocked: bool,
    pub(super) overtaken: u32,
    pub(super) leader: Option<Leader>,
    /// Whether the next stage could not take its rows now.
    pub(super) is_held_back: bool,
}

impl Sequence {
    /// Whether its prompt is computed: its rows are tokens that somebody waits for.
    pub(super) fn is_decoding(&self) -> bool {
        self.position >= self.prompt
    }

    /// Pages that computing up to `position` takes beyond those it has.
    pub(super) fn pages_up_to(&self, position: u32, page: u32) -> u32 {
        position.div_ceil(page).saturating_sub(self.held.pages) + u32::from(self.held.copies)
    }
}

/// The sequences at one shard.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub(super) limits: Limits,
    pub(super) sequences: BTreeMap<SequenceId, Sequence>,
    pub(super) flows: Flows,
    pub(super) cost: StepCost,
    pub(super) room: PageRoom,
    pub(super) is_stepping: bool,
    next_age: u64,
    last_end_us: Option<u64>,
    end_interval_us: f64,
}

impl Schedule {
    /// A schedule of no sequences.
    #[must_use]
    pub fn new(limits: Limits, room: PageRoom) -> Self {
        Self {
            limits,
            sequences: BTreeMap::new(),
            flows: Flows::default(),
            cost: StepCost::default(),
            room,
            is_stepping: false,
            next_age: 0,
            last_end_us: None,
            end_interval_us: 1e6,
        }
    }

    /// Takes a sequence into the queue.
    ///
    /// # Errors
    /// [`QueueFull`], with the time after which a place is likely.
    pub fn enqueue(&mut self, new: Newcomer, now_us: u64) -> Result<(), QueueFull> {
        let waits = |sequence: &&Sequence| sequence.phase == Phase::Waiting;
        let waiting = self.sequences.values().filter(waits).count();
        let of_flow = self.sequences.values().filter(waits).filter(|s| s.flow == new.flow).count();
        let is_full = match new.may_wait {
            true => {
                waiting >= self.limits.waiting_max || of_flow >= self.limits.waiting_per_flow_max
            }
            false => waiting + self.n_running() >= self.limits.running_max,
        };
        if is_full {
            return Err(QueueFull { retry_after_us: self.retry_after_us() });
        }
        let age = new.age.unwrap_or(self.next_age);
        self.next_age = self.next_age.max(age) + 1;
        self.flows.enter(new.flow, new.weight);
        self.sequences.insert(
            new.sequence,
            Sequence {
                flow: new.flow,
                age,
                phase: Phase::Waiting,
                may_wait: new.may_wait,
                since_us: now_us,
                stages: new.stages.max(1),
                prompt: new.prompt,
                position: 0,
                computed: 0,
                pending: 0,
                held: Held::default(),
                is_blocked: false,
                overtaken: 0,
                leader: None,
                is_held_back: false,
            },
        );
        Ok(())
    }

    /// When a requester that finds no room should come back: in the time a few sequences take to
    /// end.
    #[must_use]
    pub fn retry_after_us(&self) -> u64 {
        let ahead = self.n_waiting() as f64 + 1.0;
        let us = (self.end_interval_us * ahead) as u64;
        us.clamp(*RETRY_AFTER_US.start(), *RETRY_AFTER_US.end())
    }

    /// A sequence is attached: `position` of its rows are known from others.
    pub fn attached(&mut self, id: SequenceId, position: u32, held: Held, now_us: u64) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.phase = Phase::Running;
            sequence.since_us = now_us;
            (sequence.position, sequence.computed, sequence.held) = (position, position, held);
        }
    }

    /// The KV store found that a sequence does not fit yet.
    pub fn found_no_room(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.phase = Phase::Waiting;
        sequence.is_blocked = true;
    }

    /// A live sequence is computing a prefix of this one: it waits until that is `positions` long,
    /// as long as it grows.
    pub fn follows(&mut self, id: SequenceId, leader: SequenceId, positions: u32) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.phase = Phase::Waiting;
        sequence.leader = Some(Leader { sequence: leader, positions });
    }

    /// Rows of a running sequence arrived.
    pub fn arrived(&mut self, id: SequenceId, rows: u32) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.pending += rows;
        }
    }

    /// Whether the rows of a sequence are to wait: what comes of them could not be sent on.
    pub fn hold_back(&mut self, id: SequenceId, is_held_back: bool) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.is_held_back = is_held_back;
        }
    }

    /// The pages of a sequence changed.
    pub fn holds(&mut self, id: SequenceId, held: Held) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.held = held;
        }
    }

    /// Somebody shares the page that the next row of a sequence lies in.
    pub fn shares(&mut self, id: SequenceId) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.held.copies = true;
        }
    }

    /// An attached sequence starts at an earlier position: another stage knew less.
    pub fn go_back(&mut self, id: SequenceId, position: u32, held: Held) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            (sequence.position, sequence.computed, sequence.held) = (position, position, held);
        }
    }

    /// How many pages there are now.
    pub fn set_room(&mut self, room: PageRoom) {
        if room.available > self.room.available {
            self.sequences.values_mut().for_each(|sequence| sequence.is_blocked = false);
        }
        self.room = room;
    }

    /// A step starts: what it admits is being attached, its rows are being computed.
    pub fn begin(&mut self, step: &Step) {
        for admission in &step.admit {
            let Some(admitted) = self.sequences.get_mut(&admission.sequence) else { continue };
            admitted.phase = Phase::Attaching;
            admitted.leader = None;
            let age = admitted.age;
            for other in self.sequences.values_mut().filter(|other| other.age < age) {
                other.overtaken += u32::from(other.is_blocked);
            }
        }
        for share in &step.rows {
            if let Some(sequence) = self.sequences.get_mut(&share.sequence) {
                sequence.position += share.rows;
                sequence.pending = sequence.pending.saturating_sub(share.rows);
                self.flows.charge(sequence.flow, share.rows);
            }
        }
        self.is_stepping |= !step.rows.is_empty();
    }

    /// The step's rows are computed, in this time; `None` when it did not run.
    pub fn end(&mut self, step: &Step, elapsed_us: Option<u64>, now_us: u64) {
        self.is_stepping = false;
        let rows: u32 = step.rows.iter().map(|share| share.rows).sum();
        if let Some(elapsed_us) = elapsed_us {
            self.cost.observe(rows, elapsed_us);
        }
        for share in &step.rows {
            if let Some(sequence) = self.sequences.get_mut(&share.sequence) {
                sequence.computed = share.first_position + share.rows;
                sequence.since_us = now_us;
            }
        }
    }

    /// A share of a step that begins could not get its pages after all: its rows wait again.
    pub fn put_back(&mut self, id: SequenceId, rows: u32) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.position -= rows;
            sequence.pending += rows;
        }
    }

    /// Forgets a sequence that ended, was cancelled, turned away or preempted.
    pub fn remove(&mut self, id: SequenceId, now_us: u64) {
        let Some(sequence) = self.sequences.remove(&id) else { return };
        self.flows.leave(sequence.flow);
        if sequence.phase == Phase::Running
            && let Some(last) = self.last_end_us.replace(now_us)
        {
            let interval = now_us.saturating_sub(last) as f64;
            self.end_interval_us += RECENT * (interval - self.end_interval_us);
        }
    }

    /// The age by which a preempted sequence takes its place again.
    #[must_use]
    pub fn age(&self, id: SequenceId) -> Option<u64> {
        self.sequences.get(&id).map(|sequence| sequence.age)
    }

    /// Rows of a sequence that are computed.
    #[must_use]
    pub fn computed(&self, id: SequenceId) -> u32 {
        self.sequences.get(&id).map_or(0, |sequence| sequence.computed)
    }

    /// Whether a sequence waits for a place.
    #[must_use]
    pub fn is_waiting(&self, id: SequenceId) -> bool {
        self.sequences.get(&id).is_some_and(|sequence| sequence.phase == Phase::Waiting)
    }

    /// Sequences that hold pages, or are about to.
    #[must_use]
    pub fn n_running(&self) -> usize {
        self.sequences.len() - self.n_waiting()
    }

    /// Sequences that wait for a place.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.sequences.values().filter(|sequence| sequence.phase == Phase::Waiting).count()
    }

    /// Pages that running sequences still need for their prompts, and one more each.
    pub(super) fn promised(&self) -> u32 {
        let page = self.limits.page;
        let running = self.sequences.values().filter(|s| s.phase == Phase::Running);
        running.filter(|s| !s.is_decoding()).map(|s| s.pages_up_to(s.prompt + 1, page)).sum()
    }
}
