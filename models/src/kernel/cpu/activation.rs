//! Input rows of a linear layer, quantised once for all weights that share them.
//!
//! Called by the Flex `q_linear` operation; read by every format's dot.
//!
//! Per block of 32 or 256 values: `scale = max|x| / 127`, `q = round(x * (127 / max|x|))`, ties to
//! even, so |q| <= 127. The sums of 16 and 32 quantised values ride along for formats with an
//! offset or a minimum. Float formats read the values themselves, padded with zeros to 32.

use std::sync::{Mutex, PoisonError};

use super::{Pool, level::schedules};
use crate::kernel::cpu::Level;

/// From this many rows on, all threads quantise.
const ROWS_FOR_THREADS: usize = 8;

/// What a weight format wants its input to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActivationKind {
    /// f32 values.
    Float,
    /// i8 with a scale per 32.
    Blocks32,
    /// i8 with a scale per 256.
    Blocks256,
}

impl ActivationKind {
    /// Values per block; rows are padded to it.
    pub const fn block(self) -> usize {
        match self {
            Self::Float | Self::Blocks32 => 32,
            Self::Blocks256 => 256,
        }
    }
}

/// One input row as the dots read it. Fields that the kind does not need are empty.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    /// The values, for [`ActivationKind::Float`].
    pub values: &'a [f32],
    /// Quantised values.
    pub q: &'a [i8],
    /// One scale per block.
    pub scales: &'a [f32],
    /// Sums of 16 quantised values.
    pub sums16: &'a [i32],
    /// Sums of 32 quantised values.
    pub sums32: &'a [i32],
}

/// Where one quantised row goes; see [`RowView`].
#[derive(Debug)]
pub struct QuantisedRow<'a> {
    q: &'a mut [i8],
    scales: &'a mut [f32],
    sums16: &'a mut [i32],
    sums32: &'a mut [i32],
}

/// Rows in one form, ready for linear layers.
#[derive(Debug)]
pub struct Activations {
    n_rows: usize,
    padded: usize,
    block: usize,
    values: Vec<f32>,
    q: Vec<i8>,
    scales: Vec<f32>,
    sums16: Vec<i32>,
    sums32: Vec<i32>,
}

impl Activations {
    /// Converts the rows `x`, `[n_rows, length]`. Rows of quantised kinds are whole blocks.
    pub fn new(kind: ActivationKind, x: &[f32], length: usize, level: Level, pool: &Pool) -> Self {
        let n_rows = x.len() / length;
        let block = kind.block();
        let padded = length.next_multiple_of(block);
        let mut this = Self {
            n_rows,
            padded,
            block,
            values: Vec::new(),
            q: Vec::new(),
            scales: Vec::new(),
            sums16: Vec::new(),
            sums32: Vec::new(),
        };
        if kind == ActivationKind::Float {
            this.values = vec![0.0; n_rows * padded];
            for (to, from) in this.values.chunks_exact_mut(padded).zip(x.chunks_exact(length)) {
                to[..length].copy_from_slice(from);
            }
            return this;
        }
        debug_assert_eq!(padded, length, "quantised rows are whole blocks");
        this.q = vec![0; x.len()];
        this.scales = vec![0.0; x.len() / block];
        this.sums16 = vec![0; x.len() / 16];
        this.sums32 = vec![0; x.len() / 32];
        let rows: Vec<_> = (this.q.chunks_exact_mut(length))
            .zip(this.scales.chunks_exact_mut(length / block))
            .zip(this.sums16.chunks_exact_mut(length / 16))
            .zip(this.sums32.chunks_exact_mut(length / 32))
            .map(|(((q, scales), sums16), sums32)| QuantisedRow { q, scales, sums16, sums32 })
            .map(Mutex::new)
            .collect();
        let run = |row: usize| {
            let mut to = rows[row].lock().unwrap_or_else(PoisonError::into_inner);
            quantise(level, &x[row * length..(row + 1) * length], block, &mut to);
        };
        if n_rows < ROWS_FOR_THREADS {
            (0..n_rows).for_each(run);
        } else {
            pool.run(n_rows, &run);
        }
        drop(rows);
        this
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// One row.
    pub fn row(&self, i: usize) -> RowView<'_> {
        fn part<T>(all: &[T], i: usize, each: usize) -> &[T] {
            if all.is_empty() { all } else { &all[i * each..(i + 1) * each] }
        }
        RowView {
            values: part(&self.values, i, self.padded),
            q: part(&self.q, i, self.padded),
            scales: part(&self.scales, i, self.padded / self.block),
            sums16: part(&self.sums16, i, self.padded / 16),
            sums32: part(&self.sums32, i, self.padded / 32),
        }
    }
}

schedules! {
    /// Quantises one row in blocks of `block` values.
    pub fn quantise(x: &[f32], block: usize, to: &mut QuantisedRow<'_>) {
        let QuantisedRow { q, scales, sums16, sums32 } = to;
        for (b, scale) in scales.iter_mut().enumerate() {
            let x = &x[b * block..(b + 1) * block];
            let q = &mut q[b * block..(b + 1) * block];
            let mut largest = [0f32; 16];
            for part in x.as_chunks::<16>().0 {
                for (largest, x) in largest.iter_mut().zip(part) {
                    let magnitude = x.abs();
                    *largest = if magnitude > *largest { magnitude } else { *largest };
                }
            }
            let largest = largest.iter().fold(0f32, |a, b| if *b > a { *b } else { a });
            *scale = largest / 127.0;
            // Below this the inverse would overflow; such a block is zero to 8 bits anyway.
            let inverse = if largest > 1e-35 { 127.0 / largest } else { 0.0 };
            let sums16 = &mut sums16[b * block / 16..(b + 1) * block / 16];
            for ((part, q), sum) in
                x.as_chunks::<16>().0.iter().zip(q.as_chunks_mut::<16>().0).zip(sums16)
            {
                let mut total = 0i32;
                for (x, q) in part.iter().zip(q) {
                    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even; the low
                    // byte of the bits is then that integer. Not-a-number counts as zero here:
                    // the residual stream around the layer still carries it.
                    let scaled = x * inverse;
                    let scaled = if scaled.abs() <= 127.5 { scaled } else { 0.0 };
                    let rounded = (scaled + 12_582_912.0).to_bits() as i8;
                    *q = rounded;
                    total += i32::from(rounded);
                }
                *sum = total;
            }
        }
        for (sum, pair) in sums32.iter_mut().zip(sums16.as_chunks::<2>().0) {
            *sum = pair[0] + pair[1];
        }
    }
}
