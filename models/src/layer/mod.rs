//! The building blocks of networks, one per file.
//!
//! Called by `arch`. Each block knows its tensors' names and shapes (`load`) and its place in a
//! forward pass (`forward`). [`Loader`] checks that a tensor has the shape the configuration asks
//! for before anything is read from it.
//!
//! Errors: [`LoadError`] names the tensor.

mod attention;
mod feed_forward;
mod norm;
mod rope;

use std::sync::Arc;

pub use attention::Attention;
pub use feed_forward::FeedForward;
pub use norm::RmsNorm;
pub use rope::Rope;

use crate::{
    backend::{EmbeddingTable, Engine, Linear},
    config::ModelConfig,
    gguf::{Gguf, GgufError, TensorInfo},
    kernel::cpu::{attention::BatchPlan, linear::WeightError},
    kv::KvType,
    quant::{self, UnsupportedType},
};

/// Why a layer cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A tensor is missing.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A tensor has another shape than the metadata says.
    #[error("the tensor {name:?} is {found:?}, expected {expected:?} from the metadata")]
    Shape {
        /// The tensor.
        name: String,
        /// Its sizes.
        found: Vec<u64>,
        /// What they should be.
        expected: Vec<u64>,
    },
    /// A tensor's weights cannot be used.
    #[error("the tensor {name:?}: {source}")]
    Weight {
        /// The tensor.
        name: String,
        /// Why.
        source: WeightError,
    },
    /// The system has no room for the cache.
    #[error("no memory for {pages} cache pages: {source}; ask for fewer")]
    Cache {
        /// Pages asked for.
        pages: u32,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// What a forward pass hands to every layer.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The batch: sequences, pages, rotation.
    pub plan: Arc<BatchPlan>,
}

/// Everything that loading a block needs.
pub struct Loader<'a> {
    /// The file.
    pub gguf: &'a Gguf,
    /// Its hyper-parameters.
    pub config: &'a ModelConfig,
    /// Where the weights go.
    pub engine: &'a Engine,
    /// Type of the cache.
    pub kv: KvType,
    /// Pages of the cache.
    pub kv_pages: u32,
}

impl<'a> Loader<'a> {
    /// The tensor of this name, with these sizes (fastest-running first).
    pub fn tensor(&self, name: &str, sizes: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let info = self.gguf.tensor(name).ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        let expected: Vec<u64> = sizes.iter().map(|s| *s as u64).collect();
        let is_ones = |rest: &[u64]| rest.iter().all(|d| *d == 1);
        let fits = info.dims.len() >= expected.len()
            && info.dims.starts_with(&expected)
            && is_ones(&info.dims[expected.len()..]);
        if !fits {
            let found = info.dims.clone();
            return Err(LoadError::Shape { name: name.into(), found, expected });
        }
        Ok(info)
    }

    /// Weights `[k, n]` of the given names and outputs, fused: all multiply the same rows.
    pub fn linear(&self, k: usize, parts: &[(String, usize)]) -> Result<Linear, LoadError> {
        let infos: Result<Vec<_>, _> =
            parts.iter().map(|(name, n)| self.tensor(name, &[k, *n])).collect();
        let infos = infos?;
        for info in &infos {
            self.supported(info)?;
        }
        Linear::load(self.engine, self.gguf, &infos)
            .map_err(|source| LoadError::Weight { name: parts[0].0.clone(), source })
    }

    /// A vector, dequantised.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let info = self.tensor(name, &[length])?;
        let format = self.supported(info)?;
        let mut values = vec![0f32; length];
        format.dequantise(self.gguf.tensor_bytes(info), &mut values);
        Ok(values)
    }

    /// The table of token embeddings.
    pub fn embedding(&self) -> Result<EmbeddingTable, LoadError> {
        let sizes = [self.config.hidden as usize, self.config.vocab as usize];
        let info = self.tensor("token_embd.weight", &sizes)?;
        EmbeddingTable::new(self.gguf, info)
            .map_err(|source| LoadError::Weight { name: info.name.clone(), source })
    }

    fn supported(&self, info: &TensorInfo) -> Result<&'static dyn quant::Format, LoadError> {
        quant::format(info.kind).map_err(|source: UnsupportedType| LoadError::Weight {
            name: info.name.clone(),
            source: source.into(),
        })
    }
}
