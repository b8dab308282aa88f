//! The table of parameters: one setting changed at a time, under three conditions.
//!
//! One line per setting and condition, or one JSON object per line. It breaks nothing: it is where
//! the numbers of `DhtSettings::default` come from.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    dht::{self, DhtArgs},
    figures::rounded,
    settings::RunArgs,
};

/// What is changed; together where one alone means little.
const CHANGES: &[&str] = &[
    "",
    "k=8",
    "k=16",
    "alpha=1",
    "alpha=2",
    "alpha=4",
    "paths=1",
    "paths=2",
    "paths=8",
    "paths_first=2",
    "paths_first=4 alpha=1",
    "alpha_wide=1",
    "take=4",
    "take=20",
    "patience_percent=100",
    "patience_percent=250",
    "patience_min_ms=400",
    "patience_min_ms=1000",
    "split_bits=2",
    "find_radius_percent=50",
    "find_radius_percent=100",
    "announce_radius_percent=100",
    "sparse_percent=0 crowded_percent=100000",
];

/// Stale contacts and colluders, shares.
const CONDITIONS: &[(f64, f64)] = &[(0.3, 0.0), (0.0, 0.5), (0.3, 0.3)];

/// Options of `sweep`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SweepArgs {
    /// Live nodes.
    #[arg(long, default_value_t = 10_000)]
    nodes: usize,
    /// Lookups of each run.
    #[arg(long, default_value_t = 1_000)]
    lookups: usize,
    /// What everything is made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Runs everything and prints it.
pub(crate) fn run(args: &SweepArgs) -> Result<bool, String> {
    for text in CHANGES {
        let set: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let run = RunArgs { seed: args.seed, set, json: false };
        let changed = run.settings()?;
        for (stale, colluders) in CONDITIONS.iter().copied() {
            let (nodes, lookups, run) = (args.nodes, args.lookups, run.clone());
            let asked = DhtArgs { nodes, stale, colluders, lookups, loss: 0.0, run };
            let report = dht::measure(&asked, changed);
            let mut object = report.figures.object();
            let announce = &report.announced.messages;
            let announce = announce.iter().sum::<u64>() as f64 / announce.len().max(1) as f64;
            object.insert("announce_messages".into(), json!(rounded(announce, 1)));
            object.insert("set".into(), json!(text));
            object.insert("stale".into(), json!(stale));
            object.insert("colluders".into(), json!(colluders));
            if args.json {
                println!("{}", Value::Object(object));
                continue;
            }
            let figures = &report.figures;
            println!(
                "{text:40} stale {stale:.1} colluders {colluders:.1}: {:6.2} % {:4.0} / {:4.0} ms \
                 {:5.1} messages, {announce:5.1} to announce",
                figures.success * 100.0,
                figures.p50_ms,
                figures.p95_ms,
                figures.messages,
            );
        }
    }
    Ok(true)
}
