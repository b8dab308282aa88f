//! The building blocks of networks, one per file.
//!
//! Called by `arch`. Each block knows its tensors' names and shapes (`load`) and its place in a
//! forward pass (`forward`). [`Loader`] checks that a tensor has the shape the configuration asks
//! for before anything is read from it.
//!
//! Errors: [`LoadError`] names the tensor.

mod attention;
mod feed_forward;
mod head;
mod rope;
mod state_space;

use std::sync::Arc;

pub use attention::Attention;
pub use feed_forward::FeedForward;
pub use head::Head;
pub use rope::Rope;
pub use state_space::StateSpace;

use crate::{
    backend::{BlockError, EmbeddingTable, Engine, NormParts},
    config::{ConfigError, ModelConfig},
    gguf::{Gguf, GgufError, TensorInfo},
    kernel::cpu::{attention::BatchPlan, linear::WeightError},
    kv::KvType,
    quant,
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
    /// The metadata describes no such layer.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A block cannot be made of its tensors.
    #[error(transparent)]
    Block(#[from] BlockError),
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

    /// A weight matrix of these sizes, in a format that can be computed with.
    pub fn weight(&self, name: &str, sizes: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let info = self.tensor(name, sizes)?;
        self.supported(info)?;
        Ok(info)
    }

    /// A root-mean-square norm of the residual stream, `NAME.weight`.
    pub fn norm(&self, name: &str) -> Result<NormParts, LoadError> {
        let gain = self.vector(&format!("{name}.weight"), self.config.hidden as usize)?;
        Ok(NormParts { gain, epsilon: self.config.rms_epsilon })
    }

    /// A vector, dequantised.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let info = self.tensor(name, &[length])?;
        let (format, bytes) = (self.supported(info)?, self.gguf.tensor_bytes(info));
        format.check(bytes).map_err(|source| BlockError::Weight {
            name: name.into(),
            source: WeightError::Scale { row: 0, source },
        })?;
        let mut values = vec![0f32; length];
        format.dequantise(bytes, &mut values);
        Ok(values)
    }

    /// The table of token embeddings.
    pub fn embedding(&self) -> Result<EmbeddingTable, LoadError> {
        let sizes = [self.config.hidden as usize, self.config.vocab as usize];
        let info = self.tensor("token_embd.weight", &sizes)?;
        Ok(EmbeddingTable::new(self.gguf, info)?)
    }

    fn supported(&self, info: &TensorInfo) -> Result<&'static dyn quant::Format, LoadError> {
        let unsupported = |source| BlockError::Weight { name: info.name.clone(), source };
        Ok(quant::format(info.kind).map_err(|error| unsupported(error.into()))?)
    }
}
