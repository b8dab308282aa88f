//! `swarmllm invite`: a signed code that lets another node in; which were made; taking one back.
//!
//! Called by `cli/mod.rs`; asks `invite.create`, `invite.list` and `invite.revoke` over the control
//! socket.
//! Output: the code alone on stdout (so it can be piped), what to do with it on stderr; a table; a
//! sentence. With `--json` the node's own objects. Units: seconds after parsing `30m`, `12h`, `7d`.

use serde_json::{Value, json};
use swarmllm_actors::clock;
use swarmllm_protocol::{ids::InviteId, membership::MemberRole};

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell, short},
    table,
};

/// Flags of `invite`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InviteArgs {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    /// How long the code can be used, such as 30m, 12h or 7d.
    #[arg(long, visible_alias = "expires", value_name = "TIME", default_value = "24h",
          value_parser = parse_time_s)]
    valid_for: u64,
    /// How many nodes it lets in; 0: as many as come.
    #[arg(long, value_name = "N", default_value = "1")]
    uses: u32,
    /// As what: member or observer.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = parse_role)]
    role: MemberRole,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, clap::Subcommand)]
enum InviteCommand {
    /// List the invites made by this node, and who came by them.
    List {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take an invite back: nobody comes in by it any more.
    Revoke {
        /// Its id, as `invite list` shows it.
        id: InviteId,
        /// End the membership of those whom it let in as well.
        #[arg(long)]
        members: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Runs the command.
pub fn run(args: InviteArgs) -> Result<(), CliError> {
    match args.command {
        None => create(&args),
        Some(InviteCommand::List { node }) => {
            let answer = reach::ask(&node, "invite.list", Value::Null)?;
            if node.json {
                return print_json(&answer);
            }
            print!("{}", describe(&answer, clock::unix_s()));
            Ok(())
        }
        Some(InviteCommand::Revoke { id, members, node }) => {
            let params = json!({"id": id, "members": members});
            let answer = reach::ask(&node, "invite.revoke", params)?;
            if node.json {
                return print_json(&answer);
            }
            let whom = if members { "; whoever came by it is no member any more" } else { "" };
            println!("The invite {id} lets nobody in any more{whom}.");
            Ok(())
        }
    }
}

fn create(args: &InviteArgs) -> Result<(), CliError> {
    let InviteArgs { valid_for, uses, role, .. } = args;
    let params = json!({"valid_for_s": valid_for, "uses": uses, "role": role.word()});
    let answer = reach::ask(&args.node, "invite.create", params)?;
    if args.node.json {
        return print_json(&answer);
    }
    let who = match uses {
        0 => "Whoever has this code".to_owned(),
        1 => "The first who uses this code".to_owned(),
        uses => format!("The first {uses} who use this code"),
    };
    eprintln!("{who} can come in: give it to nobody else.");
    eprintln!("On the other machine: swarmllm serve --join CODE");
    println!("{}", cell(&answer["code"]));
    Ok(())
}

fn describe(answer: &Value, now_unix_s: u64) -> String {
    let invites = answer["invites"].as_array().map(Vec::as_slice).unwrap_or_default();
    if invites.is_empty() {
        return "No invites yet. `swarmllm invite` makes one.\n".to_owned();
    }
    let row = |invite: &Value| {
        let uses = match invite["uses"].as_u64() {
            Some(0) | None => "any".to_owned(),
            Some(uses) => uses.to_string(),
        };
        let peers = invite["redeemed_by"].as_array().map(Vec::as_slice).unwrap_or_default();
        let who: Vec<String> = peers.iter().take(4).map(short).collect();
        let more = if peers.len() > who.len() { ", ..." } else { "" };
        let left_s = invite["expires_at_unix_s"].as_u64().unwrap_or(0).saturating_sub(now_unix_s);
        vec![
            cell(&invite["id"]),
            cell(&invite["state"]).replace('_', " "),
            cell(&invite["role"]),
            format!("{} of {uses}", peers.len()),
            time(left_s),
            if who.is_empty() { "-".to_owned() } else { format!("{}{more}", who.join(", ")) },
        ]
    };
    let rows: Vec<Vec<String>> = invites.iter().map(row).collect();
    let right = [false, false, false, true, true];
    table::render(&["invite", "state", "role", "used", "time left", "by"], &right, &rows)
}

/// The largest unit that says it, rounded down.
fn time(seconds: u64) -> String {
    match seconds {
        0 => "-".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn parse_role(text: &str) -> Result<MemberRole, String> {
    MemberRole::of_word(text).ok_or_else(|| "use member or observer".to_owned())
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
        let shown = [0, 59, 61, 7200, 604_800].map(time);
        assert_eq!(shown, ["-", "59 s", "1 min", "2 h", "7 d"]);
    }

    #[test]
    fn invites_are_listed_with_who_came() {
        let text = describe(
            &json!({"invites": [
                {"id": "00aa", "state": "used_up", "role": "member", "uses": 1,
                 "redeemed_by": ["abcdefghijkl"], "expires_at_unix_s": 7300},
                {"id": "00bb", "state": "open", "role": "observer", "uses": 0,
                 "redeemed_by": [], "expires_at_unix_s": 130},
            ]}),
            100,
        );
        assert!(
            text.contains("00aa    used up  member      1 of 1        2 h  abcdefgh\n"),
            "{text}"
        );
        assert!(text.contains("00bb    open     observer  0 of any       30 s  -\n"), "{text}");
        assert!(describe(&json!({"invites": []}), 0).contains("swarmllm invite"));
    }
}
