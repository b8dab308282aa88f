//! Pre-norm grouped-query attention: norm, projections, attention over the pages, projection back,
//! residual addition.
//!
//! Called by `arch`. `[rows, hidden]` in and out. What a file adds to the usual tensors (biases,
//! norms of heads, a norm behind, projections in one tensor) is found by name.
//! Source: arXiv 2305.13245.

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{self, parts::AttentionParts},
    gguf::TensorInfo,
    kernel::cpu::{
        attention::AttentionShape,
        attention_rows::{Rotation, RowPreparation},
    },
};

/// What differs between layers of one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions {
    /// How many positions a row sees.
    pub window: Option<u32>,
    /// Which rotation table.
    pub rotation_table: usize,
    /// What scores are multiplied with, when not one over the root of the head's values.
    pub scale: Option<f32>,
}

/// The block.
pub struct Attention(backend::Attention);

impl Attention {
    /// Loads `PREFIX.attn_{norm,q,k,v,output}` (or `attn_qkv`), and makes empty pages.
    pub fn load(
        loader: &Loader<'_>,
        prefix: &str,
        options: AttentionOptions,
    ) -> Result<Self, LoadError> {
        let config = loader.config;
        let shape = AttentionShape {
            n_heads: config.n_heads as usize,
            n_kv_heads: config.n_kv_heads as usize,
            key_dim: config.head_dim as usize,
            value_dim: config.value_dim as usize,
            scale: options.scale.unwrap_or(1.0 / (config.head_dim as f32).sqrt()),
            soft_cap: config.score_cap,
            window: options.window.map(|window| window as usize),
        };
        let (query_key_value, bias) = query_key_value(loader, prefix, &shape)?;
        let head_norm = |name: &str| loader.head_norm(&format!("{prefix}.{name}"), shape.key_dim);
        let parts = AttentionParts {
            norm: loader.norm(&format!("{prefix}.attn_norm"))?,
            query_key_value,
            preparation: RowPreparation {
                bias,
                query_norm: head_norm("attn_q_norm")?,
                key_norm: head_norm("attn_k_norm")?,
                rotation: Rotation { table: options.rotation_table, pairs: loader.style.pairs },
            },
            output: loader.output(
                &format!("{prefix}.attn_output"),
                shape.out_width(),
                &format!("{prefix}.post_attention_norm"),
            )?,
            shape,
            cache: loader.cache.clone(),
        };
        Ok(Self(backend::Attention::load(loader.engine, loader.gguf, parts)?))
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

/// The projections to queries, keys and values with their biases, whether in one tensor or three.
fn query_key_value(
    loader: &Loader<'_>,
    prefix: &str,
    shape: &AttentionShape,
) -> Result<(Vec<TensorInfo>, Option<Vec<f32>>), LoadError> {
    let hidden = loader.config.hidden as usize;
    let fused = format!("{prefix}.attn_qkv");
    if loader.has(&format!("{fused}.weight")) {
        let parts = loader.projection(&fused, hidden, shape.qkv_width())?;
        return Ok((vec![parts.weight], parts.bias));
    }
    let (mut weights, mut bias, mut has_bias) = (Vec::new(), Vec::new(), false);
    let kv_heads = shape.n_kv_heads;
    let widths = [shape.query_width(), kv_heads * shape.key_dim, kv_heads * shape.value_dim];
    for (name, width) in ["q", "k", "v"].into_iter().zip(widths) {
        let parts = loader.projection(&format!("{prefix}.attn_{name}"), hidden, width)?;
        weights.push(parts.weight);
        has_bias |= parts.bias.is_some();
        bias.extend(parts.bias.unwrap_or_else(|| vec![0.0; width]));
    }
    Ok((weights, has_bias.then_some(bias)))
}
