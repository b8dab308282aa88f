//! Llama: pre-norm decoder with grouped-query attention and a gated feed-forward block.
//!
//! Called through `arch`. Covers the files whose `general.architecture` is `llama`: Llama 1 to 3,
//! Mistral, TinyLlama, and the embedded demo models.
//!
//! ```text
//! tokens -> embedding -> [ x + attention(norm(x)), x + feed_forward(norm(x)) ] * n -> norm -> head
//! ```
//!
//! Source: arXiv 2302.13971. Absent on purpose: mixtures of experts (Mixtral), biases.

use std::ops::Range;

use burn::tensor::Tensor;

use super::Architecture;
use crate::{
    backend::{EmbeddingTable, Engine},
    gguf::Gguf,
    layer::{Attention, FeedForward, Head, LoadError, Loader, Pass},
};

struct Llama {
    engine: Engine,
    first: u32,
    embedding: Option<EmbeddingTable>,
    layers: Vec<Layer>,
    head: Option<Head>,
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

/// Refuses what shares the name but not the layers.
pub(super) fn check(gguf: &Gguf) -> Result<(), String> {
    match gguf.get_u32("llama.expert_count") {
        Ok(experts) if experts > 0 => Err(format!("llama with {experts} experts")),
        _ => Ok(()),
    }
}

pub(super) fn load(
    loader: &Loader<'_>,
    layers: Range<u32>,
) -> Result<Box<dyn Architecture>, LoadError> {
    let embedding = if layers.start == 0 { Some(loader.embedding()?) } else { None };
    let head = if layers.end == loader.config.n_layers { Some(Head::load(loader)?) } else { None };
    let first = layers.start;
    let layers: Result<_, _> = layers.map(|index| Layer::load(loader, index)).collect();
    Ok(Box::new(Llama { engine: loader.engine.clone(), first, embedding, layers: layers?, head }))
}

impl Layer {
    fn load(loader: &Loader<'_>, index: u32) -> Result<Self, LoadError> {
        let prefix = format!("blk.{index}");
        Ok(Self {
            attention: Attention::load(loader, &prefix)?,
            feed_forward: FeedForward::load(loader, &prefix)?,
        })
    }
}

impl Architecture for Llama {
    fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>> {
        self.embedding.as_ref().map(|table| self.engine.embed(table, tokens))
    }

    fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        let layer = &self.layers[(index - self.first) as usize];
        layer.feed_forward.forward(layer.attention.forward(x, pass), round)
    }

    fn head(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        self.head.as_ref().map(|head| head.forward(x))
    }
}
