//! Llama and its relatives: pre-norm decoders with grouped-query attention, whose differences are
//! tensors that are there or not (biases, norms of heads, fused projections, experts) and what
//! `Style` says.
//!
//! Called through `arch` for `llama` (Llama 1 to 3, CodeLlama, Mistral, Mixtral, TinyLlama),
//! `qwen2`, `qwen3`, `qwen2moe`, `qwen3moe`, `phi3`, `glm4`, `chatglm` and `starcoder2`.
//! Sources: arXiv 2302.13971, 2310.06825, 2401.04088, 2407.10671, 2505.09388, 2404.14219,
//! 2406.12793, 2402.19173.

use std::ops::Range;

use super::decoder::{Decoder, Layer};
use crate::layer::{Attention, AttentionOptions, FeedForward, LoadError, Loader};

/// Layers with attention over everything before, or over the window that the file names, in all
/// layers or in those it names.
pub(super) fn load(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    load_with(loader, layers, loader.config.window, true)
}

/// As [`load`] without windows: Qwen's files name one that the models do not use.
pub(super) fn load_qwen(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    load_with(loader, layers, None, true)
}

/// As [`load_qwen`]; the weights of a row's experts are not divided by their sum.
pub(super) fn load_qwen2_mixture(
    loader: &Loader<'_>,
    layers: Range<u32>,
) -> Result<Decoder, LoadError> {
    load_with(loader, layers, None, false)
}

fn load_with(
    loader: &Loader<'_>,
    layers: Range<u32>,
    window: Option<u32>,
    normalise: bool,
) -> Result<Decoder, LoadError> {
    let pattern = loader.config.window_pattern.as_ref();
    Decoder::load(loader, layers, |index, prefix| {
        let window = window.filter(|_| pattern.is_none_or(|pattern| pattern.is_local(index)));
        let options = AttentionOptions { window, ..AttentionOptions::default() };
        let feed_forward = match &loader.config.experts {
            Some(experts) => FeedForward::load_mixture(loader, prefix, experts, normalise)?,
            None => FeedForward::load(loader, index, prefix)?,
        };
        Ok(Layer::Heads(Attention::load(loader, prefix, options)?, feed_forward))
    })
}
