//! `swarmllm show MODEL`: what a model is.
//!
//! Called by `cli/mod.rs`. Reads metadata and hashes the weights for the model id; nothing is
//! loaded. `--json` prints `name`, `architecture`, `n_layers`, `n_ctx_train`, `hidden`, `vocab`,
//! `quantisation`, `parameters`, `model_id` and more. Exit code 1 when it is no model.

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
    let (_, model) = local::open_model(&args.model)?;
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
        ("layers", summary.n_layers.to_string()),
        ("hidden", summary.hidden.to_string()),
        ("heads", format!("{} ({} for keys and values)", summary.n_heads, summary.n_kv_heads)),
        ("feed forward", summary.feed_forward.to_string()),
        ("vocabulary", format!("{} tokens", summary.vocab)),
        ("context", format!("{} tokens", summary.n_ctx_train)),
        ("size", with_unit(summary.file_bytes as f64, 1024.0, &[" B", " KiB", " MiB", " GiB"])),
        ("licence", summary.license.clone().unwrap_or_else(|| "not stated".into())),
        ("model id", summary.model_id.clone()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
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
