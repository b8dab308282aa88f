//! The end of a network: the final norm and the projection to logits.
//!
//! Called by `arch`. `[rows, hidden]` in, `[rows, vocab]` out.

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::backend;

/// The block.
pub struct Head(backend::Head);

impl Head {
    /// Loads `output_norm.weight` and `output.weight`, or the embedding where the model ties them.
    pub fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        let (hidden, vocab) = (loader.config.hidden as usize, loader.config.vocab as usize);
        let norm = loader.norm("output_norm")?;
        let own = "output.weight";
        let name = if loader.gguf.tensor(own).is_some() { own } else { "token_embd.weight" };
        let output = loader.weight(name, &[hidden, vocab])?;
        Ok(Self(backend::Head::load(loader.engine, loader.gguf, norm, output)?))
    }

    /// The logits of each row.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.0.forward(x)
    }
}
