//! Every weight format: the dot against f64, every SIMD level against the scalar reference, bit by
//! bit and with the largest and smallest weights, and the refusal of scales that are not numbers.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

use common::{Random, float_places, set_float, weights};
use swarmllm_models::{
    gguf::{Gguf, GgufWriter, Source, TensorType},
    kernel::cpu::{
        Level, Pool,
        activation::Activations,
        linear::{self, Repack, WeightError},
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

fn one_tensor(kind: TensorType, k: usize, n: usize, random: &mut Random) -> Gguf {
    tensor_of(kind, (k, n), weights(kind, n * k, 0.5, random))
}

fn tensor_of(kind: TensorType, (k, n): (usize, usize), bytes: Vec<u8>) -> Gguf {
    let mut writer = GgufWriter::new();
    writer.tensor("w", &[k as u64, n as u64], kind, bytes);
    Gguf::read(Source::from_vec(writer.finish())).unwrap()
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    a.len() == b.len() && a.iter().zip(b).all(same)
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
        for (n, n_rows) in [(1, 1), (16, 2), (33, 3), (20, 4), (37, 7), (300, 15), (40, 137)] {
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
                assert!(same_bits(&multiply(&gguf, &x, level, 1), &reference), "{kind}");
            }
        }
    }
}

/// Rows of two blocks of equal bytes, or of any, with the largest and smallest finite scales.
fn extreme_rows(kind: TensorType, k: usize, random: &mut Random) -> Vec<u8> {
    // The largest f16 and the smallest; for formats with other floats, those of the format.
    let (largest, smallest) = match kind {
        TensorType::F32 => (f32::MAX, f32::from_bits(1)),
        TensorType::BF16 => (f32::from_bits(0x7f7f_0000), f32::from_bits(0x1_0000)),
        _ => (65504.0, 2f32.powi(-24)),
    };
    let values = [largest, -largest, smallest, -smallest, 0.0, -0.0];
    let mut rows = Vec::new();
    for fill in [Some(0xff), Some(0), None] {
        for i in 0..values.len() * values.len() {
            let mut row = weights(kind, k, 1.0, random);
            for block in row.chunks_exact_mut(kind.block_bytes() as usize) {
                if let Some(fill) = fill {
                    block.fill(fill);
                }
                for (which, at) in float_places(kind).iter().enumerate() {
                    let value =
                        values[if which == 0 { i / values.len() } else { i % values.len() }];
                    set_float(kind, block, *at, value);
                }
            }
            rows.extend(row);
        }
    }
    rows
}

#[test]
fn extreme_weights_keep_the_bits() {
    let mut random = Random(17);
    for format in quant::all() {
        let kind = format.tensor_type();
        let k = if kind.block_values() == 256 { 512 } else { 64 };
        let rows = extreme_rows(kind, k, &mut random);
        let n = rows.len() / kind.row_bytes(k as u64).unwrap() as usize;
        let gguf = tensor_of(kind, (k, n), rows);
        for n_rows in [1, 13] {
            let mut x: Vec<f32> = (0..n_rows * k).map(|_| random.float() * 3.0).collect();
            // All inputs at the border of their range, of one sign and of both.
            x[..k].fill(1.0);
            x.iter_mut().skip(k).take(k).for_each(|x| *x = x.signum());
            x.iter_mut().skip(2 * k).take(k).for_each(|x| *x = -0.0);
            let reference = multiply(&gguf, &x, Level::Scalar, 1);
            for level in Level::available() {
                for repack in [Repack::Always, Repack::Never] {
                    let y = multiply_as(&gguf, &x, level, 1, repack);
                    assert!(same_bits(&y, &reference), "{kind} {level:?} {repack:?}");
                }
            }
        }
    }
}

#[test]
fn scales_that_are_not_finite_are_refused() {
    let mut random = Random(23);
    for format in quant::all() {
        let kind = format.tensor_type();
        let (k, n, row, block) = (768, 20, 17, 2);
        let intact = weights(kind, n * k, 0.5, &mut random);
        // Blocks as the dot sees them: float formats have blocks of 32 values.
        let block_bytes = intact.len() / n / format.n_blocks(k);
        for (at, value) in float_places(kind).iter().flat_map(|at| {
            [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|value| (*at, value))
        }) {
            let mut bytes = intact.clone();
            let first = (row * format.n_blocks(k) + block) * block_bytes;
            set_float(kind, &mut bytes[first..first + block_bytes], at, value);
            let gguf = tensor_of(kind, (k, n), bytes);
            for (level, repack) in Level::available()
                .into_iter()
                .flat_map(|level| [Repack::Always, Repack::Never].map(|repack| (level, repack)))
            {
                let context = CpuContext::new(level, Pool::new(2).unwrap(), repack);
                let error = context.weight(&gguf, gguf.tensor("w").unwrap()).unwrap_err();
                assert!(matches!(error, WeightError::Scale { .. }), "{kind}: {error}");
                let text = error.to_string();
                assert!(text.contains("row 17") && text.contains("block 2"), "{kind}: {text}");
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
