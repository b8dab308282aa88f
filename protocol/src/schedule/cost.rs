//! What a step costs, learnt from the steps that ran.
//!
//! Called by `plan.rs`. Steps are kept in classes of doubling row counts; each class remembers a
//! moving average of rows and time, recent steps counting more. Between classes time is
//! interpolated by a power of the rows; beyond the largest one seen it grows with the rows, so a
//! batch grows at most fourfold before it has been measured. Units: microseconds.

/// Classes: 1, 2, 3..4, 5..8, ... rows.
const CLASSES: usize = 16;
/// Weight of the newest step.
const RECENT: f64 = 0.2;
/// Rows of a first chunk, while nothing is known.
const UNKNOWN_ROWS: u32 = 32;

#[derive(Debug, Clone, Copy, Default)]
struct Class {
    rows: f64,
    us: f64,
    n_steps: u32,
}

/// Time of a step by its rows.
#[derive(Debug, Clone, Default)]
pub struct StepCost {
    classes: [Class; CLASSES],
}

impl StepCost {
    /// Learns from a step.
    pub fn observe(&mut self, rows: u32, elapsed_us: u64) {
        let index = rows.max(1).next_power_of_two().trailing_zeros() as usize;
        let class = &mut self.classes[index.min(CLASSES - 1)];
        // The first steps of a class touch memory for the first time: the second counts as much as
        // the average does later.
        let recent = RECENT.max(1.0 / f64::from(class.n_steps + 1));
        class.rows += recent * (f64::from(rows) - class.rows);
        class.us += recent * (elapsed_us as f64 - class.us);
        class.n_steps = class.n_steps.saturating_add(1);
    }

    /// Expected time of a step; 0 while nothing is known.
    #[must_use]
    pub fn expect_us(&self, rows: u32) -> u64 {
        let rows = f64::from(rows);
        let mut below: Option<(f64, f64)> = None;
        for class in self.classes.iter().filter(|class| class.n_steps > 0) {
            // Noise must not make more rows look cheaper than fewer.
            let us = below.map_or(class.us, |(_, us)| class.us.max(us));
            if rows <= class.rows {
                let Some(low) = below else { return us as u64 };
                return between(low, (class.rows, us), rows) as u64;
            }
            below = Some((class.rows, us));
        }
        below.map_or(0, |(low_rows, us)| (us * rows / low_rows.max(1.0)) as u64)
    }

    /// Most rows that may join `base` rows within a time for all of them.
    #[must_use]
    pub fn rows_within(&self, base: u32, limit_us: u64, rows_max: u32) -> u32 {
        let known = self.classes.iter().rev().find(|class| class.n_steps > 0);
        let Some(known) = known else { return UNKNOWN_ROWS.min(rows_max) };
        let most = rows_max.min((known.rows * 4.0) as u32 + UNKNOWN_ROWS);
        let (mut fits, mut too_many) = (0, most + 1);
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            match self.expect_us(base + middle) <= limit_us {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        fits
    }
}

/// Time between two measured steps, as a power of the rows: the first rows of a step cost more each
/// than those that join them, so a straight line would promise too much.
fn between((low_rows, low_us): (f64, f64), (rows, us): (f64, f64), wanted: f64) -> f64 {
    if low_us < 1.0 || rows <= low_rows * 1.01 {
        return us;
    }
    let exponent = (us / low_us).ln() / (rows / low_rows).ln();
    low_us * (wanted / low_rows).max(1.0).powf(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_for_a_time() {
        let mut cost = StepCost::default();
        assert_eq!(cost.rows_within(0, 50_000, 512), UNKNOWN_ROWS);
        for rows in [1, 2, 4, 8, 32, 64, 128] {
            (0..50).for_each(|_| cost.observe(rows, 10_000 + 1_000 * u64::from(rows)));
        }
        assert!((13_900..=14_100).contains(&cost.expect_us(4)));
        assert!((35..=41).contains(&cost.rows_within(2, 50_000, 512)));
        assert_eq!(cost.rows_within(2, 5_000, 512), 0);
        assert_eq!(cost.rows_within(0, u64::MAX, 64), 64);
    }

    #[test]
    fn an_outlier_does_not_make_more_rows_cheaper() {
        let mut cost = StepCost::default();
        cost.observe(1, 90_000);
        cost.observe(8, 20_000);
        assert!(cost.expect_us(8) >= cost.expect_us(1));
        assert!(cost.expect_us(16) > cost.expect_us(8));
    }
}
