//! Measures our matrix products and candle's, one matrix at a time, in turn and in one process.
//!
//! Run by hand; prints one JSON line per format, shape and number of input rows (and with `--table`
//! a Markdown table, the lines then going to the error output):
//!
//! ```text
//! cd scripts/performance/candle
//! cargo run --release -- [--threads 2] [--set-mb 400] [--seconds 2] [--table] [FORMAT ...]
//! {"format":"Q4_K","n":4096,"k":4096,"rows":1,"ours_gb_s":..,"ratio_median":..,...}
//! ```
//!
//! Both multiply the same random blocks, and their results are compared. A product takes rows of
//! f32 and gives rows of f32, so both quantise the rows each time. A pair is a turn of ours and a
//! turn of candle's: one call that is not counted (it wakes the engine's threads while the other's
//! go to sleep), then calls for at least [`TURN`]. `ratio_*` are the pairs' candle time divided by
//! our time: above 1, ours is faster. `gb_s` counts the bytes of the weights as they are in a file
//! (10^9 a second), whatever is read; `gflop_s` counts two operations per weight and row. Both are
//! of the median turn. Every call takes the next of a set of equal matrices of `--set-mb` in all,
//! so that weights come from memory. A format is measured when it is in our `quant::all()`; where
//! candle lacks it, its fields are null.
//!
//! `.cargo/config.toml` builds for this very machine, which candle's F16 and its formats without
//! vector code gain from. Ours choose their instructions at run time and are shipped without that:
//! `RUSTFLAGS=-Ctarget-cpu=x86-64 cargo run ..` shows whether it matters. The file also asks for
//! huge pages for malloc, as our weights ask for themselves; outside of `cargo run`, set
//! `GLIBC_TUNABLES` as there. Do not pin the process: candle's threads inherit the mask. Measure on
//! a quiet machine: at the end of a product candle's calling thread spins, so that another
//! program's work slows candle more than ours. What candle does: see `engines`.

#[path = "../../../../models/tests/common/mod.rs"]
mod common;
mod engines;
mod report;

use std::time::{Duration, Instant};

use common::{Random, weights};
use engines::{Candle, Engine, Failure, Matrix, Ours};
use report::Pair;
use swarmllm_models::quant;

/// Weight rows and inputs.
const SHAPES: &[(usize, usize)] = &[(4096, 4096), (14_336, 4096)];
const INPUT_ROWS: &[usize] = &[1, 64];
/// Weight rows that are made up; a matrix repeats them.
const DISTINCT_ROWS: usize = 64;
/// How long an engine is measured before it is the other's turn.
const TURN: Duration = Duration::from_millis(3);
/// Pairs that a median needs at least.
const PAIRS_MIN: usize = 5;
/// What the results may differ by, relative to their length: both quantise the rows to 8 bits.
const DIFFERENCE_MAX: f32 = 0.03;

struct Options {
    threads: usize,
    set_bytes: usize,
    time: Duration,
    has_table: bool,
    formats: Vec<String>,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        threads: 2,
        set_bytes: 400_000_000,
        time: Duration::from_secs(2),
        has_table: false,
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
            "--table" => options.has_table = true,
            name if quant::all().iter().any(|format| format.tensor_type().name() == name) => {
                options.formats.push(argument);
            }
            other => return Err(format!("{other}: neither a flag nor a format").into()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    engines::set_candle_threads(options.threads);
    if options.has_table {
        report::print_head();
    }
    for format in quant::all() {
        let kind = format.tensor_type();
        let is_wanted = |name: &String| name == kind.name();
        if !options.formats.is_empty() && !options.formats.iter().any(is_wanted) {
            continue;
        }
        for &(n, k) in SHAPES {
            let some = weights(kind, DISTINCT_ROWS * k, 0.02, &mut Random(7));
            let matrix = Matrix { kind, n, k, bytes: some.repeat(n / DISTINCT_ROWS) };
            let count = options.set_bytes.div_ceil(matrix.bytes.len()).max(2);
            let mut ours = Ours::new(&matrix, count, options.threads)?;
            let mut candle = Candle::new(&matrix, count)?;
            for &rows in INPUT_ROWS {
                let mut random = Random(rows as u64);
                let x: Vec<f32> = (0..rows * k).map(|_| random.float()).collect();
                ours.set_input(&x)?;
                if let Some(candle) = &mut candle {
                    candle.set_input(&x)?;
                    compare(&mut ours, candle)?;
                }
                let pairs = pairs(&mut ours, candle.as_mut(), count, options.time)?;
                let path = candle.as_ref().map(Candle::path);
                report::print(&matrix, rows, &pairs, path, options.has_table);
            }
        }
    }
    Ok(())
}

/// Fails when the two give different results.
fn compare(ours: &mut Ours, candle: &mut Candle) -> Result<(), Failure> {
    let (a, b) = (ours.multiply(0)?, candle.multiply(0)?);
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
    let difference = square(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    let relative = (difference / square(&mut b.iter().copied())).sqrt();
    if a.len() != b.len() || relative.is_nan() || relative > DIFFERENCE_MAX {
        return Err(format!("the results differ by {relative}").into());
    }
    Ok(())
}

/// Seconds per call of one turn.
fn turn(engine: &mut dyn Engine, at: &mut usize) -> Result<f64, Failure> {
    engine.call(*at)?;
    let (began, first) = (Instant::now(), *at);
    while began.elapsed() < TURN {
        *at += 1;
        engine.call(*at)?;
    }
    let seconds = began.elapsed().as_secs_f64() / (*at - first) as f64;
    *at += 1;
    Ok(seconds)
}

/// Turns of ours and of candle's, after one call for each matrix (candle then repacks it).
fn pairs(
    ours: &mut Ours,
    mut candle: Option<&mut Candle>,
    count: usize,
    time: Duration,
) -> Result<Vec<Pair>, Failure> {
    for at in 0..count {
        ours.call(at)?;
        candle.as_mut().map_or(Ok(()), |candle| candle.call(at))?;
    }
    let (began, mut pairs, mut at) = (Instant::now(), Vec::new(), (0, 0));
    while began.elapsed() < time || pairs.len() < PAIRS_MIN {
        let own = turn(ours, &mut at.0)?;
        let other = candle.as_mut().map(|candle| turn(*candle, &mut at.1)).transpose()?;
        pairs.push((own, other));
    }
    Ok(pairs)
}
