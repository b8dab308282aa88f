//! How positions become angles, from the metadata.
//!
//! Called by `config`; read by `layer::Rope`. Source: RoPE (arXiv 2104.09864), YaRN
//! (arXiv 2309.00071), keys as llama.cpp's converter writes them.

use super::{ConfigError, Keys, MAX_CONTEXT, MAX_WIDTH, bad};
use crate::kernel::cpu::numeric::ln;

/// The base of Gemma 3's layers with a window, which its published files do not write.
const GEMMA3_LOCAL_BASE: f32 = 10_000.0;

/// YaRN: slow pairs are stretched, fast ones keep their frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YarnConfig {
    /// Turns within the trained context above which a pair keeps its frequency.
    pub beta_fast: f32,
    /// Turns below which a pair is stretched.
    pub beta_slow: f32,
}

/// How positions become angles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeConfig {
    /// The base of the geometric row of wave lengths.
    pub base: f32,
    /// The base in layers with a window, where it is another; those are never scaled.
    pub local_base: Option<f32>,
    /// How many leading values of a head are rotated.
    pub n_rotated: u32,
    /// Frequencies are divided by this; 1 is no scaling.
    pub factor: f32,
    /// Which of them, when not all.
    pub yarn: Option<YarnConfig>,
    /// The context before scaling.
    pub original_context: u32,
    /// What cosines and sines are multiplied with.
    pub magnitude: f32,
    /// What attention scores are multiplied with on top; latent attention alone looks at it.
    pub score_magnitude: f32,
}

impl RopeConfig {
    /// Of a model that turns nothing.
    pub(super) fn none() -> Self {
        Self {
            base: 1.0,
            local_base: None,
            n_rotated: 0,
            factor: 1.0,
            yarn: None,
            original_context: 1,
            magnitude: 1.0,
            score_magnitude: 1.0,
        }
    }

    pub(super) fn read(keys: &Keys<'_>, head_dim: u32) -> Result<Self, ConfigError> {
        let n_rotated = keys.size_or("rope.dimension_count", MAX_WIDTH, head_dim)?;
        if n_rotated > head_dim || !n_rotated.is_multiple_of(2) {
            let why = format!("it must be even and at most {head_dim}, the values of a head");
            return Err(bad(&keys.name("rope.dimension_count"), n_rotated, why));
        }
        let context = keys.size("context_length", MAX_CONTEXT)?;
        let original = "rope.scaling.original_context_length";
        let attention_factor = keys.positive_or("rope.scaling.attn_factor", 1.0)?;
        let local_base = match keys.optional_positive("rope.freq_base_swa")? {
            None if keys.architecture == "gemma3" => Some(GEMMA3_LOCAL_BASE),
            base => base,
        };
        let mut config = Self {
            base: keys.positive_or("rope.freq_base", 10_000.0)?,
            local_base,
            n_rotated,
            factor: 1.0,
            yarn: None,
            original_context: keys.size_or(original, MAX_CONTEXT, context)?,
            magnitude: attention_factor,
            score_magnitude: 1.0,
        };
        if !keys.has("rope.scaling.type") {
            // Older converters wrote only this key, for linear scaling.
            config.factor = keys.positive_or("rope.scale_linear", 1.0)?;
            return Ok(config);
        }
        let name = keys.name("rope.scaling.type");
        match keys.gguf.get_str(&name)? {
            // What "longrope" asks for is in the factors' tensors.
            "none" | "longrope" => {}
            "linear" => config.factor = keys.positive_or("rope.scaling.factor", 1.0)?,
            "yarn" => config.read_yarn(keys)?,
            other => {
                let why = "this scaling is not supported (none, linear, yarn and longrope are)";
                return Err(bad(&name, other, why.into()));
            }
        }
        Ok(config)
    }

    fn read_yarn(&mut self, keys: &Keys<'_>) -> Result<(), ConfigError> {
        self.factor = keys.positive_or("rope.scaling.factor", 1.0)?;
        self.yarn = Some(YarnConfig {
            beta_fast: keys.positive_or("rope.scaling.yarn_beta_fast", 32.0)?,
            beta_slow: keys.positive_or("rope.scaling.yarn_beta_slow", 1.0)?,
        });
        // Longer contexts sharpen attention by this much, per natural logarithm of the factor.
        let growth = |slope: f64| 1.0 + slope * ln(f64::from(self.factor.max(1.0)));
        let own = keys.optional_positive("rope.scaling.yarn_log_multiplier")?;
        let (turned, scores) = match own {
            // Latent attention: on the scores alone, by as much as the file says.
            Some(slope) => (1.0, growth(f64::from(slope))),
            None => (growth(0.1), growth(0.1)),
        };
        self.score_magnitude = (scores * f64::from(self.magnitude)) as f32;
        self.magnitude = (turned * f64::from(self.magnitude)) as f32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Gguf, GgufWriter, MetadataValue, Source};

    fn local_base(architecture: &str, written: Option<f32>) -> Option<f32> {
        let mut writer = GgufWriter::new();
        writer.key(&format!("{architecture}.context_length"), MetadataValue::U32(64));
        if let Some(base) = written {
            let key = format!("{architecture}.rope.freq_base_swa");
            writer.key(&key, MetadataValue::F32(base));
        }
        let gguf = Gguf::read(Source::from_vec(writer.finish())).unwrap();
        RopeConfig::read(&Keys { gguf: &gguf, architecture }, 32).unwrap().local_base
    }

    #[test]
    fn gemma_3_has_a_local_base_without_a_key() {
        assert_eq!(local_base("gemma3", None), Some(10_000.0));
        assert_eq!(local_base("gemma3", Some(500.0)), Some(500.0));
        assert_eq!(local_base("gemma2", None), None);
    }
}
