//! The decision: one step from a schedule and the time.
//!
//! Called after every event. Pure: the owner carries the step out and tells the schedule
//! ([`Schedule::begin`], [`Schedule::end`]). The rules are in `mod.rs`.

use std::collections::BTreeMap;

use super::{
    FlowId, Schedule, SequenceId,
    state::{Phase, Sequence},
};

/// Prefill rows of a step, whatever the streams need: a prompt always gets on.
const PREFILL_ROWS_MIN: u32 = 4;
/// Prefill rows are dealt out by so many.
const QUANTUM: u32 = 16;
/// With no stream to be stalled a step may take so many times the target.
const UNDISTURBED: u64 = 4;
/// Prefill beside decode rows may take this part of the time that a row of every running sequence
/// takes, target or not: else the machine would be busy with small steps, and nobody gets on.
const PREFILL_SHARE: [u64; 2] = [1, 2];
/// Engines compute so many rows together: a step of other sizes wastes a part of that.
const TOGETHER: u32 = 4;
/// How often a prompt that finds no room may be overtaken by smaller ones.
const OVERTAKES_MAX: u32 = 16;
/// A leader that does not grow for so long is not waited for.
const LEADER_STALLED_US: u64 = 5_000_000;
/// A sequence that finds no page for so long gives up those it has: another node may wait for them.
const PAGES_STALLED_US: u64 = 1_000_000;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Waited too long.
    pub turn_away: Vec<SequenceId>,
    /// To be attached to their pages.
    pub admit: Vec<Admission>,
    /// To give up all their pages and be computed again later.
    pub preempt: Vec<SequenceId>,
    /// To be computed together, oldest first; empty while another step runs.
    pub rows: Vec<Share>,
}

/// A sequence that may be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Which.
    pub sequence: SequenceId,
    /// Most pages it may take for its prompt, and one more.
    pub pages_max: u32,
    /// It waited for another one to compute a prefix, in vain: it computes that itself.
    pub alone: bool,
}

/// Rows of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub sequence: SequenceId,
    /// Position of the first.
    pub first_position: u32,
    /// How many.
    pub rows: u32,
}

/// Decides what to do now.
#[must_use]
pub fn plan_step(schedule: &Schedule, now_us: u64) -> Step {
    let mut step = Step::default();
    admissions(schedule, now_us, &mut step);
    if !schedule.is_stepping {
        rows(schedule, now_us, &mut step);
    }
    step
}

fn admissions(schedule: &Schedule, now_us: u64, step: &mut Step) {
    let limits = &schedule.limits;
    let mut queues: BTreeMap<FlowId, Vec<(SequenceId, &Sequence)>> = BTreeMap::new();
    for (id, sequence) in &schedule.sequences {
        if sequence.phase != Phase::Waiting {
            continue;
        }
        let waited_us = now_us.saturating_sub(sequence.since_us);
        if sequence.may_wait && waited_us > limits.wait_max_us {
            step.turn_away.push(*id);
        } else if !waits_for_leader(schedule, sequence, now_us) {
            queues.entry(sequence.flow).or_default().push((*id, sequence));
        }
    }
    for queue in queues.values_mut() {
        queue.sort_by_key(|(_, sequence)| std::cmp::Reverse(sequence.age));
    }
    let mut free = schedule.room.available.saturating_sub(schedule.promised());
    let mut places = limits.running_max.saturating_sub(schedule.n_running());
    let mut dealt: BTreeMap<FlowId, u32> = BTreeMap::new();
    while places > 0 {
        let time =
            |flow: FlowId| schedule.flows.time_after(flow, dealt.get(&flow).copied().unwrap_or(0));
        let open = queues.iter().filter(|(_, queue)| !queue.is_empty());
        let first =
            open.min_by_key(|(flow, queue)| (time(**flow), queue.last().map(|(_, s)| s.age)));
        let Some(flow) = first.map(|(flow, _)| *flow) else { return };
        let Some((id, sequence)) = queues.get_mut(&flow).and_then(Vec::pop) else { return };
        if sequence.is_blocked {
            match sequence.overtaken < OVERTAKES_MAX {
                true => continue,
                false => return,
            }
        }
        let alone = leader_of(schedule, sequence).is_some();
        step.admit.push(Admission { sequence: id, pages_max: free, alone });
        let pages = (sequence.prompt + 1).div_ceil(limits.page);
        if pages > free {
            // It fits only if others know enough of it: the KV store can tell.
            return;
        }
        free -= pages;
        places -= 1;
        *dealt.entry(flow).or_default() += sequence.prompt;
    }
}

/// Who is to compute a prefix of this one and has not got there.
fn leader_of<'a>(schedule: &'a Schedule, sequence: &Sequence) -> Option<&'a Sequence> {
    let leader = sequence.leader?;
    let ahead = schedule.sequences.get(&leader.sequence)?;
    (ahead.phase != Phase::Running || ahead.computed < leader.positions).then_some(ahead)
}

fn waits_for_leader(schedule: &Schedule, sequence: &Sequence, now_us: u64) -> bool {
    leader_of(schedule, sequence).is_some_and(|ahead| {
        ahead.phase != Phase::Running || now_us.saturating_sub(ahead.since_us) < LEADER_STALLED_US
    })
}

/// Pages left while a step is put together.
struct Pages<'a> {
    schedule: &'a Schedule,
    available: u32,
    now_us: u64,
    preempt: Vec<SequenceId>,
}

impl Pages<'_> {
    /// How many of `wanted` rows there are pages for. With none the youngest sequence, if it is
    /// younger, is preempted for this one, which computes in the next step.
    fn take(&mut self, id: SequenceId, sequence: &Sequence, wanted: u32) -> u32 {
        if wanted == 0 {
            return 0;
        }
        let page = self.schedule.limits.page;
        let held = sequence.held.pages * page;
        let copies = u32::from(sequence.held.copies);
        let reach = match self.available.checked_sub(copies) {
            Some(available) => held.saturating_add(available.saturating_mul(page)),
            None => sequence.position,
        };
        let rows = wanted.min(reach.saturating_sub(sequence.position));
        if rows > 0 {
            self.available -= sequence.pages_up_to(sequence.position + rows, page);
            return rows;
        }
        self.available = 0;
        let running = self.schedule.sequences.iter().filter(|(other, s)| {
            s.phase == Phase::Running && s.held.pages > 0 && !self.preempt.contains(other)
        });
        let youngest = running.max_by_key(|(_, s)| s.age).map(|(other, _)| *other);
        match youngest {
            Some(youngest) if youngest != id => {
                if self.preempt.is_empty() {
                    self.preempt.push(youngest);
                }
            }
            _ => {
                let stalled_us = self.now_us.saturating_sub(sequence.since_us);
                let is_alone = self.schedule.n_running() == 1;
                if stalled_us > PAGES_STALLED_US && !is_alone {
                    self.preempt.push(id);
                }
            }
        }
        0
    }
}

fn rows(schedule: &Schedule, now_us: u64, step: &mut Step) {
    let running = schedule.sequences.iter().filter(|(_, s)| s.phase == Phase::Running);
    let mut ready: Vec<(SequenceId, &Sequence)> = running
        .clone()
        .filter(|(_, s)| s.pending > 0 && !s.is_held_back)
        .map(|(id, s)| (*id, s))
        .collect();
    ready.sort_by_key(|(_, sequence)| sequence.age);
    let available = schedule.room.available;
    let mut pages = Pages { schedule, available, now_us, preempt: Vec::new() };
    let mut given: BTreeMap<SequenceId, u32> = BTreeMap::new();
    let mut base = 0;
    for (id, sequence) in ready.iter().filter(|(_, sequence)| sequence.is_decoding()) {
        let left = schedule.limits.rows_max.saturating_sub(base);
        // Whoever sends many rows behind its prompt gets no more of a step than a prompt's part.
        let rows = pages.take(*id, sequence, sequence.pending.min(QUANTUM).min(left));
        base += rows;
        given.insert(*id, rows);
    }
    ready.retain(|(_, sequence)| !sequence.is_decoding());
    let streams = running.filter(|(_, sequence)| sequence.is_decoding()).count();
    deal(schedule, &mut pages, &ready, prefill_rows(schedule, base, streams), &mut given);
    step.preempt = pages.preempt;
    given.retain(|id, rows| *rows > 0 && !step.preempt.contains(id));
    let share = |(id, rows): (&SequenceId, &u32)| Share {
        sequence: *id,
        first_position: schedule.sequences[id].position,
        rows: *rows,
    };
    step.rows = given.iter().map(share).collect();
    step.rows.sort_by_key(|share| schedule.sequences[&share.sequence].age);
}

/// Rows for prompts beside `base` decode rows, with so many streams that must not stall.
fn prefill_rows(schedule: &Schedule, base: u32, streams: usize) -> u32 {
    let limits = &schedule.limits;
    let stages = schedule.sequences.values().map(|sequence| sequence.stages).max().unwrap_or(1);
    let target_us = limits.target_us / u64::from(stages);
    let limit_us = if streams == 0 {
        target_us * UNDISTURBED
    } else {
        let running = u32::try_from(schedule.n_running()).unwrap_or(u32::MAX).min(limits.rows_max);
        let together_us = schedule.cost.expect_us(base.max(running));
        let [part, whole] = PREFILL_SHARE;
        target_us.max(together_us + together_us * part / whole)
    };
    let left = limits.rows_max.saturating_sub(base);
    let rows = schedule.cost.rows_within(base, limit_us, left).max(PREFILL_ROWS_MIN);
    let rounded = (base + rows) / TOGETHER * TOGETHER;
    rounded.saturating_sub(base).max(PREFILL_ROWS_MIN).min(left)
}

/// Deals rows out to prompts, quantum by quantum, to the requester that is furthest behind.
fn deal(
    schedule: &Schedule,
    pages: &mut Pages<'_>,
    ready: &[(SequenceId, &Sequence)],
    mut budget: u32,
    given: &mut BTreeMap<SequenceId, u32>,
) {
    let mut wanted: BTreeMap<SequenceId, u32> = BTreeMap::new();
    let mut dealt: BTreeMap<FlowId, (u32, u32)> = BTreeMap::new();
    let has =
        |wanted: &BTreeMap<SequenceId, u32>, id: &SequenceId| wanted.get(id).copied().unwrap_or(0);
    while budget > 0 {
        let open = || ready.iter().filter(|(id, s)| s.pending > has(&wanted, id));
        let time = |flow: FlowId| {
            let rows = dealt.get(&flow).map_or(0, |(rows, _)| *rows);
            (schedule.flows.time_after(flow, rows), flow)
        };
        let Some(flow) = open().map(|(_, s)| s.flow).min_by_key(|flow| time(*flow)) else { break };
        let (rows, quanta) = dealt.entry(flow).or_default();
        let mut of_flow = open().filter(|(_, s)| s.flow == flow);
        let next = match *quanta % 2 {
            0 => of_flow.min_by_key(|(id, s)| {
                (s.prompt.saturating_sub(s.position + has(&wanted, id)), s.age)
            }),
            _ => of_flow.next(),
        };
        let Some((id, sequence)) = next else { break };
        let part = QUANTUM.min(budget).min(sequence.pending - has(&wanted, id));
        *wanted.entry(*id).or_default() += part;
        budget -= part;
        *rows += part;
        *quanta += 1;
    }
    for (id, sequence) in ready {
        let wanted = has(&wanted, id);
        if wanted > 0 {
            given.insert(*id, pages.take(*id, sequence, wanted));
        }
    }
}
