//! The numbers of SwarmLLM: from the bytes of a GGUF file to logits and back to text.
//!
//! Called by `actors` (a shard worker owns a [`Shard`]) and by the doors in `src/` (tokenizer, chat
//! template, `show`). Knows nothing about peers, sockets or actors: a tensor crosses the border as
//! [`HiddenRows`], a header plus little-endian bytes.
//!
//! Reading order: `gguf` (what is in the file), `config` (what the file says the model is), `quant`
//! (block formats), `kernel` (the canonical arithmetic of NUMERICS.md), `backend` (those kernels as
//! burn operations), `layer` and `arch` (the network), `kv` (its memory), `shard` (layers a..b of
//! it), `model` (the handle that others hold); beside them `tokenizer`, `chat_template`,
//! `chat_output`, `constraint`, `sampler`, and `scripted`, a model of rules for tests.
//!
//! Errors: one enum per module; file and peer input is validated and never panics.

pub mod arch;
pub mod backend;
pub mod chat_output;
pub mod chat_template;
pub mod config;
pub mod constraint;
pub mod gguf;
pub mod kernel;
pub mod kv;
pub mod layer;
pub mod model;
pub mod quant;
pub mod sampler;
pub mod scripted;
pub mod shard;
pub mod tokenizer;

pub use backend::{DeviceChoice, DeviceError};
pub use chat_template::{ChatInput, ChatTemplate, TemplateError};
pub use config::{ConfigError, ModelConfig};
pub use kernel::cpu::{level::SimdLevel, linear::Repack, network::LoadProgress};
pub use kv::KvType;
pub use model::{Model, ModelError, ModelSummary};
pub use sampler::SamplingParams;
pub use shard::{
    BorderType, HiddenRows, Logits, LogitsWanted, RunProfile, ScoredTokens, SequenceRows, Shard,
    ShardError, ShardInput, ShardOptions, ShardOutput,
};
pub use tokenizer::{EncodeOptions, StreamDecoder, Tokenizer, TokenizerError};
