//! The handle of an opened model: file, configuration, identity, summary.
//!
//! Called by every user of models. Cloning is cheap; nothing but metadata is read on opening.
//! Errors: [`ModelError`] says what is wrong with the file.

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::{
    arch::{self, UnknownArchitecture},
    chat_template::{ChatTemplate, TemplateError},
    config::{ConfigError, ModelConfig, StateSpaceConfig},
    gguf::{Gguf, GgufError, Source, TensorInfo},
    kv::{KvShape, KvType, PAGE_TOKENS, StatePages, part_bytes},
    layer::slot_values,
    scripted::{self, ScriptError},
    tokenizer::{Tokenizer, TokenizerError},
};

/// The models inside the program.
const EMBEDDED: [(&str, &[u8]); 2] = [
    ("demo", include_bytes!("../demo/demo.gguf")),
    ("demo-draft", include_bytes!("../demo/demo-draft.gguf")),
];

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file is no GGUF, or damaged.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The metadata describes no model that can run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Not an architecture of ours.
    #[error(transparent)]
    Architecture(#[from] UnknownArchitecture),
    /// A script describes no model.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// An opened model.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gguf: Gguf,
    config: Arc<ModelConfig>,
    content_id: OnceLock<[u8; 32]>,
}

/// What a model is, in the form of `swarmllm show --json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModelSummary {
    /// `general.name`, or the architecture.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// Number of layers.
    pub n_layers: u32,
    /// Context it was trained for.
    pub n_ctx_train: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Number of tokens.
    pub vocab: u32,
    /// The tensor type with most bytes.
    pub quantisation: String,
    /// Number of weights.
    pub parameters: u64,
    /// Content address, lower-case base32 without padding; none when weights are missing.
    pub model_id: Option<String>,
    /// Bytes of each layer's weights; embedding and head are not counted.
    pub layer_bytes: Vec<u64>,
    /// Bytes of one expert of each layer, 0 where a layer has none.
    pub expert_bytes: Vec<u64>,
    /// Experts per layer that has some, and how many of them a token goes through.
    pub experts: Option<[u32; 2]>,
    /// Bytes that one position of a sequence takes in the f16 caches of all layers: its share of a
    /// page, which may be a recurrent layer's state.
    pub cache_bytes_per_token: u64,
    /// Query heads.
    pub n_heads: u32,
    /// Key-value heads.
    pub n_kv_heads: u32,
    /// Values per head.
    pub head_dim: u32,
    /// Width of the feed-forward block.
    pub feed_forward: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// `general.license`, if the file says.
    pub license: Option<String>,
}

impl Model {
    /// Maps a file.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::read(Source::open(path).map_err(GgufError::from)?)
    }

    /// Maps a file of which the metadata is enough; it may end before its tensors do.
    pub fn open_header(path: &Path) -> Result<Self, ModelError> {
        let source = Source::open(path).map_err(GgufError::from)?;
        Self::of(Gguf::read_header(source)?)
    }

    /// A model in the program's own bytes.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, ModelError> {
        Self::read(Source::from_static(bytes))
    }

    /// A model in memory, for tests and tools.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, ModelError> {
        Self::read(Source::from_vec(bytes))
    }

    /// The embedded model of this name: `demo` or `demo-draft`.
    pub fn embedded(name: &str) -> Option<Result<Self, ModelError>> {
        EMBEDDED.iter().find(|(n, _)| *n == name).map(|(_, bytes)| Self::from_static(bytes))
    }

    /// The names of the embedded models.
    pub fn embedded_names() -> [&'static str; 2] {
        EMBEDDED.map(|(name, _)| name)
    }

    /// A model that answers by a script, in the vocabulary of `demo`; see [`scripted`].
    pub fn scripted(script: &str) -> Result<Self, ModelError> {
        let (_, demo) = EMBEDDED[0];
        let demo = Gguf::read(Source::from_static(demo))?;
        Self::from_vec(scripted::file(script, &demo)?)
    }

    fn read(source: Source) -> Result<Self, ModelError> {
        Self::of(Gguf::read(source)?)
    }

    fn of(gguf: Gguf) -> Result<Self, ModelError> {
        // A file of another architecture lacks keys of ours, so its name is looked at first.
        match gguf.get_str("general.architecture")? {
            scripted::ARCHITECTURE => scripted::check(&gguf)?,
            name => drop(arch::find(name)?),
        }
        let config = Arc::new(ModelConfig::from_gguf(&gguf)?);
        Ok(Self(Arc::new(Inner { gguf, config, content_id: OnceLock::new() })))
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.0.gguf
    }

    /// The hyper-parameters.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    pub(crate) fn config_arc(&self) -> Arc<ModelConfig> {
        self.0.config.clone()
    }

    /// BLAKE3 over metadata and the hash of every tensor; computed once, on first use.
    ///
    /// Layout: `"swarmllm model 1"`, then per metadata pair in key order the key and the value as
    /// in the file, then per tensor in name order its name, sizes, type and BLAKE3. All lengths
    /// are written before their bytes. Padding and order in the file do not matter.
    pub fn content_id(&self) -> [u8; 32] {
        *self.0.content_id.get_or_init(|| content_id(&self.0.gguf))
    }

    /// The content address as text.
    pub fn id_text(&self) -> String {
        data_encoding::BASE32_NOPAD.encode(&self.content_id()).to_ascii_lowercase()
    }

    /// What it is.
    pub fn summary(&self) -> ModelSummary {
        let (gguf, config) = (self.gguf(), self.config());
        let tensors = gguf.tensors();
        let name = gguf.get_str("general.name").unwrap_or(&config.architecture);
        ModelSummary {
            name: name.into(),
            architecture: config.architecture.clone(),
            n_layers: config.n_layers,
            n_ctx_train: config.context_length,
            hidden: config.hidden,
            vocab: config.vocab,
            quantisation: quantisation(tensors),
            parameters: tensors.iter().map(TensorInfo::n_values).fold(0, u64::saturating_add),
            model_id: tensors.iter().all(|t| gguf.has_bytes(t)).then(|| self.id_text()),
            layer_bytes: self.layer_bytes(),
            expert_bytes: self.expert_bytes(),
            experts: config.experts.map(|experts| [experts.n_experts, experts.n_used]),
            cache_bytes_per_token: self.page_bytes(0..config.n_layers, KvType::F16)
                / u64::from(PAGE_TOKENS),
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            feed_forward: config.feed_forward,
            file_bytes: gguf.source().bytes().len() as u64,
            weight_bytes: tensors.iter().map(|t| t.n_bytes as u64).sum(),
            license: gguf.get_str("general.license").ok().map(Into::into),
        }
    }

    /// Bytes of one page of the cache of a shard of these layers, on the CPU.
    pub fn page_bytes(&self, layers: Range<u32>, kind: KvType) -> u64 {
        let layer = match StateSpaceConfig::from_gguf(self.gguf()) {
            Ok(config) => StatePages::page_bytes(slot_values(&config)),
            Err(_) => KvShape::of(self.config()).page_bytes(kind),
        };
        (part_bytes(layer) as u64).saturating_mul(layers.len() as u64)
    }

    /// Weight bytes of each layer; embedding and head are not counted.
    pub fn layer_bytes(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.config().n_layers as usize];
        for tensor in self.gguf().tensors() {
            if let Some(sum) = layer_of(&tensor.name).and_then(|i| bytes.get_mut(i)) {
                *sum += tensor.n_bytes as u64;
            }
        }
        bytes
    }

    /// Weight bytes of one expert of each layer, 0 where a layer has none.
    fn expert_bytes(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.config().n_layers as usize];
        let n_experts = self.config().experts.map_or(1, |experts| u64::from(experts.n_experts));
        for tensor in self.gguf().tensors().iter().filter(|t| t.name.contains("_exps.")) {
            if let Some(sum) = layer_of(&tensor.name).and_then(|i| bytes.get_mut(i)) {
                *sum += tensor.n_bytes as u64 / n_experts;
            }
        }
        bytes
    }

    /// Weight bytes of a range of layers, with embedding and head where they belong.
    pub fn weight_bytes(&self, layers: Range<u32>) -> u64 {
        let gguf = self.gguf();
        let of = |name: &str| gguf.tensor(name).map_or(0, |t| t.n_bytes as u64);
        let inner: u64 = (self.layer_bytes().iter().enumerate())
            .filter(|(i, _)| layers.contains(&(*i as u32)))
            .map(|(_, bytes)| bytes)
            .sum();
        let first = if layers.start == 0 { of("token_embd.weight") } else { 0 };
        let last = match (layers.end == self.config().n_layers, gguf.tensor("output.weight")) {
            (false, _) => 0,
            (true, Some(own)) => own.n_bytes as u64 + of("output_norm.weight"),
            // A tied head is the embedding once more, unless this shard has it anyway.
            (true, None) if layers.start == 0 => of("output_norm.weight"),
            (true, None) => of("token_embd.weight") + of("output_norm.weight"),
        };
        inner + first + last
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_gguf(self.gguf())
    }

    /// Its chat template.
    pub fn chat_template(&self) -> Result<ChatTemplate, TemplateError> {
        ChatTemplate::from_gguf(self.gguf())
    }
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

fn quantisation(tensors: &[TensorInfo]) -> String {
    let mut bytes = std::collections::BTreeMap::new();
    for tensor in tensors {
        *bytes.entry(tensor.kind).or_insert(0u64) += tensor.n_bytes as u64;
    }
    let largest = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    largest.map_or_else(|| "none".into(), |(kind, _)| kind.name().into())
}

fn content_id(gguf: &Gguf) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"swarmllm model 1");
    let mut sized = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let mut metadata: Vec<_> = gguf.metadata().iter().collect();
    metadata.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, value) in metadata {
        sized(key.as_bytes());
        sized(&value.to_bytes());
    }
    let mut tensors: Vec<_> = gguf.tensors().iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    for tensor in tensors {
        sized(tensor.name.as_bytes());
        let sizes: Vec<u8> = tensor.dims.iter().flat_map(|d| d.to_le_bytes()).collect();
        sized(&sizes);
        sized(&tensor.kind.id().to_le_bytes());
        sized(blake3::hash(gguf.tensor_bytes(tensor)).as_bytes());
        gguf.source().forget(tensor.start, tensor.n_bytes);
    }
    *hasher.finalize().as_bytes()
}
