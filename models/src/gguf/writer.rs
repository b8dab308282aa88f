//! Writes GGUF version 3 files, for tests, tools and the demo model's exporter.
//!
//! Called by tests (small random models) and tools. The bytes are built in memory.
//! Errors: none; a tensor whose bytes do not fit its shape is a programming error and panics.
//! Absent on purpose: versions 1 and 2, streaming of tensors larger than memory.

use super::{DEFAULT_ALIGNMENT, MetadataArray, MetadataValue, TensorType};

/// Collects metadata and tensors, then gives the file.
#[derive(Default)]
pub struct GgufWriter {
    metadata: Vec<(String, MetadataValue)>,
    tensors: Vec<(String, Vec<u64>, TensorType, Vec<u8>)>,
}

impl GgufWriter {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata pair.
    pub fn key(&mut self, key: &str, value: MetadataValue) -> &mut Self {
        self.metadata.push((key.into(), value));
        self
    }

    /// Adds a tensor; `dims` are fastest-running first.
    pub fn tensor(
        &mut self,
        name: &str,
        dims: &[u64],
        kind: TensorType,
        bytes: Vec<u8>,
    ) -> &mut Self {
        let row = kind.row_bytes(dims[0]).expect("a row is a whole number of blocks");
        let expected = row * dims[1..].iter().product::<u64>();
        assert_eq!(bytes.len() as u64, expected, "bytes of tensor {name}");
        self.tensors.push((name.into(), dims.to_vec(), kind, bytes));
        self
    }

    /// The finished file.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut out, key);
            out.extend(value.to_bytes());
        }
        let mut offset = 0u64;
        for (name, dims, kind, bytes) in &self.tensors {
            put_string(&mut out, name);
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset = (offset + bytes.len() as u64).next_multiple_of(DEFAULT_ALIGNMENT);
        }
        for (_, _, _, bytes) in &self.tensors {
            pad(&mut out);
            out.extend(bytes);
        }
        pad(&mut out);
        out
    }
}

impl MetadataValue {
    /// Type number and value as in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.type_id().to_le_bytes().to_vec();
        put_value(&mut out, self);
        out
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &MetadataValue) {
    use MetadataValue as V;
    match value {
        V::U8(v) => out.extend(v.to_le_bytes()),
        V::I8(v) => out.extend(v.to_le_bytes()),
        V::U16(v) => out.extend(v.to_le_bytes()),
        V::I16(v) => out.extend(v.to_le_bytes()),
        V::U32(v) => out.extend(v.to_le_bytes()),
        V::I32(v) => out.extend(v.to_le_bytes()),
        V::F32(v) => out.extend(v.to_le_bytes()),
        V::Bool(v) => out.push(u8::from(*v)),
        V::String(v) => put_string(out, v),
        V::Array(v) => put_array(out, v),
        V::U64(v) => out.extend(v.to_le_bytes()),
        V::I64(v) => out.extend(v.to_le_bytes()),
        V::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &MetadataArray) {
    use MetadataArray as A;
    out.extend(array.element_type_id().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        A::U8(v) => out.extend(v),
        A::I8(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::U16(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::I16(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::U32(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::I32(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::F32(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::Bool(v) => v.iter().for_each(|x| out.push(u8::from(*x))),
        A::String(v) => v.iter().for_each(|x| put_string(out, x)),
        A::U64(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::I64(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        A::F64(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
    }
}
