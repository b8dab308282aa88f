//! How fast a connection carries data, from what is sent over it anyway.
//!
//! Fed by `connection/established.rs` with acknowledged bytes; only times count in which something
//! always waited to be sent, for else the sender's own pauses would be measured.
//! Units: bytes per second, milliseconds. A faster sample stands at once; a slower one moves the
//! estimate by an eighth. Errors: none.
//! Absent on purpose: probing. A link that carries nothing has no number.

/// Shortest time that gives a sample, milliseconds.
const SAMPLE_MIN_MS: u64 = 10;

/// The estimate of one direction.
#[derive(Debug, Default)]
pub struct Bandwidth {
    bytes_per_s: Option<u64>,
    /// Since when bytes are counted, and how many.
    busy: Option<(u64, u64)>,
}

impl Bandwidth {
    /// So many bytes have arrived at the other side; `is_busy` if more wait here.
    pub fn acknowledged(&mut self, bytes: u64, is_busy: bool, now_ms: u64) {
        if let Some((since_ms, counted)) = &mut self.busy {
            *counted += bytes;
            let elapsed_ms = now_ms.saturating_sub(*since_ms);
            if elapsed_ms >= SAMPLE_MIN_MS {
                let sample = counted.saturating_mul(1_000) / elapsed_ms;
                self.busy = None;
                self.add(sample);
            }
        }
        if !is_busy {
            self.busy = None;
        } else if self.busy.is_none() {
            self.busy = Some((now_ms, 0));
        }
    }

    /// Nothing waits any more.
    pub fn idle(&mut self) {
        self.busy = None;
    }

    fn add(&mut self, sample: u64) {
        self.bytes_per_s = Some(match self.bytes_per_s {
            Some(old) if sample < old => old - old / 8 + sample / 8,
            _ => sample,
        });
    }

    /// The estimate, once there is one.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<u64> {
        self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_link_is_measured_and_pauses_are_not() {
        let mut link = Bandwidth::default();
        link.acknowledged(1 << 20, true, 0);
        for at in 1..=100 {
            link.acknowledged(1_000, true, at);
        }
        assert_eq!(link.bytes_per_s(), Some(1_000_000));
        // A second in which nothing waited.
        link.idle();
        link.acknowledged(500, true, 1_100);
        link.acknowledged(10_000, true, 1_110);
        assert_eq!(link.bytes_per_s(), Some(1_000_000));
        // Half as fast: slowly believed.
        link.acknowledged(5_000, true, 1_120);
        assert_eq!(link.bytes_per_s(), Some(937_500));
    }
}
