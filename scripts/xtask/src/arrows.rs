//! Checks the direction of dependencies from `cargo metadata`: tests, scripts -> src -> actors ->
//! {protocol, models}, and that the pure rooms stay pure.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A package and what it must not depend on directly (a trailing `*` stands for any ending).
const NEVER: &[(&str, &[&str])] = &[
    (
        "swarmllm-protocol",
        &["swarmllm*", "tokio*", "actix*", "burn*", "mio", "socket2", "getrandom", "rand", "clap"],
    ),
    ("swarmllm-models", &["swarmllm*", "tokio*", "actix*", "mdns-sd", "clap"]),
    ("swarmllm-actors", &["swarmllm", "actix-web", "clap", "burn*", "toml"]),
];

/// Packages that only these may depend on.
const ONLY: &[(&str, &[&str])] = &[("swarmllm", &["swarmllm-lab", "swarmllm-sim"])];

/// Checks the workspace below the root.
///
/// # Errors
/// When `cargo metadata` can't be run or read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("metadata: {error}"))?;
    Ok(findings(&direct_dependencies(&metadata)))
}

/// Package name to the names it depends on, dev-dependencies left out.
fn direct_dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                .map(|dependency| text(&dependency["name"]))
                .collect();
            (text(&package["name"]), dependencies)
        })
        .collect()
}

fn findings(packages: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, banned) in NEVER {
        for dependency in packages.get(*name).into_iter().flatten() {
            if banned.iter().any(|pattern| matches(pattern, dependency)) {
                findings.push(format!("{name} must not depend on {dependency}"));
            }
        }
        if !packages.contains_key(*name) {
            findings.push(format!("{name} is not in the workspace"));
        }
    }
    for (name, allowed) in ONLY {
        for (package, dependencies) in packages {
            let depends = dependencies.iter().any(|dependency| dependency == name);
            if depends && !allowed.contains(&package.as_str()) {
                findings.push(format!("{package} must not depend on {name}"));
            }
        }
    }
    findings
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(extra: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        let mut packages: BTreeMap<String, Vec<String>> =
            NEVER.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
        for (package, dependency) in extra {
            packages.entry((*package).to_owned()).or_default().push((*dependency).to_owned());
        }
        packages
    }

    #[test]
    fn the_house_as_drawn_passes() {
        let drawn = workspace(&[
            ("swarmllm-actors", "swarmllm-protocol"),
            ("swarmllm-actors", "swarmllm-models"),
            ("swarmllm", "swarmllm-actors"),
            ("swarmllm-models", "burn"),
        ]);
        assert!(findings(&drawn).is_empty());
    }

    #[test]
    fn an_arrow_against_the_direction_is_found() {
        for arrow in [
            ("swarmllm-protocol", "tokio-util"),
            ("swarmllm-models", "swarmllm-protocol"),
            ("swarmllm-actors", "actix-web"),
            ("xtask", "swarmllm"),
        ] {
            assert_eq!(findings(&workspace(&[arrow])).len(), 1, "{arrow:?}");
        }
    }
}
