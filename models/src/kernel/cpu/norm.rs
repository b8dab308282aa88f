//! Root-mean-square norm of rows.
//!
//! Called by the Flex `rms_norm` operation. Canonical: squares are summed in 16 lanes (value i in
//! lane i % 16, fused), the lanes by `sum_lanes`; `y = (x * (1 / sqrt(mean + epsilon))) * w`.
//! Source: RMSNorm (arXiv 1910.07467).

use super::{level::schedules, numeric::sum_lanes};

schedules! {
    /// Normalises the rows of `x`, each as long as `w`, into `y`.
    pub fn rms_norm(x: &[f32], w: &[f32], epsilon: f32, y: &mut [f32]) {
        for (x, y) in x.chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len())) {
            let mut lanes = [0f32; 16];
            let (blocks, tail) = x.as_chunks::<16>();
            for block in blocks {
                for i in 0..16 {
                    lanes[i] = block[i].mul_add(block[i], lanes[i]);
                }
            }
            for (lane, x) in lanes.iter_mut().zip(tail) {
                *lane = x.mul_add(*x, *lane);
            }
            let mean = sum_lanes(lanes) / w.len() as f32;
            let inverse = 1.0 / (mean + epsilon).sqrt();
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = (x * inverse) * w;
            }
        }
    }
}
