//! Pre-norm latent attention with its residual addition.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Source: DeepSeek-V2 (arXiv 2405.04434).
//!
//! Older files hold the projections to keys and values in one tensor, `attn_kv_b`: per head the
//! rows of the keys, then those of the values. Values are used as they are. Keys are applied to
//! queries here, which needs them the other way around, and blocks of a quantised row cannot be
//! turned: they are kept as f32, exactly the numbers of the file ([`KeyValueHeads`]).

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{self, parts::LatentParts},
    config::LatentConfig,
    gguf::{Gguf, GgufError, GgufWriter, Source, TensorInfo, TensorType},
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
        let sizes = HeadSizes { n_heads, rank, content: query_dim - rotated, value_dim };
        let [keys, values, both] = ["k_b", "v_b", "kv_b"].map(|part| name(part) + ".weight");
        let is_together = !loader.has(&keys) && (latent.is_old || loader.has(&both));
        let heads = match is_together {
            true => KeyValueHeads::together(loader, &both, sizes)?,
            false => KeyValueHeads::apart(loader, &keys, &values, sizes)?,
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
            key_heads: heads.keys,
            key_heads_in: heads.keys_in,
            value_heads: heads.values,
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

/// Sizes of the projections from latent vectors.
#[derive(Clone, Copy)]
struct HeadSizes {
    n_heads: usize,
    rank: usize,
    content: usize,
    value_dim: usize,
}

/// Per head: from a query's content to the space of latent vectors, and from there to a value.
struct KeyValueHeads {
    keys: Vec<TensorInfo>,
    keys_in: Option<Gguf>,
    values: Vec<TensorInfo>,
}

impl KeyValueHeads {
    /// Of two tensors, keys turned already.
    fn apart(
        loader: &Loader<'_>,
        keys: &str,
        values: &str,
        sizes: HeadSizes,
    ) -> Result<Self, LoadError> {
        let HeadSizes { n_heads, rank, content, value_dim } = sizes;
        let heads = |name: &str, k: usize, n: usize| -> Result<Vec<_>, LoadError> {
            let all = loader.weight(name, &[k, n, n_heads])?;
            Ok((0..n_heads).map(|head| all.rows(head * n..(head + 1) * n)).collect())
        };
        let keys = heads(keys, content, rank)?;
        Ok(Self { keys, keys_in: None, values: heads(values, rank, value_dim)? })
    }

    /// Of one tensor.
    fn together(loader: &Loader<'_>, name: &str, sizes: HeadSizes) -> Result<Self, LoadError> {
        let HeadSizes { n_heads, rank, content, value_dim } = sizes;
        let per_head = content + value_dim;
        let all = loader.weight(name, &[rank, n_heads * per_head])?;
        let (format, bytes) = loader.checked(all)?;
        let row_bytes = bytes.len() / (n_heads * per_head);
        let (mut turned, mut row) = (vec![0f32; n_heads * rank * content], vec![0f32; rank]);
        for (head, turned) in turned.chunks_exact_mut(rank * content).enumerate() {
            let rows = bytes[head * per_head * row_bytes..].chunks_exact(row_bytes);
            for (j, bytes) in rows.take(content).enumerate() {
                format.dequantise(bytes, &mut row);
                row.iter().enumerate().for_each(|(i, value)| turned[i * content + j] = *value);
            }
        }
        loader.gguf.source().forget(all.start, all.n_bytes);
        let bytes = turned.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut file = GgufWriter::new();
        file.tensor(name, &[content as u64, (n_heads * rank) as u64], TensorType::F32, bytes);
        let file = Gguf::read(Source::from_vec(file.finish()))?;
        let keys = file.tensor(name).ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        let heads = 0..n_heads;
        Ok(Self {
            keys: heads.clone().map(|head| keys.rows(head * rank..(head + 1) * rank)).collect(),
            keys_in: Some(file.clone()),
            values: heads
                .map(|head| all.rows(head * per_head + content..(head + 1) * per_head))
                .collect(),
        })
    }
}
