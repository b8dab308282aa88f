//! Grouped-query attention: projections to q, k and v, attention over the pages, projection back.
//!
//! Called by `arch`. `[rows, hidden]` in and out. The three projections are one operation.
//! Source: arXiv 2305.13245.

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{KvCache, Linear},
    kernel::cpu::attention::AttentionShape,
    kv::KvShape,
};

/// The block.
pub struct Attention {
    query_key_value: Linear,
    output: Linear,
    shape: AttentionShape,
    cache: KvCache,
}

impl Attention {
    /// Loads `PREFIX.attn_{q,k,v,output}.weight` and makes empty pages.
    pub fn load(loader: &Loader<'_>, prefix: &str) -> Result<Self, LoadError> {
        let config = loader.config;
        let (hidden, q, kv) = (config.hidden as usize, config.query_width(), config.kv_width());
        let name = |part: &str| format!("{prefix}.attn_{part}.weight");
        let shape = AttentionShape {
            n_heads: config.n_heads as usize,
            n_kv_heads: config.n_kv_heads as usize,
            head_dim: config.head_dim as usize,
            scale: 1.0 / (config.head_dim as f32).sqrt(),
        };
        let kv_shape = KvShape {
            n_pages: loader.kv_pages,
            n_kv_heads: shape.n_kv_heads,
            head_dim: shape.head_dim,
        };
        Ok(Self {
            query_key_value: loader
                .linear(hidden, &[(name("q"), q), (name("k"), kv), (name("v"), kv)])?,
            output: loader.linear(q, &[(name("output"), hidden)])?,
            shape,
            cache: KvCache::new(loader.engine, loader.kv, kv_shape)
                .map_err(|source| LoadError::Cache { pages: loader.kv_pages, source })?,
        })
    }

    /// Attends to all earlier positions of each row's sequence.
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let qkv = self.query_key_value.forward(x);
        let attended = self.cache.attention(self.shape, &pass.plan, qkv);
        self.output.forward(attended)
    }
}
