//! `swarmllm show MODEL`: what a model is.
//!
//! Called by `cli/mod.rs`. Reads metadata and hashes the weights for the model id; nothing is
//! loaded. A file that ends before its weights do is shown as far as it goes, without an id.
//! `--json` prints `name`, `architecture`, `n_layers`, `n_ctx_train`, `hidden`, `vocab`,
//! `quantisation`, `parameters`, `model_id`, `layer_bytes`, `expert_bytes`, `cache_bytes_per_token`
//! and more. Exit code 1 when it is no model.

use std::io::Write;

use swarmllm_models::ModelSummary;

use super::{CliError, print_json};
use crate::local;

/// Flags of `show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: ShowArgs) -> Result<(), CliError> {
    let model = local::open_header(&args.model)?;
    let summary = model.summary();
    if args.json {
        return print_json(&summary);
    }
    Ok(std::io::stdout().write_all(text(&summary).as_bytes())?)
}

fn text(summary: &ModelSummary) -> String {
    let lines = [
        ("name", summary.name.clone()),
        ("architecture", summary.architecture.clone()),
        ("parameters", with_unit(summary.parameters as f64, 1000.0, &["", " K", " M", " G", " T"])),
        ("quantisation", summary.quantisation.clone()),
        ("layers", format!("{}: {}", summary.n_layers, runs(&summary.layer_bytes))),
        ("experts", experts(summary)),
        ("hidden", summary.hidden.to_string()),
        ("heads", format!("{} ({} for keys and values)", summary.n_heads, summary.n_kv_heads)),
        ("feed forward", summary.feed_forward.to_string()),
        ("vocabulary", format!("{} tokens", summary.vocab)),
        ("context", format!("{} tokens", summary.n_ctx_train)),
        ("cache", format!("{} per token", in_bytes(summary.cache_bytes_per_token))),
        ("weights", in_bytes(summary.weight_bytes)),
        ("file", in_bytes(summary.file_bytes)),
        ("licence", summary.license.clone().unwrap_or_else(|| "not stated".into())),
        ("model id", summary.model_id.clone().unwrap_or_else(|| MISSING.into())),
    ];
    lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
}

/// What stands for the id of a file without all its weights.
const MISSING: &str = "none: the file ends before its weights do";

fn in_bytes(n: u64) -> String {
    with_unit(n as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// Sizes of layers, equal neighbours together.
fn runs(sizes: &[u64]) -> String {
    let runs: Vec<String> = sizes
        .chunk_by(|a, b| a == b)
        .map(|run| match run {
            [] => String::new(),
            [size] => in_bytes(*size),
            [size, ..] => format!("{} of {}", run.len(), in_bytes(*size)),
        })
        .collect();
    if runs.len() <= 8 {
        return runs.join(", ");
    }
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    format!("{} to {}", in_bytes(*least.unwrap_or(&0)), in_bytes(*most.unwrap_or(&0)))
}

fn experts(summary: &ModelSummary) -> String {
    let Some([n, used]) = summary.experts else { return "none".into() };
    let sizes: Vec<u64> = summary.expert_bytes.iter().copied().filter(|size| *size > 0).collect();
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    let [least, most] = [least, most].map(|size| in_bytes(size.copied().unwrap_or(0)));
    let one = if least == most { least } else { format!("{least} to {most}") };
    format!("{n} in each of {} layers, {used} per token; one is {one}", sizes.len())
}

/// At most four digits and the unit that fits.
fn with_unit(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        if value < step {
            break;
        }
        value /= step;
        unit = larger;
    }
    if value.fract() == 0.0 { format!("{value}{unit}") } else { format!("{value:.2}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::with_unit;

    #[test]
    fn units_fit() {
        assert_eq!(with_unit(999.0, 1000.0, &["", " K"]), "999");
        assert_eq!(with_unit(6_789_120.0, 1000.0, &["", " K", " M", " G"]), "6.79 M");
        assert_eq!(with_unit(2048.0, 1024.0, &[" B", " KiB"]), "2 KiB");
    }
}
