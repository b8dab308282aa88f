//! Percentiles and shares.

use serde_json::{Map, Value, json};

use crate::publish::{Announced, Search};

/// The value that this share of the values does not exceed.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or(0.0)
}

/// Rounded to so many digits.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// What searches came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct SearchFigures {
    pub(crate) success: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) messages: f64,
    pub(crate) messages_p95: f64,
}

impl SearchFigures {
    pub(crate) fn of(searches: &[Search]) -> Self {
        let found: Vec<f64> = searches.iter().filter_map(|search| search.found_ms).collect();
        let messages: Vec<f64> = searches.iter().map(|search| search.messages as f64).collect();
        Self {
            success: found.len() as f64 / searches.len().max(1) as f64,
            p50_ms: percentile(&found, 0.5),
            p95_ms: percentile(&found, 0.95),
            p99_ms: percentile(&found, 0.99),
            messages: messages.iter().sum::<f64>() / messages.len().max(1) as f64,
            messages_p95: percentile(&messages, 0.95),
        }
    }

    /// The keys that others read, first.
    pub(crate) fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("success".into(), json!(rounded(self.success, 5)));
        object.insert("p50_ms".into(), json!(rounded(self.p50_ms, 1)));
        object.insert("p95_ms".into(), json!(rounded(self.p95_ms, 1)));
        object.insert("messages_per_lookup".into(), json!(rounded(self.messages, 2)));
        object.insert("p99_ms".into(), json!(rounded(self.p99_ms, 1)));
        object.insert("messages_p95".into(), json!(self.messages_p95));
        object
    }
}

/// What announcements came to.
pub(crate) fn announced_object(announced: &Announced) -> Value {
    let floats = |values: &[u64]| values.iter().map(|value| *value as f64).collect::<Vec<_>>();
    let (elapsed, messages) = (floats(&announced.elapsed_ms), floats(&announced.messages));
    let (holders, held) = (floats(&announced.holders), floats(&announced.held_ms));
    json!({
        "held_p50_ms": percentile(&held, 0.5),
        "held_p95_ms": percentile(&held, 0.95),
        "ended_p50_ms": percentile(&elapsed, 0.5),
        "ended_p95_ms": percentile(&elapsed, 0.95),
        "messages_p50": percentile(&messages, 0.5),
        "messages_p95": percentile(&messages, 0.95),
        "holders_p5": percentile(&holders, 0.05),
        "holders_p50": percentile(&holders, 0.5),
    })
}
