//! The loops over groups of 16 output rows, one instance per format and instruction set.
//!
//! Called by `linear`. Up to four input rows: every block of a group is folded straight from its
//! interleaved form (GEMV). More rows: a block is unpacked once into a panel in the first-level
//! cache and folded for tiles of 8, 4 and 1 inputs (GEMM). Both are the same arithmetic: per
//! output element one chain over blocks in ascending order.

use super::{
    Level,
    activation::{Activations, InputBlock},
    lanes::{LANES, Lanes},
};
use crate::quant::Block;

/// Input rows whose running sums stay in the first-level cache.
const ROWS: usize = 128;
/// Values of a row that are folded before the next tile of inputs is taken.
const STEP_VALUES: usize = 256;
/// Room for one step, interleaved or as panels.
const STEP_BYTES: usize = 16 << 10;

/// Where a group's weights come from.
#[derive(Clone, Copy, Debug)]
pub enum Groups<'a> {
    /// Interleaved already: all groups, one after the other.
    Interleaved(&'a [u8]),
    /// Rows as in the file, interleaved when they are used.
    Rows {
        /// All rows of the matrix.
        bytes: &'a [u8],
        /// Bytes of one row.
        row_bytes: usize,
    },
}

/// What happens to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It is written.
    Set,
    /// It is added to what is there.
    Add,
    /// It is added to what is there, and the sum rounded to f16.
    AddRounded,
}

/// A range of groups times all input rows.
#[derive(Debug)]
pub struct GroupJob<'a> {
    /// The weights.
    pub groups: Groups<'a>,
    /// Which groups.
    pub range: std::ops::Range<usize>,
    /// Blocks per row.
    pub n_blocks: usize,
    /// Rows of the whole matrix.
    pub n: usize,
    /// The inputs.
    pub x: &'a Activations,
    /// Where the first row's first column of the range goes.
    pub out: *mut f32,
    /// Values between two output rows.
    pub stride: usize,
    /// How they go there.
    pub store: Store,
}

/// One format's loop at one instruction set, which the processor must have. Output rows must be
/// writable for all columns of the range.
pub type GroupKernel = unsafe fn(&GroupJob<'_>);

/// The kernel of a format at a level; none at the scalar level.
pub fn kernel<B: Block>(level: Level) -> Option<GroupKernel> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => Some(avx2::<B>),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(proof) if proof.wants_prefetch() => Some(avx512_ahead::<B>),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => Some(avx512::<B>),
        Level::Portable => Some(run::<B, super::lanes::portable::Portable>),
        Level::Scalar => None,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<B: Block>(job: &GroupJob<'_>) {
    // SAFETY: the instruction set is there, the rest is the caller's promise.
    unsafe { run::<B, super::lanes::avx2::Avx2>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<B: Block>(job: &GroupJob<'_>) {
    // SAFETY: the instruction set is there, the rest is the caller's promise.
    unsafe { run::<B, super::lanes::avx512::Avx512>(job) }
}

/// As [`avx512`], asking for the weights of a single row ahead of their use.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512_ahead<B: Block>(job: &GroupJob<'_>) {
    const AHEAD: usize = 1024;
    // SAFETY: as above.
    unsafe {
        if job.x.n_rows() == 1 {
            Run::<B>::new(job).few::<super::lanes::avx512::Avx512<AHEAD>, 1>();
        } else {
            avx512::<B>(job);
        }
    }
}

/// Memory for one step of a group, aligned for the widest registers.
#[repr(C, align(64))]
struct Step(std::mem::MaybeUninit<[u8; STEP_BYTES]>);

impl Step {
    fn new() -> Self {
        Self(std::mem::MaybeUninit::uninit())
    }
}

struct Run<'a, B: Block> {
    job: &'a GroupJob<'a>,
    x: &'a [B::Input],
    /// Interleaved rows, when they are not interleaved already.
    scratch: Step,
    panel: Step,
}

#[inline(always)]
unsafe fn run<B: Block, L: Lanes>(job: &GroupJob<'_>) {
    let mut run = Run::<B>::new(job);
    // SAFETY: the caller's promise; `few` gets the number of rows there are.
    unsafe {
        match job.x.n_rows() {
            1 => run.few::<L, 1>(),
            2 => run.few::<L, 2>(),
            3 => run.few::<L, 3>(),
            4 => run.few::<L, 4>(),
            _ => run.many::<L>(),
        }
    }
}

impl<'a, B: Block> Run<'a, B> {
    #[inline(always)]
    fn new(job: &'a GroupJob<'a>) -> Self {
        let x = B::Input::of(job.x);
        assert!(x.len() >= job.n_blocks * job.x.n_rows(), "inputs of another length");
        Self { job, x, scratch: Step::new(), panel: Step::new() }
    }
}

impl<B: Block> Run<'_, B> {
    const STEP: usize = STEP_VALUES / B::VALUES;
    const FITS: () = assert!(
        Self::STEP * B::GROUP_BYTES <= STEP_BYTES && Self::STEP * B::PANEL_BYTES <= STEP_BYTES
    );

    /// The interleaved blocks from `b` on, `n` of them.
    #[inline(always)]
    fn blocks(&mut self, group: usize, b: usize, n: usize) -> *const u8 {
        match self.job.groups {
            Groups::Interleaved(bytes) => {
                bytes[(group * self.job.n_blocks + b) * B::GROUP_BYTES..].as_ptr()
            }
            Groups::Rows { bytes, row_bytes } => {
                self.interleave(&bytes[group * LANES * row_bytes..], row_bytes, b, n)
            }
        }
    }

    #[inline(never)]
    fn interleave(&mut self, group: &[u8], row_bytes: usize, b: usize, n: usize) -> *const u8 {
        let () = Self::FITS;
        let mut rows = group.chunks_exact(row_bytes);
        let rows: [&[u8]; LANES] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        // SAFETY: bytes may hold anything once they are written, and are only read where written.
        let out = unsafe { &mut *self.scratch.0.as_mut_ptr().cast::<[u8; STEP_BYTES]>() };
        for (i, out) in out.chunks_exact_mut(B::GROUP_BYTES).enumerate().take(n) {
            let part = |row: &&_| {
                let row: &[u8] = row;
                let at = |b: usize| (b * B::BYTES).min(row.len());
                at(b + i)..at(b + i + 1)
            };
            let blocks = rows.each_ref().map(|row| &row[part(row)]);
            B::interleave(&blocks, out);
        }
        out.as_ptr()
    }

    /// `T` input rows, which are all, times blocks as they lie.
    #[inline(always)]
    unsafe fn few<L: Lanes, const T: usize>(&mut self) {
        for group in self.job.range.clone() {
            // SAFETY: block b of the group and of the T input rows; see `run`.
            unsafe {
                let mut sums = [L::splat(0.0); T];
                let mut b = 0;
                while b < self.job.n_blocks {
                    let n = Self::STEP.min(self.job.n_blocks - b);
                    let weights = self.blocks(group, b, n);
                    for i in 0..n {
                        let block = weights.add(i * B::GROUP_BYTES);
                        let x = self.x.as_ptr().add((b + i) * T);
                        B::fold_group::<L, T>(block, x, &mut sums);
                    }
                    b += n;
                }
                for (row, sum) in sums.into_iter().enumerate() {
                    self.finish::<L>(group, row, sum);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn many<L: Lanes>(&mut self) {
        let n_rows = self.job.x.n_rows();
        let mut sums = [[0f32; LANES]; ROWS];
        for first in (0..n_rows).step_by(ROWS) {
            let rows = ROWS.min(n_rows - first);
            for group in self.job.range.clone() {
                sums[..rows].fill([0.0; LANES]);
                let mut b = 0;
                while b < self.job.n_blocks {
                    let n = Self::STEP.min(self.job.n_blocks - b);
                    // SAFETY: the blocks b..b + n of the group and of every input row; `sums` has
                    // all rows of this part.
                    unsafe {
                        let panel = self.panel::<L>(group, b, n);
                        let x = self.x.as_ptr().add(b * n_rows + first);
                        let mut row = 0;
                        while row + 8 <= rows {
                            self.tile::<L, 8>(panel, n, x.add(row), &mut sums[row..]);
                            row += 8;
                        }
                        if row + 4 <= rows {
                            self.tile::<L, 4>(panel, n, x.add(row), &mut sums[row..]);
                            row += 4;
                        }
                        while row < rows {
                            self.tile::<L, 1>(panel, n, x.add(row), &mut sums[row..]);
                            row += 1;
                        }
                    }
                    b += n;
                }
                for (row, sum) in sums[..rows].iter().enumerate() {
                    // SAFETY: see `run`.
                    unsafe {
                        let sum = L::load_f32(sum.as_ptr().cast());
                        self.finish::<L>(group, first + row, sum);
                    }
                }
            }
        }
    }

    /// The blocks as panels, or as they are when the format has no panels.
    #[inline(always)]
    unsafe fn panel<L: Lanes>(&mut self, group: usize, b: usize, n: usize) -> *const u8 {
        let weights = self.blocks(group, b, n);
        if B::PANEL_BYTES == 0 {
            return weights;
        }
        let panel = self.panel.0.as_mut_ptr().cast::<u8>();
        for i in 0..n {
            // SAFETY: `FITS` says that n panels fit.
            unsafe {
                let block = weights.add(i * B::GROUP_BYTES);
                B::unpack::<L>(block, panel.add(i * B::PANEL_BYTES));
            }
        }
        panel
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, const T: usize>(
        &self,
        panel: *const u8,
        n: usize,
        x: *const B::Input,
        sums: &mut [[f32; LANES]],
    ) {
        let n_rows = self.job.x.n_rows();
        let size = if B::PANEL_BYTES == 0 { B::GROUP_BYTES } else { B::PANEL_BYTES };
        let sums = &mut sums[..T];
        // SAFETY: see `many`.
        unsafe {
            let mut tile = [L::splat(0.0); T];
            for (tile, sum) in tile.iter_mut().zip(&*sums) {
                *tile = L::load_f32(sum.as_ptr().cast());
            }
            for i in 0..n {
                B::fold_panel::<L, T>(panel.add(i * size), x.add(i * n_rows), &mut tile);
            }
            for t in 0..T {
                L::store(sums[t].as_mut_ptr(), tile[t]);
            }
        }
    }

    /// Brings the products of a group with one input row to their place.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, group: usize, row: usize, sum: L::Float) {
        let job = self.job;
        let columns = (job.n - group * LANES).min(LANES);
        let column = (group - job.range.start) * LANES;
        // SAFETY: the output has these columns; a group at the matrix's end writes only its own.
        unsafe {
            let out = job.out.add(row * job.stride + column);
            if columns == LANES {
                L::store(out, stored::<L>(job.store, out, sum));
            } else {
                let mut lanes = [0f32; LANES];
                std::ptr::copy_nonoverlapping(out, lanes.as_mut_ptr(), columns);
                let to = lanes.as_mut_ptr();
                L::store(to, stored::<L>(job.store, to, sum));
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), out, columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn stored<L: Lanes>(store: Store, out: *const f32, sum: L::Float) -> L::Float {
    // SAFETY: 16 values are readable at `out`.
    unsafe {
        match store {
            Store::Set => sum,
            Store::Add => L::add(L::load_f32(out.cast()), sum),
            Store::AddRounded => L::round_f16(L::add(L::load_f32(out.cast()), sum)),
        }
    }
}
