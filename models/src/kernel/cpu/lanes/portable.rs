//! [`Lanes`] as plain arrays, for processors whose instruction sets have no implementation here.
//!
//! Called by `kernel::cpu::linear` and `attention`. The compiler turns the loops into whatever
//! vector instructions the target has; the operations are the same, so the bits are too.

use super::{LANES, Lanes};
use crate::kernel::cpu::{half_float, numeric::sum_lanes};

/// The implementation; it has no values.
pub struct Portable;

#[inline(always)]
fn each<A: Copy, B: Copy, C>(a: [A; 16], b: [B; 16], f: impl Fn(A, B) -> C) -> [C; 16] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

unsafe fn read<T: Copy, const N: usize>(from: *const u8) -> [T; N] {
    // SAFETY: the caller's pointer is readable for the whole array, at any alignment.
    unsafe { from.cast::<[T; N]>().read_unaligned() }
}

// SAFETY: plain code; only the pointers need the caller's promise.
unsafe impl Lanes for Portable {
    type Int = [i32; LANES];
    type Float = [f32; LANES];
    type Bytes = [u8; 4 * LANES];

    #[inline(always)]
    unsafe fn splat_int(value: i32) -> Self::Int {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> Self::Int {
        unsafe { read::<i8, LANES>(from).map(i32::from) }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> Self::Int {
        unsafe { read::<u8, LANES>(from).map(i32::from) }
    }
    #[inline(always)]
    unsafe fn add_int(a: Self::Int, b: Self::Int) -> Self::Int {
        each(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn mul_int(a: Self::Int, b: Self::Int) -> Self::Int {
        each(a, b, i32::wrapping_mul)
    }
    #[inline(always)]
    unsafe fn shift_int(a: Self::Int, count: u32) -> Self::Int {
        a.map(|a| a << count)
    }
    #[inline(always)]
    unsafe fn load_int(from: *const u8) -> Self::Int {
        unsafe { read(from) }
    }
    #[inline(always)]
    unsafe fn store_int(to: *mut u8, a: Self::Int) {
        unsafe { to.cast::<Self::Int>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn to_float(a: Self::Int) -> Self::Float {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self::Bytes {
        unsafe { read(from) }
    }
    #[inline(always)]
    unsafe fn shift_right(a: Self::Bytes, count: u32, mask: u8) -> Self::Bytes {
        a.map(|a| a >> count & mask)
    }
    #[inline(always)]
    unsafe fn shift_left(a: Self::Bytes, count: u32, mask: u8) -> Self::Bytes {
        a.map(|a| a << count & mask)
    }
    #[inline(always)]
    unsafe fn look_up(a: Self::Bytes, table: &[u8; 16]) -> Self::Bytes {
        a.map(|a| table[usize::from(a & 15)])
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, a: Self::Bytes) {
        unsafe { to.cast::<Self::Bytes>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn or(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::Int, w: Self::Bytes, x: i32) -> Self::Int {
        let x = x.to_le_bytes();
        std::array::from_fn(|row| {
            (0..4).fold(sum[row], |sum, l| {
                sum + i32::from(w[4 * row + l]) * i32::from(x[l].cast_signed())
            })
        })
    }
    #[inline(always)]
    unsafe fn biased_start(negative_sum: i32) -> Self::Int {
        [negative_sum << 7; LANES]
    }
    #[inline(always)]
    unsafe fn dot_biased(sum: Self::Int, w: Self::Bytes, x: i32) -> Self::Int {
        unsafe { Self::dot(sum, w, x) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Float {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self::Float {
        unsafe { read::<u16, LANES>(from).map(|bits| half_float::to_f32(u16::from_le(bits))) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self::Float {
        let wide = |bits: u16| f32::from_bits(u32::from(u16::from_le(bits)) << 16);
        unsafe { read::<u16, LANES>(from).map(wide) }
    }
    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> Self::Float {
        unsafe { read(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, a: Self::Float) {
        unsafe { to.cast::<Self::Float>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Float, b: Self::Float) -> Self::Float {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: Self::Float, b: Self::Float) -> Self::Float {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn where_less(
        a: Self::Float,
        b: Self::Float,
        yes: Self::Float,
        no: Self::Float,
    ) -> Self::Float {
        std::array::from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    unsafe fn sum(a: Self::Float) -> f32 {
        sum_lanes(a)
    }
    #[inline(always)]
    unsafe fn largest(mut a: Self::Float) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                a[i] = if a[i + half] > a[i] { a[i + half] } else { a[i] };
            }
        }
        a[0]
    }
    #[inline(always)]
    unsafe fn to_bits(a: Self::Float) -> Self::Int {
        a.map(|a| a.to_bits().cast_signed())
    }
    #[inline(always)]
    unsafe fn from_bits(a: Self::Int) -> Self::Float {
        a.map(|a| f32::from_bits(a.cast_unsigned()))
    }
    #[inline(always)]
    unsafe fn halve_int(a: Self::Int) -> Self::Int {
        a.map(|a| a >> 1)
    }
    #[inline(always)]
    unsafe fn round_f16(mut a: Self::Float) -> Self::Float {
        half_float::round(&mut a);
        a
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}
