//! `swarmllm template`: renders a chat template, exactly as the service would.
//!
//! Called by `cli/mod.rs`. The input file is a JSON object with `messages`, `tools`,
//! `add_generation_prompt`, `bos_token`, `eos_token` and any more variables. The text goes to
//! stdout as it is, without a line end of its own. `SOURCE_DATE_EPOCH` fixes the date. Exit code 1
//! when the template or the input cannot be used, or the template refuses; 2 for bad flags.

use std::{io::Write, path::PathBuf};

use serde_json::{Map, Value};
use swarmllm_models::{ChatInput, ChatTemplate};

use super::CliError;
use crate::{config::Environment, local};

/// Flags of `template`.
#[derive(Debug, clap::Args)]
pub struct TemplateArgs {
    /// Use the template of this model: a .gguf file, `demo` or `demo-draft`.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    model: Option<String>,
    /// Use the template in this file.
    #[arg(long, value_name = "T.jinja")]
    file: Option<PathBuf>,
    /// The conversation, a JSON object.
    #[arg(long, value_name = "F.json")]
    input: PathBuf,
}

/// Runs the command.
pub fn run(args: TemplateArgs) -> Result<(), CliError> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
    };
    let variables: Map<String, Value> = serde_json::from_str(&read(&args.input)?).map_err(|e| {
        CliError::failed(format!("{} is no JSON object: {e}", args.input.display()))
    })?;
    let (template, bos_token, eos_token) = match (&args.model, &args.file) {
        (Some(model), _) => of_model(model)?,
        (None, Some(file)) => {
            let template = ChatTemplate::new(&read(file)?).map_err(CliError::failed)?;
            (template, String::new(), String::new())
        }
        (None, None) => return Err(CliError::usage("give --model or --file")),
    };
    // Everything in the file wins over what the model says.
    let now_unix_s =
        Environment::of_process().get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    let input = ChatInput { bos_token, eos_token, now_unix_s, variables, ..ChatInput::default() };
    let text = template.render(&input).map_err(CliError::failed)?;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn of_model(reference: &str) -> Result<(ChatTemplate, String, String), CliError> {
    let (_, model) = local::open_model(reference)?;
    let template = model.chat_template().map_err(CliError::failed)?;
    let tokenizer = model.tokenizer().map_err(CliError::failed)?;
    let text = |id: Option<u32>| {
        let bytes = id.map_or(&[][..], |id| tokenizer.token_bytes(id));
        String::from_utf8_lossy(bytes).into_owned()
    };
    Ok((template, text(tokenizer.bos()), text(tokenizer.eos())))
}
