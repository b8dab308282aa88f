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

pub use decoder::Decoder;

use crate::{
    kernel::cpu::{elementwise::Activation, rope::Pairs},
    layer::{LoadError, Loader, Style},
};

/// The model's architecture is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("the architecture {found:?} is not supported yet; supported are: {}", supported())]
pub struct UnknownArchitecture {
    /// What the file says.
    pub found: String,
}

/// Loads layers a..b.
pub type Load = fn(&Loader<'_>, Range<u32>) -> Result<Decoder, LoadError>;

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
