//! The hyper-parameters of state-space models (Mamba), from their metadata alone.
//!
//! Called by `config` (the common hyper-parameters of such a file) and by `layer::state_space` (the
//! sizes of its block). The keys are those of llama.cpp's converter; every size is bounded.
//! Errors: [`ConfigError`] names the key that is missing or contradicts another.

use super::{
    ConfigError, Keys, MAX_CONTEXT, MAX_LAYERS, MAX_WIDTH, ModelConfig, RopeConfig, bad,
    end_tokens, vocabulary,
};
use crate::gguf::Gguf;

/// Largest number of positions that a convolution sees; known models have 4.
const MAX_KERNEL: u32 = 64;
/// Largest state of one channel; known models have up to 256 values.
const MAX_STATE: u32 = 1 << 14;

/// Which recurrence a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurrence {
    /// Every channel has a decay per state entry (arXiv 2312.00752).
    Mamba1,
    /// Channels share one decay per head (arXiv 2405.21060).
    Mamba2,
}

/// The sizes of a state-space block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateSpaceConfig {
    /// Which recurrence.
    pub recurrence: Recurrence,
    /// Positions that the convolution sees, its own included.
    pub kernel: u32,
    /// Channels.
    pub inner: u32,
    /// State entries per channel.
    pub state: u32,
    /// Mamba 1: inputs of the projection to time steps. Mamba 2: heads.
    pub time_step_rank: u32,
    /// Groups of channels that share what goes into and comes out of the state.
    pub n_groups: u32,
    /// Whether time step, input and output of the state are normalised (Falcon Mamba).
    pub normalised: bool,
    /// Added under the root of the norms.
    pub rms_epsilon: f32,
}

/// The recurrence that an architecture has.
fn recurrence(architecture: &str) -> Option<Recurrence> {
    match architecture {
        "mamba" => Some(Recurrence::Mamba1),
        "mamba2" => Some(Recurrence::Mamba2),
        _ => None,
    }
}

impl StateSpaceConfig {
    /// Reads the sizes.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ConfigError> {
        const ARCHITECTURE: &str = "general.architecture";
        let architecture = gguf.get_str(ARCHITECTURE)?;
        let recurrence = recurrence(architecture)
            .ok_or_else(|| bad(ARCHITECTURE, architecture, "it has no state space".into()))?;
        let keys = Keys { gguf, architecture };
        let inner = keys.size("ssm.inner_size", MAX_WIDTH)?;
        let time_step_rank = keys.size("ssm.time_step_rank", MAX_WIDTH)?;
        let n_groups = match recurrence {
            Recurrence::Mamba1 => 1,
            Recurrence::Mamba2 => keys.size("ssm.group_count", MAX_WIDTH)?,
        };
        if recurrence == Recurrence::Mamba2 {
            if !inner.is_multiple_of(time_step_rank) {
                let why = format!("{inner} channels cannot be shared by that many heads");
                return Err(bad(&keys.name("ssm.time_step_rank"), time_step_rank, why));
            }
            if !time_step_rank.is_multiple_of(n_groups) {
                let why = format!("{time_step_rank} heads cannot be shared by that many groups");
                return Err(bad(&keys.name("ssm.group_count"), n_groups, why));
            }
        }
        let kernel = keys.size("ssm.conv_kernel", MAX_KERNEL)?;
        if kernel == 1 {
            let why = "a convolution over one position has no state".into();
            return Err(bad(&keys.name("ssm.conv_kernel"), kernel, why));
        }
        Ok(Self {
            recurrence,
            kernel,
            inner,
            state: keys.size("ssm.state_size", MAX_STATE)?,
            time_step_rank,
            n_groups,
            normalised: {
                let has = recurrence == Recurrence::Mamba1 && keys.has("ssm.dt_b_c_rms");
                has && gguf.get_bool(&keys.name("ssm.dt_b_c_rms"))?
            },
            rms_epsilon: epsilon(&keys)?,
        })
    }
}

fn epsilon(keys: &Keys<'_>) -> Result<f32, ConfigError> {
    let name = keys.name("attention.layer_norm_rms_epsilon");
    let value = keys.gguf.get_f32(&name)?;
    if !(0.0..1.0).contains(&value) {
        return Err(bad(&name, value, "it must be from 0 to 1".into()));
    }
    Ok(value)
}

/// The common hyper-parameters of a file with state-space layers only: what belongs to attention
/// and feed-forward is 0. `None` when the architecture is another.
pub(super) fn common(gguf: &Gguf) -> Result<Option<ModelConfig>, ConfigError> {
    let architecture = gguf.get_str("general.architecture")?;
    if recurrence(architecture).is_none() {
        return Ok(None);
    }
    let StateSpaceConfig { rms_epsilon, .. } = StateSpaceConfig::from_gguf(gguf)?;
    let keys = Keys { gguf, architecture };
    Ok(Some(ModelConfig {
        architecture: architecture.into(),
        n_layers: keys.size("block_count", MAX_LAYERS)?,
        hidden: keys.size("embedding_length", MAX_WIDTH)?,
        n_heads: 0,
        n_kv_heads: 0,
        head_dim: 0,
        value_dim: 0,
        feed_forward: 0,
        feed_forward_layers: Vec::new(),
        vocab: vocabulary(&keys)?,
        context_length: keys.size("context_length", MAX_CONTEXT)?,
        rope: RopeConfig::none(),
        norm_epsilon: rms_epsilon,
        window: None,
        window_pattern: None,
        score_cap: None,
        logit_cap: None,
        experts: None,
        latent: None,
        end_tokens: end_tokens(gguf),
    }))
}
