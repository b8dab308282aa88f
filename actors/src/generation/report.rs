//! Adds the stages' own timings up into the route report of an answer.
//!
//! Clocks of two nodes are never subtracted: a stage reports how long it held the rows
//! (`residence`), the requester measures a whole round on its own clock, and what is left was spent
//! on the way. That rest is shared over the links by their measured round-trip times.

use std::time::Duration;

use swarmllm_protocol::ids::{LayerRange, PeerId};
use swarmllm_protocol::wire::StageTrace;

use super::messages::StageReport;

/// The report under construction.
#[derive(Debug)]
pub(super) struct RouteReport {
    /// Stages of routes that were left.
    left: Vec<StageReport>,
    stages: Vec<StageReport>,
    local: PeerId,
}

impl RouteReport {
    /// A report of nothing yet over these stages.
    pub(super) fn new(stages: &[(PeerId, LayerRange)], local: PeerId) -> RouteReport {
        let stages = stages
            .iter()
            .map(|(peer, layers)| StageReport {
                peer: *peer,
                layers: *layers,
                compute_ms: 0.0,
                hop_ms: 0.0,
                bytes_out: 0,
            })
            .collect();
        RouteReport { left: Vec::new(), stages, local }
    }

    /// Goes on over another route: the stages of the one before stay, unless they are the same.
    pub(super) fn continue_on(&mut self, stages: &[(PeerId, LayerRange)]) {
        let same = self.stages.iter().map(|stage| (stage.peer, stage.layers));
        if !same.eq(stages.iter().copied()) {
            let next = RouteReport::new(stages, self.local).stages;
            self.left.append(&mut std::mem::replace(&mut self.stages, next));
        }
    }

    /// Adds one round. `elapsed` is absent when several chunks were on the way at once, since
    /// their times overlap and say nothing about the links.
    /// `return_rtt_us` is the requester's own round-trip time to the last stage.
    pub(super) fn add(
        &mut self,
        trace: &[StageTrace],
        elapsed: Option<Duration>,
        return_rtt_us: u32,
    ) {
        for entry in trace {
            if let Some(stage) = self.stages.get_mut(usize::from(entry.stage)) {
                stage.compute_ms += f64::from(entry.compute_us) / 1000.0;
                stage.bytes_out += u64::from(entry.bytes_out);
            }
        }
        let Some(elapsed) = elapsed else { return };
        let held_us: f64 = trace.iter().map(|entry| f64::from(entry.residence_us)).sum();
        let on_the_way_ms = (elapsed.as_secs_f64() * 1000.0 - held_us / 1000.0).max(0.0);
        let weights = self.weights(trace, return_rtt_us);
        let sum: f64 = weights.iter().sum();
        for (stage, weight) in self.stages.iter_mut().zip(weights) {
            if sum > 0.0 {
                stage.hop_ms += on_the_way_ms * weight / sum;
            }
        }
    }

    /// How much of the way belongs to each stage: its link's round-trip time, 0 for a link that
    /// does not leave the node.
    fn weights(&self, trace: &[StageTrace], return_rtt_us: u32) -> Vec<f64> {
        let n = self.stages.len();
        (0..n)
            .map(|index| {
                let here = self.stages[index].peer;
                let next = self.stages.get(index + 1).map_or(self.local, |stage| stage.peer);
                let rtt = trace
                    .iter()
                    .find(|entry| usize::from(entry.stage) == index)
                    .map_or(0, |entry| entry.link_rtt_us);
                let rtt = if index + 1 == n { return_rtt_us } else { rtt };
                if here == next { 0.0 } else { f64::from(rtt.max(1)) }
            })
            .collect()
    }

    /// The finished report.
    pub(super) fn into_stages(mut self) -> Vec<StageReport> {
        self.left.append(&mut self.stages);
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(stage: u16, residence_us: u32, link_rtt_us: u32) -> StageTrace {
        StageTrace { stage, compute_us: residence_us / 2, residence_us, bytes_out: 8, link_rtt_us }
    }

    #[test]
    fn the_rest_of_a_round_is_shared_by_round_trip_time() {
        let local = PeerId([0; 32]);
        let stages = [
            (local, LayerRange { start: 0, end: 1 }),
            (PeerId([1; 32]), LayerRange { start: 1, end: 2 }),
        ];
        let mut report = RouteReport::new(&stages, local);
        let round = [trace(0, 400, 300), trace(1, 200, 0)];
        report.add(&round, Some(Duration::from_micros(1000)), 100);
        let stages = report.into_stages();
        assert!((stages[0].hop_ms - 0.3).abs() < 1e-9);
        assert!((stages[1].hop_ms - 0.1).abs() < 1e-9);
        assert!((stages[0].compute_ms - 0.2).abs() < 1e-9);
        assert_eq!(stages[1].bytes_out, 8);
    }

    #[test]
    fn one_node_has_no_way() {
        let local = PeerId([0; 32]);
        let mut report = RouteReport::new(&[(local, LayerRange { start: 0, end: 2 })], local);
        report.add(&[trace(0, 900, 0)], Some(Duration::from_micros(1000)), 0);
        assert_eq!(report.into_stages()[0].hop_ms, 0.0);
    }
}
