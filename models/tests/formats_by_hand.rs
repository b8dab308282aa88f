//! Every weight format: the values of a block written by hand from the published layout.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

use half::f16;
use swarmllm_models::{gguf::TensorType, quant};

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
fn q4_1_and_q5_1_by_hand() {
    let q = |i: usize| (i * 13 + 5) % 32;
    let head = [half(0.25), half(-3.5)].concat();
    let nibbles: Vec<u8> = (0..16).map(|l| (q(l) & 15 | (q(16 + l) & 15) << 4) as u8).collect();
    let four = [&head[..], &nibbles].concat();
    let expected: Vec<f32> = (0..32).map(|i| 0.25 * (q(i) & 15) as f32 - 3.5).collect();
    assert_eq!(dequantise(TensorType::Q4_1, &four, 32), expected);
    let fifth: u32 = (0..32).map(|i| (q(i) as u32 >> 4) << i).sum();
    let five = [&head[..], &fifth.to_le_bytes(), &nibbles].concat();
    let expected: Vec<f32> = (0..32).map(|i| 0.25 * q(i) as f32 - 3.5).collect();
    assert_eq!(dequantise(TensorType::Q5_1, &five, 32), expected);
}

const TABLE: [i32; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[test]
fn iq4_nl_by_hand() {
    let q = |i: usize| (i * 7 + 3 + i / 16) % 16;
    let mut block = half(0.5).to_vec();
    block.extend((0..16).map(|l| (q(l) | q(16 + l) << 4) as u8));
    let expected: Vec<f32> = (0..32).map(|i| 0.5 * TABLE[q(i)] as f32).collect();
    assert_eq!(dequantise(TensorType::IQ4_NL, &block, 32), expected);
}

#[test]
fn iq4_xs_by_hand() {
    let q = |i: usize| (i * 11 + i / 32) % 16;
    let scale = |j: usize| (j * 9 + 2) % 64;
    let mut block = half(0.5).to_vec();
    let high: u16 = (0..8).map(|j| (scale(j) as u16 >> 4) << (2 * j)).sum();
    block.extend(high.to_le_bytes());
    block.extend((0..4).map(|i| (scale(2 * i) & 15 | (scale(2 * i + 1) & 15) << 4) as u8));
    for j in 0..8 {
        block.extend((0..16).map(|l| (q(32 * j + l) | q(32 * j + 16 + l) << 4) as u8));
    }
    let expected: Vec<f32> =
        (0..256).map(|i| 0.5 * ((scale(i / 32) as i32 - 32) * TABLE[q(i)]) as f32).collect();
    assert_eq!(dequantise(TensorType::IQ4_XS, &block, 256), expected);
}

#[test]
fn q2_k_by_hand() {
    let q = |i: usize| (i * 3 + i / 16 + i / 128) % 4;
    let (scale, minimum) = (|j: usize| (j * 5 + 1) % 16, |j: usize| (j * 11 + 3) % 16);
    let mut block: Vec<u8> = (0..16).map(|j| (scale(j) | minimum(j) << 4) as u8).collect();
    block.resize(80, 0);
    for i in 0..256 {
        block[16 + 32 * (i / 128) + i % 32] |= (q(i) << (2 * (i / 32 % 4))) as u8;
    }
    block.extend([half(0.5), half(0.125)].concat());
    let expected: Vec<f32> = (0..256)
        .map(|i| 0.5 * (scale(i / 16) * q(i)) as f32 - 0.125 * minimum(i / 16) as f32)
        .collect();
    assert_eq!(dequantise(TensorType::Q2_K, &block, 256), expected);
}

#[test]
fn q3_k_by_hand() {
    let q = |i: usize| (i * 5 + i / 16) % 8;
    let scale = |j: usize| (j * 13 + 7) % 64;
    let mut block = vec![0u8; 110];
    for i in 0..256 {
        let (half, k, l) = (i / 128, i / 32 % 4, i % 32);
        block[l] |= ((q(i) >> 2) << (4 * half + k)) as u8;
        block[32 + 32 * half + l] |= ((q(i) & 3) << (2 * k)) as u8;
    }
    for j in 0..16 {
        block[96 + j % 8] |= ((scale(j) & 15) << (4 * (j / 8))) as u8;
        block[104 + j % 4] |= ((scale(j) >> 4) << (2 * (j / 4))) as u8;
    }
    block[108..].copy_from_slice(&half(0.5));
    let expected: Vec<f32> =
        (0..256).map(|i| 0.5 * ((scale(i / 16) as i32 - 32) * (q(i) as i32 - 4)) as f32).collect();
    assert_eq!(dequantise(TensorType::Q3_K, &block, 256), expected);
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
