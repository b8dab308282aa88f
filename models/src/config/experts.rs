//! Mixtures of experts and latent attention, from the metadata.
//!
//! Called by `config`; read by `layer`. Keys as llama.cpp's converter writes them.

use super::{ConfigError, Keys, MAX_WIDTH, bad};
use crate::kernel::cpu::routing::Gating;

/// Largest number of experts; the widest known mixtures have below 1000.
const MAX_EXPERTS: u32 = 1 << 14;

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertConfig {
    /// Experts per layer.
    pub n_experts: u32,
    /// Experts per row.
    pub n_used: u32,
    /// Width of an expert.
    pub feed_forward: u32,
    /// Width of the expert that every row goes to.
    pub shared_feed_forward: Option<u32>,
    /// Groups of experts, and how many of them a row may use.
    pub groups: [u32; 2],
    /// Logits to scores.
    pub gating: Gating,
    /// Whether the weights of a row are divided by their sum, if the file says.
    pub normalise: Option<bool>,
    /// What weights are multiplied with.
    pub scale: f32,
    /// How many layers come before the first mixture.
    pub n_leading_dense: u32,
}

impl ExpertConfig {
    pub(super) fn read(keys: &Keys<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(n_experts) = keys.optional_size("expert_count", MAX_EXPERTS)? else {
            return Ok(None);
        };
        let n_used = keys.size("expert_used_count", n_experts)?;
        let own = keys.optional_size("expert_feed_forward_length", MAX_WIDTH)?;
        let feed_forward = match own {
            Some(width) => width,
            None => keys.size("feed_forward_length", MAX_WIDTH)?,
        };
        let shared_width = keys.optional_size("expert_shared_feed_forward_length", MAX_WIDTH)?;
        let n_shared = keys.optional_size("expert_shared_count", MAX_EXPERTS)?;
        let shared_feed_forward = match (shared_width, n_shared) {
            (Some(width), _) => Some(width),
            (None, Some(n)) => Some(n.saturating_mul(feed_forward).min(MAX_WIDTH)),
            (None, None) => None,
        };
        let n_groups = keys.optional_size("expert_group_count", n_experts)?.unwrap_or(1);
        let n_used_groups = keys.optional_size("expert_group_used_count", n_groups)?;
        let groups = [n_groups, n_used_groups.unwrap_or(n_groups)];
        let per_group = n_experts / n_groups;
        if per_group * n_groups != n_experts || n_used > groups[1] * per_group {
            let why = format!("{n_used} of {n_experts} experts cannot come from such groups");
            return Err(bad(&keys.name("expert_group_count"), n_groups, why));
        }
        let name = keys.name("expert_gating_func");
        let gating = match keys.has("expert_gating_func").then(|| keys.gguf.get_u32(&name)) {
            None => Gating::Softmax,
            Some(function) => match function? {
                0 | 1 => Gating::Softmax,
                2 => Gating::Sigmoid,
                other => {
                    let why = "it must be 1 (softmax) or 2 (sigmoid)";
                    return Err(bad(&name, other, why.into()));
                }
            },
        };
        let normalise = keys.has("expert_weights_norm");
        let normalise =
            normalise.then(|| keys.gguf.get_bool(&keys.name("expert_weights_norm"))).transpose()?;
        let n_leading_dense = match keys.has("leading_dense_block_count") {
            true => keys.gguf.get_u32(&keys.name("leading_dense_block_count"))?,
            false => 0,
        };
        Ok(Some(Self {
            n_experts,
            n_used,
            feed_forward,
            shared_feed_forward,
            groups,
            gating,
            normalise,
            scale: keys.optional_positive("expert_weights_scale")?.unwrap_or(1.0),
            n_leading_dense,
        }))
    }
}

/// Latent attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentConfig {
    /// Width of the short vector before the projection to queries, if there is one.
    pub query_rank: Option<u32>,
    /// Width of the latent vector.
    pub rank: u32,
    /// Values of a query per head before its key projection is applied.
    pub query_dim: u32,
    /// Values of a value per head after its projection.
    pub value_dim: u32,
    /// Whether the file has the keys of older converters, which do not describe the cache.
    pub is_old: bool,
}

impl LatentConfig {
    pub(super) fn read(keys: &Keys<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(rank) = keys.optional_size("attention.kv_lora_rank", MAX_WIDTH)? else {
            return Ok(None);
        };
        // Older files describe the heads before the projections are absorbed, with other keys.
        let is_old = !keys.has("attention.key_length_mla");
        let names = ["attention.key_length", "attention.value_length"];
        let new_names = ["attention.key_length_mla", "attention.value_length_mla"];
        let [query_dim, value_dim] = if is_old { names } else { new_names };
        Ok(Some(Self {
            query_rank: keys.optional_size("attention.q_lora_rank", MAX_WIDTH)?,
            rank,
            query_dim: keys.size(query_dim, MAX_WIDTH)?,
            value_dim: keys.size(value_dim, MAX_WIDTH)?,
            is_old,
        }))
    }
}
