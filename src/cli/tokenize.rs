//! `swarmllm tokenize MODEL`: text on stdin becomes token ids on stdout.
//!
//! Called by `cli/mod.rs`. All of stdin is one text and the answer is `{"ids":[..]}`; with
//! `--jsonl` each line is a JSON string and each answer line a JSON array, in order. A file that
//! holds only a vocabulary is enough. Exit code 1 for a model or an input that cannot be read.

use std::io::{BufRead, BufWriter, Write};

use serde_json::json;
use swarmllm_models::EncodeOptions;

use super::{CliError, engine::read_stdin_text, print_json};
use crate::local;

/// Flags of `tokenize`.
#[derive(Debug, clap::Args)]
pub struct TokenizeArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// Add the beginning and ending tokens that the model wants.
    #[arg(long)]
    bos: bool,
    /// Read special tokens (as `<|im_end|>`) out of the text instead of as words.
    #[arg(long)]
    parse_special: bool,
    /// One JSON string per line in, one JSON array per line out.
    #[arg(long)]
    jsonl: bool,
}

/// Runs the command.
pub fn run(args: TokenizeArgs) -> Result<(), CliError> {
    let tokenizer = local::open_tokenizer(&args.model)?;
    let options = EncodeOptions { add_special: args.bos, parse_special: args.parse_special };
    if !args.jsonl {
        return print_json(&json!({"ids": tokenizer.encode(&read_stdin_text()?, options)}));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let text: String = serde_json::from_str(&line?).map_err(|error| {
            CliError::failed(format!("line {number} is no JSON string: {error}"))
        })?;
        let ids = tokenizer.encode(&text, options);
        serde_json::to_writer(&mut out, &ids).map_err(CliError::failed)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
