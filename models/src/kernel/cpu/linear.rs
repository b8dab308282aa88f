//! Weights ready to multiply, and their distribution over threads.
//!
//! Called by the block operations of `kernel::cpu::network` and by tests. Threads take ranges of
//! groups of 16 output rows; the loops over a range are in `schedule`.
//!
//! Shapes: weight `[n, k]` (n output rows), inputs `[rows, k]`, outputs `[rows, stride]` from a
//! column on. A weight is repacked at load time (interleaved groups in memory of its own, see
//! `quant` and `memory`) or stays in the file and is interleaved piece by piece when it is used;
//! at the scalar level, the file's bytes are read as they are.
//!
//! Errors: [`WeightError`] when memory or format is missing, or a scale is not a number; tensors
//! that are only looked up are checked by [`check_rows`].

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations},
    lanes::LANES,
    memory::{Arena, Region},
    schedule::{GroupJob, GroupKernel, Groups, Store},
    shared::SharedMut,
};
use crate::{
    gguf::{Gguf, TensorInfo},
    quant::{self, BadScale, Format, UnsupportedType},
};

/// Multiply-adds below which an operation stays on the calling thread; about 10 microseconds.
const SERIAL_WORK: usize = 1 << 20;
/// Ranges per thread, so that a thread that was held up leaves its work to the others.
const PARTS: usize = 8;

/// Why a weight cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The format is known but not computed with.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedType),
    /// A scale is not a finite number.
    #[error("row {row}: {source}")]
    Scale {
        /// Which row of the matrix.
        row: usize,
        /// Which block.
        source: BadScale,
    },
    /// The system refused memory.
    #[error("no memory for {bytes} bytes of weights: {source}")]
    Memory {
        /// How much was wanted.
        bytes: usize,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Whether weights are laid out anew in memory when they are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repack {
    /// Yes: fastest. The file is not needed in memory afterwards.
    #[default]
    Always,
    /// No: only the file's pages are used, which the system may drop and read again.
    Never,
}

/// How and where weights are loaded.
#[derive(Debug)]
pub struct WeightLoader<'a> {
    /// The file.
    pub gguf: &'a Gguf,
    /// Instruction set.
    pub level: Level,
    /// Threads.
    pub pool: &'a Pool,
    /// Whether to repack.
    pub repack: Repack,
    /// Memory for repacked weights.
    pub arena: &'a Mutex<Arena>,
}

enum Data {
    /// The file's rows: read by the scalar reference, or interleaved when used.
    File { gguf: Gguf, start: usize, kernel: Option<GroupKernel> },
    /// Groups of 16 rows.
    Interleaved { region: Region, kernel: GroupKernel },
}

/// A weight matrix ready to multiply.
pub struct Weight {
    format: &'static dyn Format,
    n: usize,
    k: usize,
    row_bytes: usize,
    data: Data,
}

impl Weight {
    /// Checks and prepares a tensor; once repacked, the file's pages are not needed.
    pub fn load(loader: &WeightLoader<'_>, info: &TensorInfo) -> Result<Self, WeightError> {
        let format = quant::format(info.kind)?;
        let (n, k) = (info.n_rows() as usize, info.row_values() as usize);
        let row_bytes = info.n_bytes / n;
        let raw = loader.gguf.tensor_bytes(info);
        let kernel = format.kernel(loader.level);
        let data = match kernel.filter(|_| loader.repack == Repack::Always) {
            Some(kernel) => {
                let region = interleave(format, raw, (n, k), loader)?;
                loader.gguf.source().forget(info.start, info.n_bytes);
                Data::Interleaved { region, kernel }
            }
            None => {
                check_rows(format, raw, n, Some(loader.pool))?;
                Data::File { gguf: loader.gguf.clone(), start: info.start, kernel }
            }
        };
        Ok(Self { format, n, k, row_bytes, data })
    }

    /// Number of outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The form of the inputs.
    pub fn activation(&self) -> ActivationKind {
        self.format.activation()
    }

    /// Groups of 16 outputs, the last of which may have fewer.
    pub fn n_groups(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// Multiplies some groups with all rows of `x`; output row t goes to `out[t * stride..]`.
    ///
    /// # Safety
    ///
    /// `out` must be writable (and for the adding stores readable) for the columns of these groups
    /// in every row, and nobody else may use them meanwhile.
    pub unsafe fn multiply_groups(
        &self,
        range: Range<usize>,
        x: &Activations,
        (out, stride): (*mut f32, usize),
        store: Store,
    ) {
        assert!(range.end <= self.n_groups() && x.length() == self.k, "other sizes than planned");
        let (groups, kernel) = match &self.data {
            Data::Interleaved { region, kernel } => {
                (Groups::Interleaved(region.bytes()), Some(*kernel))
            }
            Data::File { gguf, start, kernel } => {
                let bytes = &gguf.source().bytes()[*start..*start + self.n * self.row_bytes];
                (Groups::Rows { bytes, row_bytes: self.row_bytes }, *kernel)
            }
        };
        let n_blocks = self.format.n_blocks(self.k);
        let job = GroupJob { groups, range, n_blocks, n: self.n, x, out, stride, store };
        match kernel {
            // SAFETY: the kernel was chosen for a level that this processor has; the rest is the
            // caller's promise.
            Some(kernel) => unsafe { kernel(&job) },
            // SAFETY: the caller's promise.
            None => unsafe { self.reference(&job) },
        }
    }

    /// The job, one value after the other, from the file's bytes.
    unsafe fn reference(&self, job: &GroupJob<'_>) {
        let Groups::Rows { bytes, row_bytes } = job.groups else {
            unreachable!("without a kernel, nothing is interleaved");
        };
        let rows = job.range.start * LANES..(job.range.end * LANES).min(self.n);
        for (column, row) in rows.enumerate() {
            let row = &bytes[row * row_bytes..(row + 1) * row_bytes];
            for t in 0..job.x.n_rows() {
                let product = self.format.dot(row, job.x, t);
                // SAFETY: a column of the range, see `multiply_groups`.
                let to = unsafe { &mut *job.out.add(t * job.stride + column) };
                *to = if job.store == Store::Set { product } else { *to + product };
                if job.store == Store::AddRounded {
                    super::half_float::round(std::slice::from_mut(to));
                }
            }
        }
    }
}

impl std::fmt::Debug for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weight({} {}x{})", self.format.tensor_type(), self.n, self.k)
    }
}

/// Multiplies all rows of `x` with several weights, results side by side in rows of `stride`.
pub fn multiply(
    weights: &[Weight],
    x: &Activations,
    (out, stride): (&mut [f32], usize),
    store: Store,
    pool: &Pool,
) {
    let n: usize = weights.iter().map(Weight::n).sum();
    let needed = x.n_rows().saturating_sub(1) * stride + n;
    assert!(n <= stride && needed <= out.len(), "output too small");
    let out = SharedMut::new(out);
    let n_groups = weights.iter().map(Weight::n_groups).sum();
    split(n_groups, x, pool, &|range| {
        let (mut first, mut column) = (0, 0);
        for weight in weights {
            let own = range.start.max(first)..range.end.min(first + weight.n_groups());
            if own.start < own.end {
                let groups = own.start - first..own.end - first;
                let out = out.from(column + groups.start * LANES);
                // SAFETY: different ranges write different columns, all of them inside.
                unsafe { weight.multiply_groups(groups, x, (out, stride), store) };
            }
            first += weight.n_groups();
            column += weight.n();
        }
    });
}

/// Runs `task` on ranges of groups, on all threads when it is worth it.
pub fn split(n_groups: usize, x: &Activations, pool: &Pool, task: &(dyn Fn(Range<usize>) + Sync)) {
    if n_groups * LANES * x.length() * x.n_rows() < SERIAL_WORK {
        task(0..n_groups);
    } else {
        pool.split(n_groups, PARTS, task);
    }
}

/// Checks the floats of a tensor's `n` rows, on all threads where there are some; the error is that
/// of the first bad row.
pub fn check_rows(
    format: &dyn Format,
    raw: &[u8],
    n: usize,
    pool: Option<&Pool>,
) -> Result<(), WeightError> {
    let row_bytes = raw.len() / n;
    let bad = FirstBad::default();
    let check = |rows: Range<usize>| {
        for row in rows {
            bad.check(format, row, &raw[row * row_bytes..(row + 1) * row_bytes]);
        }
    };
    match pool {
        Some(pool) => pool.split(n, PARTS, &check),
        None => check(0..n),
    }
    bad.into_result()
}

/// The lowest row with a scale that is not finite, whichever thread finds it.
#[derive(Default)]
struct FirstBad(Mutex<Option<(usize, BadScale)>>);

impl FirstBad {
    fn check(&self, format: &dyn Format, row: usize, bytes: &[u8]) {
        if let Err(source) = format.check(bytes) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(lowest, _)| row < *lowest) {
                *first = Some((row, source));
            }
        }
    }

    fn into_result(self) -> Result<(), WeightError> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((row, source)) => Err(WeightError::Scale { row, source }),
            None => Ok(()),
        }
    }
}

/// Lays `n` rows of `k` values out in groups of 16, and checks them.
fn interleave(
    format: &dyn Format,
    raw: &[u8],
    (n, k): (usize, usize),
    loader: &WeightLoader<'_>,
) -> Result<Region, WeightError> {
    let n_blocks = format.n_blocks(k);
    let group_bytes = n_blocks * format.group_bytes();
    let bytes = group_bytes * n.div_ceil(LANES);
    let mut arena = loader.arena.lock().unwrap_or_else(PoisonError::into_inner);
    let mut region = arena.take(bytes).map_err(|source| WeightError::Memory { bytes, source })?;
    drop(arena);
    let row_bytes = raw.len() / n;
    let bad = FirstBad::default();
    let out = SharedMut::new(region.bytes_mut());
    loader.pool.split(n.div_ceil(LANES), PARTS, &|range| {
        for g in range {
            let first = g * LANES;
            let rows: [&[u8]; LANES] = std::array::from_fn(|lane| {
                let row = first + lane;
                if row < n { &raw[row * row_bytes..(row + 1) * row_bytes] } else { &[] }
            });
            for (lane, row) in rows.iter().enumerate() {
                bad.check(format, first + lane, row);
            }
            // SAFETY: every group is written by one task.
            let group = unsafe { out.part(g * group_bytes..(g + 1) * group_bytes) };
            for (b, block) in group.chunks_exact_mut(format.group_bytes()).enumerate() {
                format.interleave(&rows, b, block);
            }
        }
    });
    bad.into_result().map(|()| region)
}
