//! Our own transcendental functions: the same operations, so the same bits, on every machine.
//!
//! Called by attention, swiglu (`exp`), and once per model or position by rope (`f64` functions).
//! Errors: none; arguments beyond the range give the limits stated at each function.
//! Source: Cody-Waite reduction, polynomial of Cephes `expf` (relative error below 1e-7); the
//! `f64` functions are plain Taylor series after reduction, absolute error below 1e-14.

use super::lanes::{Lanes, portable::Portable};

/// The largest and smallest arguments of [`exp_lanes`] with a finite, normal result.
const EXP_MOST: f32 = 88.722_84;
const EXP_LEAST: f32 = -87.336_54;

/// `e^x` of 16 lanes in f32: 0 below -87.3, infinity above 88.7; relative error below 2 ulp
/// between.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn exp_lanes<L: Lanes>(x: L::Float) -> L::Float {
    // 1.5 * 2^23: adding it rounds to the nearest integer, ties to even, in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // SAFETY: the caller's promise.
    unsafe {
        let (most, least) = (L::splat(EXP_MOST), L::splat(EXP_LEAST));
        let clamped = L::where_less(most, x, most, x);
        let clamped = L::where_less(clamped, least, least, clamped);
        let shifted = L::mul_add(clamped, L::splat(std::f32::consts::LOG2_E), L::splat(ROUND));
        let n = L::add(shifted, L::splat(-ROUND));
        let r = L::mul_add(n, L::splat(-LN2_HIGH), clamped);
        let r = L::mul_add(n, L::splat(-LN2_LOW), r);
        let mut p = L::splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
            p = L::mul_add(p, r, L::splat(c));
        }
        let p = L::add(L::mul_add(L::mul(r, r), p, r), L::splat(1.0));
        // 2^n in two factors, so that n = 128 does not leave the exponent's range.
        let offset = L::splat_int(ROUND.to_bits().cast_signed().wrapping_neg());
        let n = L::add_int(L::to_bits(shifted), offset);
        let half = L::halve_int(n);
        let rest = L::add_int(n, L::mul_int(half, L::splat_int(-1)));
        let value = L::mul(L::mul(p, power_of_two::<L>(half)), power_of_two::<L>(rest));
        let value = L::where_less(x, least, L::splat(0.0), value);
        L::where_less(most, x, L::splat(f32::INFINITY), value)
    }
}

/// `2^e` for exponents of normal numbers.
#[inline(always)]
unsafe fn power_of_two<L: Lanes>(e: L::Int) -> L::Float {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { L::from_bits(L::shift_int(L::add_int(e, L::splat_int(127)), 23)) }
}

/// `x / (1 + e^-x)` of 16 lanes.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn silu_lanes<L: Lanes>(x: L::Float) -> L::Float {
    // SAFETY: the caller's promise.
    unsafe {
        let negative = L::mul(x, L::splat(-1.0));
        L::div(x, L::add(L::splat(1.0), exp_lanes::<L>(negative)))
    }
}

/// The gated linear unit's `gelu` in its tanh form: `x * sigmoid(2u)`,
/// `u = sqrt(2 / pi) * (x + 0.044715 x^3)`. Source: arXiv 1606.08415.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn gelu_lanes<L: Lanes>(x: L::Float) -> L::Float {
    // -2 sqrt(2 / pi)
    const FACTOR: f32 = -1.595_769_2;
    // SAFETY: the caller's promise.
    unsafe {
        let cubic = L::mul(L::mul(x, x), L::splat(0.044_715));
        let inner = L::mul(L::mul_add(cubic, x, x), L::splat(FACTOR));
        L::div(x, L::add(L::splat(1.0), exp_lanes::<L>(inner)))
    }
}

/// `tanh(x)`, within 2e-7 of the truth.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn tanh_lanes<L: Lanes>(x: L::Float) -> L::Float {
    // SAFETY: the caller's promise.
    unsafe {
        let (zero, minus) = (L::splat(0.0), L::splat(-1.0));
        let negative = L::where_less(x, zero, x, L::mul(x, minus));
        let power = exp_lanes::<L>(L::add(negative, negative));
        let one = L::splat(1.0);
        let size = L::div(L::mul_add(power, minus, one), L::add(one, power));
        L::where_less(x, zero, L::mul(size, minus), size)
    }
}

/// `ln(1 + e^x)` of 16 lanes: 0 below -87.3; relative error below 3e-7.
///
/// `max(x, 0) + ln(1 + u)` with `u = e^-|x|`, and `ln(1 + u) = 2 artanh(u / (2 + u))` as a series,
/// whose argument is at most 1/3.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn softplus_lanes<L: Lanes>(x: L::Float) -> L::Float {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::splat(0.0);
        let negative = L::mul(x, L::splat(-1.0));
        let u = exp_lanes::<L>(L::where_less(x, zero, x, negative));
        let s = L::div(u, L::add(u, L::splat(2.0)));
        let z = L::mul(s, s);
        let mut p = L::splat(2.0 / 15.0);
        for c in [2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
            p = L::mul_add(p, z, L::splat(c));
        }
        L::add(L::where_less(zero, x, x, zero), L::mul(s, p))
    }
}

/// `1 / (1 + e^-x)` of one number.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `e^x` of one number.
pub fn exp(x: f32) -> f32 {
    // SAFETY: plain code.
    unsafe { exp_lanes::<Portable>([x; 16])[0] }
}

/// Natural logarithm of a positive normal number.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut sum = 0.0;
    for k in (0..14).rev() {
        sum = sum * z + 1.0 / f64::from(2 * k + 1);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// `e^x` in f64, for |x| below 700.
pub fn exp_f64(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let n = round(x * std::f64::consts::LOG2_E);
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut sum = 1.0;
    for k in (1..=16).rev() {
        sum = 1.0 + sum * r / f64::from(k);
    }
    sum * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// Sine and cosine of an angle in radian, for |x| below 1e8.
pub fn sin_cos(x: f64) -> (f64, f64) {
    const PI_2_HIGH: f64 = 1.570_796_251_296_997;
    const PI_2_MIDDLE: f64 = 7.549_789_415_861_596e-8;
    const PI_2_LOW: f64 = 5.390_302_858_158_119e-15;
    let n = round(x * std::f64::consts::FRAC_2_PI);
    let r = ((x - n * PI_2_HIGH) - n * PI_2_MIDDLE) - n * PI_2_LOW;
    let z = r * r;
    let (mut sine, mut cosine) = (1.0, 1.0);
    for k in (1..=9).rev() {
        let even = f64::from(2 * k);
        sine = 1.0 - sine * z / (even * (even + 1.0));
        cosine = 1.0 - cosine * z / (even * (even - 1.0));
    }
    sine *= r;
    match (n as i64).rem_euclid(4) {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

/// The nearest integer, ties to even, for |x| below 2^51.
fn round(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    (x + ROUND) - ROUND
}

/// The sum of 16 lanes in the one order used everywhere: halves onto each other.
#[inline(always)]
pub fn sum_lanes(mut lanes: [f32; 16]) -> f32 {
    for i in 0..8 {
        lanes[i] += lanes[i + 8];
    }
    for i in 0..4 {
        lanes[i] += lanes[i + 4];
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_range() {
        let mut worst = 0f64;
        for i in -870_000..887_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs();
            worst = worst.max(error);
        }
        assert!(worst < 2.4e-7, "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(1e4), f32::INFINITY);
    }

    #[test]
    fn tanh_and_gelu_are_close() {
        for i in -20_000..20_000 {
            let x = i as f32 * 1e-3;
            // SAFETY: plain code.
            let [tanh, gelu] =
                unsafe { [tanh_lanes::<Portable>([x; 16])[0], gelu_lanes::<Portable>([x; 16])[0]] };
            let wide = f64::from(x);
            assert!((f64::from(tanh) - wide.tanh()).abs() < 2e-7, "tanh {x}");
            let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let expected = 0.5 * wide * (1.0 + u.tanh());
            assert!((f64::from(gelu) - expected).abs() < 2e-6, "gelu {x}");
        }
    }

    #[test]
    fn softplus_is_close_over_its_range() {
        let mut worst = 0f64;
        for i in -870_000..887_000 {
            let x = i as f32 * 1e-4;
            // SAFETY: plain code.
            let ours = unsafe { softplus_lanes::<Portable>([x; 16])[0] };
            let exact = f64::from(x).exp().ln_1p();
            worst = worst.max((f64::from(ours) / exact - 1.0).abs());
        }
        assert!(worst < 3e-7, "{worst}");
        let mut limits = [0f32; 16];
        limits[..3].copy_from_slice(&[-1e4, 1e4, 20.5]);
        // SAFETY: plain code.
        let limits = unsafe { softplus_lanes::<Portable>(limits) };
        assert_eq!(limits[..3], [0.0, 1e4, 20.5]);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_level_has_the_same_bits() {
        use crate::kernel::cpu::{
            Level,
            lanes::{avx2::Avx2, avx512::Avx512},
        };
        unsafe fn all<L: Lanes>(x: &[f32; 16]) -> [f32; 80] {
            let mut out = [0f32; 80];
            // SAFETY: the caller asked the processor.
            unsafe {
                let x = L::load_f32(x.as_ptr().cast());
                L::store(out.as_mut_ptr(), exp_lanes::<L>(x));
                L::store(out[16..].as_mut_ptr(), silu_lanes::<L>(x));
                L::store(out[32..].as_mut_ptr(), gelu_lanes::<L>(x));
                L::store(out[48..].as_mut_ptr(), tanh_lanes::<L>(x));
                L::store(out[64..].as_mut_ptr(), softplus_lanes::<L>(x));
            }
            out
        }
        for i in 0..200_000u32 {
            let x: [f32; 16] = std::array::from_fn(|lane| {
                let bits = (i * 16 + lane as u32).wrapping_mul(2_654_435_761);
                if i % 2 == 0 { f32::from_bits(bits) } else { bits as f32 / 2.4e7 - 89.0 }
            });
            // SAFETY: plain code.
            let expected = unsafe { all::<Portable>(&x) };
            for level in Level::available() {
                // SAFETY: the processor has the level.
                let values = match level {
                    Level::Avx2(_) => unsafe { all::<Avx2>(&x) },
                    Level::Avx512(_) => unsafe { all::<Avx512>(&x) },
                    _ => continue,
                };
                for (a, b) in values.iter().zip(&expected) {
                    assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{x:?}");
                }
            }
        }
    }

    #[test]
    fn f64_functions_are_close() {
        for i in 1..4000 {
            let x = f64::from(i) * 37.031;
            assert!((ln(x) - x.ln()).abs() < 1e-14, "ln {x}");
            let (sine, cosine) = sin_cos(x);
            assert!((sine - x.sin()).abs() < 1e-11, "sin {x}");
            assert!((cosine - x.cos()).abs() < 1e-11, "cos {x}");
            let y = f64::from(i) * 0.01 - 20.0;
            assert!((exp_f64(y) / y.exp() - 1.0).abs() < 1e-13, "exp {y}");
        }
    }
}
