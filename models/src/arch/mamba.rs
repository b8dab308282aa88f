//! Mamba and Mamba 2: a decoder of state-space blocks alone.
//!
//! Called through `arch`. Covers the files whose `general.architecture` is `mamba` (Mamba, Falcon
//! Mamba) or `mamba2`.
//!
//! ```text
//! tokens -> embedding -> [ x + state_space(norm(x)) ] * n -> norm -> head
//! ```
//!
//! Source: arXiv 2312.00752 and 2405.21060. Absent on purpose: layers with attention between them
//! (Jamba and other hybrids).

use std::ops::Range;

use burn::tensor::Tensor;

use super::Architecture;
use crate::{
    backend::{EmbeddingTable, Engine},
    config::StateSpaceConfig,
    layer::{Head, LoadError, Loader, Pass, StateSpace},
};

struct Mamba {
    engine: Engine,
    first: u32,
    embedding: Option<EmbeddingTable>,
    layers: Vec<StateSpace>,
    head: Option<Head>,
}

pub(super) fn load(
    loader: &Loader<'_>,
    layers: Range<u32>,
) -> Result<Box<dyn Architecture>, LoadError> {
    let config = StateSpaceConfig::from_gguf(loader.gguf)?;
    let embedding = if layers.start == 0 { Some(loader.embedding()?) } else { None };
    let head = if layers.end == loader.config.n_layers { Some(Head::load(loader)?) } else { None };
    let first = layers.start;
    let layer = |index| StateSpace::load(loader, &config, &format!("blk.{index}"));
    let layers: Result<_, _> = layers.map(layer).collect();
    Ok(Box::new(Mamba { engine: loader.engine.clone(), first, embedding, layers: layers?, head }))
}

impl Architecture for Mamba {
    fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>> {
        self.embedding.as_ref().map(|table| self.engine.embed(table, tokens))
    }

    fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        self.layers[(index - self.first) as usize].forward(x, pass, round)
    }

    fn head(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        self.head.as_ref().map(|head| head.forward(x))
    }

    fn continues(&self, pages: &[u32], first_position: u32) -> Result<(), String> {
        // Every layer is asked: after a device failed, some may have gone on and others not.
        self.layers.iter().try_for_each(|layer| layer.continues(pages, first_position))
    }
}
