//! Checks every source file by itself: front page, size, width, alphabet, banned patterns.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, tests included.
const LINES_MAX: usize = 600;
/// Columns of a line.
const COLUMNS_MAX: usize = 100;

/// A pattern, where it is allowed, and what to do instead.
struct Banned {
    pattern: &'static str,
    allowed_in: &'static [&'static str],
    instead: &'static str,
}

/// Written in two halves, so that this table does not find itself.
const BANNED: &[Banned] = &[
    ban(concat!("do_", "send("), &[], "it ignores the mailbox bound: use try_send or send"),
    ban(concat!("unbounded_", "channel"), &[], "every queue has a bound"),
    ban(concat!("System", "Registry"), &[], "two nodes must fit in one process"),
    ban(concat!("#[", "ignore"), &[], "a test runs or is deleted"),
    ban(concat!("FIX", "ME"), &[], "open an issue"),
    ban(concat!("TO", "DO"), &[], "open an issue"),
    ban(concat!("XX", "X"), &["Noise"], "open an issue"),
    ban(
        concat!("print", "ln!("),
        &["src/cli/", "src/demo/", "scripts/", "tests/", "/tests/", "/benches/", "examples/"],
        "only the command line prints: use tracing",
    ),
    ban(
        concat!("env::", "var"),
        &[
            "src/config/",
            "src/service/",
            "src/demo/",
            "chat_template",
            "scripts/",
            "tests/",
            "/tests/",
        ],
        "the environment is read by the configuration",
    ),
];

/// Sleeping is never the way to wait in a test.
const BANNED_IN_TESTS: &[&str] = &[concat!("thread::", "sleep"), concat!("time::", "sleep")];

const fn ban(
    pattern: &'static str,
    allowed_in: &'static [&'static str],
    instead: &'static str,
) -> Banned {
    Banned { pattern, allowed_in, instead }
}

/// Checks all `.rs` files below the root.
///
/// # Errors
/// When a file can't be read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    for room in ["src", "actors", "protocol", "models", "scripts", "tests"] {
        collect(&root.join(room), &mut paths)?;
    }
    paths.sort();
    let mut findings = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        findings.extend(check_file(&name, &text));
    }
    Ok(findings)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let is_built = path.file_name().is_some_and(|name| name == "target");
        if path.is_dir() && !is_built {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn check_file(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(format!("{name}:1: no front page (`//!` in the first line)"));
    }
    let n_lines = text.lines().count();
    if n_lines > LINES_MAX {
        findings.push(format!("{name}: {n_lines} lines, at most {LINES_MAX}: split it"));
    }
    let is_test =
        name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("_tests.rs");
    let unit_tests_from = text.find("#[cfg(test)]").unwrap_or(text.len());
    let mut offset = 0;
    for (index, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", index + 1);
        if line.chars().count() > COLUMNS_MAX {
            findings.push(format!("{at}: over {COLUMNS_MAX} columns"));
        }
        if !line.is_ascii() {
            findings.push(format!("{at}: not ASCII"));
        }
        for banned in BANNED {
            let is_allowed = banned.allowed_in.iter().any(|place| name.contains(place));
            let is_there = line.contains(banned.pattern);
            if is_there && !is_allowed && !line.contains("Noise_") {
                findings.push(format!("{at}: `{}`: {}", banned.pattern, banned.instead));
            }
        }
        let sleeps = BANNED_IN_TESTS.iter().any(|pattern| line.contains(pattern));
        if sleeps && (is_test || offset >= unit_tests_from) && !name.starts_with("tests/lab/") {
            findings.push(format!("{at}: a sleep in a test: wait for an event with a deadline"));
        }
        offset += line.len() + 1;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tidy_file_passes() {
        assert!(check_file("src/a.rs", "//! What it is.\n\nfn a() {}\n").is_empty());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let long = "//! Long.\n".to_owned() + &"x\n".repeat(LINES_MAX);
        let wide = format!("//! {}\n", "w".repeat(COLUMNS_MAX));
        let sent = format!("//! A.\naddr.{}1);\n", concat!("do_", "send("));
        let slept = format!("//! A.\n#[cfg(test)]\nmod tests {{ {}(d) }}\n", BANNED_IN_TESTS[0]);
        let printed = format!("//! A.\n{}\"\");\n", concat!("print", "ln!("));
        for text in ["fn a() {}\n", &long, &wide, "//! \u{e9}\n", &sent, &slept, &printed] {
            let found = check_file("actors/src/a.rs", text);
            assert_eq!(found.len(), 1, "{text:.60} gave {found:?}");
        }
        assert!(check_file("src/cli/a.rs", &printed).is_empty());
    }
}
