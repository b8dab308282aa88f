//! Measures candle's quantised matrix products on the CPU, one matrix at a time.
//!
//! Run by hand; prints one JSON line per format, shape and number of input rows:
//!
//! ```text
//! cd scripts/performance/candle
//! cargo run --release -- [--threads 2] [--set-mb 400] [--seconds 1] [FORMAT ...]
//! {"format":"Q4_K","call":"QMatMul","path":"repacked","n":4096,"k":4096,"rows":1,...}
//! ```
//!
//! `gb_s` counts the bytes of the weights as they are in a file (10^9 a second), whatever candle
//! reads; `gflop_s` counts two operations per weight and row. Both are of the median call;
//! `best_us` is the shortest. The calls go round a set of equal matrices of `--set-mb` in all, so
//! that weights come from memory. candle allocates with malloc: for huge pages set
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`. `.cargo/config.toml` builds for this very machine,
//! which F16 and the formats without vector code gain from.
//!
//! Which code runs, from the source of candle-core 0.11.1:
//!
//! - `QMatMul::forward` with f32 input asks `quantized/repack.rs` first. On x86-64 that is no
//!   feature of the crate but decided at run time (`repack_x86.rs`, `select` and `level`): AVX-512
//!   VNNI, AVX-VNNI or AVX2, when n is a multiple of 16 and k of 256. The first product copies the
//!   weights into tiles of 16 rows; the file's bytes stay in memory beside them.
//! - Repacked are Q4_K (always; 0.75 bytes a weight instead of 0.56, the scales become f32), Q8_0
//!   (with VNNI), and Q6_K (1.25 bytes instead of 0.82) for two rows and more. From 32 rows on,
//!   Q4_K goes to AMX tiles where the CPU has them. Inputs are quantised to 8 bits per 256 values,
//!   for Q8_0 too.
//! - Everything else takes `k_quants::matmul`, a dot product per weight row and input row. Whether
//!   that is vectorised is decided at run time for Q4_0, Q2_K, Q3_K, Q5_K and Q6_K (AVX2, no
//!   AVX-512); Q4_1, Q5_0 and Q5_1 have no vector code and are as fast as the compiler makes them.
//! - F32, F16 and BF16: `QMatMul` turns the weights into an f32 tensor and uses the `gemm` crate,
//!   so half-precision weights cost four bytes. They are measured so, and by `QTensor` itself too,
//!   which reads them as they are.
//! - There are no IQ formats. Q8_1 and Q8_K exist for inputs.
//! - Threads: the repacked kernels and the dot products use candle's own pool, of
//!   `CANDLE_NUM_THREADS`; `gemm` uses rayon's, of `RAYON_NUM_THREADS`. Both are set here. Do not
//!   pin the process: the pools inherit the mask.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result, Tensor};

const FORMATS: &[(&str, GgmlDType)] = &[
    ("F32", GgmlDType::F32),
    ("F16", GgmlDType::F16),
    ("BF16", GgmlDType::BF16),
    ("Q8_0", GgmlDType::Q8_0),
    ("Q4_0", GgmlDType::Q4_0),
    ("Q4_1", GgmlDType::Q4_1),
    ("Q5_0", GgmlDType::Q5_0),
    ("Q5_1", GgmlDType::Q5_1),
    ("Q2_K", GgmlDType::Q2K),
    ("Q3_K", GgmlDType::Q3K),
    ("Q4_K", GgmlDType::Q4K),
    ("Q5_K", GgmlDType::Q5K),
    ("Q6_K", GgmlDType::Q6K),
];
/// Weight rows and inputs.
const SHAPES: &[(usize, usize)] = &[(4096, 4096), (14_336, 4096)];
const INPUT_ROWS: &[usize] = &[1, 64];
/// Rows that are quantised from random numbers; a matrix repeats them.
const DISTINCT_ROWS: usize = 64;
/// Calls that a median needs at least.
const CALLS_MIN: usize = 5;

struct Options {
    threads: usize,
    set_bytes: usize,
    time: Duration,
    formats: Vec<String>,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut options = Options {
        threads: 2,
        set_bytes: 400_000_000,
        time: Duration::from_secs(1),
        formats: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<usize>().ok());
        let mut number = || number().ok_or(format!("{argument}: a number must follow"));
        match argument.as_str() {
            "--threads" => options.threads = number()?,
            "--set-mb" => options.set_bytes = number()? * 1_000_000,
            "--seconds" => options.time = Duration::from_secs(number()? as u64),
            format if FORMATS.iter().any(|(name, _)| *name == format) => {
                options.formats.push(argument);
            }
            other => return Err(format!("{other}: neither a flag nor a format").into()),
        }
    }
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: no other thread runs yet; candle reads them when its pools start.
        unsafe { std::env::set_var(variable, options.threads.to_string()) };
    }
    for &(name, format) in FORMATS {
        if options.formats.is_empty() || options.formats.iter().any(|wanted| wanted == name) {
            for &(n, k) in SHAPES {
                measure_matrix(name, format, (n, k), &options)?;
            }
        }
    }
    Ok(())
}

/// Measures one format and shape with every number of input rows.
fn measure_matrix(
    name: &str,
    format: GgmlDType,
    (n, k): (usize, usize),
    options: &Options,
) -> Result<()> {
    let matrices = matrices(format, (n, k), options.set_bytes)?;
    let n_bytes = matrices[0].storage_size_in_bytes();
    let is_float = matches!(format, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
    for &rows in INPUT_ROWS {
        let input = Tensor::randn(0f32, 1f32, (rows, k), &Device::Cpu)?;
        let report = |call: &str, path: &str, (seconds, best): (f64, f64)| {
            let gb_s = n_bytes as f64 / seconds / 1e9;
            let gflop_s = 2.0 * (n * k * rows) as f64 / seconds / 1e9;
            println!(
                "{{\"format\":\"{name}\",\"call\":\"{call}\",\"path\":\"{path}\",\"n\":{n},\
                 \"k\":{k},\"rows\":{rows},\"threads\":{},\"median_us\":{:.1},\
                 \"best_us\":{:.1},\"gb_s\":{gb_s:.2},\"gflop_s\":{gflop_s:.1}}}",
                options.threads,
                seconds * 1e6,
                best * 1e6,
            );
        };
        let path = path(format, rows);
        if is_float {
            let direct = |at: usize| input.apply_op1_no_bwd(matrices[at].as_ref());
            report("QTensor", "dot products", timed(matrices.len(), options.time, direct)?);
        }
        let products: Vec<QMatMul> = matrices
            .iter()
            .map(|matrix| QMatMul::from_arc(matrix.clone()))
            .collect::<Result<_>>()?;
        let forward = |at: usize| products[at].forward(&input);
        report("QMatMul", path, timed(products.len(), options.time, forward)?);
    }
    Ok(())
}

/// As many equal matrices as fill the set, two at least.
fn matrices(
    format: GgmlDType,
    (n, k): (usize, usize),
    set_bytes: usize,
) -> Result<Vec<Arc<QTensor>>> {
    let distinct = Tensor::randn(0f32, 0.02f32, (DISTINCT_ROWS, k), &Device::Cpu)?;
    let bytes = QTensor::quantize(&distinct, format)?.data()?.repeat(n / DISTINCT_ROWS);
    let count = set_bytes.div_ceil(bytes.len()).max(2);
    let matrix = |_| {
        let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, format)?;
        QTensor::new(storage, (n, k)).map(Arc::new)
    };
    (0..count).map(matrix).collect()
}

/// Seconds of the median and of the shortest call, after one for each matrix (which repacks it).
fn timed(
    n_matrices: usize,
    time: Duration,
    call: impl Fn(usize) -> Result<Tensor>,
) -> Result<(f64, f64)> {
    for at in 0..n_matrices {
        black_box(call(at)?);
    }
    let mut seconds = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time || seconds.len() < CALLS_MIN {
        let call_began = Instant::now();
        black_box(call(seconds.len() % n_matrices)?);
        seconds.push(call_began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[seconds.len() / 2], seconds[0]))
}

/// What `QMatMul` does with a format on this machine, as candle decides it (see the front page).
fn path(format: GgmlDType, rows: usize) -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        let vnni = wide || is_x86_feature_detected!("avxvnni");
        let repacked = match format {
            GgmlDType::Q4K => true,
            GgmlDType::Q6K => rows > 1,
            GgmlDType::Q8_0 => vnni,
            _ => false,
        };
        if repacked && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "repacked";
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rows;
    match format {
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => "gemm of an f32 copy",
        _ => "dot products",
    }
}
