//! [`Lanes`] on AVX2 with FMA and F16C: two registers of 8 lanes.
//!
//! Called by `kernel::cpu::linear`. `vpmaddubsw` saturates at 16 bits, so its operands are kept
//! small enough: bytes up to 127 as they are (2 * 127 * 127 < 32768), biased bytes as magnitude
//! with the sign moved to `x` (2 * 128 * 127 < 32768). So the sums are exact.

use std::arch::x86_64::*;

use super::Lanes;

/// The implementation; it has no values.
pub struct Avx2;

type Pair = [__m256i; 2];

#[inline(always)]
unsafe fn quads(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
    unsafe {
        let pairs = _mm256_maddubs_epi16(w, x);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// The sum of 8 lanes, halves onto each other.
#[inline(always)]
pub(super) unsafe fn sum(a: __m256) -> f32 {
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// The largest of 8 lanes; `max(b, a)` is `a` when either is not a number.
#[inline(always)]
pub(super) unsafe fn largest(a: __m256) -> f32 {
    unsafe {
        let four = _mm_max_ps(_mm256_extractf128_ps::<1>(a), _mm256_castps256_ps128(a));
        let two = _mm_max_ps(_mm_movehl_ps(four, four), four);
        _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two))
    }
}

// SAFETY: the functions follow the trait's contract; each is a few instructions of AVX2, FMA or
// F16C.
unsafe impl Lanes for Avx2 {
    type Int = Pair;
    type Float = [__m256; 2];
    type Bytes = Pair;

    #[inline(always)]
    unsafe fn splat_int(value: i32) -> Pair {
        unsafe { [_mm256_set1_epi32(value); 2] }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> Pair {
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            [_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))]
        }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> Pair {
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
        }
    }
    #[inline(always)]
    unsafe fn add_int(a: Pair, b: Pair) -> Pair {
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul_int(a: Pair, b: Pair) -> Pair {
        unsafe { [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn shift_int(a: Pair, count: u32) -> Pair {
        unsafe {
            [
                _mm256_sll_epi32(a[0], _mm_cvtsi32_si128(count as i32)),
                _mm256_sll_epi32(a[1], _mm_cvtsi32_si128(count as i32)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_int(from: *const u8) -> Pair {
        unsafe { Self::load_bytes(from) }
    }
    #[inline(always)]
    unsafe fn store_int(to: *mut u8, a: Pair) {
        unsafe { Self::store_bytes(to, a) }
    }
    #[inline(always)]
    unsafe fn to_float(a: Pair) -> [__m256; 2] {
        unsafe { [_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])] }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Pair {
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())] }
    }
    #[inline(always)]
    unsafe fn shift_right(a: Pair, count: u32, mask: u8) -> Pair {
        unsafe {
            let mask = _mm256_set1_epi8(mask.cast_signed());
            let count = _mm_cvtsi32_si128(count as i32);
            [
                _mm256_and_si256(_mm256_srl_epi16(a[0], count), mask),
                _mm256_and_si256(_mm256_srl_epi16(a[1], count), mask),
            ]
        }
    }
    #[inline(always)]
    unsafe fn shift_left(a: Pair, count: u32, mask: u8) -> Pair {
        unsafe {
            let mask = _mm256_set1_epi8(mask.cast_signed());
            let count = _mm_cvtsi32_si128(count as i32);
            [
                _mm256_and_si256(_mm256_sll_epi16(a[0], count), mask),
                _mm256_and_si256(_mm256_sll_epi16(a[1], count), mask),
            ]
        }
    }
    #[inline(always)]
    unsafe fn look_up(a: Pair, table: &[u8; 16]) -> Pair {
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            [_mm256_shuffle_epi8(table, a[0]), _mm256_shuffle_epi8(table, a[1])]
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, a: Pair) {
        unsafe {
            _mm256_storeu_si256(to.cast(), a[0]);
            _mm256_storeu_si256(to.add(32).cast(), a[1]);
        }
    }
    #[inline(always)]
    unsafe fn or(a: Pair, b: Pair) -> Pair {
        unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn dot(sum: Pair, w: Pair, x: i32) -> Pair {
        unsafe {
            let x = _mm256_set1_epi32(x);
            [quads(sum[0], w[0], x), quads(sum[1], w[1], x)]
        }
    }
    #[inline(always)]
    unsafe fn biased_start(_negative_sum: i32) -> Pair {
        unsafe { Self::splat_int(0) }
    }
    #[inline(always)]
    unsafe fn dot_biased(sum: Pair, w: Pair, x: i32) -> Pair {
        unsafe {
            let x = _mm256_set1_epi32(x);
            let bias = _mm256_set1_epi8(-128);
            let half = |sum, w| {
                let signed = _mm256_xor_si256(w, bias);
                quads(sum, _mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
            };
            [half(sum[0], w[0]), half(sum[1], w[1])]
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> [__m256; 2] {
        unsafe { [_mm256_set1_ps(value); 2] }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> [__m256; 2] {
        unsafe {
            let halves = [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast())];
            [_mm256_cvtph_ps(halves[0]), _mm256_cvtph_ps(halves[1])]
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> [__m256; 2] {
        unsafe {
            let wide = |at: *const u8| {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            };
            [wide(from), wide(from.add(16))]
        }
    }
    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> [__m256; 2] {
        unsafe { [_mm256_loadu_ps(from.cast()), _mm256_loadu_ps(from.add(32).cast())] }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, a: [__m256; 2]) {
        unsafe {
            _mm256_storeu_ps(to, a[0]);
            _mm256_storeu_ps(to.add(8), a[1]);
        }
    }
    #[inline(always)]
    unsafe fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn div(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn where_less(
        a: [__m256; 2],
        b: [__m256; 2],
        yes: [__m256; 2],
        no: [__m256; 2],
    ) -> [__m256; 2] {
        unsafe {
            let half =
                |i: usize| _mm256_blendv_ps(no[i], yes[i], _mm256_cmp_ps::<_CMP_LT_OQ>(a[i], b[i]));
            [half(0), half(1)]
        }
    }
    #[inline(always)]
    unsafe fn sum(a: [__m256; 2]) -> f32 {
        unsafe { sum(_mm256_add_ps(a[0], a[1])) }
    }
    #[inline(always)]
    unsafe fn largest(a: [__m256; 2]) -> f32 {
        unsafe { largest(_mm256_max_ps(a[1], a[0])) }
    }
    #[inline(always)]
    unsafe fn to_bits(a: [__m256; 2]) -> Pair {
        unsafe { [_mm256_castps_si256(a[0]), _mm256_castps_si256(a[1])] }
    }
    #[inline(always)]
    unsafe fn from_bits(a: Pair) -> [__m256; 2] {
        unsafe { [_mm256_castsi256_ps(a[0]), _mm256_castsi256_ps(a[1])] }
    }
    #[inline(always)]
    unsafe fn halve_int(a: Pair) -> Pair {
        unsafe { [_mm256_srai_epi32::<1>(a[0]), _mm256_srai_epi32::<1>(a[1])] }
    }
    #[inline(always)]
    unsafe fn round_f16(a: [__m256; 2]) -> [__m256; 2] {
        unsafe {
            [
                _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a[0])),
                _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a[1])),
            ]
        }
    }
    #[inline(always)]
    unsafe fn mul_add(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
}
