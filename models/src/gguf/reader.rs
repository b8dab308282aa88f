//! Reads a GGUF file: metadata and tensor directory, with every length checked before use.
//!
//! Called by `model`. The tensor bytes themselves are not touched here.
//! Errors: [`GgufError`] names the key or tensor. Counts are compared with the bytes that are left
//! before anything is allocated, so a hostile file costs at most a small multiple of its own size.

use std::{collections::HashMap, sync::Arc};

use super::{
    DEFAULT_ALIGNMENT, MAX_ARRAY_ELEMENTS, MAX_ARRAY_STRINGS, MAX_DIMENSIONS, MAX_METADATA_PAIRS,
    MAX_NAME_BYTES, MAX_TENSORS, MetadataArray, MetadataValue, Source, TensorType,
};

/// What is wrong with a GGUF file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file cannot be opened or mapped.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {0:02x?} instead of \"GGUF\"")]
    Magic([u8; 4]),
    /// A version other than 2 and 3.
    #[error("GGUF version {0} is not supported (2 and 3 are); convert the model again")]
    Version(u32),
    /// The file ends inside something.
    #[error("the file ends inside {what} (byte {position}); the download may be incomplete")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where reading stopped.
        position: usize,
    },
    /// A count or length beyond a bound.
    #[error("{what} says {count}, more than the {limit} possible here; the file is damaged")]
    TooLarge {
        /// What was being read.
        what: String,
        /// What the file says.
        count: u64,
        /// What is possible.
        limit: u64,
    },
    /// Bytes that mean nothing.
    #[error("{what} is invalid: {why}")]
    Invalid {
        /// The key or tensor.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key is not there.
    #[error("the metadata key {0:?} is missing")]
    MissingKey(String),
    /// The key has another type.
    #[error("the metadata key {key:?} is {found}, expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// The type in the file.
        found: &'static str,
        /// What the caller needs.
        expected: &'static str,
    },
    /// The tensor is not there.
    #[error("the tensor {0:?} is missing")]
    MissingTensor(String),
    /// One part of a model cut in several files.
    #[error(
        "this is part {part} of a model split in {parts} files, which is not supported; \
         merge them first (llama-gguf-split --merge)"
    )]
    Split {
        /// Number of this part, from 1.
        part: u64,
        /// How many parts there are.
        parts: u64,
    },
}

/// One entry of the tensor directory.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Name, for example `blk.0.attn_q.weight`.
    pub name: String,
    /// Sizes, fastest-running first: `[row length, rows, ..]`.
    pub dims: Vec<u64>,
    /// Element type.
    pub kind: TensorType,
    /// First byte in the file.
    pub start: usize,
    /// Number of bytes.
    pub n_bytes: usize,
}

impl TensorInfo {
    /// Length of one row.
    pub fn row_values(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Number of rows, all outer dimensions multiplied.
    pub fn n_rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }

    /// Some of its rows, as a tensor of their own.
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end as u64 <= self.n_rows(), "rows of the tensor");
        let row_bytes = self.n_bytes / (self.n_rows() as usize).max(1);
        Self {
            name: self.name.clone(),
            dims: vec![self.row_values(), rows.len() as u64],
            kind: self.kind,
            start: self.start + rows.start * row_bytes,
            n_bytes: rows.len() * row_bytes,
        }
    }

    /// Number of values.
    pub fn n_values(&self) -> u64 {
        self.dims.iter().product()
    }
}

/// An opened GGUF file; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Gguf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    version: u32,
    metadata: Vec<(String, MetadataValue)>,
    metadata_index: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
    tensor_index: HashMap<String, usize>,
}

impl Gguf {
    /// Maps and reads a file.
    pub fn open(path: &std::path::Path) -> Result<Self, GgufError> {
        Self::read(Source::open(path)?)
    }

    /// Reads bytes that are already at hand; all tensors must be there.
    pub fn read(source: Source) -> Result<Self, GgufError> {
        let gguf = Self::read_header(source)?;
        let file_bytes = gguf.source().bytes().len();
        match gguf.tensors().iter().find(|tensor| !gguf.has_bytes(tensor)) {
            None => Ok(gguf),
            Some(missing) => Err(GgufError::Truncated {
                what: format!("tensor {:?}", missing.name),
                position: file_bytes,
            }),
        }
    }

    /// Reads metadata and directory; the file may end before its tensors do.
    pub fn read_header(source: Source) -> Result<Self, GgufError> {
        let mut cursor = Cursor { bytes: source.bytes(), position: 0 };
        let magic: [u8; 4] = cursor.array("the magic")?;
        if &magic != b"GGUF" {
            return Err(GgufError::Magic(magic));
        }
        let version = cursor.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let n_tensors = cursor.u64("the tensor count")?;
        let n_pairs = cursor.u64("the metadata count")?;
        // A tensor info takes at least 32 bytes, a pair at least 13.
        cursor.check_count("the tensor count", n_tensors, 32, MAX_TENSORS)?;
        cursor.check_count("the metadata count", n_pairs, 13, MAX_METADATA_PAIRS)?;

        let mut metadata = Vec::with_capacity(n_pairs as usize);
        let mut metadata_index = HashMap::with_capacity(n_pairs as usize);
        for i in 0..n_pairs {
            let key = cursor.name(&format!("metadata key {i}"))?;
            let kind = cursor.u32(&key)?;
            let value = read_value(&mut cursor, &key, kind)?;
            if metadata_index.insert(key.clone(), metadata.len()).is_some() {
                return Err(GgufError::Invalid { what: key, why: "it is there twice".into() });
            }
            metadata.push((key, value));
        }
        let mut inner = Inner {
            source: source.clone(),
            version,
            metadata,
            metadata_index,
            tensors: Vec::new(),
            tensor_index: HashMap::new(),
        };
        inner.refuse_split()?;
        inner.read_directory(&mut cursor, n_tensors)?;
        Ok(Self(Arc::new(inner)))
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// The bytes below.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// All metadata in file order.
    pub fn metadata(&self) -> &[(String, MetadataValue)] {
        &self.0.metadata
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.0.tensors
    }

    /// The tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.0.tensor_index.get(name).map(|i| &self.0.tensors[*i])
    }

    /// Whether the file reaches to this tensor's end.
    pub fn has_bytes(&self, info: &TensorInfo) -> bool {
        info.start + info.n_bytes <= self.source().bytes().len()
    }

    /// The bytes of a tensor of this file, which must have them.
    pub fn tensor_bytes(&self, info: &TensorInfo) -> &[u8] {
        &self.0.source.bytes()[info.start..info.start + info.n_bytes]
    }

    /// The value of a key, if there is one.
    pub fn value(&self, key: &str) -> Option<&MetadataValue> {
        self.0.value(key)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a MetadataValue) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value = self.value(key).ok_or_else(|| GgufError::MissingKey(key.into()))?;
        convert(value).ok_or_else(|| GgufError::WrongType {
            key: key.into(),
            found: value.type_name(),
            expected,
        })
    }

    /// The text of a key.
    pub fn get_str(&self, key: &str) -> Result<&str, GgufError> {
        self.typed(key, "a string", MetadataValue::as_str)
    }

    /// An unsigned number of a key, from any integer type that fits.
    pub fn get_u32(&self, key: &str) -> Result<u32, GgufError> {
        self.typed(key, "an integer from 0 to 4294967295", MetadataValue::as_u32)
    }

    /// A float of a key.
    pub fn get_f32(&self, key: &str) -> Result<f32, GgufError> {
        self.typed(key, "a float", MetadataValue::as_f32)
    }

    /// A boolean of a key.
    pub fn get_bool(&self, key: &str) -> Result<bool, GgufError> {
        self.typed(key, "a boolean", MetadataValue::as_bool)
    }

    /// An array of a key.
    pub fn get_array(&self, key: &str) -> Result<&MetadataArray, GgufError> {
        self.typed(key, "an array", MetadataValue::as_array)
    }

    /// An array of strings.
    pub fn get_strings(&self, key: &str) -> Result<&[String], GgufError> {
        self.typed(key, "an array of strings", |v| v.as_array()?.as_strings())
    }

    /// An array of floats.
    pub fn get_f32s(&self, key: &str) -> Result<&[f32], GgufError> {
        self.typed(key, "an array of f32", |v| v.as_array()?.as_f32s())
    }

    /// An array of integers of any width.
    pub fn get_i64s(&self, key: &str) -> Result<Vec<i64>, GgufError> {
        self.typed(key, "an array of integers", |v| v.as_array()?.to_i64s())
    }
}

impl Inner {
    fn value(&self, key: &str) -> Option<&MetadataValue> {
        self.metadata_index.get(key).map(|i| &self.metadata[*i].1)
    }

    fn refuse_split(&self) -> Result<(), GgufError> {
        let parts = self.value("split.count").and_then(MetadataValue::as_u64).unwrap_or(0);
        if parts > 1 {
            let part = self.value("split.no").and_then(MetadataValue::as_u64).unwrap_or(0);
            return Err(GgufError::Split { part: part.saturating_add(1), parts });
        }
        Ok(())
    }

    fn read_directory(&mut self, cursor: &mut Cursor<'_>, count: u64) -> Result<(), GgufError> {
        let alignment = match self.value("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => u64::from(value.as_u32().unwrap_or(0)),
        };
        if !alignment.is_power_of_two() || !(8..=65_536).contains(&alignment) {
            return Err(GgufError::Invalid {
                what: "general.alignment".into(),
                why: format!("{alignment} is no power of two from 8 to 65536"),
            });
        }
        let mut offsets = Vec::with_capacity(count as usize);
        self.tensors.reserve_exact(count as usize);
        for i in 0..count {
            let (info, offset) = read_tensor_info(cursor, i)?;
            offsets.push(offset);
            if self.tensor_index.insert(info.name.clone(), self.tensors.len()).is_some() {
                return Err(GgufError::Invalid {
                    what: format!("tensor {:?}", info.name),
                    why: "it is there twice".into(),
                });
            }
            self.tensors.push(info);
        }
        let data_start = (cursor.position as u64).next_multiple_of(alignment);
        for (info, offset) in self.tensors.iter_mut().zip(offsets) {
            if !offset.is_multiple_of(alignment) {
                return Err(GgufError::Invalid {
                    what: format!("tensor {:?}", info.name),
                    why: format!("its offset {offset} is not aligned to {alignment}"),
                });
            }
            let start = data_start.checked_add(offset);
            let end = start.and_then(|s| s.checked_add(info.n_bytes as u64));
            match (start, end) {
                (Some(start), Some(end)) if end <= isize::MAX as u64 => {
                    info.start = start as usize;
                }
                _ => {
                    return Err(GgufError::Invalid {
                        what: format!("tensor {:?}", info.name),
                        why: format!("its offset {offset} is beyond any file"),
                    });
                }
            }
        }
        refuse_overlap(&self.tensors)
    }
}

fn read_tensor_info(cursor: &mut Cursor<'_>, i: u64) -> Result<(TensorInfo, u64), GgufError> {
    let name = cursor.name(&format!("the name of tensor {i}"))?;
    let what = format!("tensor {name:?}");
    let invalid = |why: String| GgufError::Invalid { what: what.clone(), why };
    let n_dims = cursor.u32(&what)?;
    if n_dims == 0 || n_dims > MAX_DIMENSIONS {
        return Err(invalid(format!("{n_dims} dimensions, possible are 1 to {MAX_DIMENSIONS}")));
    }
    let mut dims = Vec::with_capacity(n_dims as usize);
    for _ in 0..n_dims {
        dims.push(cursor.u64(&what)?);
    }
    let kind = cursor.u32(&what)?;
    let offset = cursor.u64(&what)?;
    let kind =
        TensorType::from_id(kind).ok_or_else(|| invalid(format!("unknown type number {kind}")))?;
    if dims.contains(&0) {
        return Err(invalid(format!("a dimension of {dims:?} is 0")));
    }
    let row_bytes = kind.row_bytes(dims[0]).ok_or_else(|| {
        invalid(format!("a row of {} values is no whole number of {kind} blocks", dims[0]))
    })?;
    let n_bytes = dims[1..]
        .iter()
        .try_fold(row_bytes, |bytes, d| bytes.checked_mul(*d))
        .filter(|_| dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d)).is_some())
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| invalid(format!("its size {dims:?} overflows")))?;
    Ok((TensorInfo { name, dims, kind, start: 0, n_bytes }, offset))
}

fn refuse_overlap(tensors: &[TensorInfo]) -> Result<(), GgufError> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| t.start);
    for pair in order.windows(2) {
        if pair[0].start + pair[0].n_bytes > pair[1].start {
            return Err(GgufError::Invalid {
                what: format!("tensor {:?}", pair[1].name),
                why: format!("its bytes overlap tensor {:?}", pair[0].name),
            });
        }
    }
    Ok(())
}

fn read_value(cursor: &mut Cursor<'_>, key: &str, kind: u32) -> Result<MetadataValue, GgufError> {
    use MetadataValue as V;
    Ok(match kind {
        0 => V::U8(cursor.array::<1>(key)?[0]),
        1 => V::I8(i8::from_le_bytes(cursor.array(key)?)),
        2 => V::U16(u16::from_le_bytes(cursor.array(key)?)),
        3 => V::I16(i16::from_le_bytes(cursor.array(key)?)),
        4 => V::U32(cursor.u32(key)?),
        5 => V::I32(i32::from_le_bytes(cursor.array(key)?)),
        6 => V::F32(f32::from_le_bytes(cursor.array(key)?)),
        7 => V::Bool(boolean(key, cursor.array::<1>(key)?[0])?),
        8 => V::String(cursor.string(key, u64::MAX)?),
        9 => V::Array(read_array(cursor, key)?),
        10 => V::U64(cursor.u64(key)?),
        11 => V::I64(i64::from_le_bytes(cursor.array(key)?)),
        12 => V::F64(f64::from_le_bytes(cursor.array(key)?)),
        _ => return Err(unknown_value_type(key, kind)),
    })
}

fn unknown_value_type(key: &str, kind: u32) -> GgufError {
    GgufError::Invalid { what: key.into(), why: format!("unknown value type number {kind}") }
}

fn boolean(key: &str, byte: u8) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(GgufError::Invalid {
            what: key.into(),
            why: format!("a boolean is 0 or 1, not {byte}"),
        }),
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str) -> Result<MetadataArray, GgufError> {
    use MetadataArray as A;
    let kind = cursor.u32(key)?;
    let count = cursor.u64(key)?;
    let (bytes_each, limit) = match kind {
        0 | 1 | 7 => (1, MAX_ARRAY_ELEMENTS),
        2 | 3 => (2, MAX_ARRAY_ELEMENTS),
        4..=6 => (4, MAX_ARRAY_ELEMENTS),
        10..=12 => (8, MAX_ARRAY_ELEMENTS),
        8 => (8, MAX_ARRAY_STRINGS),
        9 => {
            return Err(GgufError::Invalid {
                what: key.into(),
                why: "arrays of arrays are not supported".into(),
            });
        }
        _ => return Err(unknown_value_type(key, kind)),
    };
    cursor.check_count(key, count, bytes_each, limit)?;
    if kind == 8 {
        let mut strings = Vec::with_capacity(count as usize);
        for _ in 0..count {
            strings.push(cursor.string(key, u64::MAX)?);
        }
        return Ok(A::String(strings));
    }
    let raw = cursor.take(key, count * bytes_each)?;
    Ok(match kind {
        0 => A::U8(raw.to_vec()),
        1 => A::I8(elements(raw, i8::from_le_bytes)),
        2 => A::U16(elements(raw, u16::from_le_bytes)),
        3 => A::I16(elements(raw, i16::from_le_bytes)),
        4 => A::U32(elements(raw, u32::from_le_bytes)),
        5 => A::I32(elements(raw, i32::from_le_bytes)),
        6 => A::F32(elements(raw, f32::from_le_bytes)),
        7 => A::Bool(raw.iter().map(|b| boolean(key, *b)).collect::<Result<_, _>>()?),
        10 => A::U64(elements(raw, u64::from_le_bytes)),
        11 => A::I64(elements(raw, i64::from_le_bytes)),
        _ => A::F64(elements(raw, f64::from_le_bytes)),
    })
}

fn elements<const N: usize, T>(raw: &[u8], convert: fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> u64 {
        (self.bytes.len() - self.position) as u64
    }

    fn take(&mut self, what: &str, count: u64) -> Result<&'a [u8], GgufError> {
        if count > self.left() {
            return Err(GgufError::Truncated { what: what.into(), position: self.bytes.len() });
        }
        let start = self.position;
        self.position += count as usize;
        Ok(&self.bytes[start..self.position])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let bytes = self.take(what, N as u64)?;
        Ok(bytes.try_into().expect("take returned N bytes"))
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Refuses `count` elements of at least `bytes_each` bytes when they cannot be in the file.
    fn check_count(
        &self,
        what: &str,
        count: u64,
        bytes_each: u64,
        limit: u64,
    ) -> Result<(), GgufError> {
        let limit = limit.min(self.left() / bytes_each);
        if count > limit {
            return Err(GgufError::TooLarge { what: what.into(), count, limit });
        }
        Ok(())
    }

    fn string(&mut self, what: &str, limit: u64) -> Result<String, GgufError> {
        let count = self.u64(what)?;
        self.check_count(what, count, 1, limit)?;
        let bytes = self.take(what, count)?;
        let text = std::str::from_utf8(bytes).map_err(|e| GgufError::Invalid {
            what: what.into(),
            why: format!("not UTF-8: {e}"),
        })?;
        Ok(text.into())
    }

    fn name(&mut self, what: &str) -> Result<String, GgufError> {
        self.string(what, MAX_NAME_BYTES)
    }
}
