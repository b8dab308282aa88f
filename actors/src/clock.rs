//! The node's clock: milliseconds since it started, for state machines that take time as a number,
//! and the alarm that wakes an actor when its state machine wants to be woken.
//!
//! Built on tokio's `Instant`, so that a test with a paused runtime moves it by hand. Never
//! compared with another node's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::{Actor, AsyncContext, Context, SpawnHandle};
use tokio::time::Instant;

/// A monotonic clock with its own zero.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts counting now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Seconds since 1970, for what outlives the process: records, caches, codes.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The next wake-up of an actor, at most one at a time.
#[derive(Debug, Default)]
pub struct Alarm {
    set: Option<(u64, SpawnHandle)>,
}

impl Alarm {
    /// Makes `wake` run at `at_ms` or before; an earlier alarm that is set already stays. `wake` is
    /// to call [`Alarm::rang`] and to set the next one.
    pub fn set<A: Actor<Context = Context<A>>>(
        &mut self,
        clock: Clock,
        at_ms: Option<u64>,
        ctx: &mut Context<A>,
        wake: fn(&mut A, &mut Context<A>),
    ) {
        let Some(at_ms) = at_ms else { return };
        if let Some((set_ms, handle)) = self.set {
            if set_ms <= at_ms {
                return;
            }
            ctx.cancel_future(handle);
        }
        // A state machine that is never content must not keep the thread from everybody else.
        let wait_ms = at_ms.saturating_sub(clock.now_ms()).max(1);
        self.set = Some((at_ms, ctx.run_later(Duration::from_millis(wait_ms), wake)));
    }

    /// The alarm rang and is no longer set.
    pub fn rang(&mut self) {
        self.set = None;
    }
}

/// Microseconds of a duration, saturating at what the wire carries.
pub fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
