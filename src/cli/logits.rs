//! `swarmllm logits MODEL --tokens 1,2,3 --out F.npy`: the logits of every position, as a file.
//!
//! Called by `cli/mod.rs`. Writes little-endian f32 `[n_tokens, vocab]` in NumPy's format 1.0,
//! chunk by chunk, to `F.npy.partial`, which takes the name `F.npy` when it is whole. `--cut` runs
//! the model as separate shards, `--chunk` feeds the tokens in pieces: neither may change a bit.
//! Exit code 2 for cuts or numbers that mean nothing, 1 for everything that fails.
//! Source: the NEP 1 document of NumPy (the .npy format).

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use swarmllm_models::{LogitsWanted, RunProfile};

use super::{
    CliError,
    engine::{self, EngineArgs, check_tokens, parse_tokens},
};
use crate::local::{self, Chain, ChainOptions};

/// Rows computed at once when nobody says otherwise: their logits are held in memory.
const CHUNK: u32 = 128;

/// Flags of `logits`.
#[derive(Debug, clap::Args)]
pub struct LogitsArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// Token ids, fed exactly so.
    #[arg(long, value_name = "1,2,3", value_parser = parse_list)]
    tokens: TokenList,
    /// Where to write.
    #[arg(long, value_name = "F.npy")]
    out: PathBuf,
    /// Rounding at layer borders.
    #[arg(long, value_enum, default_value = "f16")]
    profile: Profile,
    /// Layers before which the model is cut into shards.
    #[arg(long, value_name = "4,8", value_parser = parse_list)]
    cut: Option<TokenList>,
    /// Feed the tokens in pieces of N; 1 goes token by token.
    #[arg(long, value_name = "N", default_value_t = CHUNK,
          value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One flag with several numbers.
#[derive(Debug, Clone)]
struct TokenList(Vec<u32>);

fn parse_list(text: &str) -> Result<TokenList, String> {
    parse_tokens(text).map(TokenList)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    F32,
    F16,
}

/// Runs the command.
pub fn run(args: LogitsArgs) -> Result<(), CliError> {
    let (_, model) = local::open_model(&args.model)?;
    let tokens = args.tokens.0;
    let config = model.config();
    check_tokens(&tokens, config.vocab)?;
    if tokens.len() > config.context_length as usize {
        return Err(CliError::failed(format!(
            "{} tokens do not fit the model's context of {}",
            tokens.len(),
            config.context_length
        )));
    }
    let mut shard = args.engine.shard_options();
    shard.profile = match args.profile {
        Profile::F32 => RunProfile::F32,
        Profile::F16 => RunProfile::F16,
    };
    let options = ChainOptions {
        shard,
        cuts: args.cut.map_or_else(Vec::new, |cut| cut.0),
        positions: tokens.len() as u32,
    };
    let mut chain = engine::load(&model, &options, 1)?;
    let partial = with_suffix(&args.out, ".partial");
    let written = write_logits(&mut chain, &tokens, args.chunk, config.vocab, &partial);
    let renamed = written.and_then(|()| Ok(std::fs::rename(&partial, &args.out)?));
    if renamed.is_err() {
        // There may be no such file; the first error is the one to tell.
        let _ = std::fs::remove_file(&partial);
    }
    renamed.map_err(|error| CliError::failed(format!("{}: {error}", args.out.display())))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn write_logits(
    chain: &mut Chain,
    tokens: &[u32],
    chunk: u32,
    vocab: u32,
    path: &Path,
) -> Result<(), CliError> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&npy_header(tokens.len(), vocab as usize))?;
    let mut position = 0;
    for piece in tokens.chunks(chunk as usize) {
        let logits = chain.feed(position, piece, LogitsWanted::All)?;
        for value in &logits.values {
            out.write_all(&value.to_le_bytes())?;
        }
        position += piece.len() as u32;
    }
    out.flush()?;
    Ok(())
}

/// Magic, version 1.0, length of the description, description padded to a multiple of 64.
fn npy_header(rows: usize, columns: usize) -> Vec<u8> {
    let mut description =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let padding = 64 - (10 + description.len() + 1) % 64;
    description.extend(std::iter::repeat_n(' ', padding % 64));
    description.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers and constant text are far below 64 KiB.
    header.extend((description.len() as u16).to_le_bytes());
    header.extend(description.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::npy_header;

    #[test]
    fn the_header_is_aligned_and_ends_with_a_line() {
        for rows in [0, 1, 12, 123, 1_234_567_890] {
            let header = npy_header(rows, 416);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(header.last(), Some(&b'\n'));
            let text = String::from_utf8_lossy(&header[10..]).into_owned();
            assert!(text.contains(&format!("'shape': ({rows}, 416)")), "{text}");
            assert_eq!(usize::from(header[8]) + 256 * usize::from(header[9]) + 10, header.len());
        }
    }
}
