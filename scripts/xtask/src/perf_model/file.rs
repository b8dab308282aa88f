//! Writes GGUF version 3 as a stream: metadata, tensor directory, then tensor after tensor.
//!
//! Called by `perf_model`. `swarmllm_models::gguf::GgufWriter` builds a file in memory; here a file
//! may be larger than memory, because tensors are made up piece by piece. Little-endian; tensors
//! start at multiples of 32 bytes. Errors: what the output says.

use std::io::{self, Seek, SeekFrom, Write};

use super::blocks::{Format, Random};

const ALIGNMENT: u64 = 32;
/// Values that are made up at a time: 0.1 to 1 MiB of them.
const PIECE_VALUES: u64 = 1 << 18;

/// A metadata value.
pub(super) enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
}

/// A tensor that is to be made up; `dims` are fastest-running first.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dims: Vec<u32>,
    pub(super) format: Format,
}

impl Tensor {
    pub(super) fn n_values(&self) -> u64 {
        self.dims.iter().map(|n| u64::from(*n)).product()
    }

    pub(super) fn n_bytes(&self) -> u64 {
        let (values, bytes) = self.format.block();
        self.n_values() / values * bytes
    }

    fn write(&self, out: &mut impl Write, piece: &mut Vec<u8>) -> io::Result<()> {
        let (values, bytes) = self.format.block();
        let mut random = Random::named(&self.name);
        let mut left = self.n_bytes();
        while left > 0 {
            piece.resize((PIECE_VALUES / values * bytes).min(left) as usize, 0);
            self.format.fill(piece, &mut random);
            out.write_all(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}

/// Which tensors get values; the others are holes, which take no room on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// All.
    All,
    /// None, and the file ends behind the directory.
    HeaderOnly,
    /// Those of some layers.
    Layers(std::ops::Range<u32>),
}

impl Filled {
    fn has(&self, tensor: &Tensor) -> bool {
        let layer = || tensor.name.strip_prefix("blk.")?.split('.').next()?.parse().ok();
        match self {
            Self::All => true,
            Self::HeaderOnly => false,
            Self::Layers(range) => layer().is_some_and(|layer: u32| range.contains(&layer)),
        }
    }
}

/// Writes the file and gives its length, which a hole at its end does not reach by itself.
pub(super) fn write(
    out: &mut (impl Write + Seek),
    metadata: &[(String, Value)],
    (tensors, filled): (&[Tensor], &Filled),
) -> io::Result<u64> {
    let mut head = b"GGUF".to_vec();
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut head, key);
        put_value(&mut head, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        put_text(&mut head, &tensor.name);
        head.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|n| head.extend(u64::from(*n).to_le_bytes()));
        head.extend(tensor.format.id().to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset = (offset + tensor.n_bytes()).next_multiple_of(ALIGNMENT);
    }
    let data_starts = (head.len() as u64).next_multiple_of(ALIGNMENT);
    head.resize(data_starts as usize, 0);
    out.write_all(&head)?;
    if *filled == Filled::HeaderOnly {
        return Ok(data_starts);
    }
    let mut piece = Vec::new();
    for tensor in tensors {
        if !filled.has(tensor) {
            let length = tensor.n_bytes().next_multiple_of(ALIGNMENT);
            out.seek(SeekFrom::Current(length.cast_signed()))?;
            continue;
        }
        tensor.write(out, &mut piece)?;
        let gap = tensor.n_bytes().next_multiple_of(ALIGNMENT) - tensor.n_bytes();
        out.write_all(&[0; ALIGNMENT as usize][..gap as usize])?;
    }
    Ok(data_starts + offset)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Type number and value.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    const U32: u32 = 4;
    const I32: u32 = 5;
    const F32: u32 = 6;
    const BOOL: u32 = 7;
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    let number = |out: &mut Vec<u8>, number: u32| out.extend(number.to_le_bytes());
    let array = |out: &mut Vec<u8>, kind: u32, length: usize| {
        number(out, ARRAY);
        number(out, kind);
        out.extend((length as u64).to_le_bytes());
    };
    match value {
        Value::U32(value) => {
            number(out, U32);
            number(out, *value);
        }
        Value::F32(value) => {
            number(out, F32);
            number(out, value.to_bits());
        }
        Value::Bool(value) => {
            number(out, BOOL);
            out.push(u8::from(*value));
        }
        Value::Text(text) => {
            number(out, TEXT);
            put_text(out, text);
        }
        Value::Texts(texts) => {
            array(out, TEXT, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
        Value::Floats(values) => {
            array(out, F32, values.len());
            values.iter().for_each(|value| number(out, value.to_bits()));
        }
        Value::Integers(values) => {
            array(out, I32, values.len());
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
    }
}
