//! Value-by-value operations: activations, gated units, soft caps.
//!
//! Called by `feed_forward`, `mixture` and `network`. Source: gated linear units
//! (arXiv 2002.05202), soft caps (arXiv 2408.00118).

use super::{
    Level,
    lanes::{LANES, Lanes, portable::Portable},
    numeric::{gelu_lanes, silu_lanes, tanh_lanes},
};

/// The function between the two projections of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The tanh form of `x * normal_distribution(x)`.
    Gelu,
}

/// One value-by-value function of two inputs.
#[derive(Clone, Copy)]
enum Function {
    /// `activation(a) * b`.
    Gated(Activation),
    /// `activation(a)`.
    Alone(Activation),
    /// `cap * tanh(a / cap)`, cap and its inverse.
    Capped(f32, f32),
}

/// `gate = activation(gate) * up`; slices have equal lengths.
pub fn gated(level: Level, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "slices have equal lengths");
    run(level, Function::Gated(activation), gate, up);
}

/// `x = activation(x)`.
pub fn activate(level: Level, activation: Activation, x: &mut [f32]) {
    run(level, Function::Alone(activation), x, &[]);
}

/// `x = cap * tanh(x / cap)`.
pub fn soft_cap(level: Level, cap: f32, x: &mut [f32]) {
    run(level, Function::Capped(cap, 1.0 / cap), x, &[]);
}

fn run(level: Level, function: Function, x: &mut [f32], other: &[f32]) {
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => unsafe { avx2(function, x, other) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => unsafe { avx512(function, x, other) },
        // SAFETY: plain code.
        _ => unsafe { body::<Portable>(function, x, other) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2(function: Function, x: &mut [f32], other: &[f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx2::Avx2>(function, x, other) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512(function: Function, x: &mut [f32], other: &[f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx512::Avx512>(function, x, other) }
}

#[inline(always)]
unsafe fn body<L: Lanes>(function: Function, x: &mut [f32], other: &[f32]) {
    let (blocks, last) = x.as_chunks_mut::<LANES>();
    let (others, last_other) = other.as_chunks::<LANES>();
    for (i, block) in blocks.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { lane::<L>(function, block, others.get(i).unwrap_or(&[0.0; LANES])) };
    }
    if !last.is_empty() {
        let [mut block, mut other] = [[0f32; LANES]; 2];
        block[..last.len()].copy_from_slice(last);
        other[..last_other.len()].copy_from_slice(last_other);
        // SAFETY: as above.
        unsafe { lane::<L>(function, &mut block, &other) };
        last.copy_from_slice(&block[..last.len()]);
    }
}

#[inline(always)]
unsafe fn lane<L: Lanes>(function: Function, x: &mut [f32; LANES], other: &[f32; LANES]) {
    // SAFETY: the caller's promise; both have 16 values.
    unsafe {
        let value = L::load_f32(x.as_ptr().cast());
        let value = match function {
            Function::Gated(Activation::Silu) | Function::Alone(Activation::Silu) => {
                silu_lanes::<L>(value)
            }
            Function::Gated(Activation::Gelu) | Function::Alone(Activation::Gelu) => {
                gelu_lanes::<L>(value)
            }
            Function::Capped(cap, inverse) => cap_lanes::<L>(value, cap, inverse),
        };
        let value = match function {
            Function::Gated(_) => L::mul(value, L::load_f32(other.as_ptr().cast())),
            _ => value,
        };
        L::store(x.as_mut_ptr(), value);
    }
}

/// `cap * tanh(x * inverse)` of 16 lanes.
///
/// # Safety
///
/// Needs the instruction set of `L`.
#[inline(always)]
pub unsafe fn cap_lanes<L: Lanes>(x: L::Float, cap: f32, inverse: f32) -> L::Float {
    // SAFETY: the caller's promise.
    unsafe { L::mul(tanh_lanes::<L>(L::mul(x, L::splat(inverse))), L::splat(cap)) }
}
