//! Architectures: which blocks a model consists of, in order. One per file.
//!
//! Called by `shard`. A new architecture adds its file and one line in [`ARCHITECTURES`].
//! Errors: [`UnknownArchitecture`] lists those that exist.

mod llama;
mod mamba;

use std::ops::Range;

use burn::tensor::Tensor;

use crate::{
    gguf::Gguf,
    layer::{LoadError, Loader, Pass},
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
type Check = fn(&Gguf) -> Result<(), String>;

struct Entry {
    name: &'static str,
    /// Refuses variants that the name alone does not tell apart.
    check: Check,
    load: Load,
}

const ARCHITECTURES: [Entry; 3] = [
    Entry { name: "llama", check: llama::check, load: llama::load },
    Entry { name: "mamba", check: mamba::check, load: mamba::load },
    Entry { name: "mamba2", check: mamba::check, load: mamba::load },
];

fn supported() -> String {
    ARCHITECTURES.map(|entry| entry.name).join(", ")
}

fn find(name: &str, gguf: &Gguf) -> Result<Entry, UnknownArchitecture> {
    let entry = ARCHITECTURES.into_iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| UnknownArchitecture { found: name.into() })?;
    (entry.check)(gguf).map_err(|found| UnknownArchitecture { found })?;
    Ok(entry)
}

/// Whether a model of this architecture can be loaded at all.
pub fn check(name: &str, gguf: &Gguf) -> Result<(), UnknownArchitecture> {
    find(name, gguf).map(|_| ())
}

/// The loading function of a model's architecture.
pub fn loader(name: &str, gguf: &Gguf) -> Result<Load, UnknownArchitecture> {
    find(name, gguf).map(|entry| entry.load)
}
