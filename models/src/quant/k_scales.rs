//! The 6-bit scales and minima of Q4_K and Q5_K.
//!
//! Called by `q4_k` and `q5_k`.
//!
//! ```text
//! 12 bytes hold 8 scales s and 8 minima m of 6 bits:
//! byte 0..4:  s0..s3 low 6 bits, bits 4..5 of s4..s7 in the top 2
//! byte 4..8:  m0..m3 low 6 bits, bits 4..5 of m4..m7 in the top 2
//! byte 8..12: bits 0..3 of s4..s7 low, bits 0..3 of m4..m7 high
//! ```

use super::parts::Scales;

/// Scales and minima from the 12 bytes.
pub(super) fn unpack(packed: &[u8]) -> Scales {
    let Scales { mut scales, mut minima } = Scales::default();
    for j in 0..4 {
        scales[j] = (packed[j] & 63).cast_signed();
        minima[j] = packed[j + 4] & 63;
        scales[j + 4] = ((packed[j + 8] & 15) | ((packed[j] >> 6) << 4)).cast_signed();
        minima[j + 4] = (packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4);
    }
    Scales { scales, minima }
}
