//! GGUF: the file format of models, read with every bound checked, and written for tests and tools.
//!
//! Called by `model` (opens files), `config` and `tokenizer` (metadata), `shard` (tensor bytes).
//!
//! Byte layout (little endian): `"GGUF" | u32 version | u64 tensor count | u64 key count |`
//! `key-value pairs | tensor infos | padding to alignment | tensor data`. A string is
//! `u64 length | bytes`; a tensor info is `name | u32 n_dims | u64 dims[] | u32 type | u64 offset`,
//! offsets relative to the tensor data and dims fastest-running first.
//!
//! Errors: [`GgufError`], naming the key or tensor; nothing is allocated from an unchecked count.
//! Source: the GGUF specification (ggml/docs/gguf.md), versions 2 and 3.
//! Absent on purpose: version 1, big-endian files, nested arrays, split files (refused in words).

mod metadata;
mod reader;
mod source;
mod tensor_type;
mod writer;

pub use metadata::{MetadataArray, MetadataValue};
pub use reader::{Gguf, GgufError, TensorInfo};
pub use source::Source;
pub use tensor_type::TensorType;
pub use writer::GgufWriter;

/// Longest key or tensor name in bytes; the specification says 65535 and 64, real files stay below.
pub const MAX_NAME_BYTES: u64 = 1024;
/// Most metadata pairs of one file; real files have fewer than 100.
pub const MAX_METADATA_PAIRS: u64 = 65_536;
/// Most tensors of one file; the largest mixtures have a few thousand.
pub const MAX_TENSORS: u64 = 1 << 20;
/// Most elements of one metadata array; the largest vocabularies have half a million merges.
pub const MAX_ARRAY_ELEMENTS: u64 = 1 << 24;
/// Most strings of one metadata array, because each costs an allocation.
pub const MAX_ARRAY_STRINGS: u64 = 1 << 22;
/// Most dimensions of a tensor, as in ggml.
pub const MAX_DIMENSIONS: u32 = 4;
/// Alignment of tensor data where `general.alignment` is absent.
pub const DEFAULT_ALIGNMENT: u64 = 32;
