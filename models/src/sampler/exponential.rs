//! Exponential and logarithm of the sampler: the same bits on every machine.
//!
//! `exp` is called for weights only, where the argument is at most 0; right for every argument.
//! `ln` is called for the sum of weights, from 1 on. Only additions, multiplications, divisions and
//! exact bit operations, in a fixed order, no fused multiply-add and no mathematics library. Error
//! below 2e-15 relative (tested); results under 1e-300 are 0.
//! Source: argument reduction by ln 2 in two parts (Cody and Waite), Taylor polynomial of degree 13
//! on |r| <= ln(2) / 2, whose remainder is under 1e-17; for `ln` the series of the inverse
//! hyperbolic tangent on |s| <= 0.172, whose remainder is under 1e-18.

/// 1 / k!, from k = 13 down to 0.
const COEFFICIENTS: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// ln 2, rounded to 32 bits so that its product with a small integer is exact, and the rest.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// e to the power of `x`; not-a-number gives 0, beyond the range 0 or infinity.
pub(super) fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -690.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    let twos = (x * std::f64::consts::LOG2_E).round();
    let rest = (x - twos * LN_2_HIGH) - twos * LN_2_LOW;
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, term| sum * rest + term);
    // |twos| is at most 1023 here, so the exponent bits stay in range.
    let power = f64::from_bits(((twos as i64 + 1023) as u64) << 52);
    polynomial * power
}

/// The natural logarithm of a normal number above 0.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let fraction = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let is_upper = fraction > std::f64::consts::SQRT_2;
    let (fraction, exponent) =
        if is_upper { (fraction * 0.5, exponent + 1) } else { (fraction, exponent) };
    let s = (fraction - 1.0) / (fraction + 1.0);
    let square = s * s;
    // 1 / (2 k + 1), from k = 11 down to 0.
    let series = (0..=11).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    let twos = exponent as f64;
    twos * LN_2_HIGH + (2.0 * s * series + twos * LN_2_LOW)
}

#[cfg(test)]
mod tests {
    use super::{exp, ln};

    #[test]
    fn the_logarithm_stays_close_to_the_library() {
        for step in 0..200_000 {
            let x = 1.0 + f64::from(step) * f64::from(step) * 1e-3;
            assert!((ln(x) - x.ln()).abs() <= x.ln() * 1e-15, "ln({x})");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(10.0).to_bits(), 0x4002_6bb1_bbb5_5516);
    }

    #[test]
    fn stays_close_to_the_library() {
        for step in -69_000..=7_000 {
            let x = f64::from(step) / 100.0;
            let wanted = x.exp();
            assert!((exp(x) - wanted).abs() <= wanted * 2e-15, "exp({x})");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e300), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(f64::NAN), 0.0);
    }

    #[test]
    fn bits_are_pinned() {
        // Another machine, compiler or flag must give these very bits.
        let bits: Vec<u64> = [-0.1, -1.0, -10.5, -100.25].map(|x| exp(x).to_bits()).to_vec();
        assert_eq!(
            bits,
            [0x3fecf46d99d52b3a, 0x3fd78b56362cef38, 0x3efcdfc263f6a0ba, 0x36e4acd31e167ebb,]
        );
    }
}
