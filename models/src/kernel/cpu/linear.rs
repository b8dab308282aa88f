//! Matrix times rows: a weight in its layout, and the loops over groups of 16 output rows.
//!
//! Called by the Flex operations of `backend`. GEMV (one input row) and GEMM (many) are the same
//! arithmetic: per output element one chain over blocks in ascending order. Input rows go four at
//! a time, so that a weight block is unpacked once for four of them.
//!
//! Shapes: weight `[n, k]` (n output rows), inputs `[rows, k]`, outputs `[rows, stride]` from a
//! column on. Layouts: raw file bytes (scalar reference, read in place) or interleaved groups
//! (see `quant`), built at load time in anonymous memory, huge pages where the system has them.
//!
//! Errors: [`WeightError`] when memory or format is missing.

use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;

use super::{
    Level, Pool,
    activation::{ActivationKind, Activations, RowView},
    lanes::{LANES, Lanes},
};
use crate::{
    gguf::{Gguf, TensorInfo},
    quant::{self, Block, Format, UnsupportedType},
};

/// Multiply-adds below which an operation stays on the calling thread; about 10 microseconds.
const SERIAL_WORK: usize = 1 << 20;
/// Buffers from this size on ask for huge pages.
const HUGE_PAGE_BYTES: usize = 4 << 20;

/// Why a weight cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The format is known but not computed with.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedType),
    /// The system refused memory.
    #[error("no memory for {bytes} bytes of weights: {source}")]
    Memory {
        /// How much was wanted.
        bytes: usize,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A range of interleaved groups times some inputs.
pub struct GroupJob<'a> {
    groups: *const u8,
    n_groups: usize,
    n_blocks: usize,
    rows: &'a [RowView<'a>],
    out: *mut f32,
    stride: usize,
    columns: usize,
}

/// One format's loop at one SIMD level; needs that level.
pub type GroupKernel = unsafe fn(&GroupJob<'_>);

/// The kernel of a format at a level.
pub fn kernel<B: Block>(level: Level) -> Option<GroupKernel> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => Some(avx2::<B>),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => Some(avx512::<B>),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<B: Block>(job: &GroupJob<'_>) {
    // SAFETY: the instruction set is there, the rest is the caller's promise.
    unsafe { run_groups::<B, super::lanes::avx2::Avx2>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<B: Block>(job: &GroupJob<'_>) {
    // SAFETY: the instruction set is there, the rest is the caller's promise.
    unsafe { run_groups::<B, super::lanes::avx512::Avx512>(job) }
}

#[inline(always)]
unsafe fn run_groups<B: Block, L: Lanes>(job: &GroupJob<'_>) {
    let (fours, rest) = job.rows.as_chunks::<4>();
    for g in 0..job.n_groups {
        // SAFETY: the job has n_groups groups and an output row of stride values per input.
        unsafe {
            let group = job.groups.add(g * job.n_blocks * B::GROUP_BYTES);
            let columns = (job.columns - g * LANES).min(LANES);
            for (i, tile) in fours.iter().enumerate() {
                let out = job.out.add(i * 4 * job.stride + g * LANES);
                run_tile::<B, L, 4>(job, group, tile, out, columns);
            }
            for (i, row) in rest.iter().enumerate() {
                let out = job.out.add((fours.len() * 4 + i) * job.stride + g * LANES);
                run_tile::<B, L, 1>(job, group, std::array::from_ref(row), out, columns);
            }
        }
    }
}

#[inline(always)]
unsafe fn run_tile<B: Block, L: Lanes, const T: usize>(
    job: &GroupJob<'_>,
    group: *const u8,
    tile: &[RowView<'_>; T],
    out: *mut f32,
    columns: usize,
) {
    // SAFETY: see `run_groups`; a group at the end of the matrix writes only its columns.
    unsafe {
        let mut sums = [L::splat(0.0); T];
        for b in 0..job.n_blocks {
            B::fold_group::<L, T>(group.add(b * B::GROUP_BYTES), b, tile, &mut sums);
        }
        for (t, sum) in sums.into_iter().enumerate() {
            let out = out.add(t * job.stride);
            if columns == LANES {
                L::store(out, sum);
            } else {
                let mut lanes = [0f32; LANES];
                L::store(lanes.as_mut_ptr(), sum);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), out, columns);
            }
        }
    }
}

/// Four quantised inputs as one number for the lanes' dot.
///
/// # Safety
///
/// The row has at least `4 * (index + 1)` quantised values.
#[inline(always)]
pub unsafe fn quad(x: &RowView<'_>, index: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { x.q.as_ptr().add(4 * index).cast::<i32>().read_unaligned() }
}

enum Data {
    /// Bytes of the file, read in place.
    Raw { gguf: Gguf, start: usize, row_bytes: usize },
    /// Groups of 16 rows.
    Interleaved { bytes: MmapMut, kernel: GroupKernel },
}

/// A weight matrix ready to multiply.
pub struct Weight {
    format: &'static dyn Format,
    n: usize,
    k: usize,
    data: Data,
}

impl Weight {
    /// Prepares the tensor for a level; afterwards the file's pages are not needed.
    pub fn load(
        gguf: &Gguf,
        info: &TensorInfo,
        level: Level,
        pool: &Pool,
    ) -> Result<Self, WeightError> {
        let format = quant::format(info.kind)?;
        let (n, k) = (info.n_rows() as usize, info.row_values() as usize);
        let row_bytes = info.n_bytes / n;
        let Some(kernel) = format.kernel(level) else {
            let data = Data::Raw { gguf: gguf.clone(), start: info.start, row_bytes };
            return Ok(Self { format, n, k, data });
        };
        let bytes = interleave(format, gguf.tensor_bytes(info), (n, k), pool)?;
        gguf.source().forget(info.start, info.n_bytes);
        Ok(Self { format, n, k, data: Data::Interleaved { bytes, kernel } })
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

    /// Multiplies all rows of `x`; output row t goes to `out[t * stride + column ..][..n]`.
    pub fn multiply(
        &self,
        x: &Activations,
        out: &mut [f32],
        (stride, column): (usize, usize),
        pool: &Pool,
    ) {
        let rows: Vec<RowView<'_>> = (0..x.n_rows()).map(|t| x.row(t)).collect();
        assert!(column + self.n <= stride && rows.len() * stride <= out.len(), "output too small");
        let n_groups = self.n.div_ceil(LANES);
        let out = OutPointer(out.as_mut_ptr());
        let run = |groups: std::ops::Range<usize>| {
            // SAFETY: the ranges of different calls share no column, and all columns are inside.
            let base = unsafe { out.get().add(column + groups.start * LANES) };
            let columns = self.n.min(groups.end * LANES) - groups.start * LANES;
            match &self.data {
                Data::Raw { gguf, start, row_bytes } => {
                    let first = start + groups.start * LANES * row_bytes;
                    for i in 0..columns {
                        let at = first + i * row_bytes;
                        let row = &gguf.source().bytes()[at..at + row_bytes];
                        for (t, x) in rows.iter().enumerate() {
                            // SAFETY: column i of output row t, see above.
                            unsafe { *base.add(t * stride + i) = self.format.dot(row, x) };
                        }
                    }
                }
                Data::Interleaved { bytes, kernel } => {
                    let n_blocks = self.format.n_blocks(self.k);
                    let group_bytes = n_blocks * self.format.group_bytes();
                    let job = GroupJob {
                        groups: bytes[groups.start * group_bytes..].as_ptr(),
                        n_groups: groups.len(),
                        n_blocks,
                        rows: &rows,
                        out: base,
                        stride,
                        columns,
                    };
                    // SAFETY: the kernel was chosen for a level that this processor has, and the
                    // buffer holds all groups.
                    unsafe { kernel(&job) };
                }
            }
        };
        if n_groups * LANES * self.k * rows.len() < SERIAL_WORK {
            run(0..n_groups);
        } else {
            pool.split(n_groups, 4, &run);
        }
    }
}

impl std::fmt::Debug for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weight({} {}x{})", self.format.tensor_type(), self.n, self.k)
    }
}

/// A pointer that tasks share to write different columns.
struct OutPointer(*mut f32);

// SAFETY: every task writes its own columns only.
unsafe impl Sync for OutPointer {}

impl OutPointer {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// Lays `n` rows of `k` values out in groups of 16.
fn interleave(
    format: &dyn Format,
    raw: &[u8],
    (n, k): (usize, usize),
    pool: &Pool,
) -> Result<MmapMut, WeightError> {
    let n_blocks = format.n_blocks(k);
    let group_bytes = n_blocks * format.group_bytes();
    let bytes = group_bytes * n.div_ceil(LANES);
    let memory = |source| WeightError::Memory { bytes, source };
    let mut buffer = MmapMut::map_anon(bytes).map_err(memory)?;
    #[cfg(target_os = "linux")]
    if bytes >= HUGE_PAGE_BYTES {
        // Only speed is at stake: without huge pages the buffer works as well.
        drop(buffer.advise(memmap2::Advice::HugePage));
    }
    let row_bytes = raw.len() / n;
    let groups: Vec<_> = buffer.chunks_exact_mut(group_bytes).map(Mutex::new).collect();
    pool.split(groups.len(), 4, &|range| {
        for g in range {
            let rows: [&[u8]; LANES] = std::array::from_fn(|lane| {
                let row = g * LANES + lane;
                if row < n { &raw[row * row_bytes..(row + 1) * row_bytes] } else { &[] }
            });
            let mut group = groups[g].lock().unwrap_or_else(PoisonError::into_inner);
            for (b, block) in group.chunks_exact_mut(format.group_bytes()).enumerate() {
                format.interleave(&rows, b, block);
            }
        }
    });
    drop(groups);
    Ok(buffer)
}
