//! Flags and small readers that the commands without a node share.
//!
//! Used by `run`, `logits`, `bench`, `show`, `tokenize`, `detokenize`. A device or number that
//! means nothing is bad usage (exit code 2); one that is not there is a failure (1).
//! Errors: [`CliError`].

use std::io::Read;

use swarmllm_models::{DeviceChoice, KvType, Model, Repack, ShardOptions, SimdLevel};

use super::CliError;
use crate::{
    loading,
    local::{Chain, ChainOptions, LocalError},
};

/// Where and how wide to compute.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// Threads of the CPU kernels; all cores when absent. The answer does not depend on it.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Where to compute: cpu, cuda, cuda:N, wgpu or vulkan.
    #[arg(long, value_name = "D", default_value = "cpu", value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Instruction set of the CPU kernels: auto, scalar, portable, avx2 or avx512. The answer does
    /// not depend on it.
    #[arg(long, value_name = "LEVEL", default_value = "auto")]
    pub simd: SimdLevel,
    /// Use weights as they lie in the file instead of laying them out anew in memory: slower, for
    /// machines short of memory. The answer does not depend on it.
    #[arg(long)]
    pub no_repack: bool,
    /// Type of the key-value cache: f16, q8_0 (nearly half the memory) or f32.
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub kv: KvType,
}

impl EngineArgs {
    /// Shard options with these flags in them.
    pub fn shard_options(&self) -> ShardOptions {
        let repack = if self.no_repack { Repack::Never } else { Repack::Always };
        let Self { device, simd, kv, .. } = *self;
        let mut options = ShardOptions { device, simd, kv, repack, ..Default::default() };
        if let Some(threads) = self.threads {
            options.threads = threads as usize;
        }
        options
    }
}

/// Loads a model, and tells how far it is when a person is watching.
pub fn load(model: &Model, options: &ChainOptions, sequences: u32) -> Result<Chain, LocalError> {
    let total = model.weight_bytes(0..model.config().n_layers);
    let progress = options.shard.progress.clone();
    loading::shown("the model", &progress, total, || Chain::load_for(model, options, sequences))
}

fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    text.parse().map_err(|error: swarmllm_models::DeviceError| error.to_string())
}

impl From<LocalError> for CliError {
    /// A cut outside the model was asked wrongly; everything else failed.
    fn from(error: LocalError) -> CliError {
        match error {
            LocalError::BadCut { .. } => CliError::usage(error),
            error => CliError::failed(error),
        }
    }
}

/// Everything on stdin, as text.
pub fn read_stdin_text() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::failed(format!("stdin is not UTF-8 text (byte {at})"))
    })
}

/// Parses `1,2,3`; at least one id.
pub fn parse_tokens(text: &str) -> Result<Vec<u32>, String> {
    let ids = text.split(',').map(|id| id.trim().parse::<u32>());
    ids.collect::<Result<_, _>>().map_err(|_| format!("`{text}` is not a list like 1,2,3"))
}

/// Refuses ids that the model does not have.
pub fn check_tokens(tokens: &[u32], vocab: u32) -> Result<(), CliError> {
    match tokens.iter().find(|token| **token >= vocab) {
        Some(token) => Err(CliError::failed(format!(
            "token {token} does not exist: the model has the tokens 0 to {}",
            vocab.saturating_sub(1)
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_lists() {
        assert_eq!(parse_tokens("1, 2,3"), Ok(vec![1, 2, 3]));
        for bad in ["", "1,", "x", "-1", "4294967296"] {
            assert!(parse_tokens(bad).is_err(), "{bad}");
        }
        assert!(check_tokens(&[0, 9], 10).is_ok());
        assert_eq!(check_tokens(&[10], 10).map_err(|e| e.exit_code()), Err(1));
    }
}
