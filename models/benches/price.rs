//! The price of one answer: what the one fixed order of float sums costs.
//!
//! Run by hand: `cargo bench -p swarmllm-models --bench price`.
//!
//! The canonical schedule adds a row's blocks in ascending order, one chain of floats per output
//! (NUMERICS.md). Here is the same schedule with [`CHAINS`] sums in turn, added at the end, which
//! no longer gives the same bits: a single row's blocks, and the steps of several rows, take the
//! sums in turn. It multiplies the same interleaved weights with the same folds on the same
//! threads. Both are measured in turn in one process; the ratio is the median of the pairs' exact
//! time divided by free time, so 1.03 says that free sums would be 3 % faster. With one chain, the
//! copy here has the bits of the shipped kernel; the ratio of their times is printed too.
//!
//! Weights: 4096 x 4096, a set of [`SET_BYTES`] in all, so that they come from memory.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails here says where")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    hint::black_box,
    marker::PhantomData,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

use common::{Random, weights};
#[cfg(target_arch = "x86_64")]
use swarmllm_models::kernel::cpu::lanes::{avx2::Avx2, avx512::Avx512};
use swarmllm_models::{
    SimdLevel,
    kernel::cpu::{
        Level, Pool,
        activation::{Activations, InputBlock},
        lanes::{LANES, Lanes, portable::Portable},
        schedule::{GroupJob, GroupKernel, Groups, Store},
        shared::SharedMut,
    },
    quant::{self, Block},
};

const SET_BYTES: usize = 300_000_000;
const WIDTH: usize = 4096;
/// Independent sums per output.
const CHAINS: usize = 2;
/// Ranges per thread.
const PARTS: usize = 8;
/// Input rows at most.
const ROWS_MAX: usize = 64;
/// Input rows that go through a panel together.
const TILE: usize = 8;
const TURN: Duration = Duration::from_millis(5);
const TIME: Duration = Duration::from_secs(4);

/// The schedule of `kernel::cpu::schedule`, for interleaved weights, with `C` sums per output.
#[inline(always)]
unsafe fn run<B: Block, L: Lanes, const C: usize>(job: &GroupJob<'_>) {
    let Groups::Interleaved(bytes) = job.groups else { unreachable!("weights are repacked") };
    let (x, n_rows) = (B::Input::of(job.x), job.x.n_rows());
    let mut sums = [[[0f32; LANES]; ROWS_MAX]; C];
    for group in job.range.clone() {
        let blocks = bytes[group * job.n_blocks * B::GROUP_BYTES..].as_ptr();
        let out = (group - job.range.start) * LANES;
        // SAFETY: the caller has the instruction set; the job has these blocks, rows and columns.
        unsafe {
            if n_rows == 1 {
                let mut sums = [[L::splat(0.0)]; C];
                for b in (0..job.n_blocks).step_by(C) {
                    for (c, sum) in sums.iter_mut().enumerate() {
                        let block = blocks.add((b + c) * B::GROUP_BYTES);
                        B::fold_group::<L, 1>(block, x.as_ptr().add(b + c), sum);
                    }
                }
                let sum = sums[1..].iter().fold(sums[0][0], |sum, other| L::add(sum, other[0]));
                L::store(job.out.add(out), sum);
                continue;
            }
            many::<B, L, C>(blocks, x, (n_rows, job.n_blocks), &mut sums);
            let [total, others @ ..] = &mut sums[..] else { unreachable!("one chain at least") };
            for other in others {
                for (sum, other) in total[..n_rows].iter_mut().zip(other) {
                    let [a, b] = [sum.as_ptr(), other.as_ptr()].map(|from| from.cast());
                    L::store(sum.as_mut_ptr(), L::add(L::load_f32(a), L::load_f32(b)));
                }
            }
            for (row, sum) in total[..n_rows].iter().enumerate() {
                let sum = L::load_f32(sum.as_ptr().cast());
                L::store(job.out.add(row * job.stride + out), sum);
            }
        }
    }
}

/// Room for the panels of a step.
#[repr(C, align(64))]
struct Step(MaybeUninit<[u8; 16 << 10]>);

/// Steps of 256 values, unpacked where the format has panels, times tiles of eight input rows.
/// With several sums, the steps take them in turn.
#[inline(always)]
unsafe fn many<B: Block, L: Lanes, const C: usize>(
    blocks: *const u8,
    x: &[B::Input],
    (n_rows, n_blocks): (usize, usize),
    sums: &mut [[[f32; LANES]; ROWS_MAX]; C],
) {
    let mut room = Step(MaybeUninit::uninit());
    let panels = room.0.as_mut_ptr().cast::<u8>();
    let n_step = 256 / B::VALUES;
    for sums in sums.iter_mut() {
        sums[..n_rows].fill([0.0; LANES]);
    }
    for first in (0..n_blocks).step_by(C * n_step) {
        for (c, sums) in sums.iter_mut().enumerate() {
            let b = first + c * n_step;
            // SAFETY: as in `run`; the schedule itself asserts that the panels of a step fit.
            unsafe {
                let (mut panel, mut size) = (blocks.add(b * B::GROUP_BYTES), B::GROUP_BYTES);
                if B::PANEL_BYTES > 0 {
                    for i in 0..n_step {
                        let block = blocks.add((b + i) * B::GROUP_BYTES);
                        B::unpack::<L>(block, panels.add(i * B::PANEL_BYTES));
                    }
                    (panel, size) = (panels, B::PANEL_BYTES);
                }
                let x = x.as_ptr().add(b * n_rows);
                for row in (0..n_rows).step_by(TILE) {
                    let sums = &mut sums[row..row + TILE];
                    let mut tile = [L::splat(0.0); TILE];
                    for (sum, tile) in sums.iter().zip(&mut tile) {
                        *tile = L::load_f32(sum.as_ptr().cast());
                    }
                    for i in 0..n_step {
                        let x = x.add(i * n_rows + row);
                        B::fold_panel::<L, TILE>(panel.add(i * size), x, &mut tile);
                    }
                    for (sum, tile) in sums.iter_mut().zip(tile) {
                        L::store(sum.as_mut_ptr(), tile);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<B: Block, const C: usize>(job: &GroupJob<'_>) {
    // SAFETY: the caller's promise.
    unsafe { run::<B, Avx2, C>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<B: Block, const C: usize>(job: &GroupJob<'_>) {
    // SAFETY: the caller's promise.
    unsafe { run::<B, Avx512, C>(job) }
}

/// The weights ahead are asked for where the shipped kernel does so.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512_ahead<B: Block, const C: usize>(job: &GroupJob<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        if job.x.n_rows() == 1 { run::<B, Avx512<1024>, C>(job) } else { avx512::<B, C>(job) }
    }
}

fn kernel<B: Block, const C: usize>(level: Level) -> GroupKernel {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(proof) if proof.wants_prefetch() => avx512_ahead::<B, C>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => avx512::<B, C>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => avx2::<B, C>,
        _ => run::<B, Portable, C>,
    }
}

/// What the kernels multiply.
struct Case<'a> {
    set: &'a [Vec<u8>],
    x: &'a Activations,
    n_blocks: usize,
    pool: &'a Pool,
}

impl Case<'_> {
    fn call(&self, kernel: GroupKernel, at: usize, out: &mut [f32]) {
        let groups = Groups::Interleaved(&self.set[at % self.set.len()]);
        let (x, n_blocks, shared) = (self.x, self.n_blocks, SharedMut::new(out));
        self.pool.split(WIDTH / LANES, PARTS, &|range| {
            let out = shared.from(range.start * LANES);
            let (stride, store) = (WIDTH, Store::Set);
            let job = GroupJob { groups, range, n_blocks, n: WIDTH, x, out, stride, store };
            // SAFETY: the kernel is one of this processor's level; ranges have their own columns.
            unsafe { kernel(&job) };
        });
    }

    /// Seconds per call.
    fn turn(&self, kernel: GroupKernel, at: &mut usize, out: &mut [f32]) -> f64 {
        let (began, first) = (Instant::now(), *at);
        while began.elapsed() < TURN {
            self.call(kernel, *at, out);
            *at += 1;
        }
        black_box(&out);
        began.elapsed().as_secs_f64() / (*at - first) as f64
    }

    /// Microseconds of both (medians), and the median of the pairs' ratios.
    fn compare(&self, kernels: [GroupKernel; 2], out: &mut [f32]) -> [f64; 3] {
        let (began, mut at, mut pairs) = (Instant::now(), 0, Vec::new());
        while began.elapsed() < TIME {
            // Who is first changes from pair to pair.
            let first = pairs.len() % 2;
            let mut pair = [0.0; 2];
            for i in [first, 1 - first] {
                pair[i] = self.turn(kernels[i], &mut at, out);
            }
            pairs.push([pair[0] * 1e6, pair[1] * 1e6, pair[0] / pair[1]]);
        }
        std::array::from_fn(|i| {
            let mut values: Vec<f64> = pairs.iter().map(|pair| pair[i]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        })
    }
}

fn measure<B: Block>(_: PhantomData<B>, level: Level, pool: &Pool) {
    let format = quant::format(B::TYPE).unwrap();
    let rows = weights(B::TYPE, LANES * WIDTH, 0.02, &mut Random(7));
    let rows: Vec<&[u8]> = rows.chunks_exact(rows.len() / LANES).collect();
    let (n_blocks, group_bytes) = (format.n_blocks(WIDTH), format.group_bytes());
    let mut group = vec![0; n_blocks * group_bytes];
    for (b, block) in group.chunks_exact_mut(group_bytes).enumerate() {
        format.interleave(&std::array::from_fn(|lane| rows[lane]), b, block);
    }
    let matrix = group.repeat(WIDTH / LANES);
    let set = vec![matrix; SET_BYTES / (group.len() * WIDTH / LANES) + 1];
    for n_rows in [1, 64] {
        let mut random = Random(3);
        let values: Vec<f32> = (0..n_rows * WIDTH).map(|_| random.float()).collect();
        let mut x = Activations::default();
        x.fill(&[format.activation()], (&values, WIDTH), (level, pool));
        let case = Case { set: &set, x: &x, n_blocks, pool };
        let (shipped, free) = (format.kernel(level).unwrap(), kernel::<B, CHAINS>(level));
        let copy = kernel::<B, 1>(level);
        let [mut a, mut b, mut c] = [(); 3].map(|()| vec![0f32; n_rows * WIDTH]);
        case.call(shipped, 0, &mut a);
        case.call(copy, 0, &mut b);
        case.call(free, 0, &mut c);
        assert!(a == b, "the copy of the schedule is exact");
        assert!(a != c && a.iter().zip(&c).all(|(a, c)| (a - c).abs() < 1e-3), "free is close");
        let check = case.compare([shipped, copy], &mut a)[2];
        let [exact_us, free_us, ratio] = case.compare([copy, free], &mut a);
        println!(
            "{} x {n_rows}: exact {exact_us:.0} us, free {free_us:.0} us, ratio {ratio:.3}; \
             shipped kernel / its copy {check:.3}",
            B::TYPE
        );
    }
}

fn main() {
    let level = Level::resolve(SimdLevel::Auto).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = Pool::new(threads).unwrap();
    println!("{level:?}, {threads} threads; ratio above 1: free sums are faster");
    let (q8_0, q4_k) = quant::types();
    measure(q8_0, level, &pool);
    measure(q4_k, level, &pool);
}
