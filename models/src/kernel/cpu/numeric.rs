//! Our own transcendental functions: the same operations, so the same bits, on every machine.
//!
//! Called by attention, swiglu (`exp`), and once per model or position by rope (`f64` functions).
//! Errors: none; arguments beyond the range give the limits stated at each function.
//! Source: Cody-Waite reduction, polynomial of Cephes `expf` (relative error below 1e-7); the
//! `f64` functions are plain Taylor series after reduction, absolute error below 1e-14.

/// `e^x` in f32: 0 below -87.3, infinity above 88.7; relative error below 2 ulp between.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to the nearest integer, ties to even, in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.722_84 { 88.722_84 } else { x };
    let clamped = if clamped < -87.336_54 { -87.336_54 } else { clamped };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, clamped);
    let r = n.mul_add(-LN2_LOW, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_6e-1);
    let p = p.mul_add(r, 0.5);
    let p = (r * r).mul_add(p, r) + 1.0;
    // 2^n in two factors, so that n = 128 does not leave the exponent's range.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let scale = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    let value = p * scale(half) * scale(n - half);
    let value = if x < -87.336_54 { 0.0 } else { value };
    if x > 88.722_84 { f32::INFINITY } else { value }
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
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
