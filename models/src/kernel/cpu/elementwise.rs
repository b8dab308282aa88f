//! Value-by-value operations: the gated unit of the feed-forward.
//!
//! Called by `network`. Source: SwiGLU (arXiv 2002.05202).

use super::{level::schedules, numeric::silu};

schedules! {
    /// `y = silu(gate) * up`; each row of `gate_up` holds the gate values, then the up values, and
    /// each row of `y` is `width` long.
    pub fn swiglu(gate_up: &[f32], width: usize, y: &mut [f32]) {
        for (gate_up, y) in gate_up.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
            let (gate, up) = gate_up.split_at(width);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = silu(*gate) * up;
            }
        }
    }
}
