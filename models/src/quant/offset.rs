//! What an unpacked byte of a weight stands for, so that one fold serves formats with and without
//! an offset.
//!
//! Called by `blocks32`, `nibbles` and `parts`. [`Lanes::dot`] takes bytes 0..=127; formats that
//! use all eight bits go through [`Lanes::dot_biased`].

use crate::kernel::cpu::lanes::Lanes;

/// What is taken off a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    /// Nothing; bytes are 0..=127.
    Zero,
    /// 2 to this power; bytes are 0..=127.
    Power(u32),
    /// 128; bytes are anything.
    Half,
}

impl Offset {
    /// The number.
    pub(super) const fn value(self) -> i32 {
        match self {
            Self::Zero => 0,
            Self::Power(power) => 1 << power,
            Self::Half => 128,
        }
    }

    /// Where a chain of [`Offset::dot`] starts; `negative_sum` is minus the sum of all its `x`.
    ///
    /// # Safety
    ///
    /// Needs the instruction set of `L`.
    #[inline(always)]
    pub(super) unsafe fn start<L: Lanes>(self, negative_sum: i32) -> L::Int {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Zero => L::splat_int(0),
                Self::Power(power) => L::shift_int(L::splat_int(negative_sum), power),
                Self::Half => L::biased_start(negative_sum),
            }
        }
    }

    /// `sum` plus the product of four weights with four inputs.
    ///
    /// # Safety
    ///
    /// Needs the instruction set of `L`.
    #[inline(always)]
    pub(super) unsafe fn dot<L: Lanes>(self, sum: L::Int, w: L::Bytes, x: i32) -> L::Int {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Zero | Self::Power(_) => L::dot(sum, w, x),
                Self::Half => L::dot_biased(sum, w, x),
            }
        }
    }
}
