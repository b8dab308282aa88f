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

use super::decoder::{Decoder, Layer};
use crate::{
    config::StateSpaceConfig,
    layer::{LoadError, Loader, StateSpace},
};

pub(super) fn load(loader: &Loader<'_>, layers: Range<u32>) -> Result<Decoder, LoadError> {
    let config = StateSpaceConfig::from_gguf(loader.gguf)?;
    Decoder::load(loader, layers, |_, prefix| {
        Ok(Layer::StateSpace(StateSpace::load(loader, &config, prefix)?))
    })
}
