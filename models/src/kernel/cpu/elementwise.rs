//! Value-by-value operations: the gated unit of the feed-forward.
//!
//! Called by `network`. Source: SwiGLU (arXiv 2002.05202).

use super::{
    Level,
    lanes::{LANES, Lanes, portable::Portable},
    numeric::silu_lanes,
};

/// `y = silu(gate) * up`; slices have equal lengths.
pub fn swiglu(level: Level, gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert!(gate.len() == y.len() && up.len() == y.len(), "slices have equal lengths");
    match level {
        // SAFETY: a SIMD level exists only after the processor was asked for it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => unsafe { avx2(gate, up, y) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => unsafe { avx512(gate, up, y) },
        // SAFETY: plain code.
        _ => unsafe { body::<Portable>(gate, up, y) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2(gate: &[f32], up: &[f32], y: &mut [f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx2::Avx2>(gate, up, y) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512(gate: &[f32], up: &[f32], y: &mut [f32]) {
    // SAFETY: the instruction set is there.
    unsafe { body::<super::lanes::avx512::Avx512>(gate, up, y) }
}

#[inline(always)]
unsafe fn body<L: Lanes>(gate: &[f32], up: &[f32], y: &mut [f32]) {
    let (gates, last_gate) = gate.as_chunks::<LANES>();
    let (ups, last_up) = up.as_chunks::<LANES>();
    let (ys, last_y) = y.as_chunks_mut::<LANES>();
    for ((gate, up), y) in gates.iter().zip(ups).zip(ys) {
        // SAFETY: the caller's promise; each has 16 values.
        unsafe { lane::<L>(gate, up, y) };
    }
    if !last_y.is_empty() {
        let n = last_y.len();
        let [mut gate, mut up, mut y] = [[0f32; LANES]; 3];
        gate[..n].copy_from_slice(last_gate);
        up[..n].copy_from_slice(last_up);
        // SAFETY: as above.
        unsafe { lane::<L>(&gate, &up, &mut y) };
        last_y.copy_from_slice(&y[..n]);
    }
}

#[inline(always)]
unsafe fn lane<L: Lanes>(gate: &[f32; LANES], up: &[f32; LANES], y: &mut [f32; LANES]) {
    // SAFETY: the caller's promise.
    unsafe {
        let gate = L::load_f32(gate.as_ptr().cast());
        let up = L::load_f32(up.as_ptr().cast());
        L::store(y.as_mut_ptr(), L::mul(silu_lanes::<L>(gate), up));
    }
}
