//! Gemma 1 to 3: pre-norm decoders with norms behind attention and feed-forward too, scaled
//! embeddings, soft caps (2), and layers with windows between those without (2, 3).
//!
//! Called through `arch`. Sources: arXiv 2403.08295, 2408.00118, 2503.19786.

use std::ops::Range;

use super::decoder::{Decoder, Layer};
use crate::{
    config::WindowPattern,
    layer::{Attention, AttentionOptions, FeedForward, LoadError, Loader},
};

/// The window of Gemma 2 where the file names none.
const GEMMA2_WINDOW: u32 = 4096;
/// The 27-billion models, known by their number of layers, scale scores by the width of the
/// residual stream instead of the head's; the metadata has no key for it.
const LAYERS_27B: [u32; 2] = [46, 62];

/// Gemma 1: every layer sees everything.
pub(super) fn load(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    load_with(loader, layers, |_| AttentionOptions::default())
}

/// Gemma 2: every other layer has a window.
pub(super) fn load_2(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    load_local(loader, layers, 2, Some(loader.config.window.unwrap_or(GEMMA2_WINDOW)))
}

/// Gemma 3: five of six layers have a window and a base of rotation of their own.
pub(super) fn load_3(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    load_local(loader, layers, 6, loader.config.window)
}

/// All but the last of every `default_pattern` layers, where the file says nothing else, have the
/// window.
fn load_local(
    loader: &Loader<'_>,
    layers: Range<u32>,
    default_pattern: u32,
    window: Option<u32>,
) -> Result<Decoder, LoadError> {
    let pattern = loader.config.window_pattern.clone();
    let pattern = pattern.unwrap_or(WindowPattern::LastOf(default_pattern));
    load_with(loader, layers, |index| {
        let window = window.filter(|_| pattern.is_local(index));
        let has_own_base = window.is_some() && loader.config.rope.local_base.is_some();
        AttentionOptions {
            window,
            rotation_table: usize::from(has_own_base),
            ..AttentionOptions::default()
        }
    })
}

fn load_with(
    loader: &Loader<'_>,
    layers: Range<u32>,
    options: impl Fn(u32) -> AttentionOptions,
) -> Result<Decoder, LoadError> {
    let config = loader.config;
    let is_27b = config.architecture != "gemma" && LAYERS_27B.contains(&config.n_layers);
    let scale = is_27b.then(|| 1.0 / ((config.hidden / config.n_heads) as f32).sqrt());
    Decoder::load(loader, layers, |index, prefix| {
        let options = AttentionOptions { scale, ..options(index) };
        let attention = Attention::load(loader, prefix, options)?;
        Ok(Layer::Heads(attention, FeedForward::load(loader, index, prefix)?))
    })
}
