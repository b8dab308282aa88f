//! `swarmllm key`: API keys of the HTTP server: make one, list them, revoke one.
//!
//! Called by `cli/mod.rs`. While a node uses the data folder, it is asked over its control socket;
//! else the file is changed here, which holds the folder meanwhile.
//! Output: the key alone on stdout (so it can be piped), what to do with it on stderr; a table; a
//! sentence. With `--json` the node's own objects.

use serde_json::{Value, json};

use super::{
    CliError, print_json,
    reach::{self, NodeArgs, cell},
    table,
};
use crate::{
    http::keys::{self, KeyStore},
    node,
    service::data_folder::{DataFolder, FolderError},
};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown this once.
    Create {
        /// What to call it [default: its id].
        #[arg(long)]
        name: Option<String>,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List the keys; not what makes them keys, which is stored nowhere.
    List {
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Forget a key: whoever has it is refused from now on.
    Revoke {
        /// Its name or id.
        key: String,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Runs the command.
pub fn run(command: KeyCommand) -> Result<(), CliError> {
    match command {
        KeyCommand::Create { name, node } => {
            let here = |store: &KeyStore| store.create(name.as_deref()).map(|made| json!(made));
            let made = ask(&node, "key.create", json!({"name": name}), here)?;
            if node.json {
                return print_json(&made);
            }
            eprintln!("Clients send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.");
            eprintln!(
                "It is not shown again; `swarmllm key revoke {}` ends it.",
                cell(&made["name"])
            );
            println!("{}", cell(&made["key"]));
        }
        KeyCommand::List { node } => {
            let here = |store: &KeyStore| Ok(json!({"keys": store.list()}));
            let listed = ask(&node, "key.list", Value::Null, here)?;
            if node.json {
                return print_json(&listed);
            }
            print!("{}", describe(&listed));
        }
        KeyCommand::Revoke { key, node } => {
            let here =
                |store: &KeyStore| store.revoke(&key).map(|revoked| json!({"revoked": revoked}));
            let answer = ask(&node, "key.revoke", json!({"key": key}), here)?;
            if node.json {
                return print_json(&answer);
            }
            println!("Whoever has the key {key} is refused from now on.");
        }
    }
    Ok(())
}

/// Asks the node, or does it here while no node uses the folder.
fn ask(
    args: &NodeArgs,
    method: &str,
    params: Value,
    here: impl FnOnce(&KeyStore) -> Result<Value, keys::KeyError>,
) -> Result<Value, CliError> {
    if args.control.is_some() {
        return reach::ask(args, method, params);
    }
    let folder = match DataFolder::take(&reach::settings(args)?.data_dir.value) {
        Ok(folder) => folder,
        Err(FolderError::InUse { .. }) => return reach::ask(args, method, params),
        Err(error) => return Err(CliError::failed(error)),
    };
    let secret = node::derive_secret(folder.path(), keys::PURPOSE).map_err(CliError::failed)?;
    let store = KeyStore::open(folder.path(), secret).map_err(CliError::failed)?;
    here(&store).map_err(CliError::failed)
}

fn describe(answer: &Value) -> String {
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return "No API keys. `swarmllm key create` makes one.\n".to_owned();
    }
    let row = |key: &Value| vec![cell(&key["name"]), cell(&key["id"])];
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    table::render(&["name", "id"], &[false, false], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_by_name() {
        let text = describe(&json!({"keys": [{"name": "laptop", "id": "0a1b"}]}));
        assert!(text.contains("laptop  0a1b"), "{text}");
        assert!(describe(&json!({"keys": []})).contains("swarmllm key create"));
    }
}
