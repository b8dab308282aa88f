//! So many at once, and so many more with time.
//!
//! Used wherever somebody else decides how often something happens: dialling, messages of a peer,
//! answers on the local network.
//! Units: milliseconds of the caller's clock. Absent on purpose: fractions of a permit; an interval
//! that has begun counts from its beginning.

/// A number of permits that grows again with time.
#[derive(Debug, Clone)]
pub struct RateLimit {
    most: u64,
    interval_ms: u64,
    left: u64,
    counted_to_ms: u64,
}

impl RateLimit {
    /// `most` at once, one more every `interval_ms`.
    #[must_use]
    pub const fn new(most: u64, interval_ms: u64) -> Self {
        Self { most, interval_ms, left: most, counted_to_ms: 0 }
    }

    /// Takes a permit, if there is one.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let gained = now_ms.saturating_sub(self.counted_to_ms) / self.interval_ms.max(1);
        self.left = self.left.saturating_add(gained).min(self.most);
        // What is over the most is not saved up either.
        self.counted_to_ms = match self.left == self.most {
            true => self.counted_to_ms.max(now_ms),
            false => self.counted_to_ms + gained * self.interval_ms,
        };
        let is_granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn permits_come_back_one_by_one() {
        let mut limit = RateLimit::new(2, 100);
        assert_eq!(
            [0, 0, 99, 100, 150, 10_000].map(|ms| limit.take(ms)),
            [true, true, false, true, false, true]
        );
        assert!(limit.take(10_000) && !limit.take(10_000));
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_it_may(
            steps in proptest::collection::vec(0_u64..300, 1..200), most in 1_u64..9
        ) {
            let mut limit = RateLimit::new(most, 100);
            let (mut now_ms, mut granted) = (0, Vec::new());
            for step in steps {
                now_ms += step;
                if limit.take(now_ms) {
                    granted.push(now_ms);
                }
            }
            for (first, from_ms) in granted.iter().enumerate() {
                for (last, to_ms) in granted.iter().enumerate().skip(first) {
                    prop_assert!((last - first) as u64 <= most + (to_ms - from_ms) / 100);
                }
            }
        }
    }
}
