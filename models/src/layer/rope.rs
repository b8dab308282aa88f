//! Rotary position embedding: the frequencies of a model, and the table of a batch.
//!
//! Called by `shard` once per forward pass; attention applies the table. The optional tensor
//! `rope_freqs.weight` divides single frequencies (Llama 3's long context).

use super::{LoadError, Loader};
use crate::kernel::cpu::rope;

/// Angle per position of each rotated pair.
#[derive(Clone, Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
}

impl Rope {
    /// From the configuration and the factors, if there are any.
    pub fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        const FACTORS: &str = "rope_freqs.weight";
        let config = &loader.config.rope;
        let n_rotated = config.n_rotated as usize;
        let factors = match loader.gguf.tensor(FACTORS) {
            Some(_) => Some(loader.vector(FACTORS, n_rotated / 2)?),
            None => None,
        };
        let scale = 1.0 / f64::from(config.linear_factor);
        let base = f64::from(config.base);
        let frequencies = rope::frequencies(base, n_rotated, factors.as_deref(), scale);
        Ok(Self { frequencies })
    }

    /// The table of some positions, one row each.
    pub fn table(&self, positions: &[u32]) -> Vec<f32> {
        rope::table(positions.iter().copied(), &self.frequencies)
    }
}
