//! Conversions between f32 and f16 over slices, round to nearest even, subnormals kept.
//!
//! Called by attention (cache pages), the layer border and the wire form of hidden rows.

use half::{f16, slice::HalfFloatSliceExt};

use super::level::schedules;

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

schedules! {
    /// Widens f16 bits; slices have equal lengths.
    pub fn widen(from: &[u16], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = to_f32(*from);
        }
    }
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
    use crate::kernel::cpu::Level;

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
