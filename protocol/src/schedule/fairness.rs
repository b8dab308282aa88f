//! Shares of requesters: start-time fair queueing by weight.
//!
//! Called by `state.rs` and `plan.rs`. A flow is whoever asks; each has a virtual time that grows
//! with the rows computed for it divided by its weight, and the flow that is furthest behind goes
//! first. A flow that was idle starts where the others are now, so it can't save up, and one that
//! leaves while ahead is remembered until the others have caught up, so it can't start anew.

use std::collections::BTreeMap;

/// Who asks: requests of one flow share what that flow gets.
pub type FlowId = u64;

/// Virtual time of one row at weight 1; weights up to this divide it exactly enough.
const ROW: u64 = 1 << 20;
/// Flows remembered after they left.
const REMEMBERED_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Flow {
    /// Sequences of it at this shard.
    n_open: usize,
    weight: u32,
    virtual_time: u64,
}

/// Virtual times of all flows.
#[derive(Debug, Clone, Default)]
pub(super) struct Flows {
    flows: BTreeMap<FlowId, Flow>,
}

impl Flows {
    /// A sequence of this flow opens; its weight replaces the flow's.
    pub(super) fn enter(&mut self, id: FlowId, weight: u32) {
        let now = self.now();
        let flow = self.flows.entry(id).or_insert(Flow { n_open: 0, weight: 1, virtual_time: now });
        if flow.n_open == 0 {
            flow.virtual_time = flow.virtual_time.max(now);
        }
        flow.n_open += 1;
        flow.weight = weight.max(1);
    }

    /// A sequence of this flow ends.
    pub(super) fn leave(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.n_open = flow.n_open.saturating_sub(1);
        }
        let now = self.now();
        let is_alone = self.flows.values().all(|flow| flow.n_open == 0);
        self.flows.retain(|_, flow| flow.n_open > 0 || (flow.virtual_time > now && !is_alone));
        if self.flows.len() > REMEMBERED_MAX {
            self.flows.retain(|_, flow| flow.n_open > 0);
        }
    }

    /// Charges rows to a flow.
    pub(super) fn charge(&mut self, id: FlowId, rows: u32) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.virtual_time += u64::from(rows) * ROW / u64::from(flow.weight);
        }
    }

    /// How far a flow is, after so many more rows.
    pub(super) fn time_after(&self, id: FlowId, rows: u32) -> u64 {
        self.flows
            .get(&id)
            .map_or(0, |flow| flow.virtual_time + u64::from(rows) * ROW / u64::from(flow.weight))
    }

    /// Where the flow that is furthest behind stands.
    fn now(&self) -> u64 {
        let open = self.flows.values().filter(|flow| flow.n_open > 0);
        open.map(|flow| flow.virtual_time).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_divide_and_idle_time_is_not_saved() {
        let mut flows = Flows::default();
        flows.enter(1, 1);
        flows.enter(2, 4);
        flows.charge(1, 100);
        flows.charge(2, 100);
        assert_eq!(flows.time_after(1, 0), 4 * flows.time_after(2, 0));
        flows.enter(3, 1);
        assert_eq!(flows.time_after(3, 0), flows.time_after(2, 0));
    }

    #[test]
    fn leaving_and_coming_back_is_no_new_start() {
        let mut flows = Flows::default();
        flows.enter(1, 1);
        flows.enter(2, 1);
        flows.charge(1, 100);
        let before = flows.time_after(1, 0);
        flows.leave(1);
        flows.enter(1, 1);
        assert_eq!(flows.time_after(1, 0), before);
        flows.leave(1);
        flows.leave(2);
        flows.enter(1, 1);
        assert_eq!(flows.time_after(1, 0), 0);
    }
}
