//! The end of a network: the final norm and the projection to logits.
//!
//! Called by `arch`. `[rows, hidden]` in, `[rows, vocab]` out.

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::{
    backend::{self, parts::HeadParts},
    kernel::cpu::{Level, norm::Norm},
};

/// The block.
pub struct Head {
    norm: Norm,
    output: backend::Head,
}

impl Head {
    /// Loads `output_norm` and `output.weight`, or the embedding where the model ties them.
    pub fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        let (hidden, vocab) = (loader.config.hidden as usize, loader.config.vocab as usize);
        let own = "output.weight";
        let name = if loader.has(own) { own } else { "token_embd.weight" };
        let norm = loader.norm("output_norm")?;
        let parts = HeadParts {
            norm: norm.clone(),
            output: loader.weight(name, &[hidden, vocab])?.clone(),
            soft_cap: loader.config.logit_cap,
        };
        Ok(Self { norm, output: backend::Head::load(loader.engine, loader.gguf, parts)? })
    }

    /// The logits of each row.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(x)
    }

    /// Rows behind the norm alone, on the host: what embeddings are made of.
    pub fn norm(&self, rows: &[f32]) -> Vec<f32> {
        let mut normed = vec![0.0; rows.len()];
        self.norm.apply(Level::Portable, rows, &mut normed);
        normed
    }
}
