//! A decoder with attention: embedding, layers, head. What its layers consist of, the files of the
//! architectures say.
//!
//! Called by the other files of `arch`.
//!
//! ```text
//! tokens -> embedding -> [ x + attention(norm(x)), x + feed_forward(norm(x)) ] * n -> norm -> head
//! ```

use std::ops::Range;

use burn::tensor::Tensor;

use super::Architecture;
use crate::{
    backend::{EmbeddingTable, Engine},
    layer::{Attention, FeedForward, Head, LatentAttention, LoadError, Loader, Pass},
};

/// Attention of either kind.
pub(super) enum Attending {
    /// Grouped queries.
    Heads(Attention),
    /// Latent.
    Latent(LatentAttention),
}

/// One layer.
pub(super) struct Layer {
    pub(super) attention: Attending,
    pub(super) feed_forward: FeedForward,
}

struct Decoder {
    engine: Engine,
    first: u32,
    embedding: Option<EmbeddingTable>,
    layers: Vec<Layer>,
    head: Option<Head>,
}

/// Loads layers a..b, each by `layer` from its number and the prefix of its tensors.
pub(super) fn load(
    loader: &Loader<'_>,
    layers: Range<u32>,
    layer: impl Fn(u32, &str) -> Result<Layer, LoadError>,
) -> Result<Box<dyn Architecture>, LoadError> {
    let embedding = if layers.start == 0 { Some(loader.embedding()?) } else { None };
    let head = if layers.end == loader.config.n_layers { Some(Head::load(loader)?) } else { None };
    let first = layers.start;
    let layers: Result<_, _> = layers.map(|index| layer(index, &format!("blk.{index}"))).collect();
    Ok(Box::new(Decoder { engine: loader.engine.clone(), first, embedding, layers: layers?, head }))
}

impl Architecture for Decoder {
    fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>> {
        self.embedding.as_ref().map(|table| self.engine.embed(table, tokens))
    }

    fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        let layer = &self.layers[(index - self.first) as usize];
        let x = match &layer.attention {
            Attending::Heads(attention) => attention.forward(x, pass),
            Attending::Latent(attention) => attention.forward(x, pass),
        };
        layer.feed_forward.forward(x, round)
    }

    fn head(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        self.head.as_ref().map(|head| head.forward(x))
    }
}
