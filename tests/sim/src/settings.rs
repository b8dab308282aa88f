//! Settings by name, so that a command line and a sweep can change one at a time.

use clap::Args;
use swarmllm_protocol::kademlia::DhtSettings;

/// What every command can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// What everything is made from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Change a setting, as `alpha=4`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl RunArgs {
    /// The default settings with these changes.
    ///
    /// # Errors
    /// As [`change`].
    pub(crate) fn settings(&self) -> Result<DhtSettings, String> {
        let mut settings = DhtSettings::default();
        self.set.iter().try_for_each(|text| change(&mut settings, text))?;
        Ok(settings)
    }
}

/// Changes one setting, as `alpha=4`.
///
/// # Errors
/// When there is no such setting or the value is no number.
fn change(settings: &mut DhtSettings, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text}: not NAME=VALUE"))?;
    let number: u64 = value.parse().map_err(|_| format!("{text}: {value} is no number"))?;
    let count = usize::try_from(number).map_err(|_| format!("{text}: too large"))?;
    let percent = u32::try_from(number).map_err(|_| format!("{text}: too large"))?;
    match name {
        "k" => settings.bucket_size = count,
        "alpha" => settings.alpha = count,
        "alpha_wide" => settings.alpha_wide = count,
        "paths_first" => settings.paths_first = count,
        "paths" => settings.paths = count,
        "take" => settings.take_per_answer = count,
        "split_bits" => settings.split_bits = number.clamp(1, 5) as u8,
        "patience_percent" => settings.patience_percent = number,
        "patience_min_ms" => settings.patience_ms.0 = number,
        "announce_radius_percent" => settings.announce_radius_percent = percent,
        "find_radius_percent" => settings.find_radius_percent = percent,
        "sparse_percent" => settings.expected_near_percent.0 = count,
        "crowded_percent" => settings.expected_near_percent.1 = count,
        "announce_messages_max" => settings.announce_messages_max = count,
        "find_messages_max" => settings.find_messages_max = count,
        "holders_max" => settings.holders_max = count,
        _ => return Err(format!("{name}: no such setting")),
    }
    Ok(())
}
