//! What every way of finding peers has brought: for `net check`.

use std::collections::BTreeMap;

use super::{LayerReport, Via};
use crate::clock;

/// Longest error that is kept, characters: some hold an address and a reason for each.
const ERROR_MAX_CHARS: usize = 300;

/// One report per way.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<Via, LayerReport>);

impl Layers {
    fn layer(&mut self, via: Via) -> &mut LayerReport {
        self.0.entry(via).or_insert_with(|| empty(via))
    }

    pub(super) fn found(&mut self, via: Via, count: usize) {
        if count > 0 {
            let layer = self.layer(via);
            layer.found += count as u64;
            layer.found_at_unix_s = Some(clock::unix_s());
        }
    }

    pub(super) fn connected(&mut self, via: Via, now_ms: u64) {
        let layer = self.layer(via);
        layer.connected += 1;
        layer.connected_first_ms.get_or_insert(now_ms);
    }

    pub(super) fn failed(&mut self, via: Via, reason: &str) {
        let reason = reason.chars().take(ERROR_MAX_CHARS).collect();
        self.layer(via).last_error = Some((reason, clock::unix_s()));
    }

    pub(super) fn reports(&self) -> Vec<LayerReport> {
        let report = |via: Via| self.0.get(&via).cloned().unwrap_or_else(|| empty(via));
        Via::ALL.into_iter().map(report).collect()
    }
}

fn empty(via: Via) -> LayerReport {
    LayerReport {
        via,
        found: 0,
        connected: 0,
        connected_first_ms: None,
        found_at_unix_s: None,
        last_error: None,
    }
}
