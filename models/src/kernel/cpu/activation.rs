//! Input rows of a linear layer, quantised once for all weights that share them.
//!
//! Called by the block operations of `kernel::cpu`; read by every format's dot.
//!
//! Per block of 32 or 256 values: `scale = max|x| / 127`, `q = round(x * (127 / max|x|))`, ties to
//! even, so |q| <= 127. Sums of the quantised values ride along for formats with an offset or a
//! minimum. Float formats read the values themselves, padded with zeros to 32.
//!
//! Layout: `[n_blocks][n_rows]`, so that the rows of a tile lie side by side at a fixed distance.

use super::{Level, Pool, level::schedules, shared::SharedMut};

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

/// 32 values, zeros behind the end of a row.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FloatBlock(pub [f32; 32]);

/// 32 quantised values.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Block32 {
    /// The values.
    pub q: [i8; 32],
    /// What they are multiplied with.
    pub scale: f32,
    /// Minus their sum.
    pub negative_sum: i32,
}

/// 256 quantised values.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Block256 {
    /// The values.
    pub q: [i8; 256],
    /// Minus the sum of each 16.
    pub negative_sums: [i32; 16],
    /// The sum of each 16 is `128 * high + low`, low in -64..64; first all highs, then all lows.
    pub sums16: [[i8; 16]; 2],
    /// The same of each 32.
    pub sums32: [[i8; 8]; 2],
    /// What the values are multiplied with.
    pub scale: f32,
}

/// One block of an input row, as a weight format reads it.
pub trait InputBlock: Copy + Send + Sync + 'static {
    /// What this is.
    const KIND: ActivationKind;
    /// Values in it.
    const VALUES: usize;
    /// Converts `VALUES` values; a shorter slice is followed by zeros.
    fn new(x: &[f32]) -> Self;
    /// All blocks of the rows.
    fn of(activations: &Activations) -> &[Self];
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for part in x.as_chunks::<16>().0 {
        for (lane, x) in lanes.iter_mut().zip(part) {
            let magnitude = x.abs();
            *lane = if magnitude > *lane { magnitude } else { *lane };
        }
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = if lanes[i + half] > lanes[i] { lanes[i + half] } else { lanes[i] };
        }
    }
    lanes[0]
}

/// Quantises 16 values and gives minus their sum.
#[inline(always)]
fn quantise16(x: &[f32; 16], inverse: f32, q: &mut [i8; 16]) -> i32 {
    let mut total = 0i32;
    for (x, q) in x.iter().zip(q) {
        // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even; the low byte of the bits
        // is then that integer. Not-a-number counts as zero here: the residual stream around the
        // layer still carries it.
        let scaled = x * inverse;
        let scaled = if scaled.abs() <= 127.5 { scaled } else { 0.0 };
        let rounded = (scaled + 12_582_912.0).to_bits() as i8;
        *q = rounded;
        total -= i32::from(rounded);
    }
    total
}

/// Below 1e-35 the inverse would overflow; such a block is zero to 8 bits anyway.
#[inline(always)]
fn inverse_scale(largest: f32) -> f32 {
    if largest > 1e-35 { 127.0 / largest } else { 0.0 }
}

/// Sums as `128 * high + low`, low in -64..64.
#[inline(always)]
fn high_and_low<const N: usize>(sums: &[i32; N]) -> [[i8; N]; 2] {
    let mut bytes = [[0i8; N]; 2];
    for (j, sum) in sums.iter().enumerate() {
        let high = (sum + 64) >> 7;
        bytes[0][j] = high as i8;
        bytes[1][j] = (sum - (high << 7)) as i8;
    }
    bytes
}

impl InputBlock for FloatBlock {
    const KIND: ActivationKind = ActivationKind::Float;
    const VALUES: usize = 32;

    #[inline(always)]
    fn new(x: &[f32]) -> Self {
        let mut values = [0f32; 32];
        values[..x.len()].copy_from_slice(x);
        Self(values)
    }

    fn of(activations: &Activations) -> &[Self] {
        &activations.floats
    }
}

impl InputBlock for Block32 {
    const KIND: ActivationKind = ActivationKind::Blocks32;
    const VALUES: usize = 32;

    #[inline(always)]
    fn new(x: &[f32]) -> Self {
        let mut q = [0i8; 32];
        let largest = largest(x);
        let inverse = inverse_scale(largest);
        let negative_sum = (x.as_chunks::<16>().0.iter().zip(q.as_chunks_mut::<16>().0))
            .map(|(x, q)| quantise16(x, inverse, q))
            .sum();
        Self { q, scale: largest / 127.0, negative_sum }
    }

    fn of(activations: &Activations) -> &[Self] {
        &activations.blocks32
    }
}

impl InputBlock for Block256 {
    const KIND: ActivationKind = ActivationKind::Blocks256;
    const VALUES: usize = 256;

    #[inline(always)]
    fn new(x: &[f32]) -> Self {
        let mut q = [0i8; 256];
        let mut negative_sums = [0i32; 16];
        let largest = largest(x);
        let inverse = inverse_scale(largest);
        let parts = x.as_chunks::<16>().0.iter().zip(q.as_chunks_mut::<16>().0);
        for ((x, q), sum) in parts.zip(&mut negative_sums) {
            *sum = quantise16(x, inverse, q);
        }
        let sums16 = high_and_low(&negative_sums.map(|sum| -sum));
        let mut pairs = [0; 8];
        for (pair, sums) in pairs.iter_mut().zip(negative_sums.as_chunks::<2>().0) {
            *pair = -(sums[0] + sums[1]);
        }
        Self { q, negative_sums, sums16, sums32: high_and_low(&pairs), scale: largest / 127.0 }
    }

    fn of(activations: &Activations) -> &[Self] {
        &activations.blocks256
    }
}

/// Rows in the forms that some weights want. The memory is kept for the next rows.
#[derive(Debug, Default)]
pub struct Activations {
    n_rows: usize,
    length: usize,
    floats: Vec<FloatBlock>,
    blocks32: Vec<Block32>,
    blocks256: Vec<Block256>,
}

impl Activations {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values per row.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Makes room for rows in these forms, to be written by [`Activations::writer`].
    pub fn prepare(&mut self, kinds: &[ActivationKind], n_rows: usize, length: usize) {
        fn room<B: InputBlock>(blocks: &mut Vec<B>, wanted: bool, n_rows: usize, length: usize) {
            let n = if wanted { n_rows * length.div_ceil(B::VALUES) } else { 0 };
            if blocks.len() < n {
                blocks.resize(n, B::new(&[0.0; 256][..B::VALUES]));
            }
        }
        (self.n_rows, self.length) = (n_rows, length);
        let wanted = |kind| kinds.contains(&kind);
        room(&mut self.floats, wanted(ActivationKind::Float), n_rows, length);
        room(&mut self.blocks32, wanted(ActivationKind::Blocks32), n_rows, length);
        room(&mut self.blocks256, wanted(ActivationKind::Blocks256), n_rows, length);
    }

    /// Lets several threads write different rows.
    pub fn writer<'a>(&'a mut self, kinds: &'a [ActivationKind], level: Level) -> Writer<'a> {
        Writer {
            n_rows: self.n_rows,
            kinds,
            level,
            floats: SharedMut::new(&mut self.floats),
            blocks32: SharedMut::new(&mut self.blocks32),
            blocks256: SharedMut::new(&mut self.blocks256),
        }
    }

    /// Converts the rows `x`, `[n_rows, length]`. Rows of quantised kinds are whole blocks.
    pub fn fill(
        &mut self,
        kinds: &[ActivationKind],
        (x, length): (&[f32], usize),
        (level, pool): (Level, &Pool),
    ) {
        let n_rows = x.len() / length;
        self.prepare(kinds, n_rows, length);
        let writer = self.writer(kinds, level);
        for_rows(n_rows, pool, &|row| {
            // SAFETY: every row is written by one call.
            unsafe { writer.write(row, &x[row * length..(row + 1) * length]) };
        });
    }
}

/// Calls `task` for every row, on all threads when there are enough rows.
pub fn for_rows(n_rows: usize, pool: &Pool, task: &(dyn Fn(usize) + Sync)) {
    if n_rows < ROWS_FOR_THREADS {
        (0..n_rows).for_each(task);
    } else {
        pool.split(n_rows, 4, &|rows| rows.for_each(task));
    }
}

/// See [`Activations::writer`].
pub struct Writer<'a> {
    n_rows: usize,
    kinds: &'a [ActivationKind],
    level: Level,
    floats: SharedMut<'a, FloatBlock>,
    blocks32: SharedMut<'a, Block32>,
    blocks256: SharedMut<'a, Block256>,
}

impl Writer<'_> {
    /// Converts one row.
    ///
    /// # Safety
    ///
    /// No two calls at the same time write the same row.
    pub unsafe fn write(&self, row: usize, x: &[f32]) {
        for kind in self.kinds {
            match kind {
                ActivationKind::Float => {
                    let to = self.floats.from(row);
                    write_floats(self.level, x, to, self.n_rows);
                }
                ActivationKind::Blocks32 => {
                    let to = self.blocks32.from(row);
                    write_blocks32(self.level, x, to, self.n_rows);
                }
                ActivationKind::Blocks256 => {
                    let to = self.blocks256.from(row);
                    write_blocks256(self.level, x, to, self.n_rows);
                }
            }
        }
    }
}

#[inline(always)]
fn write_blocks<B: InputBlock>(x: &[f32], to: *mut B, stride: usize) {
    for (b, x) in x.chunks(B::VALUES).enumerate() {
        // SAFETY: `Writer::write` gives the place of the first block, the others follow.
        unsafe { to.add(b * stride).write(B::new(x)) };
    }
}

schedules! {
    /// Writes blocks `stride` apart.
    fn write_floats(x: &[f32], to: *mut FloatBlock, stride: usize) {
        write_blocks(x, to, stride);
    }
}

schedules! {
    /// Writes blocks `stride` apart.
    fn write_blocks32(x: &[f32], to: *mut Block32, stride: usize) {
        write_blocks(x, to, stride);
    }
}

schedules! {
    /// Writes blocks `stride` apart.
    fn write_blocks256(x: &[f32], to: *mut Block256, stride: usize) {
        write_blocks(x, to, stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_values() {
        let x: Vec<f32> = (0..256).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.3).collect();
        for x in [&x, &vec![1.0; 256], &vec![-1.0; 256]] {
            let block = Block256::new(x);
            for (j, part) in block.q.as_chunks::<32>().0.iter().enumerate() {
                let sum: i32 = part.iter().map(|q| i32::from(*q)).sum();
                let [high, low] = [block.sums32[0][j], block.sums32[1][j]].map(i32::from);
                assert_eq!(high * 128 + low, sum);
                assert_eq!(-block.negative_sums[2 * j] - block.negative_sums[2 * j + 1], sum);
            }
            for (j, sum) in block.negative_sums.into_iter().enumerate() {
                let [high, low] = [block.sums16[0][j], block.sums16[1][j]].map(i32::from);
                assert_eq!(high * 128 + low, -sum);
            }
            let small = Block32::new(&x[..32]);
            assert_eq!(small.negative_sum, -small.q.iter().map(|q| i32::from(*q)).sum::<i32>());
        }
    }
}
