//! Pre-norm grouped-query attention: norm, projections, attention over the pages, projection back,
//! residual addition.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Source: arXiv 2305.13245.

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{self, AttentionParts},
    kernel::cpu::attention::AttentionShape,
};

/// The block.
pub struct Attention(backend::Attention);

impl Attention {
    /// Loads `PREFIX.attn_norm.weight` and `PREFIX.attn_{q,k,v,output}.weight`, and makes empty
    /// pages.
    pub fn load(loader: &Loader<'_>, prefix: &str) -> Result<Self, LoadError> {
        let config = loader.config;
        let (hidden, q, kv) = (config.hidden as usize, config.query_width(), config.kv_width());
        let part = |part: &str, k: usize, n: usize| {
            loader.weight(&format!("{prefix}.attn_{part}.weight"), &[k, n])
        };
        let parts = AttentionParts {
            norm: loader.norm(&format!("{prefix}.attn_norm"))?,
            query_key_value: [
                part("q", hidden, q)?,
                part("k", hidden, kv)?,
                part("v", hidden, kv)?,
            ],
            output: part("output", q, hidden)?,
            shape: AttentionShape {
                n_heads: config.n_heads as usize,
                n_kv_heads: config.n_kv_heads as usize,
                head_dim: config.head_dim as usize,
                scale: 1.0 / (config.head_dim as f32).sqrt(),
            },
            kv: loader.kv,
            kv_pages: loader.kv_pages,
        };
        Ok(Self(backend::Attention::load(loader.engine, loader.gguf, parts)?))
    }

    /// Adds what each row finds in the earlier positions of its sequence.
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.0.forward(x, &pass.plan)
    }
}
