//! The pre-norm state-space block (Mamba 1 and 2) with its residual addition.
//!
//! Called by `arch`. `[rows, hidden]` in and out. Source: arXiv 2312.00752 and 2405.21060; the
//! tensors are named and laid out as llama.cpp's converter does.

use burn::tensor::Tensor;

use super::{LoadError, Loader, Pass};
use crate::{
    backend::{self, SelectionParts, StateSpaceParts},
    config::{Recurrence, StateSpaceConfig},
    kernel::cpu::{
        norm::Norm,
        state_space::{ScanShape, convolution_state_length},
    },
};

/// The block.
pub struct StateSpace(backend::StateSpace);

/// Loads the tensors of one block.
struct Tensors<'a> {
    loader: &'a Loader<'a>,
    prefix: &'a str,
}

/// The sizes of the scan, and the channels of the convolution.
fn shape(config: &StateSpaceConfig) -> (ScanShape, usize) {
    let [inner, state, rank, n_groups] =
        [config.inner, config.state, config.time_step_rank, config.n_groups]
            .map(|size| size as usize);
    let (n_heads, n_channels) = match config.recurrence {
        Recurrence::Mamba1 => (inner, inner),
        Recurrence::Mamba2 => (rank, inner + 2 * n_groups * state),
    };
    (ScanShape { inner, n_heads, n_groups, state }, n_channels)
}

/// Values of a layer's state.
pub fn slot_values(config: &StateSpaceConfig) -> usize {
    let (shape, n_channels) = shape(config);
    shape.state_length() + convolution_state_length(n_channels, config.kernel as usize)
}

impl StateSpace {
    /// Loads `PREFIX.attn_norm.weight` and `PREFIX.ssm_*`, and makes empty pages.
    pub fn load(
        loader: &Loader<'_>,
        config: &StateSpaceConfig,
        prefix: &str,
    ) -> Result<Self, LoadError> {
        let tensors = Tensors { loader, prefix };
        let hidden = loader.config.hidden as usize;
        let [kernel, inner, state, rank, n_groups] =
            [config.kernel, config.inner, config.state, config.time_step_rank, config.n_groups]
                .map(|size| size as usize);
        let matrix = |part: &str, k: usize, n: usize| {
            loader.weight(&format!("{prefix}.{part}.weight"), &[k, n])
        };
        let (shape, n_channels) = shape(config);
        let n_heads = shape.n_heads;
        // Mamba 1 has a decay per channel and entry, Mamba 2 one per head.
        let (input_width, n_decays) = match config.recurrence {
            Recurrence::Mamba1 => (2 * inner, state),
            Recurrence::Mamba2 => (inner + n_channels + rank, 1),
        };
        let (selection, skip) = match config.recurrence {
            Recurrence::Mamba1 => {
                let selection = SelectionParts::Mamba1 {
                    project: matrix("ssm_x", inner, rank + 2 * state)?,
                    steps: matrix("ssm_dt", rank, inner)?,
                    epsilon: config.normalised.then_some(config.rms_epsilon),
                };
                (selection, tensors.values("ssm_d", &[inner])?)
            }
            Recurrence::Mamba2 => {
                let gain = tensors.values("ssm_norm.weight", &[inner / n_groups, n_groups])?;
                let norm = Norm { gain, bias: None, epsilon: config.rms_epsilon };
                (SelectionParts::Mamba2 { norm }, tensors.values("ssm_d", &[1, n_heads])?)
            }
        };
        let parts = StateSpaceParts {
            norm: loader.norm(&format!("{prefix}.attn_norm"))?,
            input: matrix("ssm_in", hidden, input_width)?,
            convolution: tensors.values("ssm_conv1d.weight", &[kernel, n_channels])?,
            convolution_bias: tensors.values("ssm_conv1d.bias", &[n_channels])?,
            selection,
            step_bias: tensors.values("ssm_dt.bias", &[n_heads])?,
            shape,
            decay: tensors.values("ssm_a", &[n_decays, n_heads])?,
            skip,
            output: matrix("ssm_out", inner, hidden)?,
            cache: loader.cache.clone(),
        };
        Ok(Self(backend::StateSpace::load(loader.engine, loader.gguf, parts)?))
    }

    /// Whether a sequence's rows from `first_position` on can be computed; if not, why.
    pub fn continues(&self, pages: &[u32], first_position: u32) -> Result<(), String> {
        self.0.continues(pages, first_position)
    }

    /// Adds what each row reads from the state of its sequence; the result is rounded to f16 when
    /// `round` says so.
    pub fn forward(&self, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        self.0.forward(x, &pass.plan, round)
    }

    /// Copies a page over another, where the layer keeps its own.
    pub fn copy_page(&self, from: u32, to: u32) {
        self.0.copy_page(from, to);
    }
}

impl Tensors<'_> {
    /// All values of a small tensor, dequantised; sizes of 1 at the end need not be in the file.
    fn values(&self, part: &str, sizes: &[usize]) -> Result<Vec<f32>, LoadError> {
        let name = format!("{}.{part}", self.prefix);
        let n_sizes = sizes.iter().rposition(|size| *size != 1).map_or(1, |last| last + 1);
        let info = self.loader.tensor(&name, &sizes[..n_sizes])?;
        let (format, bytes) = self.loader.checked(info)?;
        let mut values = vec![0f32; sizes.iter().product()];
        let rows = bytes.chunks_exact(bytes.len() / info.n_rows() as usize);
        for (bytes, to) in rows.zip(values.chunks_exact_mut(sizes[0])) {
            format.dequantise(bytes, to);
        }
        Ok(values)
    }
}
