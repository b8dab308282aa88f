//! Sixteen output rows side by side: the operations that the interleaved kernels are written in.
//!
//! Called by `quant` (each format's `fold_group`) and instantiated by `kernel::cpu::linear`.
//! A lane is one output row; no operation mixes lanes, so the width of the registers below cannot
//! change a result. Integer operations are exact; float operations are single IEEE operations.
//!
//! Shapes: `Int` 16 x i32, `Float` 16 x f32, `Bytes` 16 x 4 bytes (four consecutive weights of
//! each row).

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod portable;

use std::sync::atomic::{Ordering, compiler_fence};

/// Asks for the cache line at `from`; any address is allowed.
#[inline(always)]
pub fn prefetch(from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of an address that is not mapped does nothing; SSE is always there.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Loads 64 bytes of weights that are read once, in ascending order, and asks for later ones.
///
/// # Safety
///
/// As [`Lanes::load_bytes`].
#[inline(always)]
pub unsafe fn stream<L: Lanes>(from: *const u8) -> L::Bytes {
    if L::AHEAD > 0 {
        prefetch(from.wrapping_add(L::AHEAD));
    }
    // The processor reads ahead of ascending addresses; the compiler must not swap loads.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller's promise.
    unsafe { L::load_bytes(from) }
}

/// Number of output rows in one interleaved group.
pub const LANES: usize = 16;

/// The operations, one implementation per instruction set.
///
/// # Safety
///
/// Every function needs the instruction set of its implementation, and pointers that are readable
/// (or writable) for the stated number of elements at any alignment.
#[expect(clippy::missing_safety_doc, reason = "one rule for all functions, stated at the trait")]
pub unsafe trait Lanes {
    /// 16 x i32.
    type Int: Copy;
    /// 16 x f32.
    type Float: Copy;
    /// 16 x 4 bytes.
    type Bytes: Copy;

    /// How many bytes ahead of their use [`stream`] asks for weights; 0 where the processor's own
    /// guess is better.
    const AHEAD: usize = 0;

    /// The same number in every lane.
    unsafe fn splat_int(value: i32) -> Self::Int;
    /// 16 signed bytes, widened.
    unsafe fn load_i8(from: *const u8) -> Self::Int;
    /// 16 unsigned bytes, widened.
    unsafe fn load_u8(from: *const u8) -> Self::Int;
    /// Sum of lanes.
    unsafe fn add_int(a: Self::Int, b: Self::Int) -> Self::Int;
    /// Product of lanes, low 32 bits.
    unsafe fn mul_int(a: Self::Int, b: Self::Int) -> Self::Int;
    /// `a << count`.
    unsafe fn shift_int(a: Self::Int, count: u32) -> Self::Int;
    /// 16 x i32.
    unsafe fn load_int(from: *const u8) -> Self::Int;
    /// Writes 16 x i32.
    unsafe fn store_int(to: *mut u8, a: Self::Int);
    /// The nearest floats, ties to even.
    unsafe fn to_float(a: Self::Int) -> Self::Float;

    /// 64 bytes.
    unsafe fn load_bytes(from: *const u8) -> Self::Bytes;
    /// `(byte >> count) & mask`, `mask` without the bits that come from the neighbouring byte.
    unsafe fn shift_right(a: Self::Bytes, count: u32, mask: u8) -> Self::Bytes;
    /// `(byte << count) & mask`, `mask` without the bits that come from the neighbouring byte.
    unsafe fn shift_left(a: Self::Bytes, count: u32, mask: u8) -> Self::Bytes;
    /// For every byte, which must be below 16, the entry of the table.
    unsafe fn look_up(a: Self::Bytes, table: &[u8; 16]) -> Self::Bytes;
    /// Writes 64 bytes.
    unsafe fn store_bytes(to: *mut u8, a: Self::Bytes);
    /// Bitwise or.
    unsafe fn or(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// `sum + w . x` per lane; `w` are bytes 0..=127, `x` four i8, the same for every lane.
    unsafe fn dot(sum: Self::Int, w: Self::Bytes, x: i32) -> Self::Int;
    /// Where a chain of [`Lanes::dot_biased`] starts; `negative_sum` is minus the sum of all its
    /// `x`.
    unsafe fn biased_start(negative_sum: i32) -> Self::Int;
    /// As [`Lanes::dot`] for bytes that stand for `byte - 128`.
    unsafe fn dot_biased(sum: Self::Int, w: Self::Bytes, x: i32) -> Self::Int;

    /// The same number in every lane.
    unsafe fn splat(value: f32) -> Self::Float;
    /// 16 f16.
    unsafe fn load_f16(from: *const u8) -> Self::Float;
    /// 16 bf16.
    unsafe fn load_bf16(from: *const u8) -> Self::Float;
    /// 16 f32.
    unsafe fn load_f32(from: *const u8) -> Self::Float;
    /// Writes 16 f32.
    unsafe fn store(to: *mut f32, a: Self::Float);
    /// `a + b`.
    unsafe fn add(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a * b`.
    unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a / b`.
    unsafe fn div(a: Self::Float, b: Self::Float) -> Self::Float;
    /// Per lane `yes` where `a < b`, else `no`.
    unsafe fn where_less(
        a: Self::Float,
        b: Self::Float,
        yes: Self::Float,
        no: Self::Float,
    ) -> Self::Float;
    /// The sum of all lanes in the one order used everywhere: halves onto each other (see
    /// `numeric::sum_lanes`).
    unsafe fn sum(a: Self::Float) -> f32;
    /// The largest lane; lanes that are not a number do not count unless all are.
    unsafe fn largest(a: Self::Float) -> f32;
    /// The bits of floats.
    unsafe fn to_bits(a: Self::Float) -> Self::Int;
    /// Floats of these bits.
    unsafe fn from_bits(a: Self::Int) -> Self::Float;
    /// `a >> 1` with the sign kept.
    unsafe fn halve_int(a: Self::Int) -> Self::Int;
    /// The nearest f16 values, ties to even.
    unsafe fn round_f16(a: Self::Float) -> Self::Float;
    /// `a * b + c`, rounded once.
    unsafe fn mul_add(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;
}
