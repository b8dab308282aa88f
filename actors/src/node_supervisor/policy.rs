//! How long to wait before the next start, without an actor.

/// A tree that lived this long has recovered.
const STABLE_MS: u64 = 60_000;
/// First pause.
const PAUSE_FIRST_MS: u64 = 200;
/// Longest pause.
const PAUSE_MAX_MS: u64 = 10_000;

/// Failures in a row, this one included.
pub fn failures_after(failures: u32, alive_ms: u64) -> u32 {
    if alive_ms >= STABLE_MS { 1 } else { failures.saturating_add(1) }
}

/// The pause before the next start: doubling, then level.
pub fn pause_ms(failures: u32) -> u64 {
    PAUSE_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_keeps_failing_and_start_over_once_stable() {
        assert_eq!(pause_ms(1), 200);
        assert_eq!(pause_ms(2), 400);
        assert_eq!(pause_ms(60), 10_000);
        assert_eq!(failures_after(5, 1_000), 6);
        assert_eq!(failures_after(5, STABLE_MS), 1);
    }
}
