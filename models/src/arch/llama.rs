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
    backend::{EmbeddingTable, Engine, Linear},
    gguf::Gguf,
    layer::{Attention, FeedForward, LoadError, Loader, Pass, RmsNorm},
};

struct Llama {
    engine: Engine,
    first: u32,
    embedding: Option<EmbeddingTable>,
    layers: Vec<Layer>,
    head: Option<Head>,
}

struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
}

struct Head {
    norm: RmsNorm,
    output: Linear,
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
            attention_norm: RmsNorm::load(loader, &format!("{prefix}.attn_norm"))?,
            attention: Attention::load(loader, &prefix)?,
            feed_forward_norm: RmsNorm::load(loader, &format!("{prefix}.ffn_norm"))?,
            feed_forward: FeedForward::load(loader, &prefix)?,
        })
    }
}

impl Head {
    /// The head's own matrix, or the embedding where the model ties them.
    fn load(loader: &Loader<'_>) -> Result<Self, LoadError> {
        let (hidden, vocab) = (loader.config.hidden as usize, loader.config.vocab as usize);
        let own = "output.weight";
        let name = if loader.gguf.tensor(own).is_some() { own } else { "token_embd.weight" };
        Ok(Self {
            norm: RmsNorm::load(loader, "output_norm")?,
            output: loader.linear(hidden, &[(name.into(), vocab)])?,
        })
    }
}

impl Architecture for Llama {
    fn embed(&self, tokens: &[u32]) -> Option<Tensor<2>> {
        self.embedding.as_ref().map(|table| self.engine.embed(table, tokens))
    }

    fn layer(&self, index: u32, x: Tensor<2>, pass: &Pass, round: bool) -> Tensor<2> {
        let layer = &self.layers[(index - self.first) as usize];
        let attended = layer.attention.forward(layer.attention_norm.forward(x.clone()), pass);
        let x = self.engine.residual_add(x, attended, false);
        let fed = layer.feed_forward.forward(layer.feed_forward_norm.forward(x.clone()));
        self.engine.residual_add(x, fed, round)
    }

    fn head(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        self.head.as_ref().map(|head| head.output.forward(head.norm.forward(x)))
    }
}
