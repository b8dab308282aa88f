//! Root-mean-square norm with a learned gain. Called by `arch`. `[rows, hidden]` in and out.

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::backend::Norm;

/// The block.
pub struct RmsNorm(Norm);

impl RmsNorm {
    /// Loads `NAME.weight`, `[hidden]`.
    pub fn load(loader: &Loader<'_>, name: &str) -> Result<Self, LoadError> {
        let gain = loader.vector(&format!("{name}.weight"), loader.config.hidden as usize)?;
        Ok(Self(Norm::new(loader.engine, gain, loader.config.rms_epsilon)))
    }

    /// Normalises each row.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.0.forward(x)
    }
}
