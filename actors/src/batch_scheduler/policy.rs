//! What the scheduler decides, without an actor: may this sequence be opened, who runs next, and
//! what becomes of a finished step's timings.

use std::collections::VecDeque;

use swarmllm_protocol::ids::{LayerRange, ModelId, RequestId};
use swarmllm_protocol::wire::{NextHop, OpenStage, Profile, RefusalReason, Rows, StageTrace};

/// Sequences open on one node at once; each holds pages, so memory usually refuses earlier.
pub const SEQUENCES_MAX: usize = 1024;
/// Steps of all sequences that may wait at one shard.
pub const STEPS_WAITING_MAX: usize = 4096;

/// What a loaded shard can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFacts {
    /// Which model.
    pub model: ModelId,
    /// Which layers, half-open.
    pub layers: LayerRange,
    /// Layers of the whole model.
    pub n_layers: u32,
    /// Context length in tokens.
    pub context: u32,
    /// Run profile of the shard.
    pub profile: Profile,
}

/// Finds the shard for a stage, or says why there is none.
///
/// # Errors
/// A reason for the wire and a sentence for the person at the other end.
pub fn admit(
    shards: &[ShardFacts],
    n_open: usize,
    open: &OpenStage,
) -> Result<usize, (RefusalReason, String)> {
    if n_open >= SEQUENCES_MAX {
        return Err((RefusalReason::Busy, "too many sequences are open: try again".into()));
    }
    let found = shards.iter().position(|s| s.model == open.model && s.layers == open.layers);
    let Some(index) = found else {
        let detail = format!("layers {} of that model are not loaded here", open.layers);
        return Err((RefusalReason::LayersNotHeld, detail));
    };
    let shard = &shards[index];
    if shard.profile != open.profile {
        let detail = "this node runs another profile of the model".to_owned();
        return Err((RefusalReason::ProfileUnsupported, detail));
    }
    if open.max_positions == 0 || open.max_positions > shard.context {
        let detail = format!(
            "{} positions asked for; the model's context is {}",
            open.max_positions, shard.context
        );
        return Err((RefusalReason::Invalid, detail));
    }
    let is_last = shard.layers.end == shard.n_layers;
    let answers = matches!(open.next, NextHop::Requester);
    if is_last != answers || is_last != open.sampling.is_some() {
        let detail = "only the last stage samples and answers the requester".to_owned();
        return Err((RefusalReason::Invalid, detail));
    }
    Ok(index)
}

/// Steps that wait at one shard; first come, first served, one at a time.
#[derive(Debug, Default)]
pub struct StepQueue<T> {
    waiting: VecDeque<(RequestId, T)>,
    running: Option<RequestId>,
}

impl<T> StepQueue<T> {
    /// An empty queue.
    pub fn new() -> StepQueue<T> {
        StepQueue { waiting: VecDeque::new(), running: None }
    }

    /// Adds a step; gives it back when the queue is full.
    ///
    /// # Errors
    /// The step, untouched.
    pub fn push(&mut self, request: RequestId, step: T) -> Result<(), T> {
        if self.waiting.len() >= STEPS_WAITING_MAX {
            return Err(step);
        }
        self.waiting.push_back((request, step));
        Ok(())
    }

    /// The next step to run, unless one runs already.
    pub fn start_next(&mut self) -> Option<(RequestId, T)> {
        if self.running.is_some() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running = Some(next.0);
        Some(next)
    }

    /// The running step ended.
    pub fn finish(&mut self) {
        self.running = None;
    }

    /// Forgets the waiting steps of a request.
    pub fn cancel(&mut self, request: RequestId) {
        self.waiting.retain(|(waiting, _)| *waiting != request);
    }
}

/// Checks that rows continue a sequence exactly where it stands.
///
/// # Errors
/// A sentence that says what was expected.
pub fn check_rows(rows: &Rows, position: u32, max_positions: u32) -> Result<u32, String> {
    if rows.first_position != position {
        return Err(format!(
            "rows for position {} arrived where {position} was due",
            rows.first_position
        ));
    }
    match rows.first_position.checked_add(rows.n_rows) {
        Some(end) if rows.n_rows > 0 && end <= max_positions => Ok(end),
        _ => Err(format!("rows beyond the {max_positions} positions that were opened")),
    }
}

/// Timings of a stage since it last reported them: chunks that sample nothing report with the
/// next one that does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Unreported {
    /// Sum of compute time.
    pub compute_us: u32,
    /// Sum of bytes sent on.
    pub bytes_out: u32,
}

impl Unreported {
    /// Adds a step.
    pub fn add(&mut self, compute_us: u32, bytes_out: u32) {
        self.compute_us = self.compute_us.saturating_add(compute_us);
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
    }

    /// Turns the sums into a trace entry and starts over.
    pub fn report(&mut self, stage: u16, residence_us: u32, link_rtt_us: u32) -> StageTrace {
        let Unreported { compute_us, bytes_out } = std::mem::take(self);
        StageTrace { stage, compute_us, residence_us, bytes_out, link_rtt_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ShardFacts {
        ShardFacts {
            model: ModelId([1; 32]),
            layers: LayerRange { start: 2, end: 4 },
            n_layers: 4,
            context: 64,
            profile: Profile::F16,
        }
    }

    fn open() -> OpenStage {
        OpenStage {
            request: RequestId([7; 16]),
            model: ModelId([1; 32]),
            layers: LayerRange { start: 2, end: 4 },
            stage: 1,
            profile: Profile::F16,
            next: NextHop::Requester,
            sampling: Some(swarmllm_protocol::wire::Sampling {
                temperature: 0.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                seed: 0,
            }),
            max_positions: 64,
        }
    }

    #[test]
    fn a_stage_is_admitted_only_with_its_own_layers_and_role() {
        assert_eq!(admit(&[facts()], 0, &open()), Ok(0));
        let foreign = OpenStage { layers: LayerRange { start: 0, end: 4 }, ..open() };
        assert_eq!(admit(&[facts()], 0, &foreign).unwrap_err().0, RefusalReason::LayersNotHeld);
        let silent = OpenStage { sampling: None, ..open() };
        assert_eq!(admit(&[facts()], 0, &silent).unwrap_err().0, RefusalReason::Invalid);
        let long = OpenStage { max_positions: 65, ..open() };
        assert_eq!(admit(&[facts()], 0, &long).unwrap_err().0, RefusalReason::Invalid);
        let full = admit(&[facts()], SEQUENCES_MAX, &open());
        assert_eq!(full.unwrap_err().0, RefusalReason::Busy);
    }

    #[test]
    fn one_step_runs_at_a_time_in_order_and_cancelled_ones_never() {
        let mut queue = StepQueue::new();
        let (a, b, c) = (RequestId([1; 16]), RequestId([2; 16]), RequestId([3; 16]));
        for (request, step) in [(a, 1), (b, 2), (c, 3)] {
            queue.push(request, step).unwrap();
        }
        assert_eq!(queue.start_next(), Some((a, 1)));
        assert_eq!(queue.start_next(), None);
        queue.cancel(b);
        queue.finish();
        assert_eq!(queue.start_next(), Some((c, 3)));
    }

    #[test]
    fn unsampled_chunks_report_with_the_next_sampled_one() {
        let mut unreported = Unreported::default();
        unreported.add(10, 100);
        unreported.add(5, 50);
        let trace = unreported.report(1, 7, 3);
        assert_eq!((trace.compute_us, trace.bytes_out, trace.residence_us), (15, 150, 7));
        assert_eq!(unreported, Unreported::default());
    }
}
