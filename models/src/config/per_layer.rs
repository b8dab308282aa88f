//! Hyper-parameters that a file may write once for all layers or once per layer.
//!
//! Called by `config`. llama.cpp's converter writes an array where layers of some model differ, and
//! some tools write one although they do not. The width of the feed-forward block and the windows
//! may differ between layers; anything else must be equal in all of them.
//! Errors: [`ConfigError`] names the key.

use super::{ConfigError, Keys, bad};
use crate::gguf::{GgufError, MetadataArray, MetadataValue};

/// Which layers have a window.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowPattern {
    /// All but the last of every so many.
    LastOf(u32),
    /// Those for which this is true.
    Layers(Vec<bool>),
}

impl WindowPattern {
    /// Whether this layer sees its window only.
    pub fn is_local(&self, layer: u32) -> bool {
        match self {
            Self::LastOf(n) => layer % n < n - 1,
            Self::Layers(layers) => layers.get(layer as usize).copied().unwrap_or(false),
        }
    }
}

impl Keys<'_> {
    fn array(&self, key: &str) -> Option<&MetadataArray> {
        self.gguf.value(&self.name(key)).and_then(MetadataValue::as_array)
    }

    /// The number of a key; an array counts as its elements when they are all equal.
    pub(super) fn number(&self, key: &str) -> Result<u32, ConfigError> {
        let name = self.name(key);
        let Some(array) = self.array(key) else { return Ok(self.gguf.get_u32(&name)?) };
        let values = array.to_u32s().unwrap_or_default();
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|value| value == first) => Ok(*first),
            Some((first, rest)) => {
                let other = rest.iter().find(|value| *value != first).unwrap_or(first);
                let why = "layers that differ in it are not supported".into();
                Err(bad(&name, format!("{first} in one layer and {other} in another"), why))
            }
            None => Err(bad(&name, "an array", "it must be of whole numbers".into())),
        }
    }

    /// A size of every layer.
    pub(super) fn sizes(
        &self,
        key: &str,
        most: u32,
        n_layers: u32,
    ) -> Result<Vec<u32>, ConfigError> {
        let Some(array) = self.array(key) else {
            return Ok(vec![self.size(key, most)?; n_layers as usize]);
        };
        let name = self.name(key);
        let values = array.to_u32s().unwrap_or_default();
        if values.len() != n_layers as usize {
            return Err(bad(&name, "an array", format!("it must have {n_layers} whole numbers")));
        }
        match values.iter().find(|value| **value == 0 || **value > most) {
            Some(value) => Err(bad(&name, value, format!("it must be from 1 to {most}"))),
            None => Ok(values),
        }
    }

    /// Which layers have a window, if the file says.
    pub(super) fn window_pattern(
        &self,
        key: &str,
        n_layers: u32,
    ) -> Result<Option<WindowPattern>, ConfigError> {
        let name = self.name(key);
        let layers: Vec<bool> = match self.array(key) {
            None => return Ok(self.optional_size(key, n_layers)?.map(WindowPattern::LastOf)),
            Some(MetadataArray::Bool(layers)) => layers.clone(),
            Some(numbers) => {
                let numbers = numbers.to_u32s();
                let numbers = numbers.filter(|numbers| numbers.iter().all(|number| *number < 2));
                let wrong = || GgufError::WrongType {
                    key: name.clone(),
                    expected: "true or false per layer",
                    found: "array",
                };
                numbers.ok_or_else(wrong)?.iter().map(|number| *number == 1).collect()
            }
        };
        if layers.len() != n_layers as usize {
            let why = format!("there are {n_layers} layers");
            return Err(bad(&name, format!("an array of {}", layers.len()), why));
        }
        Ok(Some(WindowPattern::Layers(layers)))
    }
}
