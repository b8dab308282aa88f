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
mod latent;
mod rope;
mod state_space;

use std::sync::Arc;

pub use attention::{Attention, AttentionOptions};
pub use feed_forward::FeedForward;
pub use head::Head;
pub use latent::LatentAttention;
pub use rope::Rope;
pub use state_space::{StateSpace, slot_values};

use crate::{
    backend::{
        BlockError, EmbeddingTable, Engine,
        parts::{CacheParts, OutputParts, ProjectionParts},
    },
    config::{ConfigError, ModelConfig},
    gguf::{Gguf, GgufError, TensorInfo},
    kernel::cpu::{
        attention::BatchPlan, elementwise::Activation, linear::check_rows, norm::Norm, rope::Pairs,
    },
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

/// What the name of an architecture implies and no key of the metadata says.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Which values of a head are turned together.
    pub pairs: Pairs,
    /// The function of the feed-forward block.
    pub activation: Activation,
    /// Whether a feed-forward block has a gate.
    pub has_gate: bool,
    /// Whether norms take the mean off, and have a bias.
    pub has_layer_norm: bool,
    /// Whether embeddings are multiplied with the root of their width.
    pub has_scaled_embedding: bool,
}

/// Everything that loading a block needs.
pub struct Loader<'a> {
    /// The file.
    pub gguf: &'a Gguf,
    /// Its hyper-parameters.
    pub config: &'a ModelConfig,
    /// Where the weights go.
    pub engine: &'a Engine,
    /// What the architecture's name implies.
    pub style: Style,
    /// The cache, in which layers reserve their parts.
    pub cache: CacheParts,
    /// Longest context that is served.
    pub context: u32,
}

impl<'a> Loader<'a> {
    /// The tensor of this name, with these sizes (fastest-running first).
    pub fn tensor(&self, name: &str, sizes: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let info = self.gguf.tensor(name).ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        let expected: Vec<u64> = sizes.iter().map(|s| *s as u64).collect();
        let is_ones = |rest: &[u64]| rest.iter().all(|d| *d == 1);
        // Sizes of 1 at the end need not be written.
        let shared = info.dims.len().min(expected.len());
        let fits = info.dims[..shared] == expected[..shared]
            && is_ones(&info.dims[shared..])
            && is_ones(&expected[shared..]);
        if !fits {
            let found = info.dims.clone();
            return Err(LoadError::Shape { name: name.into(), found, expected });
        }
        if !self.gguf.has_bytes(info) {
            let position = self.gguf.source().bytes().len();
            let what = format!("tensor {name:?}");
            return Err(GgufError::Truncated { what, position }.into());
        }
        Ok(info)
    }

    /// A weight matrix of these sizes, in a format that can be computed with.
    pub fn weight(&self, name: &str, sizes: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let info = self.tensor(name, sizes)?;
        self.supported(info)?;
        Ok(info)
    }

    /// Whether the file has this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// A norm of the residual stream, `NAME.weight`, and `NAME.bias` where norms have one.
    pub fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        let mut norm = self.rms_norm(name, self.config.hidden as usize)?;
        if self.style.has_layer_norm {
            norm.bias = Some(self.vector(&format!("{name}.bias"), self.config.hidden as usize)?);
        }
        Ok(norm)
    }

    /// As [`Loader::norm`], where the file has it.
    pub fn optional_norm(&self, name: &str) -> Result<Option<Norm>, LoadError> {
        self.has(&format!("{name}.weight")).then(|| self.norm(name)).transpose()
    }

    /// A root-mean-square norm of this width, `NAME.weight`.
    pub fn rms_norm(&self, name: &str, width: usize) -> Result<Norm, LoadError> {
        let gain = self.vector(&format!("{name}.weight"), width)?;
        Ok(Norm { gain, bias: None, epsilon: self.config.norm_epsilon })
    }

    /// A norm of heads, `NAME.weight`, where the file has it.
    pub fn head_norm(&self, name: &str, width: usize) -> Result<Option<Norm>, LoadError> {
        self.has(&format!("{name}.weight")).then(|| self.rms_norm(name, width)).transpose()
    }

    /// The projection `NAME.weight` from `k` to `n` values, with `NAME.bias` where there is one.
    pub fn projection(&self, name: &str, k: usize, n: usize) -> Result<ProjectionParts, LoadError> {
        let weight = self.weight(&format!("{name}.weight"), &[k, n])?.clone();
        Ok(ProjectionParts { weight, bias: self.optional_vector(&format!("{name}.bias"), n)? })
    }

    /// The end of a block: the projection `NAME` from `k` values to the residual stream, and the
    /// norm behind it where the file has it.
    pub fn output(&self, name: &str, k: usize, norm: &str) -> Result<OutputParts, LoadError> {
        let projection = self.projection(name, k, self.config.hidden as usize)?;
        Ok(OutputParts { projection, norm: self.optional_norm(norm)? })
    }

    /// A vector, where the file has it.
    pub fn optional_vector(
        &self,
        name: &str,
        length: usize,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        self.has(name).then(|| self.vector(name, length)).transpose()
    }

    /// A vector, dequantised.
    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let (format, bytes) = self.checked(self.tensor(name, &[length])?)?;
        let mut values = vec![0f32; length];
        format.dequantise(bytes, &mut values);
        Ok(values)
    }

    /// The table of token embeddings.
    pub fn embedding(&self) -> Result<EmbeddingTable, LoadError> {
        let sizes = [self.config.hidden as usize, self.config.vocab as usize];
        let info = self.tensor("token_embd.weight", &sizes)?;
        let scale = self.style.has_scaled_embedding.then(|| (self.config.hidden as f32).sqrt());
        Ok(EmbeddingTable::new(self.engine, self.gguf, info, scale)?)
    }

    /// The format and bytes of a tensor that is read here, its floats checked.
    fn checked(&self, info: &TensorInfo) -> Result<(&'static dyn quant::Format, &[u8]), LoadError> {
        let (format, bytes) = (self.supported(info)?, self.gguf.tensor_bytes(info));
        check_rows(format, bytes, info.n_rows() as usize, None)
            .map_err(|source| BlockError::Weight { name: info.name.clone(), source })?;
        Ok((format, bytes))
    }

    fn supported(&self, info: &TensorInfo) -> Result<&'static dyn quant::Format, LoadError> {
        let unsupported = |source| BlockError::Weight { name: info.name.clone(), source };
        Ok(quant::format(info.kind).map_err(|error| unsupported(error.into()))?)
    }
}
