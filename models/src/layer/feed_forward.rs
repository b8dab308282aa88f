//! The gated feed-forward block: `down(silu(gate(x)) * up(x))`.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Gate and up are one operation.
//! Source: SwiGLU (arXiv 2002.05202).

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::backend::{Engine, Linear};

/// The block.
pub struct FeedForward {
    gate_up: Linear,
    down: Linear,
    engine: Engine,
}

impl FeedForward {
    /// Loads `PREFIX.ffn_{gate,up,down}.weight`.
    pub fn load(loader: &Loader<'_>, prefix: &str) -> Result<Self, LoadError> {
        let config = loader.config;
        let (hidden, width) = (config.hidden as usize, config.feed_forward as usize);
        let name = |part: &str| format!("{prefix}.ffn_{part}.weight");
        Ok(Self {
            gate_up: loader.linear(hidden, &[(name("gate"), width), (name("up"), width)])?,
            down: loader.linear(width, &[(name("down"), hidden)])?,
            engine: loader.engine.clone(),
        })
    }

    /// Transforms each row.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gated = self.engine.swiglu(self.gate_up.forward(x));
        self.down.forward(gated)
    }
}
