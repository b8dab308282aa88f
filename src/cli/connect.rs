//! `swarmllm connect`: the settings with which an agent program uses the running node.
//!
//! Called by `cli/mod.rs`; the address comes from the node's `ready.json`, the model from its
//! control socket. Prints one shell command, with `--json` an object
//! `{"tool","program","args","env","model","base_url"}`, or with `--run` becomes the program.
//! Telemetry and updates of the programs are off in those settings. Nothing is written to disk.
//! Errors: [`CliError`]. Source: the programs' own settings, tried with Claude Code 2.1, Codex
//! 0.169, opencode 1.18 and aider 0.86.

use std::{net::SocketAddr, os::unix::process::CommandExt, process::Command};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    CliError, print_json,
    reach::{self, NodeArgs},
};

/// Key where the node asks for none: the programs refuse to start without one.
const ANY_KEY: &str = "swarmllm";
/// Longest answer an agent is told it may ask for, as a part of the context.
const OUTPUT_SHARE: u64 = 4;

/// Flags of `connect`.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// Which program.
    #[arg(value_enum)]
    tool: Agent,
    /// Model to use; the first one that can answer when absent.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// API key of the node, where it asks for one.
    #[arg(long, value_name = "KEY", env = "SWARMLLM_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Start the program instead of printing how.
    #[arg(long)]
    run: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// Further arguments for the program.
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Programs whose settings are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Agent {
    Claude,
    Codex,
    Opencode,
    Aider,
}

/// The node as an agent sees it.
#[derive(Debug, Clone)]
struct Target {
    /// `http://ADDRESS:PORT`.
    url: String,
    model: String,
    context: Option<u64>,
    key: String,
}

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Launch {
    tool: Agent,
    program: &'static str,
    args: Vec<String>,
    env: Map<String, Value>,
    model: String,
    base_url: String,
}

/// Runs the command.
pub fn run(args: ConnectArgs) -> Result<(), CliError> {
    let ready = reach::ready(&args.node)?;
    let listed = reach::ask(&args.node, "models", Value::Null)?;
    let (model, context) = chosen(&listed, args.model)?;
    let key = match args.key.filter(|key| !key.is_empty()) {
        Some(key) => key,
        None if has_keys(&args.node)? => {
            return Err(CliError::failed(
                "the node asks for an API key; give it with --key or in SWARMLLM_API_KEY, \
                 `swarmllm key create` makes one",
            ));
        }
        None => ANY_KEY.to_owned(),
    };
    let target = Target { url: url_of(ready.http), model, context, key };
    let mut launch = launch(args.tool, &target);
    launch.args.extend(args.arguments);
    if args.run {
        return Err(start(&launch));
    }
    if args.node.json {
        return print_json(&launch);
    }
    println!("{}", shell_line(&launch));
    Ok(())
}

/// Whether the node asks for one of its API keys.
fn has_keys(node: &NodeArgs) -> Result<bool, CliError> {
    let listed = reach::ask(node, "key.list", Value::Null)?;
    Ok(listed["keys"].as_array().is_some_and(|keys| !keys.is_empty()))
}

/// The model that was named, if it is there, else the first that can answer; its context.
fn chosen(listed: &Value, named: Option<String>) -> Result<(String, Option<u64>), CliError> {
    let models = listed["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = models.iter().find(|model| match &named {
        Some(name) => model["name"] == name.as_str(),
        None => model["servable"] == true,
    });
    let name = |model: &Value| model["name"].as_str().map(str::to_owned);
    match found.and_then(|found| Some((name(found)?, found["context_length"].as_u64()))) {
        Some(found) => Ok(found),
        None => {
            let known: Vec<String> = models.iter().filter_map(name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(CliError::failed(match named {
                Some(named) => format!("no model {named:?} at the node; there are: {known}"),
                None => format!(
                    "no model of the node can answer yet, layers are missing in the swarm (models: \
                     {known}); name one with --model to connect all the same"
                ),
            }))
        }
    }
}

/// Where a program of this machine finds the node.
fn url_of(mut http: SocketAddr) -> String {
    if http.ip().is_unspecified() {
        let loopback: [std::net::IpAddr; 2] =
            [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
        http.set_ip(loopback[usize::from(http.is_ipv6())]);
    }
    format!("http://{http}")
}

fn launch(tool: Agent, target: &Target) -> Launch {
    let (program, env, args) = match tool {
        Agent::Claude => claude(target),
        Agent::Codex => codex(target),
        Agent::Opencode => opencode(target),
        Agent::Aider => aider(target),
    };
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let (model, base_url) = (target.model.clone(), target.url.clone());
    Launch { tool, program, args, env, model, base_url }
}

type Settings = (&'static str, Vec<(&'static str, String)>, Vec<String>);

fn on(name: &'static str) -> (&'static str, String) {
    (name, "1".to_owned())
}

fn claude(target: &Target) -> Settings {
    let env = vec![
        ("ANTHROPIC_BASE_URL", target.url.clone()),
        ("ANTHROPIC_API_KEY", target.key.clone()),
        ("ANTHROPIC_MODEL", target.model.clone()),
        // What it asks a smaller model for goes to the same one.
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", target.model.clone()),
        on("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"),
        on("DISABLE_AUTOUPDATER"),
        on("DISABLE_ERROR_REPORTING"),
        on("DISABLE_TELEMETRY"),
    ];
    ("claude", env, vec!["--model".to_owned(), target.model.clone()])
}

fn codex(target: &Target) -> Settings {
    let provider =
        |field: &str, value: String| (format!("model_providers.swarmllm.{field}"), value);
    let mut settings = vec![
        ("model".to_owned(), target.model.clone()),
        ("model_provider".to_owned(), "swarmllm".to_owned()),
        provider("name", "SwarmLLM".to_owned()),
        provider("base_url", format!("{}/v1", target.url)),
        provider("env_key", "OPENAI_API_KEY".to_owned()),
        provider("wire_api", "responses".to_owned()),
    ];
    // Values are TOML; a JSON string is one.
    for (_, value) in &mut settings {
        *value = json!(value).to_string();
    }
    settings.push(("check_for_update_on_startup".to_owned(), "false".to_owned()));
    settings.push(("analytics.enabled".to_owned(), "false".to_owned()));
    if let Some(context) = target.context {
        settings.push(("model_context_window".to_owned(), context.to_string()));
    }
    let args = settings
        .into_iter()
        .flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")])
        .collect();
    ("codex", vec![("OPENAI_API_KEY", target.key.clone())], args)
}

fn opencode(target: &Target) -> Settings {
    let full = format!("swarmllm/{}", target.model);
    let mut model = json!({"name": target.model, "tool_call": true});
    if let Some(context) = target.context {
        model["limit"] = json!({"context": context, "output": context / OUTPUT_SHARE});
    }
    let mut models = Map::new();
    models.insert(target.model.clone(), model);
    let config = json!({
        "$schema": "https://opencode.ai/config.json",
        "provider": {"swarmllm": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "SwarmLLM",
            "options": {"baseURL": format!("{}/v1", target.url), "apiKey": target.key},
            "models": models,
        }},
        "model": full,
        "small_model": full,
        "autoupdate": false,
        "share": "disabled",
    });
    let env = vec![
        ("OPENCODE_CONFIG_CONTENT", config.to_string()),
        on("OPENCODE_DISABLE_AUTOUPDATE"),
        on("OPENCODE_DISABLE_MODELS_FETCH"),
    ];
    ("opencode", env, Vec::new())
}

fn aider(target: &Target) -> Settings {
    let env = vec![
        ("OPENAI_API_BASE", format!("{}/v1", target.url)),
        ("OPENAI_API_KEY", target.key.clone()),
    ];
    let model = format!("openai/{}", target.model);
    let flags = ["--model", &model, "--no-check-update", "--no-analytics"];
    let more = ["--no-show-model-warnings", "--no-show-release-notes"];
    let flags = flags.into_iter().chain(more);
    ("aider", env, flags.map(str::to_owned).collect())
}

/// Becomes the program; returns only when that failed.
fn start(launch: &Launch) -> CliError {
    let env = launch.env.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let cause = Command::new(launch.program).args(&launch.args).envs(env).exec();
    CliError::failed(format!(
        "`{}` could not be started ({cause}); install it, or leave --run out to see its settings",
        launch.program
    ))
}

/// The launch as one command for a shell.
fn shell_line(launch: &Launch) -> String {
    let mut words = Vec::new();
    for (name, value) in &launch.env {
        words.push(format!("{name}={}", quoted(value.as_str().unwrap_or_default())));
    }
    words.push(launch.program.to_owned());
    words.extend(launch.args.iter().map(|argument| quoted(argument)));
    words.join(" ")
}

/// A word that a POSIX shell reads as this text.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target() -> Target {
        Target {
            url: "http://127.0.0.1:8800".to_owned(),
            model: "hf:owner/repo:Q4".to_owned(),
            context: Some(4096),
            key: "k".to_owned(),
        }
    }

    #[test]
    fn every_program_is_told_address_model_and_key() {
        for tool in [Agent::Claude, Agent::Codex, Agent::Opencode, Agent::Aider] {
            let launch = launch(tool, &target());
            let all = json!(launch).to_string();
            let env = json!(launch.env).to_string();
            assert!(all.matches("http://127.0.0.1:8800").count() >= 2, "{all}");
            assert!(all.matches("hf:owner/repo:Q4").count() >= 2, "{all}");
            assert!(env.contains("\"k\"") || env.contains("\\\"k\\\""), "{env}");
        }
    }

    #[test]
    fn opencode_is_told_how_long_a_context_is() {
        let launch = launch(Agent::Opencode, &target());
        let config = launch.env["OPENCODE_CONFIG_CONTENT"].as_str().expect("a text");
        let config: Value = serde_json::from_str(config).expect("JSON");
        let model = &config["provider"]["swarmllm"]["models"]["hf:owner/repo:Q4"];
        assert_eq!(model["limit"], json!({"context": 4096, "output": 1024}));
        assert_eq!(config["model"], "swarmllm/hf:owner/repo:Q4");
    }

    #[test]
    fn an_address_of_every_interface_is_reached_over_loopback() {
        let url = |text: &str| url_of(text.parse().expect("an address"));
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert_eq!(url("10.0.0.7:80"), "http://10.0.0.7:80");
    }

    #[test]
    fn a_model_is_chosen_that_can_answer() {
        let listed = json!({"models": [
            {"name": "a", "servable": false, "context_length": 8},
            {"name": "b", "servable": true, "context_length": 9},
        ]});
        assert_eq!(chosen(&listed, None), Ok(("b".to_owned(), Some(9))));
        assert_eq!(chosen(&listed, Some("a".to_owned())), Ok(("a".to_owned(), Some(8))));
        let error = chosen(&listed, Some("c".to_owned())).expect_err("unknown");
        assert!(error.to_string().contains("a, b"), "{error}");
        assert!(chosen(&json!({"models": []}), None).is_err());
    }

    proptest! {
        #[test]
        fn a_shell_reads_a_quoted_word_as_it_was(text in "[^\\x00]{0,24}") {
            let script = format!("printf %s {}", quoted(&text));
            let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
            prop_assert_eq!(output.stdout, text.as_bytes());
        }
    }
}
