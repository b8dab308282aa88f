//! Rates and ratios of the measured pairs, as a JSON line and as a row of a Markdown table.
//!
//! Called by `main`, which says what the numbers are.

use crate::engines::Matrix;

/// Seconds per call of one turn of ours, and of candle's where it has the format.
pub(crate) type Pair = (f64, Option<f64>);

/// The least, the median and the greatest; none of no values.
fn spread(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    Some([*values.first()?, values[values.len() / 2], *values.last()?])
}

fn number(value: Option<f64>) -> String {
    value.map_or("null".into(), |value| format!("{value:.3}"))
}

pub(crate) fn print_head() {
    println!(
        "| format | n x k | rows | ours GB/s | candle GB/s | ours GFLOP/s | candle GFLOP/s \
         | ours / candle (min to max) | candle's path |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

pub(crate) fn print(
    matrix: &Matrix,
    rows: usize,
    pairs: &[Pair],
    path: Option<&str>,
    has_table: bool,
) {
    let (kind, n, k) = (matrix.kind, matrix.n, matrix.k);
    let ours = spread(pairs.iter().map(|pair| pair.0));
    let candle = spread(pairs.iter().filter_map(|pair| pair.1));
    let ratios = spread(pairs.iter().filter_map(|pair| Some(pair.1? / pair.0)));
    let (bytes, operations) = (matrix.bytes.len(), 2 * n * k * rows);
    let [a, b, c, d] = [(ours, bytes), (candle, bytes), (ours, operations), (candle, operations)]
        .map(|(seconds, amount)| number(seconds.map(|s| amount as f64 / s[1] / 1e9)));
    let [least, median, most] = [0, 1, 2].map(|at| number(ratios.map(|ratios| ratios[at])));
    let line = format!(
        "{{\"format\":\"{kind}\",\"n\":{n},\"k\":{k},\"rows\":{rows},\"ours_gb_s\":{a},\
         \"candle_gb_s\":{b},\"ours_gflop_s\":{c},\"candle_gflop_s\":{d},\
         \"ratio_median\":{median},\"ratio_min\":{least},\"ratio_max\":{most},\
         \"candle_path\":{}}}",
        path.map_or("null".into(), |path| format!("\"{path}\"")),
    );
    if has_table {
        let path = path.unwrap_or("none");
        println!(
            "| {kind} | {n} x {k} | {rows} | {a} | {b} | {c} | {d} \
             | {median} ({least} to {most}) | {path} |"
        );
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
}
