//! A shard in simulated time: arrivals, steps that cost time by their rows, pages that run out.
//!
//! Used by the tests. The same [`Schedule`] and [`plan_step`] as in a node; what the actors and the
//! KV store do is a few lines here. Seeded: the same seed gives the same trace.

use std::collections::{BTreeMap, BTreeSet};

use super::{Held, Limits, Newcomer, PageRoom, Schedule, SequenceId, Step, plan_step};

/// Xorshift, so that a trace depends on its seed alone.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A request to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) at_us: u64,
    pub(super) flow: u64,
    pub(super) weight: u32,
    pub(super) prompt: u32,
    pub(super) answer: u32,
    /// The requester goes away after so many tokens.
    pub(super) cancel_after: Option<u32>,
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) admitted_us: u64,
    pub(super) first_token_us: Option<u64>,
    pub(super) tokens: u32,
    pub(super) last_token_us: u64,
    pub(super) longest_gap_us: u64,
    pub(super) preemptions: u32,
    pub(super) is_over: bool,
}

/// Time of a step by its rows, as of a machine that reads its weights once per step.
pub(super) fn step_us(rows: u32) -> u64 {
    18_000 + 3_900 * u64::from(rows)
}

pub(super) struct Shard {
    pub(super) schedule: Schedule,
    pub(super) limits: Limits,
    pub(super) total_pages: u32,
    pub(super) now_us: u64,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) busy_us: u64,
    pub(super) rows: u64,
    pub(super) trace: u64,
    requests: Vec<Request>,
    /// Live sequence, its request and pages.
    live: BTreeMap<SequenceId, (usize, u32)>,
    /// Arrivals and returns of preempted ones, by time.
    events: BTreeSet<(u64, usize, Option<u64>)>,
    next_sequence: SequenceId,
}

impl Shard {
    pub(super) fn new(limits: Limits, total_pages: u32, requests: Vec<Request>) -> Self {
        let room = PageRoom { total: total_pages, available: total_pages };
        let events = requests.iter().enumerate().map(|(i, r)| (r.at_us, i, None)).collect();
        Self {
            schedule: Schedule::new(limits, room),
            limits,
            total_pages,
            now_us: 0,
            outcomes: vec![Outcome::default(); requests.len()],
            busy_us: 0,
            rows: 0,
            trace: 0,
            requests,
            live: BTreeMap::new(),
            events,
            next_sequence: 1,
        }
    }

    fn used(&self) -> u32 {
        self.live.values().map(|(_, pages)| pages).sum()
    }

    fn tell_room(&mut self) {
        let used = self.used();
        assert!(used <= self.total_pages, "more pages than there are");
        let available = self.total_pages - used;
        self.schedule.set_room(PageRoom { total: self.total_pages, available });
    }

    fn drop_sequence(&mut self, id: SequenceId) -> Option<usize> {
        self.schedule.remove(id, self.now_us);
        let (request, _) = self.live.remove(&id)?;
        self.tell_room();
        Some(request)
    }

    fn arrive(&mut self, request: usize, age: Option<u64>) {
        let Request { flow, weight, prompt, .. } = self.requests[request];
        let (sequence, known) = (self.next_sequence, self.outcomes[request].tokens);
        self.next_sequence += 1;
        let prompt = prompt + known;
        let new = Newcomer { sequence, flow, weight, prompt, stages: 1, age, may_wait: true };
        match self.schedule.enqueue(new, self.now_us) {
            Ok(()) => {
                self.live.insert(sequence, (request, 0));
            }
            Err(full) => {
                self.events.insert((self.now_us + full.retry_after_us, request, age));
            }
        }
    }

    /// Runs until nothing is left to do.
    pub(super) fn run(&mut self) {
        loop {
            while let Some(&(at_us, request, age)) = self.events.first() {
                if at_us > self.now_us {
                    break;
                }
                self.events.pop_first();
                self.arrive(request, age);
            }
            let step = plan_step(&self.schedule, self.now_us);
            self.check(&step);
            self.schedule.begin(&step);
            let is_idle = step == Step::default();
            self.carry_out(&step);
            if !is_idle {
                continue;
            }
            match self.events.first() {
                Some(&(at_us, ..)) => self.now_us = at_us,
                None if self.live.is_empty() => return,
                // A sequence that finds no page is preempted in a while.
                None => self.now_us += 100_000,
            }
            assert!(self.now_us < 100_000_000_000, "nothing moves: {:?}", self.schedule);
        }
    }

    fn check(&self, step: &Step) {
        let rows: u32 = step.rows.iter().map(|share| share.rows).sum();
        assert!(rows <= self.limits.rows_max, "over the budget of rows");
        let mut grown = 0;
        for share in &step.rows {
            let (_, pages) = self.live[&share.sequence];
            let end = share.first_position + share.rows;
            grown += end.div_ceil(self.limits.page).saturating_sub(pages);
        }
        assert!(self.used() + grown <= self.total_pages, "planned more pages than there are");
    }

    fn carry_out(&mut self, step: &Step) {
        for id in &step.turn_away {
            if let Some(request) = self.drop_sequence(*id) {
                self.events.insert((self.now_us + 1_000_000, request, None));
            }
        }
        for id in &step.preempt {
            let age = self.schedule.age(*id);
            if let Some(request) = self.drop_sequence(*id) {
                self.outcomes[request].preemptions += 1;
                self.events.insert((self.now_us + 1_000, request, age));
            }
        }
        for admission in &step.admit {
            let (request, _) = self.live[&admission.sequence];
            let prompt = self.requests[request].prompt + self.outcomes[request].tokens;
            if (prompt + 1).div_ceil(self.limits.page) > admission.pages_max {
                self.schedule.found_no_room(admission.sequence);
                continue;
            }
            self.outcomes[request].admitted_us = self.now_us;
            self.schedule.attached(admission.sequence, 0, Held::default(), self.now_us);
            self.schedule.arrived(admission.sequence, prompt);
        }
        if step.rows.is_empty() {
            return;
        }
        let rows: u32 = step.rows.iter().map(|share| share.rows).sum();
        let elapsed_us = step_us(rows);
        self.now_us += elapsed_us;
        self.busy_us += elapsed_us;
        self.rows += u64::from(rows);
        self.trace = self.trace.rotate_left(7) ^ self.now_us ^ (step.rows.len() as u64) << 40;
        for share in &step.rows {
            let end = share.first_position + share.rows;
            let pages = end.div_ceil(self.limits.page);
            if let Some((_, held)) = self.live.get_mut(&share.sequence) {
                *held = pages.max(*held);
                self.schedule.holds(share.sequence, Held { pages: *held, copies: false });
            }
        }
        self.tell_room();
        self.schedule.end(step, Some(elapsed_us), self.now_us);
        for share in &step.rows {
            self.tokens(share.sequence, share.first_position + share.rows);
        }
    }

    /// The rows of a sequence are computed up to a position: perhaps a token follows.
    fn tokens(&mut self, id: SequenceId, computed: u32) {
        let (index, _) = self.live[&id];
        let request = self.requests[index];
        let outcome = &mut self.outcomes[index];
        if computed < request.prompt + outcome.tokens {
            return;
        }
        match outcome.first_token_us {
            None => outcome.first_token_us = Some(self.now_us - request.at_us),
            Some(_) => {
                let gap_us = self.now_us - outcome.last_token_us;
                outcome.longest_gap_us = outcome.longest_gap_us.max(gap_us);
            }
        }
        outcome.last_token_us = self.now_us;
        outcome.tokens += 1;
        let is_cancelled = request.cancel_after.is_some_and(|after| outcome.tokens >= after);
        outcome.is_over = outcome.tokens >= request.answer || is_cancelled;
        match outcome.is_over {
            true => {
                self.drop_sequence(id);
            }
            false => self.schedule.arrived(id, 1),
        }
    }
}
