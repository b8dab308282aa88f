//! Pre-norm latent attention with its residual addition.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Source: DeepSeek-V2 (arXiv 2405.04434).
//! Absent on purpose: files whose key and value projections are one tensor (`attn_kv_b`).

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{self, parts::LatentParts},
    config::LatentConfig,
    kernel::cpu::{attention::AttentionShape, attention_rows::Rotation},
};

/// The block.
pub struct LatentAttention(backend::LatentAttention);

impl LatentAttention {
    /// Loads `PREFIX.attn_{norm,q,q_a,q_b,kv_a_mqa,k_b,v_b,output}` and their norms, and makes
    /// empty pages.
    pub fn load(
        loader: &Loader<'_>,
        prefix: &str,
        latent: &LatentConfig,
    ) -> Result<Self, LoadError> {
        let config = loader.config;
        let name = |part: &str| format!("{prefix}.attn_{part}");
        let (hidden, n_heads) = (config.hidden as usize, config.n_heads as usize);
        let (rank, rotated) = (latent.rank as usize, config.rope.n_rotated as usize);
        let (query_dim, value_dim) = (latent.query_dim as usize, latent.value_dim as usize);
        let weight = |part: &str, k: usize, n: usize| -> Result<_, LoadError> {
            Ok(loader.weight(&name(&format!("{part}.weight")), &[k, n])?.clone())
        };
        let heads = |part: &str, k: usize, n: usize| -> Result<Vec<_>, LoadError> {
            let all = loader.weight(&name(&format!("{part}.weight")), &[k, n, n_heads])?;
            Ok((0..n_heads).map(|head| all.rows(head * n..(head + 1) * n)).collect())
        };
        let query_width = n_heads * query_dim;
        let (query, query_compression) = match latent.query_rank {
            None => (weight("q", hidden, query_width)?, None),
            Some(short) => {
                let short = short as usize;
                let norm = loader.rms_norm(&name("q_a_norm"), short)?;
                let down = weight("q_a", hidden, short)?;
                (weight("q_b", short, query_width)?, Some((down, norm)))
            }
        };
        let magnitude = config.rope.score_magnitude;
        let parts = LatentParts {
            norm: loader.norm(&name("norm"))?,
            query_compression,
            query,
            latent: weight("kv_a_mqa", hidden, rank + rotated)?,
            latent_norm: loader.rms_norm(&name("kv_a_norm"), rank)?,
            key_heads: heads("k_b", query_dim - rotated, rank)?,
            value_heads: heads("v_b", rank, value_dim)?,
            output: loader.output(
                &name("output"),
                n_heads * value_dim,
                &format!("{prefix}.post_attention_norm"),
            )?,
            rotation: Rotation { table: 0, pairs: loader.style.pairs },
            shape: AttentionShape {
                n_heads,
                n_kv_heads: 1,
                key_dim: rank + rotated,
                value_dim: rank,
                scale: magnitude * magnitude / (query_dim as f32).sqrt(),
                soft_cap: config.score_cap,
                window: None,
            },
            cache: loader.cache.clone(),
        };
        Ok(Self(backend::LatentAttention::load(loader.engine, loader.gguf, parts)?))
    }

    /// Adds what each row finds in the earlier positions of its sequence.
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.0.forward(x, &pass.plan)
    }

    /// Copies a page over another, where the layer keeps its own.
    pub fn copy_page(&self, from: u32, to: u32) {
        self.0.copy_page(from, to);
    }
}
