//! The end of a network: the final norm and the projection to logits.
//!
//! Called by `arch`. `[rows, hidden]` in, `[rows, vocab]` out.

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::backend::{self, parts::HeadParts};

/// The block.
pub struct Head(backend::Head);

impl Head {
    /// Loads `output_norm` and `output.weight`, or the embedding where the model ties them.
    pub fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        let (hidden, vocab) = (loader.config.hidden as usize, loader.config.vocab as usize);
        let own = "output.weight";
        let name = if loader.has(own) { own } else { "token_embd.weight" };
        let parts = HeadParts {
            norm: loader.norm("output_norm")?,
            output: loader.weight(name, &[hidden, vocab])?.clone(),
            soft_cap: loader.config.logit_cap,
        };
        Ok(Self(backend::Head::load(loader.engine, loader.gguf, parts)?))
    }

    /// The logits of each row.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.0.forward(x)
    }
}
