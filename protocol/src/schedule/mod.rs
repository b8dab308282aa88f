//! Who computes next at one shard: continuous batching as a pure decision.
//!
//! Called by the batch scheduler actor, and by simulations with the same code. [`Schedule`] is what
//! is known of the sequences at one shard; [`plan_step`] turns it and the time into a [`Step`]:
//! whom to admit, turn away or preempt, and how many rows of whom to compute together.
//!
//! The rules:
//! - A step holds every decode row that waits, then as many prefill rows as the time between tokens
//!   allows ([`Limits::target_us`], measured by [`StepCost`]), and never none at all.
//! - Requesters share prefill rows and admission by weight (`fairness.rs`). Of one requester's
//!   prompts half the rows go to the oldest and half to the one with the fewest rows left: a short
//!   prompt does not wait for a long one, and a long one is never starved.
//! - A sequence is admitted when the pages of its prompt, and one more, are there beside what the
//!   admitted ones still need for theirs. A prompt that does not fit yet may be overtaken a few
//!   times, then everybody behind it waits.
//! - When pages run out the youngest sequence is preempted for an older one. Age is counted from
//!   the first arrival, so the oldest always ends.
//!
//! Units: positions and rows count tokens, times are microseconds on a clock of the caller's.
//! Errors: [`QueueFull`]. Absent on purpose: page numbers and prefixes (the KV store's), tokens,
//! peers, the clock. Sources: Orca (iteration-level batches), Sarathi-Serve (prefill chunks beside
//! decode rows), start-time fair queueing.

mod cost;
mod fairness;
mod plan;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;

pub use cost::StepCost;
pub use fairness::FlowId;
pub use plan::{Admission, Share, Step, plan_step};
pub use state::{Held, Newcomer, PageRoom, QueueFull, Schedule};

/// Number of a sequence at one shard, given by the caller, never used twice.
pub type SequenceId = u64;

/// Bounds of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Aim for the time between two tokens of a stream.
    pub target_us: u64,
    /// Most rows of one step.
    pub rows_max: u32,
    /// Most sequences that hold pages at once.
    pub running_max: usize,
    /// Most sequences that wait for a place.
    pub waiting_max: usize,
    /// Most of them for one requester.
    pub waiting_per_flow_max: usize,
    /// How long a sequence may wait for a place.
    pub wait_max_us: u64,
    /// Positions of a page.
    pub page: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target_us: 50_000,
            rows_max: 512,
            running_max: 128,
            waiting_max: 1024,
            waiting_per_flow_max: 512,
            wait_max_us: 600_000_000,
            page: 32,
        }
    }
}
