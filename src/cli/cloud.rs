//! `swarmllm cloud`: providers that stand in for the swarm, their keys, what they cost.
//!
//! Called by `cli/mod.rs`. `list` and `models` ask the running node; `key set` and `key rm` work on
//! the data folder, and a running node uses the change at once. A key is read from stdin, never
//! from the command line, which other users can see.
//! Output: tables and sentences; with `--json` one object.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell},
    table,
};
use crate::cloud::key::{ApiKey, KEY_MAX_BYTES, ProviderKeys};
use crate::config::{self, Environment, Flags};

/// Subcommands of `cloud`.
#[derive(Debug, clap::Subcommand)]
pub enum CloudCommand {
    /// List the providers: keys, stand-ins, use, errors and cost since the node started.
    List {
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List the models of a provider, as it tells them now.
    Models {
        /// Its id, as `cloud list` shows it.
        provider: String,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Give or take away the key of a provider.
    #[command(subcommand)]
    Key(KeyCommand),
}

/// Subcommands of `cloud key`.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Read a key from stdin and keep it in a file that only you can read.
    Set(KeyArgs),
    /// Remove the file with the key.
    Rm(KeyArgs),
}

/// Which key of which node.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Id of the provider, as `cloud list` shows it.
    provider: String,
    /// Data folder of the node.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Configuration file, instead of the system's and the user's.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(command: CloudCommand) -> Result<(), CliError> {
    match command {
        CloudCommand::List { node } => {
            let answer = reach::ask(&node, "cloud.list", Value::Null)?;
            if node.json {
                return print_json(&answer);
            }
            print!("{}", describe(&answer));
            Ok(())
        }
        CloudCommand::Models { provider, node } => {
            let answer = reach::ask(&node, "cloud.models", json!({"provider": provider}))?;
            if node.json {
                return print_json(&answer);
            }
            for model in answer["models"].as_array().into_iter().flatten() {
                println!("{provider}/{}", cell(model));
            }
            Ok(())
        }
        CloudCommand::Key(KeyCommand::Set(args)) => set(&args),
        CloudCommand::Key(KeyCommand::Rm(args)) => remove(&args),
    }
}

fn set(args: &KeyArgs) -> Result<(), CliError> {
    let (keys, variable) = store(args)?;
    if io::stdin().is_terminal() {
        eprintln!("Paste the key of {} and press Enter; it will be visible here.", args.provider);
    }
    let mut text = String::new();
    if io::stdin().is_terminal() {
        io::stdin().read_line(&mut text)?;
    } else {
        io::stdin().take(KEY_MAX_BYTES as u64 + 2).read_to_string(&mut text)?;
    }
    let key = ApiKey::of_text(&text).map_err(CliError::usage)?;
    keys.set(&args.provider, &key).map_err(CliError::failed)?;
    if args.json {
        return print_json(&json!({"provider": args.provider, "key": "file"}));
    }
    println!("The key of {} is kept; the node uses it from now on.", args.provider);
    if Environment::of_process().get(&variable).is_some() {
        println!("{variable} is set here; a node that has it uses that one instead.");
    }
    println!("Requests leave the swarm only if cloud.policy allows it; `swarmllm cloud list`.");
    Ok(())
}

fn remove(args: &KeyArgs) -> Result<(), CliError> {
    let (keys, variable) = store(args)?;
    let was_there = keys.remove(&args.provider).map_err(CliError::failed)?;
    if args.json {
        return print_json(&json!({"provider": args.provider, "removed": was_there}));
    }
    match was_there {
        true => println!("The key of {} is gone.", args.provider),
        false => println!("There was no file with a key of {}.", args.provider),
    }
    println!("A key in {variable} is the environment's matter.");
    Ok(())
}

/// The keys of the node that is meant, and the variable that may hold this one.
fn store(args: &KeyArgs) -> Result<(ProviderKeys, String), CliError> {
    let environment = Environment::of_process();
    let files = reach::read_files(args.config.as_ref(), &environment)?;
    let flags = Flags { data_dir: args.data_dir.clone(), ..Flags::default() };
    let settings = config::resolve(&files, &environment, &flags).map_err(CliError::usage)?;
    let rows = &settings.cloud.providers.value;
    let row = rows.iter().find(|row| row.id == args.provider).ok_or_else(|| {
        let known: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
        CliError::usage(format!(
            "no provider {:?}; there are {}; others are named in cloud.providers of the \
             configuration",
            args.provider,
            known.join(", ")
        ))
    })?;
    let variable = row.key_env.to_string();
    Ok((ProviderKeys::new(&settings.data_dir.value, &[], &Environment::default()), variable))
}

fn describe(answer: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let row = |provider: &Value| {
        let models: Vec<String> = list(&provider["models"])
            .iter()
            .map(|pair| format!("{} -> {}", cell(&pair[0]), cell(&pair[1])))
            .collect();
        let requests = provider["requests"].as_object().into_iter().flatten();
        let requests: u64 = requests.filter_map(|(_, n)| n.as_u64()).sum();
        let state = match provider["breaker"].as_str() {
            Some("closed") | None => "",
            Some(_) => " (left alone)",
        };
        let cost = provider["cost_usd"].as_f64().unwrap_or(0.0);
        let more = if provider["unpriced"].as_u64() > Some(0) { "+" } else { "" };
        vec![
            cell(&provider["id"]),
            match provider["key_error"].is_null() {
                true => cell(&provider["key"]),
                false => "unusable".to_owned(),
            },
            if models.is_empty() { "-".to_owned() } else { models.join(", ") },
            requests.to_string(),
            format!("{}{state}", cell(&provider["errors"])),
            format!("${cost:.4}{more}"),
        ]
    };
    let providers = list(&answer["providers"]);
    let rows: Vec<Vec<String>> = providers.iter().map(row).collect();
    let right = [false, false, false, true, true, true];
    let header = ["provider", "key", "stands in for", "requests", "errors", "cost"];
    let offline = if answer["offline"] == true { ", but the node is offline" } else { "" };
    let mut text = format!("policy: {}{offline}\n\n", cell(&answer["policy"]));
    text.push_str(&table::render(&header, &right, &rows));
    for provider in &providers {
        for what in ["key_error", "last_error"] {
            if let Some(error) = provider[what].as_str() {
                text.push_str(&format!("\n{}: {error}", cell(&provider["id"])));
            }
        }
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_listed_with_use_and_cost() {
        let text = describe(&json!({"policy": "fallback", "offline": false, "providers": [
            {"id": "openai", "key": "file", "key_error": null, "models": [["demo", "gpt"]],
             "requests": {"busy": 2, "named": 1}, "errors": 1, "breaker": "open",
             "cost_usd": 0.25, "unpriced": 0, "last_error": "it was silent"},
            {"id": "groq", "key": null, "key_error": null, "models": [], "requests": {},
             "errors": 0, "breaker": "closed", "cost_usd": 0.0, "unpriced": 1},
        ]}));
        assert!(text.starts_with("policy: fallback\n\nprovider"), "{text}");
        assert!(text.contains("file  demo -> gpt"), "{text}");
        assert!(text.contains("1 (left alone)") && text.contains("$0.2500\n"), "{text}");
        assert!(text.contains("$0.0000+") && text.ends_with("openai: it was silent\n"), "{text}");
    }
}
