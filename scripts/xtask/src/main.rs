//! House work. `cargo xtask tidy` fails when a file or a dependency breaks the manners of
//! ARCHITECTURE.md: called by `.ci/run`, it prints every finding, one a line, and exits with 1.
//! `cargo xtask perf-model NAME OUT_DIR [LAYERS]` writes a model file for speed measurements.

mod arrows;
mod files;
mod perf_model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["tidy"] => tidy(&root),
        ["perf-model", name, folder] => done(perf_model::run(name, Path::new(folder), "all")),
        ["perf-model", name, folder, layers] => {
            done(perf_model::run(name, Path::new(folder), layers))
        }
        _ => {
            eprintln!("usage: cargo xtask tidy | perf-model NAME OUT_DIR [all | header | A..B]");
            ExitCode::from(2)
        }
    }
}

fn done(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn tidy(root: &Path) -> ExitCode {
    let mut findings = Vec::new();
    for check in [files::check(root), arrows::check(root)] {
        match check {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(error),
        }
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    eprintln!("tidy: {} findings", findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
