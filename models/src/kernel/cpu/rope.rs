//! Rotary position embedding, neighbouring pairs (2i, 2i + 1).
//!
//! Called by attention on the rows of q and k; the table is made once per forward pass.
//!
//! Shapes: a table row per input row, `n_rotated / 2` cosines, then as many sines. Angles are
//! computed in f64: `position * frequency_i`, `frequency_i = base^(-2i / n_rotated) / factor_i`.
//! Source: RoPE (arXiv 2104.09864); factors as llama.cpp's `rope_freqs.weight`.
//! Absent on purpose: the order of halves ("NeoX"), which no architecture here uses yet.

use super::{
    level::schedules,
    numeric::{exp_f64, ln, sin_cos},
};

/// The angle per position of each pair.
pub fn frequencies(base: f64, n_rotated: usize, factors: Option<&[f32]>, scale: f64) -> Vec<f64> {
    let log_base = ln(base);
    (0..n_rotated / 2)
        .map(|i| {
            let frequency = exp_f64(-log_base * (2 * i) as f64 / n_rotated as f64);
            frequency * scale / factors.map_or(1.0, |f| f64::from(f[i]))
        })
        .collect()
}

/// Cosines and sines of the rows' positions.
pub fn table(positions: impl ExactSizeIterator<Item = u32>, frequencies: &[f64]) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions.len() * frequencies.len() * 2);
    for position in positions {
        let at = table.len();
        table.resize(at + 2 * frequencies.len(), 0.0);
        let (cosines, sines) = table[at..].split_at_mut(frequencies.len());
        for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(frequencies) {
            let (s, c) = sin_cos(f64::from(position) * frequency);
            (*cosine, *sine) = (c as f32, s as f32);
        }
    }
    table
}

schedules! {
    /// Turns the leading pairs of every head by a row of the table.
    pub fn rotate_heads(heads: &mut [f32], head_dim: usize, table: &[f32]) {
        let (cosines, sines) = table.split_at(table.len() / 2);
        for head in heads.chunks_exact_mut(head_dim) {
            let pairs = head.as_chunks_mut::<2>().0;
            for ((pair, c), s) in pairs.iter_mut().zip(cosines).zip(sines) {
                let [x, y] = *pair;
                *pair = [x.mul_add(*c, -(y * s)), x.mul_add(*s, y * c)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cpu::Level;

    #[test]
    fn angles_follow_the_definition() {
        let f = frequencies(10_000.0, 8, Some(&[1.0, 2.0, 1.0, 1.0]), 0.5);
        let expected = [0.5, 0.05 / 2.0, 0.005, 0.0005];
        for (f, e) in f.iter().zip(expected) {
            assert!((f - e).abs() < 1e-14);
        }
        let t = table([0, 3].into_iter(), &f);
        assert_eq!(t[..8], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(t[8], 1.5f64.cos() as f32);
        let mut head = [1.0, 0.0, 5.0, 7.0];
        rotate_heads(Level::Scalar, &mut head, 4, &[0.0, 1.0]);
        assert_eq!(head, [0.0, 1.0, 5.0, 7.0]);
    }
}
