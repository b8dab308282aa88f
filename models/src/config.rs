//! The hyper-parameters of a model, from its metadata alone.
//!
//! Called by `model` on opening; read by `shard` and `arch`. Every size is bounded here, so that
//! later products of sizes cannot overflow.
//! Errors: [`ConfigError`] names the key that is missing or contradicts another.
//! Source: the GGUF specification and the keys that llama.cpp's converter writes.

mod experts;
mod per_layer;
mod rope;
mod state_space;

pub use experts::{ExpertConfig, LatentConfig};
pub use per_layer::WindowPattern;
pub use rope::{RopeConfig, YarnConfig};
pub use state_space::{Recurrence, StateSpaceConfig};

use crate::gguf::{Gguf, GgufError};

/// Largest number of layers; the deepest known models have below 200.
const MAX_LAYERS: u32 = 4096;
/// Largest width of any row.
const MAX_WIDTH: u32 = 1 << 20;
/// Largest vocabulary.
const MAX_VOCABULARY: u32 = 1 << 22;
/// Largest context, also the bound on positions.
const MAX_CONTEXT: u32 = 1 << 26;

/// Why the metadata describes no model that can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key is missing or has another type.
    #[error(transparent)]
    Metadata(#[from] GgufError),
    /// A key's value is impossible, or contradicts another key.
    #[error("the metadata key {key:?} is {value}: {why}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The hyper-parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `general.architecture`.
    pub architecture: String,
    /// Number of layers.
    pub n_layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads per layer.
    pub n_heads: u32,
    /// Key-value heads per layer.
    pub n_kv_heads: u32,
    /// Values of a key (and of a query) per head, as it is kept in the cache.
    pub head_dim: u32,
    /// Values of a value per head, as it is kept in the cache.
    pub value_dim: u32,
    /// Width of the feed-forward block; of the widest one where layers differ.
    pub feed_forward: u32,
    /// Width of each layer's feed-forward block.
    pub feed_forward_layers: Vec<u32>,
    /// Number of tokens.
    pub vocab: u32,
    /// Longest context it was trained for.
    pub context_length: u32,
    /// Rotary embedding.
    pub rope: RopeConfig,
    /// Added under the root of the norms.
    pub norm_epsilon: f32,
    /// How many positions a row sees in layers with a window.
    pub window: Option<u32>,
    /// Which layers have the window; set by few files.
    pub window_pattern: Option<WindowPattern>,
    /// What attention scores are bounded to, softly.
    pub score_cap: Option<f32>,
    /// What logits are bounded to, softly.
    pub logit_cap: Option<f32>,
    /// Of mixtures.
    pub experts: Option<ExpertConfig>,
    /// Of latent attention.
    pub latent: Option<LatentConfig>,
    /// Tokens after which a generation ends, as far as numbers in the metadata say.
    pub end_tokens: Vec<u32>,
}

struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn has(&self, key: &str) -> bool {
        self.gguf.value(&self.name(key)).is_some()
    }

    fn size(&self, key: &str, most: u32) -> Result<u32, ConfigError> {
        let name = self.name(key);
        let value = self.number(key)?;
        if value == 0 || value > most {
            return Err(bad(&name, value, format!("it must be from 1 to {most}")));
        }
        Ok(value)
    }

    /// A size that may be missing or 0, which both mean that there is none.
    fn optional_size(&self, key: &str, most: u32) -> Result<Option<u32>, ConfigError> {
        match self.has(key) && self.number(key)? > 0 {
            true => self.size(key, most).map(Some),
            false => Ok(None),
        }
    }

    /// A positive number that may be missing or 0, which both mean that there is none.
    fn optional_positive(&self, key: &str) -> Result<Option<f32>, ConfigError> {
        match self.has(key) && self.gguf.get_f32(&self.name(key))? != 0.0 {
            true => self.positive_or(key, 1.0).map(Some),
            false => Ok(None),
        }
    }

    fn size_or(&self, key: &str, most: u32, default: u32) -> Result<u32, ConfigError> {
        if self.has(key) { self.size(key, most) } else { Ok(default) }
    }

    fn positive_or(&self, key: &str, default: f32) -> Result<f32, ConfigError> {
        if !self.has(key) {
            return Ok(default);
        }
        let name = self.name(key);
        let value = self.gguf.get_f32(&name)?;
        if !value.is_finite() || value <= 0.0 {
            return Err(bad(&name, value, "it must be positive".into()));
        }
        Ok(value)
    }
}

fn bad(key: &str, value: impl std::fmt::Display, why: String) -> ConfigError {
    ConfigError::Value { key: key.into(), value: value.to_string(), why }
}

impl ModelConfig {
    /// Reads the hyper-parameters.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ConfigError> {
        if let Some(config) = state_space::common(gguf)? {
            return Ok(config);
        }
        let architecture = gguf.get_str("general.architecture")?;
        let keys = Keys { gguf, architecture };
        let hidden = keys.size("embedding_length", MAX_WIDTH)?;
        let n_layers = keys.size("block_count", MAX_LAYERS)?;
        let n_heads = keys.size("attention.head_count", MAX_WIDTH)?;
        let feed_forward_layers = keys.sizes("feed_forward_length", MAX_WIDTH, n_layers)?;
        let latent = LatentConfig::read(&keys)?;
        let old_latent = latent.filter(|latent| latent.is_old);
        let n_kv_heads = match old_latent {
            Some(_) => 1,
            None => keys.size_or("attention.head_count_kv", MAX_WIDTH, n_heads)?,
        };
        if !n_heads.is_multiple_of(n_kv_heads) {
            let why = format!("{n_heads} query heads cannot share that many");
            return Err(bad(&keys.name("attention.head_count_kv"), n_kv_heads, why));
        }
        let head_dim = match old_latent {
            Some(latent) => latent.rank + keys.size("rope.dimension_count", MAX_WIDTH)?,
            None => head_dim(&keys, hidden, n_heads)?,
        };
        if n_heads.checked_mul(head_dim).is_none_or(|width| width > MAX_WIDTH) {
            let why = format!("with heads of {head_dim} values a row is too wide");
            return Err(bad(&keys.name("attention.head_count"), n_heads, why));
        }
        let config = Self {
            architecture: architecture.into(),
            n_layers,
            hidden,
            n_heads,
            n_kv_heads,
            head_dim,
            value_dim: match old_latent {
                Some(latent) => latent.rank,
                None => keys.size_or("attention.value_length", MAX_WIDTH, head_dim)?,
            },
            feed_forward: feed_forward_layers.iter().copied().max().unwrap_or(0),
            feed_forward_layers,
            vocab: vocabulary(&keys)?,
            context_length: keys.size("context_length", MAX_CONTEXT)?,
            rope: RopeConfig::read(&keys, head_dim)?,
            norm_epsilon: norm_epsilon(&keys)?,
            window: keys.optional_size("attention.sliding_window", MAX_CONTEXT)?,
            window_pattern: keys.window_pattern("attention.sliding_window_pattern", n_layers)?,
            score_cap: keys.optional_positive("attn_logit_softcapping")?,
            logit_cap: keys.optional_positive("final_logit_softcapping")?,
            experts: ExpertConfig::read(&keys)?,
            latent,
            end_tokens: end_tokens(gguf),
        };
        config.check_latent(&keys)?;
        Ok(config)
    }

    /// Latent attention keeps one head, of the latent vector and the rotated values.
    fn check_latent(&self, keys: &Keys<'_>) -> Result<(), ConfigError> {
        let Some(latent) = &self.latent else { return Ok(()) };
        let wanted = [
            ("attention.head_count_kv", self.n_kv_heads, 1),
            ("attention.key_length", self.head_dim, latent.rank + self.rope.n_rotated),
            ("attention.value_length", self.value_dim, latent.rank),
        ];
        for (key, found, wanted) in wanted {
            if found != wanted {
                let why = format!("latent vectors of {} values make it {wanted}", latent.rank);
                return Err(bad(&keys.name(key), found, why));
            }
        }
        if latent.query_dim <= self.rope.n_rotated {
            let why = format!("{} values of it are rotated", self.rope.n_rotated);
            let key =
                if latent.is_old { "attention.key_length" } else { "attention.key_length_mla" };
            return Err(bad(&keys.name(key), latent.query_dim, why));
        }
        Ok(())
    }
}

fn head_dim(keys: &Keys<'_>, hidden: u32, n_heads: u32) -> Result<u32, ConfigError> {
    let default = hidden / n_heads;
    let head_dim = keys.size_or("attention.key_length", MAX_WIDTH, default)?;
    let name = keys.name("attention.key_length");
    if head_dim == default && !keys.has("attention.key_length") && default * n_heads != hidden {
        let why = format!("{hidden} values cannot be shared by {n_heads} heads");
        return Err(bad(&keys.name("attention.head_count"), n_heads, why));
    }
    if head_dim < 2 || !head_dim.is_multiple_of(2) {
        return Err(bad(&name, head_dim, "heads need an even number of values".into()));
    }
    Ok(head_dim)
}

fn norm_epsilon(keys: &Keys<'_>) -> Result<f32, ConfigError> {
    let layer = "attention.layer_norm_epsilon";
    let key = if keys.has(layer) { layer } else { "attention.layer_norm_rms_epsilon" };
    let name = keys.name(key);
    let value = keys.gguf.get_f32(&name)?;
    if !(0.0..1.0).contains(&value) {
        return Err(bad(&name, value, "it must be from 0 to 1".into()));
    }
    Ok(value)
}

fn vocabulary(keys: &Keys<'_>) -> Result<u32, ConfigError> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    let tokens = keys.gguf.value(TOKENS).is_some().then(|| keys.gguf.get_array(TOKENS));
    let tokens = tokens.transpose()?.map(|tokens| tokens.len() as u32);
    let name = keys.name("vocab_size");
    match (keys.has("vocab_size"), tokens) {
        (false, None) => Err(GgufError::MissingKey(name).into()),
        (false, Some(0)) => Err(bad(TOKENS, 0, "there must be tokens".into())),
        (false, Some(tokens)) => Ok(tokens),
        (true, tokens) => {
            let size = keys.size("vocab_size", MAX_VOCABULARY)?;
            match tokens {
                Some(tokens) if tokens > size => {
                    Err(bad(&name, size, format!("{TOKENS} has {tokens} entries")))
                }
                _ => Ok(size),
            }
        }
    }
}

fn end_tokens(gguf: &Gguf) -> Vec<u32> {
    let mut ids: Vec<u32> = ["eos_token_id", "eot_token_id", "eom_token_id"]
        .iter()
        .filter_map(|key| gguf.get_u32(&format!("tokenizer.ggml.{key}")).ok())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
