//! `swarmllm detokenize MODEL`: token ids on stdin become bytes on stdout.
//!
//! Called by `cli/mod.rs`. Stdin is a JSON array (or the object that `tokenize` prints) and the
//! bytes come out raw, for tokens may end inside a character; with `--jsonl` each line is an array
//! and each answer line lower-case hex. Control tokens print nothing. Exit code 1 for a model, an
//! input or an id that cannot be read.

use std::io::{BufRead, BufWriter, Write};

use serde_json::Value;
use swarmllm_models::Tokenizer;

use super::{
    CliError,
    engine::{check_tokens, read_stdin_text},
};
use crate::local;

/// Flags of `detokenize`.
#[derive(Debug, clap::Args)]
pub struct DetokenizeArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// One JSON array per line in, one line of hex out.
    #[arg(long)]
    jsonl: bool,
}

/// Runs the command.
pub fn run(args: DetokenizeArgs) -> Result<(), CliError> {
    let tokenizer = local::open_tokenizer(&args.model)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if args.jsonl {
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let bytes = decode(&tokenizer, &line?)
                .map_err(|error| CliError::failed(format!("line {number}: {error}")))?;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(out, "{hex}")?;
        }
    } else {
        out.write_all(&decode(&tokenizer, &read_stdin_text()?)?)?;
    }
    out.flush()?;
    Ok(())
}

fn decode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u8>, CliError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| CliError::failed(format!("the input is no JSON array of ids: {error}")))?;
    let ids = value.get("ids").unwrap_or(&value).clone();
    let ids: Vec<u32> = serde_json::from_value(ids).map_err(|error| {
        CliError::failed(format!("the input is no array of token ids: {error}"))
    })?;
    check_tokens(&ids, tokenizer.vocab_size())?;
    Ok(tokenizer.decode(&ids))
}
