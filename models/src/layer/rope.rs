//! Rotary position embedding: the frequencies of a model, and the tables of a batch.
//!
//! Called by `shard` once per forward pass; attention applies the tables. Tensors of factors
//! divide single frequencies: `rope_freqs.weight` (Llama 3), or `rope_factors_{long,short}.weight`
//! (Phi-3), of which the long ones are used when the shard serves contexts longer than those before
//! scaling: for all of a model's generations alike, so that a token never depends on how long its
//! answer gets.
//!
//! Tables: 0 is the model's; 1, where the metadata has a second base, that of layers with a window.

use super::{LoadError, Loader};
use crate::kernel::cpu::rope::{self, Yarn};

/// Angle per position of each rotated pair, for each table.
#[derive(Clone, Debug)]
pub struct Rope {
    frequencies: Vec<Vec<f64>>,
    magnitude: f64,
}

impl Rope {
    /// From the configuration and the factors, if there are any.
    pub fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        let config = &loader.config.rope;
        let n_rotated = config.n_rotated as usize;
        let is_long = loader.context > config.original_context;
        let own = if is_long { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
        let names = ["rope_freqs.weight", own];
        let name = names.into_iter().find(|name| loader.has(name));
        let factors = name.map(|name| loader.vector(name, n_rotated / 2)).transpose()?;
        let yarn = config.yarn.map(|yarn| Yarn {
            original_context: f64::from(config.original_context),
            beta_fast: f64::from(yarn.beta_fast),
            beta_slow: f64::from(yarn.beta_slow),
        });
        let base = |base: f32| (f64::from(base), n_rotated);
        let scale = 1.0 / f64::from(config.factor);
        let mut frequencies =
            vec![rope::frequencies(base(config.base), factors.as_deref(), scale, yarn)];
        if let Some(local) = config.local_base {
            frequencies.push(rope::frequencies(base(local), None, 1.0, None));
        }
        Ok(Self { frequencies, magnitude: f64::from(config.magnitude) })
    }

    /// The tables of some positions, one row each.
    pub fn tables(&self, positions: &[u32]) -> Vec<Vec<f32>> {
        let positions = || positions.iter().copied();
        let table = |f: &Vec<f64>| rope::table(positions(), f, self.magnitude);
        self.frequencies.iter().map(table).collect()
    }
}
