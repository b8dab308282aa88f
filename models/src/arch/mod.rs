//! Architectures: which blocks a model consists of, in order. One per file.
//!
//! Called by `shard`. A new architecture adds its file and one line in [`ARCHITECTURES`].
//! Errors: [`UnknownArchitecture`] lists those that exist.

mod decoder;
mod deepseek;
mod gemma;
mod llama;
mod mamba;

use std::ops::Range;

use burn::tensor::Tensor;

use crate::{
    kernel::cpu::{elementwise::Activation, rope::Pairs},
    layer::{LoadError, Loader, Pass, Style},
};

/// The layers of one shard.
pub trait Architecture: Send {
    /// The residual stream of some tokens; only where layer 0 is.
    fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>>;
    /// Runs the layer number `index` of the model, which this shard has. `round` is whether the
    /// stream is rounded to f16 at the border behind it.
    fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2>;
    /// Logits of some rows; only where the last layer is.
    fn head(&self, x: Tensor<2>) -> Option<Tensor<2>>;
    /// Whether a sequence's rows from `first_position` on can be computed, and if not, why. Keys
    /// and values of any position can be written again; a recurrent layer's state cannot go back.
    fn continues(&self, _pages: &[u32], _first_position: u32) -> Result<(), String> {
        Ok(())
    }
}

/// The model's architecture is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("the architecture {found:?} is not supported yet; supported are: {}", supported())]
pub struct UnknownArchitecture {
    /// What the file says.
    pub found: String,
}

/// Loads layers a..b.
pub type Load = fn(&Loader<'_>, Range<u32>) -> Result<Box<dyn Architecture>, LoadError>;

/// An architecture of ours.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    /// What its name implies.
    pub style: Style,
    /// Loads some of its layers.
    pub load: Load,
}

const LLAMA: Style = Style {
    pairs: Pairs::Neighbours,
    activation: Activation::Silu,
    has_gate: true,
    has_layer_norm: false,
    has_scaled_embedding: false,
};
const QWEN: Style = Style { pairs: Pairs::Halves, ..LLAMA };
const GEMMA: Style = Style { activation: Activation::Gelu, has_scaled_embedding: true, ..QWEN };
const STARCODER: Style =
    Style { activation: Activation::Gelu, has_gate: false, has_layer_norm: true, ..QWEN };

const ARCHITECTURES: [Entry; 15] = [
    Entry { name: "llama", style: LLAMA, load: llama::load },
    Entry { name: "qwen2", style: QWEN, load: llama::load_qwen },
    Entry { name: "qwen3", style: QWEN, load: llama::load_qwen },
    Entry { name: "qwen2moe", style: QWEN, load: llama::load_qwen2_mixture },
    Entry { name: "qwen3moe", style: QWEN, load: llama::load_qwen },
    Entry { name: "deepseek2", style: LLAMA, load: deepseek::load },
    Entry { name: "glm4", style: LLAMA, load: llama::load },
    Entry { name: "chatglm", style: LLAMA, load: llama::load },
    Entry { name: "gemma", style: GEMMA, load: gemma::load },
    Entry { name: "gemma2", style: GEMMA, load: gemma::load_2 },
    Entry { name: "gemma3", style: GEMMA, load: gemma::load_3 },
    Entry { name: "phi3", style: QWEN, load: llama::load },
    Entry { name: "starcoder2", style: STARCODER, load: llama::load },
    Entry { name: "mamba", style: LLAMA, load: mamba::load },
    Entry { name: "mamba2", style: LLAMA, load: mamba::load },
];

fn supported() -> String {
    ARCHITECTURES.map(|entry| entry.name).join(", ")
}

/// The architecture of this name.
pub fn find(name: &str) -> Result<Entry, UnknownArchitecture> {
    let entry = ARCHITECTURES.into_iter().find(|entry| entry.name == name);
    entry.ok_or_else(|| UnknownArchitecture { found: name.into() })
}
