//! Which instruction set the kernels use, chosen at run time.
//!
//! Called by `shard` (resolves the caller's `SimdLevel` once) and by every kernel (dispatch).
//! Errors: a level that this processor lacks is refused with its name.

use std::str::FromStr;

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimdLevel {
    /// The best that this processor has.
    #[default]
    Auto,
    /// The reference code: one value after the other, straight from the file's bytes.
    Scalar,
    /// The vector kernels in plain code, for processors that none of the others is for.
    Portable,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ) with VNNI.
    Avx512,
}

impl SimdLevel {
    /// Every level but `Auto`.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Portable, Self::Avx2, Self::Avx512];
}

/// An instruction set that this processor has: only [`Level::resolve`] makes the SIMD ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// See [`SimdLevel::Scalar`].
    Scalar,
    /// See [`SimdLevel::Portable`].
    Portable,
    /// See [`SimdLevel::Avx2`].
    Avx2(Proof),
    /// See [`SimdLevel::Avx512`].
    Avx512(Proof),
}

/// Proof that the processor was asked; it cannot be made outside this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    wants_prefetch: bool,
}

impl Proof {
    /// Whether reading weights is faster when they are asked for early. Measured: Intel's Sapphire
    /// Rapids gains a quarter, AMD's Zen 4 loses a tenth.
    pub fn wants_prefetch(self) -> bool {
        self.wants_prefetch
    }
}

/// The processor lacks the level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this processor has no {0:?}; use auto or a lower SIMD level")]
pub struct LevelUnavailable(pub SimdLevel);

impl Level {
    /// The level to use.
    pub fn resolve(wanted: SimdLevel) -> Result<Self, LevelUnavailable> {
        let (avx2, avx512) = detect();
        let proof = Proof { wants_prefetch: is_intel() };
        match wanted {
            SimdLevel::Scalar => Ok(Self::Scalar),
            SimdLevel::Portable => Ok(Self::Portable),
            SimdLevel::Avx512 | SimdLevel::Auto if avx512 => Ok(Self::Avx512(proof)),
            SimdLevel::Avx2 | SimdLevel::Auto if avx2 => Ok(Self::Avx2(proof)),
            SimdLevel::Auto => Ok(Self::Portable),
            SimdLevel::Avx2 | SimdLevel::Avx512 => Err(LevelUnavailable(wanted)),
        }
    }

    /// Every level that this processor has, for tests.
    pub fn available() -> Vec<Self> {
        SimdLevel::ALL.into_iter().filter_map(|wanted| Self::resolve(wanted).ok()).collect()
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> (bool, bool) {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni");
    (avx2, avx512)
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> (bool, bool) {
    (false, false)
}

impl FromStr for SimdLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "scalar" => Ok(Self::Scalar),
            "portable" => Ok(Self::Portable),
            "avx2" => Ok(Self::Avx2),
            "avx512" => Ok(Self::Avx512),
            _ => Err(format!(
                "{text:?} is no SIMD level: use auto, scalar, portable, avx2 or avx512"
            )),
        }
    }
}

/// Compiles one function body once per SIMD level. The body is plain scalar code in a fixed lane
/// structure; the compiler may vectorise it but, without fast-math, not change a bit.
macro_rules! schedules {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $vis fn $name(level: $crate::kernel::cpu::Level, $($arg: $kind),*) {
            #[inline(always)]
            fn body($($arg: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $kind),*) {
                body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512($($arg: $kind),*) {
                body($($arg),*)
            }
            match level {
                // SAFETY: a SIMD level exists only after the processor was asked for it.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::cpu::Level::Avx2(_) => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::cpu::Level::Avx512(_) => unsafe { avx512($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use schedules;
