//! House checks: `cargo xtask tidy` fails when a file or a dependency breaks the manners of
//! ARCHITECTURE.md. Called by `.ci/run`; prints every finding, one a line, and exits with 1.

mod arrows;
mod files;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(&root),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}

fn tidy(root: &std::path::Path) -> ExitCode {
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
