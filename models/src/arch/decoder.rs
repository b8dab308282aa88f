//! A decoder: embedding, layers, head. What its layers consist of, the files of the architectures
//! say.
//!
//! Made by the other files of `arch`, run by `shard`.
//!
//! ```text
//! tokens -> embedding -> [ x + attention(norm(x)), x + feed_forward(norm(x)) ] * n -> norm -> head
//!                     or [ x + state_space(norm(x)) ]
//! ```

use std::ops::Range;

use burn::tensor::Tensor;

use crate::{
    backend::{EmbeddingTable, Engine},
    layer::{Attention, FeedForward, Head, LatentAttention, LoadError, Loader, Pass, StateSpace},
};

/// One layer.
pub(super) enum Layer {
    /// Attention of grouped queries.
    Heads(Attention, FeedForward),
    /// Latent attention.
    Latent(LatentAttention, FeedForward),
    /// A state space alone.
    StateSpace(StateSpace),
}

/// The layers of one shard.
pub struct Decoder {
    engine: Engine,
    first: u32,
    embedding: Option<EmbeddingTable>,
    layers: Vec<Layer>,
    head: Option<Head>,
}

impl Decoder {
    /// Loads layers a..b, each by `layer` from its number and the prefix of its tensors.
    pub(super) fn load(
        loader: &Loader<'_>,
        layers: Range<u32>,
        layer: impl Fn(u32, &str) -> Result<Layer, LoadError>,
    ) -> Result<Self, LoadError> {
        let is_last = layers.end == loader.config.n_layers;
        Ok(Self {
            engine: loader.engine.clone(),
            first: layers.start,
            embedding: (layers.start == 0).then(|| loader.embedding()).transpose()?,
            head: is_last.then(|| Head::load(loader)).transpose()?,
            layers: layers
                .map(|index| layer(index, &format!("blk.{index}")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The residual stream of some tokens; only where layer 0 is.
    pub fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>> {
        self.embedding.as_ref().map(|table| self.engine.embed(table, tokens))
    }

    /// Runs the layer number `index` of the model, which this shard has. `round` is whether the
    /// stream is rounded to f16 at the border behind it.
    pub fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        match &self.layers[(index - self.first) as usize] {
            Layer::Heads(attention, feed_forward) => {
                feed_forward.forward(attention.forward(x, pass), round)
            }
            Layer::Latent(attention, feed_forward) => {
                feed_forward.forward(attention.forward(x, pass), round)
            }
            Layer::StateSpace(block) => block.forward(x, pass, round),
        }
    }

    /// Logits of some rows; only where the last layer is.
    pub fn head(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        self.head.as_ref().map(|head| head.forward(x))
    }

    /// Rows behind the final norm; only where the last layer is.
    pub fn norm(&self, rows: &[f32]) -> Option<Vec<f32>> {
        self.head.as_ref().map(|head| head.norm(rows))
    }

    /// Whether a sequence's rows from `first_position` on can be computed, and if not, why. Keys
    /// and values of any position can be written again; a recurrent layer's state cannot go back.
    pub fn continues(&self, pages: &[u32], first_position: u32) -> Result<(), String> {
        // Every layer is asked: after a device failed, some may have gone on and others not.
        self.layers.iter().try_for_each(|layer| match layer {
            Layer::StateSpace(block) => block.continues(pages, first_position),
            Layer::Heads(..) | Layer::Latent(..) => Ok(()),
        })
    }

    /// Whether some layers are recurrent.
    pub fn keeps_states(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, Layer::StateSpace(_)))
    }

    /// Copies a page over another in the layers that keep their own.
    pub fn copy_page(&self, from: u32, to: u32) {
        for layer in &self.layers {
            match layer {
                Layer::Heads(attention, _) => attention.copy_page(from, to),
                Layer::Latent(attention, _) => attention.copy_page(from, to),
                Layer::StateSpace(block) => block.copy_page(from, to),
            }
        }
    }
}
