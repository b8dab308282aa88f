//! Plain latent attention; see `kernel::cpu::latent` for what it computes.
//!
//! Called by `blocks`.

use burn::tensor::{Device, Tensor};

use super::{
    PlainNorm, PlainOutput,
    attention::{PlainPages, rotate},
    linear, weight,
};
use crate::{
    backend::{BlockError, parts::LatentParts},
    gguf::Gguf,
    kernel::cpu::{
        attention::{AttentionShape, BatchPlan},
        attention_rows::Rotation,
    },
};

/// Pre-norm latent attention.
#[derive(Debug)]
pub struct PlainLatentAttention {
    norm: PlainNorm,
    query_compression: Option<(Tensor<2>, PlainNorm)>,
    query: Tensor<2>,
    latent: Tensor<2>,
    latent_norm: PlainNorm,
    /// `[heads, rank, content]`.
    key_heads: Tensor<3>,
    /// `[heads, value, rank]`.
    value_heads: Tensor<3>,
    output: PlainOutput,
    rotation: Rotation,
    shape: AttentionShape,
    pages: PlainPages,
}

impl PlainLatentAttention {
    pub(in crate::backend) fn load(
        gguf: &Gguf,
        parts: LatentParts,
        device: &Device,
    ) -> Result<Self, BlockError> {
        let keys_in = parts.key_heads_in.as_ref().unwrap_or(gguf);
        let heads = |gguf: &Gguf, infos: &[_]| -> Result<Tensor<3>, BlockError> {
            let heads: Result<Vec<_>, _> =
                infos.iter().map(|info| weight(gguf, info, device)).collect();
            Ok(Tensor::stack(heads?, 0))
        };
        let compression = parts.query_compression.map(|(down, norm)| -> Result<_, BlockError> {
            Ok((weight(gguf, &down, device)?, PlainNorm::new(&norm, device)))
        });
        Ok(Self {
            norm: PlainNorm::new(&parts.norm, device),
            query_compression: compression.transpose()?,
            query: weight(gguf, &parts.query, device)?,
            latent: weight(gguf, &parts.latent, device)?,
            latent_norm: PlainNorm::new(&parts.latent_norm, device),
            key_heads: heads(keys_in, &parts.key_heads)?,
            value_heads: heads(gguf, &parts.value_heads)?,
            output: PlainOutput::load(gguf, &parts.output, device)?,
            rotation: parts.rotation,
            shape: parts.shape,
            pages: PlainPages::new(&parts.cache, (&parts.shape, true), device),
        })
    }

    pub(in crate::backend) fn forward(&mut self, x: Tensor<2>, plan: &BatchPlan) -> Tensor<2> {
        let AttentionShape { n_heads, key_dim, value_dim: rank, .. } = self.shape;
        let (rows, rotated) = (plan.n_rows, key_dim - rank);
        let normed = self.norm.forward(x.clone());
        let latent = linear(normed.clone(), &self.latent);
        let vector = self.latent_norm.forward(latent.clone().narrow(1, 0, rank));
        let vector = vector.reshape([rows, 1, rank]);
        let key = latent.narrow(1, rank, rotated).reshape([rows, 1, rotated]);
        let keys = Tensor::cat(vec![vector, rotate(key, plan, self.rotation)], 2);

        let short = match &self.query_compression {
            Some((down, norm)) => norm.forward(linear(normed, down)),
            None => normed,
        };
        let queries = linear(short, &self.query);
        let head_dim = queries.dims()[1] / n_heads;
        let queries = queries.reshape([rows, n_heads, head_dim]);
        let content = queries.clone().narrow(2, 0, head_dim - rotated).swap_dims(0, 1);
        let content = content.matmul(self.key_heads.clone().swap_dims(1, 2)).swap_dims(0, 1);
        let turned = queries.narrow(2, head_dim - rotated, rotated);
        let queries = Tensor::cat(vec![content, rotate(turned, plan, self.rotation)], 2);

        let attended = self.pages.attention((&self.shape, plan), queries, (keys, None));
        let attended = attended.reshape([rows, n_heads, rank]).swap_dims(0, 1);
        let values = attended.matmul(self.value_heads.clone().swap_dims(1, 2)).swap_dims(0, 1);
        let width = values.dims()[1] * values.dims()[2];
        self.output.add(x, values.reshape([rows, width]), false)
    }

    pub(in crate::backend) fn copy_page(&mut self, from: u32, to: u32) {
        self.pages.copy_page(from, to);
    }
}
