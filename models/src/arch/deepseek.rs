//! DeepSeek-V2, V3 and R1: pre-norm decoders with latent attention, and mixtures with a shared
//! expert after a few dense layers.
//!
//! Called through `arch`. Sources: arXiv 2405.04434, 2412.19437.
//! Absent on purpose: the layers that predict further tokens.

use std::ops::Range;

use super::decoder::{Decoder, Layer};
use crate::{
    gguf::GgufError,
    layer::{FeedForward, LatentAttention, LoadError, Loader},
};

pub(super) fn load(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    let config = loader.config;
    let missing = |key: &str| GgufError::MissingKey(format!("{}.{key}", config.architecture));
    let latent = config.latent.ok_or_else(|| missing("attention.kv_lora_rank"))?;
    Decoder::load(loader, layers, |index, prefix| {
        let experts = config.experts.filter(|experts| index >= experts.n_leading_dense);
        let feed_forward = match &experts {
            Some(experts) => FeedForward::load_mixture(loader, prefix, experts, false)?,
            None => FeedForward::load(loader, index, prefix)?,
        };
        Ok(Layer::Latent(LatentAttention::load(loader, prefix, &latent)?, feed_forward))
    })
}
