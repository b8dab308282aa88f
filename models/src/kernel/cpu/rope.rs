//! Rotary position embedding.
//!
//! Called by attention on the rows of q and k; the tables are made once per forward pass.
//!
//! Shapes: a table row per input row, `n_rotated / 2` cosines, then as many sines, all times the
//! table's magnitude. Angles are computed in f64: `position * frequency_i`.
//! Source: RoPE (arXiv 2104.09864), YaRN (arXiv 2309.00071); factors as llama.cpp's
//! `rope_freqs.weight`.

use super::{
    level::schedules,
    numeric::{exp_f64, ln, sin_cos},
};

/// Which values of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Neighbours: 2i and 2i + 1.
    Neighbours,
    /// Halves of the rotated values: i and i + n_rotated / 2 ("NeoX").
    Halves,
}

/// Between which pairs YaRN goes from the trained to the stretched frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Positions seen in training.
    pub original_context: f64,
    /// Turns within the trained context above which a pair keeps its frequency.
    pub beta_fast: f64,
    /// Turns below which a pair is stretched.
    pub beta_slow: f64,
}

/// The angle per position of each pair: `base^(-2i / n_rotated) / factor_i`, times `scale`, with
/// YaRN for slow pairs only.
pub fn frequencies(
    (base, n_rotated): (f64, usize),
    factors: Option<&[f32]>,
    scale: f64,
    yarn: Option<Yarn>,
) -> Vec<f64> {
    let log_base = ln(base);
    let n = n_rotated as f64;
    let border = |turns: f64, original: f64| {
        n * ln(original / (turns * 2.0 * std::f64::consts::PI)) / (2.0 * log_base)
    };
    let kept = |i: usize| {
        let yarn = yarn?;
        let low = border(yarn.beta_fast, yarn.original_context).floor().max(0.0);
        let high = border(yarn.beta_slow, yarn.original_context).ceil().min(n - 1.0);
        Some(1.0 - ((i as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0))
    };
    (0..n_rotated / 2)
        .map(|i| {
            let frequency = exp_f64(-log_base * (2 * i) as f64 / n);
            let frequency = frequency / factors.map_or(1.0, |f| f64::from(f[i]));
            let kept = kept(i).unwrap_or(0.0);
            frequency * scale * (1.0 - kept) + frequency * kept
        })
        .collect()
}

/// Cosines and sines of the rows' positions, times `magnitude`.
pub fn table(
    positions: impl ExactSizeIterator<Item = u32>,
    frequencies: &[f64],
    magnitude: f64,
) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions.len() * frequencies.len() * 2);
    for position in positions {
        let at = table.len();
        table.resize(at + 2 * frequencies.len(), 0.0);
        let (cosines, sines) = table[at..].split_at_mut(frequencies.len());
        for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(frequencies) {
            let (s, c) = sin_cos(f64::from(position) * frequency);
            (*cosine, *sine) = ((c * magnitude) as f32, (s * magnitude) as f32);
        }
    }
    table
}

schedules! {
    /// Turns the leading values of every head, in pairs, by a row of the table.
    pub fn rotate_heads(heads: &mut [f32], head_dim: usize, pairs: Pairs, table: &[f32]) {
        let n_pairs = table.len() / 2;
        let (cosines, sines) = table.split_at(n_pairs);
        let turn = |[x, y]: [f32; 2], c: f32, s: f32| {
            [x.mul_add(c, -(y * s)), x.mul_add(s, y * c)]
        };
        for head in heads.chunks_exact_mut(head_dim) {
            if pairs == Pairs::Neighbours {
                let pairs = head.as_chunks_mut::<2>().0;
                for ((pair, c), s) in pairs.iter_mut().zip(cosines).zip(sines) {
                    *pair = turn(*pair, *c, *s);
                }
            } else {
                let (first, second) = head.split_at_mut(n_pairs);
                let halves = first.iter_mut().zip(second);
                for (((x, y), c), s) in halves.zip(cosines).zip(sines) {
                    [*x, *y] = turn([*x, *y], *c, *s);
                }
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
        let f = frequencies((10_000.0, 8), Some(&[1.0, 2.0, 1.0, 1.0]), 0.5, None);
        let expected = [0.5, 0.05 / 2.0, 0.005, 0.0005];
        for (f, e) in f.iter().zip(expected) {
            assert!((f - e).abs() < 1e-14);
        }
        let t = table([0, 3].into_iter(), &f, 1.0);
        assert_eq!(t[..8], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(t[8], 1.5f64.cos() as f32);
        let mut head = [1.0, 0.0, 5.0, 7.0];
        rotate_heads(Level::Scalar, &mut head, 4, Pairs::Neighbours, &[0.0, 1.0]);
        assert_eq!(head, [0.0, 1.0, 5.0, 7.0]);
        let mut head = [1.0, 2.0, 5.0, 7.0, 9.0];
        rotate_heads(Level::Scalar, &mut head, 5, Pairs::Halves, &[0.0, 1.0, 1.0, 0.0]);
        assert_eq!(head, [-5.0, 2.0, 1.0, 7.0, 9.0]);
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_stretches_slow_ones() {
        let yarn = Yarn { original_context: 4096.0, beta_fast: 32.0, beta_slow: 1.0 };
        let plain = frequencies((10_000.0, 64), None, 1.0, None);
        let stretched = frequencies((10_000.0, 64), None, 0.25, Some(yarn));
        assert_eq!(stretched[0], plain[0]);
        assert_eq!(stretched[31], plain[31] * 0.25);
        assert!(stretched.iter().zip(&plain).all(|(s, p)| s <= p && *s >= p * 0.25));
    }
}
