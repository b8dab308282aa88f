//! Every weight format: values by hand, dot against f64, and every SIMD level against the scalar
//! reference, bit by bit.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Random, weights};
use half::f16;
use swarmllm_models::{
    gguf::{Gguf, GgufWriter, Source, TensorType},
    kernel::cpu::{
        Level, Pool,
        activation::Activations,
        linear::{self, Repack},
        network::CpuContext,
        schedule::Store,
    },
    quant,
};

fn dequantise(kind: TensorType, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut values = vec![0f32; n];
    quant::format(kind).unwrap().dequantise(bytes, &mut values);
    values
}

fn half(value: f32) -> [u8; 2] {
    f16::from_f32(value).to_le_bytes()
}

#[test]
fn floats_by_hand() {
    let values = [0.0, -1.5, 65504.0, 6.0e-8];
    let f32s: Vec<u8> = values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
    assert_eq!(dequantise(TensorType::F32, &f32s, 4), values);
    let f16s: Vec<u8> = values.iter().flat_map(|v| half(*v)).collect();
    // 6e-8 is the smallest subnormal of f16: it must not be flushed to zero.
    assert_eq!(dequantise(TensorType::F16, &f16s, 4), [0.0, -1.5, 65504.0, 5.960_464_5e-8]);
    assert_eq!(dequantise(TensorType::BF16, &[0x80, 0x3f, 0x00, 0xc0], 2), [1.0, -2.0]);
}

#[test]
fn q8_0_by_hand() {
    let mut block = half(0.25).to_vec();
    block.extend((0..32).map(|i| (i * 8 - 128) as i8 as u8));
    let expected: Vec<f32> = (0..32).map(|i| 0.25 * (i * 8 - 128) as f32).collect();
    assert_eq!(dequantise(TensorType::Q8_0, &block, 32), expected);
}

/// Scales 1, 2, .. 8 times 7 and minima 8, 7, .. 1 times 5, packed as in K-quants.
fn k_head() -> Vec<u8> {
    let scale = |j: u8| (j + 1) * 7;
    let minimum = |j: u8| (8 - j) * 5;
    let mut block = [half(0.5), half(0.125)].concat();
    block.extend((0..4).map(|j| scale(j) | (scale(j + 4) >> 4) << 6));
    block.extend((0..4).map(|j| minimum(j) | (minimum(j + 4) >> 4) << 6));
    block.extend((4..8).map(|j| scale(j) & 15 | (minimum(j) & 15) << 4));
    block
}

fn k_value(i: usize, q: usize) -> f32 {
    let j = i / 32;
    0.5 * ((j + 1) * 7 * q) as f32 - 0.125 * ((8 - j) * 5) as f32
}

#[test]
fn q4_k_by_hand() {
    let mut block = k_head();
    let q = |i: usize| (i * 7 + i / 32) % 16;
    for half in 0..4 {
        block.extend((0..32).map(|l| (q(64 * half + l) | q(64 * half + 32 + l) << 4) as u8));
    }
    let expected: Vec<f32> = (0..256).map(|i| k_value(i, q(i))).collect();
    assert_eq!(dequantise(TensorType::Q4_K, &block, 256), expected);
}

#[test]
fn q5_k_by_hand() {
    let mut block = k_head();
    let q = |i: usize| (i * 13 + i / 32) % 32;
    block.extend((0..32).map(|l| (0..8).map(|j| (q(32 * j + l) >> 4 << j) as u8).sum::<u8>()));
    for half in 0..4 {
        let low = |i: usize| q(i) & 15;
        block.extend((0..32).map(|l| (low(64 * half + l) | low(64 * half + 32 + l) << 4) as u8));
    }
    let expected: Vec<f32> = (0..256).map(|i| k_value(i, q(i))).collect();
    assert_eq!(dequantise(TensorType::Q5_K, &block, 256), expected);
}

#[test]
fn q4_0_and_q5_0_by_hand() {
    let q = |i: usize| (i * 11 + 3) % 32;
    let mut four = half(0.5).to_vec();
    four.extend((0..16).map(|l| (q(l) & 15 | (q(16 + l) & 15) << 4) as u8));
    let expected: Vec<f32> = (0..32).map(|i| 0.5 * ((q(i) & 15) as f32 - 8.0)).collect();
    assert_eq!(dequantise(TensorType::Q4_0, &four, 32), expected);
    let fifth: u32 = (0..32).map(|i| (q(i) as u32 >> 4) << i).sum();
    let five = [&half(0.5)[..], &fifth.to_le_bytes(), &four[2..]].concat();
    let expected: Vec<f32> = (0..32).map(|i| 0.5 * (q(i) as f32 - 16.0)).collect();
    assert_eq!(dequantise(TensorType::Q5_0, &five, 32), expected);
}

#[test]
fn q6_k_by_hand() {
    let q = |i: usize| (i * 11 + i / 16) % 64;
    let mut block = vec![0u8; 210];
    for i in 0..256 {
        let (half, k, l) = (i / 128, i / 32 % 4, i % 32);
        block[64 * half + l + 32 * (k % 2)] |= ((q(i) & 15) << (4 * (k / 2))) as u8;
        block[128 + 32 * half + l] |= ((q(i) >> 4) << (2 * k)) as u8;
    }
    for j in 0..16 {
        block[192 + j] = (j as i32 * 9 - 70) as i8 as u8;
    }
    block[208..].copy_from_slice(&half(0.5));
    let expected: Vec<f32> = (0..256)
        .map(|i| 0.5 * (i as i32 / 16 * 9 - 70) as f32 * (q(i) as i32 - 32) as f32)
        .collect();
    assert_eq!(dequantise(TensorType::Q6_K, &block, 256), expected);
}

fn one_tensor(kind: TensorType, k: usize, n: usize, random: &mut Random) -> Gguf {
    let mut writer = GgufWriter::new();
    let bytes = weights(kind, n * k, 0.5, random);
    writer.tensor("w", &[k as u64, n as u64], kind, bytes);
    Gguf::read(Source::from_vec(writer.finish())).unwrap()
}

fn multiply_as(gguf: &Gguf, x: &[f32], level: Level, threads: usize, repack: Repack) -> Vec<f32> {
    let info = gguf.tensor("w").unwrap();
    let context = CpuContext::new(level, Pool::new(threads).unwrap(), repack);
    let weights = [context.weight(gguf, info).unwrap()];
    let (n, k) = (weights[0].n(), weights[0].k());
    let mut rows = Activations::default();
    rows.fill(&[weights[0].activation()], (x, k), (level, &context.pool));
    let stride = n + 3;
    let mut out = vec![7.0; rows.n_rows() * stride + 2];
    linear::multiply(
        &weights,
        &rows,
        (&mut out[2..][..rows.n_rows() * stride], stride),
        Store::Set,
        &context.pool,
    );
    for row in out.chunks_exact(stride) {
        assert!(row[0] == 7.0 && row[1] == 7.0 && row[stride - 1] == 7.0, "wrote outside");
    }
    out.chunks_exact(stride).flat_map(|row| row[2..stride - 1].to_vec()).collect()
}

fn multiply(gguf: &Gguf, x: &[f32], level: Level, threads: usize) -> Vec<f32> {
    multiply_as(gguf, x, level, threads, Repack::Always)
}

#[test]
fn every_level_has_the_bits_of_the_scalar_reference() {
    let mut random = Random(11);
    for format in quant::all() {
        let kind = format.tensor_type();
        for (n, n_rows) in [(1, 1), (16, 2), (37, 7), (300, 15), (40, 137)] {
            let k = if kind.block_values() == 256 { 512 } else { 96 };
            let gguf = one_tensor(kind, k, n, &mut random);
            let x: Vec<f32> = (0..n_rows * k).map(|_| random.float() * 3.0).collect();
            let reference = multiply(&gguf, &x, Level::Scalar, 1);
            for level in Level::available() {
                for (threads, repack) in
                    [(1, Repack::Always), (3, Repack::Always), (1, Repack::Never)]
                {
                    let y = multiply_as(&gguf, &x, level, threads, repack);
                    assert!(
                        y.iter().zip(&reference).all(|(a, b)| a.to_bits() == b.to_bits()),
                        "{kind} n {n} rows {n_rows} {level:?} {threads} threads {repack:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn extreme_inputs_keep_the_bits() {
    let mut random = Random(5);
    for format in quant::all() {
        let kind = format.tensor_type();
        let k = if kind.block_values() == 256 { 256 } else { 64 };
        let gguf = one_tensor(kind, k, 20, &mut random);
        for x in [0.0, 1e-40, 1e30, f32::MAX, f32::NAN, f32::INFINITY] {
            let mut x = vec![x; k];
            x[3] = 1.0;
            x[5] = -2.0;
            let reference = multiply(&gguf, &x, Level::Scalar, 1);
            for level in Level::available() {
                for (a, b) in multiply(&gguf, &x, level, 1).iter().zip(&reference) {
                    assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{kind}");
                }
            }
        }
    }
}

#[test]
fn the_dot_is_close_to_f64() {
    let mut random = Random(3);
    for format in quant::all() {
        let kind = format.tensor_type();
        let (k, n) = (768, 24);
        let gguf = one_tensor(kind, k, n, &mut random);
        let x: Vec<f32> = (0..k).map(|_| random.float()).collect();
        let y = multiply(&gguf, &x, Level::Scalar, 1);
        let info = gguf.tensor("w").unwrap();
        let w = gguf.tensor_bytes(info);
        let (mut error, mut norm) = (0f64, 0f64);
        for (row, y) in w.chunks_exact(w.len() / n).zip(&y) {
            let exact: f64 = (dequantise(kind, row, k).iter().zip(&x))
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum();
            error += (f64::from(*y) - exact).powi(2);
            norm += exact * exact;
        }
        let relative = (error / norm).sqrt();
        // Float formats only round; the others carry the 8-bit input.
        let is_float = kind.block_values() == 1;
        assert!(relative < if is_float { 1e-6 } else { 1.5e-2 }, "{kind}: {relative:e}");
    }
}
