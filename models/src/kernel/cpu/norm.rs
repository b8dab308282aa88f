//! Norms of rows.
//!
//! Called by `network` and its neighbours. Canonical: sums are in 16 lanes (value i in lane
//! i % 16), the lanes by `sum_lanes`. Root mean square:
//! `y = (x * (1 / sqrt(mean(x^2) + epsilon))) * gain`. Layer:
//! `y = fma((x - mean) * (1 / sqrt(mean((x - mean)^2) + epsilon)), gain, bias)`.
//! Source: RMSNorm (arXiv 1910.07467), layer norm (arXiv 1607.06450).

use super::{Level, level::schedules, numeric::sum_lanes};

/// What a norm is made of.
#[derive(Clone, Debug)]
pub struct Norm {
    /// One factor per value.
    pub gain: Vec<f32>,
    /// One addend per value: a layer norm, which takes the mean off. None: root mean square.
    pub bias: Option<Vec<f32>>,
    /// What is added under the root.
    pub epsilon: f32,
}

impl Norm {
    /// Normalises rows of `x`, each as long as the gain, into `y`.
    pub fn apply(&self, level: Level, x: &[f32], y: &mut [f32]) {
        match &self.bias {
            None => rms_norm(level, x, &self.gain, self.epsilon, y),
            Some(bias) => layer_norm(level, x, (&self.gain, bias), self.epsilon, y),
        }
    }
}

#[inline(always)]
fn mean_of_squares(x: &[f32], mean: f32) -> f32 {
    let mut lanes = [0f32; 16];
    let (blocks, tail) = x.as_chunks::<16>();
    for block in blocks {
        for i in 0..16 {
            let x = block[i] - mean;
            lanes[i] = x.mul_add(x, lanes[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(tail) {
        let x = x - mean;
        *lane = x.mul_add(x, *lane);
    }
    sum_lanes(lanes) / x.len() as f32
}

#[inline(always)]
fn mean(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (i, x) in x.iter().enumerate() {
        lanes[i % 16] += x;
    }
    sum_lanes(lanes) / x.len() as f32
}

schedules! {
    /// The root-mean-square norm by itself, for callers with a gain of their own.
    pub fn rms_norm(x: &[f32], gain: &[f32], epsilon: f32, y: &mut [f32]) {
        for (x, y) in x.chunks_exact(gain.len()).zip(y.chunks_exact_mut(gain.len())) {
            let inverse = 1.0 / (mean_of_squares(x, 0.0) + epsilon).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = (x * inverse) * gain;
            }
        }
    }
}

schedules! {
    fn layer_norm(x: &[f32], gain_bias: (&[f32], &[f32]), epsilon: f32, y: &mut [f32]) {
        let (gain, bias) = gain_bias;
        for (x, y) in x.chunks_exact(gain.len()).zip(y.chunks_exact_mut(gain.len())) {
            let mean = mean(x);
            let inverse = 1.0 / (mean_of_squares(x, mean) + epsilon).sqrt();
            for (((y, x), gain), bias) in y.iter_mut().zip(x).zip(gain).zip(bias) {
                *y = ((x - mean) * inverse).mul_add(*gain, *bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_follow_their_definitions() {
        let x: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin() * 3.0 + 1.0).collect();
        let gain: Vec<f32> = (0..37).map(|i| 1.0 + i as f32 * 0.01).collect();
        let bias: Vec<f32> = (0..37).map(|i| i as f32 * 0.1).collect();
        let n = x.len() as f64;
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        for bias in [None, Some(bias)] {
            let shift = if bias.is_some() { mean } else { 0.0 };
            let square = x.iter().map(|x| (f64::from(*x) - shift).powi(2)).sum::<f64>() / n;
            let norm = Norm { gain: gain.clone(), bias, epsilon: 1e-5 };
            let mut y = vec![0.0; x.len()];
            norm.apply(Level::Scalar, &x, &mut y);
            for (i, y) in y.iter().enumerate() {
                let added = norm.bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                let scaled = (f64::from(x[i]) - shift) / (square + 1e-5).sqrt();
                let expected = scaled * f64::from(gain[i]) + added;
                assert!((f64::from(*y) - expected).abs() < 1e-5, "{i}: {y} {expected}");
            }
            for level in Level::available() {
                let mut other = vec![0.0; x.len()];
                norm.apply(level, &x, &mut other);
                assert_eq!(other, y, "{level:?}");
            }
        }
    }
}
