//! The mean of a sequence's rows behind the final norm: what an embedding is made of.
//!
//! Kept by `batch_scheduler` for a sequence whose requester wants an embedding; goes to the compute
//! thread with its rows, and comes back. Rows are added one after the other in order of their
//! positions, so the sum does not depend on how they were cut into steps. Errors: none.

/// A sum on its way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingSum {
    sum: Vec<f64>,
    n_rows: u64,
}

impl EmbeddingSum {
    /// Adds rows of `hidden` values each.
    pub fn add(&mut self, rows: &[f32], hidden: usize) {
        self.sum.resize(hidden, 0.0);
        for row in rows.chunks_exact(hidden) {
            self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            self.n_rows += 1;
        }
    }

    /// The mean; nothing where there were no rows.
    pub fn mean(&self) -> Vec<f32> {
        let n_rows = self.n_rows.max(1) as f64;
        self.sum.iter().map(|sum| (sum / n_rows) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_make_no_difference() {
        let rows: Vec<f32> = (0..12).map(|n| (n as f32).sin()).collect();
        let (mut whole, mut parts) = (EmbeddingSum::default(), EmbeddingSum::default());
        whole.add(&rows, 3);
        rows.chunks(6).for_each(|rows| parts.add(rows, 3));
        assert_eq!(whole, parts);
        let mean = (rows[0] + rows[3] + rows[6] + rows[9]) / 4.0;
        assert!((whole.mean()[0] - mean).abs() < 1e-6);
    }
}
