//! The pre-norm gated feed-forward block: `x + down(silu(gate(norm(x))) * up(norm(x)))`.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Source: SwiGLU (arXiv 2002.05202).

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::backend;

/// The block.
pub struct FeedForward(backend::FeedForward);

impl FeedForward {
    /// Loads `PREFIX.ffn_norm.weight` and `PREFIX.ffn_{gate,up,down}.weight`.
    pub fn load(loader: &Loader<'_>, prefix: &str) -> Result<Self, LoadError> {
        let config = loader.config;
        let (hidden, width) = (config.hidden as usize, config.feed_forward as usize);
        let part = |part: &str, k: usize, n: usize| {
            loader.weight(&format!("{prefix}.ffn_{part}.weight"), &[k, n])
        };
        let norm = loader.norm(&format!("{prefix}.ffn_norm"))?;
        let tensors = [
            part("gate", hidden, width)?,
            part("up", hidden, width)?,
            part("down", width, hidden)?,
        ];
        Ok(Self(backend::FeedForward::load(loader.engine, loader.gguf, norm, tensors)?))
    }

    /// Transforms each row; the result is rounded to f16 when `round` says so.
    pub fn forward(&self, x: Tensor<2>, round: bool) -> Tensor<2> {
        self.0.forward(x, round)
    }
}
