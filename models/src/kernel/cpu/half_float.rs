//! Conversions between f32 and f16 over slices, round to nearest even, subnormals kept.
//!
//! Called by attention (cache pages), the layer border and the wire form of hidden rows.

use half::{f16, slice::HalfFloatSliceExt};

use super::Level;

/// The value of f16 bits; exact.
#[inline(always)]
pub fn to_f32(bits: u16) -> f32 {
    // Shifting exponent and mantissa into place leaves the value times 2^-112, subnormals too.
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let finite = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000);
    let value =
        if magnitude >= 0x7c00 << 13 { f32::from_bits(magnitude | 0x7f80_0000) } else { finite };
    f32::from_bits(value.to_bits() | (u32::from(bits & 0x8000) << 16))
}

/// Widens f16 bits; slices have equal lengths.
pub fn widen(level: Level, from: &[u16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "as many values as bits");
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) | Level::Avx512(_) => unsafe { widen_f16c(from, to) },
        _ => widen_each(from, to),
    }
}

fn widen_each(from: &[u16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = to_f32(*from);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,f16c")]
fn widen_f16c(from: &[u16], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (from_eights, from_rest) = from.as_chunks::<8>();
    let (to_eights, to_rest) = to.as_chunks_mut::<8>();
    for (from, to) in from_eights.iter().zip(to_eights) {
        // SAFETY: 16 bytes are read, 32 written.
        unsafe {
            let wide = _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast()));
            _mm256_storeu_ps(to.as_mut_ptr(), wide);
        }
    }
    widen_each(from_rest, to_rest);
}

/// Rounds to f16 bits; slices have equal lengths.
pub fn narrow(from: &[f32], to: &mut [u16]) {
    if from.len() < 16 {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f16::from_f32(*from).to_bits();
        }
    } else {
        half::slice::HalfBitsSliceExt::reinterpret_cast_mut::<f16>(to).convert_from_f32_slice(from);
    }
}

/// Rounds each value to f16 and back.
pub fn round(values: &mut [f32]) {
    let mut narrow = [f16::ZERO; 64];
    for chunk in values.chunks_mut(64) {
        let narrow = &mut narrow[..chunk.len()];
        narrow.convert_from_f32_slice(chunk);
        narrow.convert_to_f32_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_widens_exactly_at_every_level() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for level in Level::available() {
            let mut wide = vec![0f32; all.len()];
            widen(level, &all, &mut wide);
            for (bits, value) in all.iter().zip(&wide) {
                let expected = f16::from_bits(*bits).to_f32();
                assert!(
                    expected.to_bits() == value.to_bits() || expected.is_nan() && value.is_nan(),
                    "{bits:04x} {level:?}"
                );
            }
        }
    }

    #[test]
    fn narrowing_a_widened_value_gives_it_back() {
        let all: Vec<u16> = (0..0x7c00u16).flat_map(|bits| [bits, bits | 0x8000]).collect();
        let mut wide = vec![0f32; all.len()];
        widen(Level::Scalar, &all, &mut wide);
        let mut narrowed = vec![0u16; all.len()];
        narrow(&wide, &mut narrowed);
        assert_eq!(all, narrowed);
        let mut rounded = wide.clone();
        round(&mut rounded);
        assert_eq!(wide, rounded);
    }
}
