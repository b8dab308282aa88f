//! A circuit breaker: leaves a provider alone that fails again and again.
//!
//! Held by `fallback.rs`, one per provider. Pure: the time is an argument, milliseconds of any
//! clock that only goes forward. Closed, it counts failures in a row; at [`FAILURES_MAX`] it opens
//! for half a minute; then one request may try, and opens it for twice as long, up to ten minutes,
//! or closes it. A trial that nobody waits for any more leaves its place to the next.

use serde::Serialize;

/// So many failures in a row open it.
pub(super) const FAILURES_MAX: u32 = 5;
/// How long it stays open the first time.
const PAUSE_MS: u64 = 30_000;
/// And at most.
const PAUSE_MAX_MS: u64 = 600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until_ms: u64, pause_ms: u64 },
    Trial { pause_ms: u64 },
}

/// In one word, where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// They do not.
    Open,
    /// One is trying.
    Trial,
}

/// The breaker of one provider.
#[derive(Debug, Clone)]
pub(super) struct Breaker(State);

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker(State::Closed { failures: 0 })
    }

    /// Lets a request pass, or says in how many milliseconds to come again.
    pub(super) fn admit(&mut self, now_ms: u64) -> Result<(), u64> {
        match self.0 {
            State::Closed { .. } => Ok(()),
            State::Open { until_ms, pause_ms } if now_ms >= until_ms => {
                self.0 = State::Trial { pause_ms };
                Ok(())
            }
            State::Open { until_ms, .. } => Err(until_ms - now_ms),
            State::Trial { pause_ms } => Err(pause_ms),
        }
    }

    /// A request that passed was answered.
    pub(super) fn succeeded(&mut self) {
        self.0 = State::Closed { failures: 0 };
    }

    /// A request that passed failed, and it is the provider's doing.
    pub(super) fn failed(&mut self, now_ms: u64) {
        let open = |pause_ms: u64| State::Open { until_ms: now_ms + pause_ms, pause_ms };
        self.0 = match self.0 {
            State::Closed { failures } if failures + 1 < FAILURES_MAX => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => open(PAUSE_MS),
            State::Trial { pause_ms } => open((pause_ms * 2).min(PAUSE_MAX_MS)),
            // Requests that passed before it opened come back late.
            open @ State::Open { .. } => open,
        };
    }

    /// A request that passed was given up before anybody knew.
    pub(super) fn abandoned(&mut self, now_ms: u64) {
        if let State::Trial { pause_ms } = self.0 {
            self.0 = State::Open { until_ms: now_ms, pause_ms };
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.0 {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Trial { .. } => BreakerState::Trial,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(at_ms: u64) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.admit(at_ms), Ok(()));
            breaker.failed(at_ms);
        }
        breaker
    }

    #[test]
    fn it_opens_tries_once_and_waits_longer_or_closes() {
        let mut breaker = opened(1000);
        assert_eq!(breaker.admit(1000), Err(PAUSE_MS));
        assert_eq!(breaker.admit(30_999), Err(1));
        assert_eq!(breaker.admit(31_000), Ok(()));
        assert_eq!(breaker.admit(31_000), Err(PAUSE_MS), "one trial at a time");
        breaker.failed(31_500);
        assert_eq!(breaker.admit(31_500), Err(2 * PAUSE_MS));
        assert_eq!(breaker.admit(91_500), Ok(()));
        breaker.succeeded();
        assert_eq!((breaker.state(), breaker.admit(91_500)), (BreakerState::Closed, Ok(())));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                breaker.failed(0);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_trial_that_is_given_up_leaves_room_for_the_next() {
        let mut breaker = opened(0);
        assert_eq!(breaker.admit(PAUSE_MS), Ok(()));
        breaker.abandoned(PAUSE_MS);
        assert_eq!(breaker.admit(PAUSE_MS), Ok(()));
        breaker.succeeded();
        breaker.abandoned(PAUSE_MS);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    proptest! {
        #[test]
        fn it_never_stays_shut_longer_than_its_longest_pause(
            steps in proptest::collection::vec((0u8..4, 0u64..100_000), 0..64)
        ) {
            let (mut breaker, mut now_ms) = (Breaker::new(), 0);
            for (step, later) in steps {
                now_ms += later;
                match step {
                    0 => breaker.failed(now_ms),
                    1 => breaker.succeeded(),
                    2 => breaker.abandoned(now_ms),
                    _ => drop(breaker.admit(now_ms)),
                }
            }
            breaker.abandoned(now_ms);
            prop_assert_eq!(breaker.admit(now_ms + PAUSE_MAX_MS), Ok(()));
        }
    }
}
