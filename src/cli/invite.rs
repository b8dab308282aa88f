//! `swarmllm invite`: a signed code that lets another node join through this one.
//!
//! Called by `cli/mod.rs`; asks `invite.create` over the control socket.
//! Output: the code alone on stdout (so it can be piped), what to do with it on stderr; with
//! `--json` the object `{"code","valid_for_s"}`. Units: seconds after parsing `30m`, `12h`, `7d`.

use serde_json::json;

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell},
};

/// Flags of `invite`.
#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    /// How long the code can be used, such as 30m, 12h or 7d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time_s)]
    valid_for: u64,
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub fn run(args: InviteArgs) -> Result<(), CliError> {
    let params = json!({"valid_for_s": args.valid_for});
    let answer = reach::ask(&args.node, "invite.create", params)?;
    if args.node.json {
        return print_json(&answer);
    }
    eprintln!("On the other machine: swarmllm serve --join CODE");
    println!("{}", cell(&answer["code"]));
    Ok(())
}

fn parse_time_s(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => return Err(format!("unknown unit `{other}`; use s, m, h or d")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    number.checked_mul(unit_s).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time_s("90"), Ok(90));
        assert_eq!(parse_time_s("30m"), Ok(1800));
        assert_eq!(parse_time_s("7d"), Ok(604_800));
        assert!(parse_time_s("1w").is_err() && parse_time_s("h").is_err());
        assert!(parse_time_s("99999999999999999d").is_err());
    }
}
