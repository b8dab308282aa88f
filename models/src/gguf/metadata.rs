//! The value of one metadata key, typed as the file types it.
//!
//! Called by the reader and writer, `config`, `tokenizer` and `chat_template`. Integer getters
//! convert between widths when the value fits, because converters disagree about widths.
//! Errors: conversions return `None`; the caller knows the key and names it.

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// Type 0.
    U8(u8),
    /// Type 1.
    I8(i8),
    /// Type 2.
    U16(u16),
    /// Type 3.
    I16(i16),
    /// Type 4.
    U32(u32),
    /// Type 5.
    I32(i32),
    /// Type 6.
    F32(f32),
    /// Type 7, one byte, 0 or 1.
    Bool(bool),
    /// Type 8, UTF-8.
    String(String),
    /// Type 9: `u32 element type | u64 count | elements`.
    Array(MetadataArray),
    /// Type 10.
    U64(u64),
    /// Type 11.
    I64(i64),
    /// Type 12.
    F64(f64),
}

/// A metadata array: all elements have one type.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataArray {
    /// Elements of type 0.
    U8(Vec<u8>),
    /// Elements of type 1.
    I8(Vec<i8>),
    /// Elements of type 2.
    U16(Vec<u16>),
    /// Elements of type 3.
    I16(Vec<i16>),
    /// Elements of type 4.
    U32(Vec<u32>),
    /// Elements of type 5.
    I32(Vec<i32>),
    /// Elements of type 6.
    F32(Vec<f32>),
    /// Elements of type 7.
    Bool(Vec<bool>),
    /// Elements of type 8.
    String(Vec<String>),
    /// Elements of type 10.
    U64(Vec<u64>),
    /// Elements of type 11.
    I64(Vec<i64>),
    /// Elements of type 12.
    F64(Vec<f64>),
}

impl MetadataValue {
    /// The number of this value's type in the file.
    pub fn type_id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// A word for error messages.
    pub fn type_name(&self) -> &'static str {
        const NAMES: [&str; 13] = [
            "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64",
            "f64",
        ];
        NAMES[self.type_id() as usize]
    }

    /// The value as a signed number wide enough for every integer type.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match self {
            Self::U8(v) => i128::from(*v),
            Self::I8(v) => i128::from(*v),
            Self::U16(v) => i128::from(*v),
            Self::I16(v) => i128::from(*v),
            Self::U32(v) => i128::from(*v),
            Self::I32(v) => i128::from(*v),
            Self::U64(v) => i128::from(*v),
            Self::I64(v) => i128::from(*v),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => {
                return None;
            }
        })
    }

    /// The value as `u32`, if it is an integer and fits.
    pub fn as_u32(&self) -> Option<u32> {
        self.as_integer().and_then(|v| u32::try_from(v).ok())
    }

    /// The value as `u64`, if it is an integer and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_integer().and_then(|v| u64::try_from(v).ok())
    }

    /// The value as `f32`, if it is a float.
    pub fn as_f32(&self) -> Option<f32> {
        match self {
            Self::F32(v) => Some(*v),
            Self::F64(v) => Some(*v as f32),
            _ => None,
        }
    }

    /// The value as a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// The value as an array.
    pub fn as_array(&self) -> Option<&MetadataArray> {
        match self {
            Self::Array(v) => Some(v),
            _ => None,
        }
    }
}

impl MetadataArray {
    /// The number of the elements' type in the file.
    pub fn element_type_id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::String(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as text.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// The elements as floats.
    pub fn as_f32s(&self) -> Option<&[f32]> {
        match self {
            Self::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements as `i64`, converted from any integer type when all fit.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        Some(match self {
            Self::U8(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::I8(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::U16(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::I16(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::U32(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::I32(v) => v.iter().map(|x| i64::from(*x)).collect(),
            Self::I64(v) => v.clone(),
            Self::U64(v) => {
                return v.iter().map(|x| i64::try_from(*x).ok()).collect();
            }
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) => return None,
        })
    }

    /// The elements as `u32`, converted from any integer type when all fit.
    pub fn to_u32s(&self) -> Option<Vec<u32>> {
        self.to_i64s()?.into_iter().map(|x| u32::try_from(x).ok()).collect()
    }
}
