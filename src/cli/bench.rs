//! `swarmllm bench MODEL`: how fast a model runs here, and how much memory it takes.
//!
//! Called by `cli/mod.rs`. After one warm-up run, each of `--repeat` runs reads `--prompt` tokens
//! in chunks (prefill) and then generates `--gen` tokens one by one for each of `--batch`
//! sequences (decode), both behind `--depth` tokens that are already in the cache. Reported are
//! medians; `spread` holds the least and the most. `read_gb_s` is the weight bytes that decoding
//! read per second, in 10^9 bytes; `weight_bytes_per_token` leaves the embedding table out, of
//! which one row is read. Tokens are pseudo-random, sampling is greedy. Exit code 1 on failure.

use std::{io::Write, time::Instant};

use serde_json::{Value, json};
use swarmllm_models::{LogitsWanted, Model, SamplingParams, sampler};

use super::{
    CliError,
    engine::{self, EngineArgs},
    print_json,
};
use crate::local::{self, Chain, ChainOptions};

/// Flags of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// Tokens of the prompt.
    #[arg(long, value_name = "N", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..))]
    prompt: u32,
    /// Tokens to generate.
    #[arg(long = "gen", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..))]
    generate: u32,
    /// Tokens in the cache before anything is measured.
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: u32,
    /// Sequences that are decoded together.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Measured runs, after one that warms up.
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: BenchArgs) -> Result<(), CliError> {
    let report = measure(&args)?;
    if args.json {
        return print_json(&report);
    }
    let number = |key: &str| report[key].as_f64().unwrap_or_default();
    let spread = |key: &str| {
        let bounds = &report["spread"][key];
        let bound = |at: usize| bounds[at].as_f64().unwrap_or_default();
        format!("{:.1} to {:.1}", bound(0), bound(1))
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "device        {}, {} threads", args.engine.device, number("threads"))?;
    writeln!(out, "load          {:.3} s", number("load_s"))?;
    let prefill = spread("prefill_tok_s");
    writeln!(out, "prefill       {:.1} tokens/s ({prefill})", number("prefill_tok_s"))?;
    let decode = spread("decode_tok_s");
    writeln!(out, "decode        {:.1} tokens/s ({decode})", number("decode_tok_s"))?;
    let per_token = number("weight_bytes_per_token") / 1e6;
    writeln!(out, "weights read  {per_token:.2} MB/token, {:.2} GB/s", number("read_gb_s"))?;
    writeln!(out, "peak memory   {:.1} MiB", number("peak_rss_mib"))?;
    Ok(())
}

fn measure(args: &BenchArgs) -> Result<Value, CliError> {
    let began = Instant::now();
    let (_, model) = local::open_model(&args.model)?;
    let longest = u64::from(args.depth) + u64::from(args.prompt.max(args.generate));
    let context = model.config().context_length;
    if longest > u64::from(context) {
        return Err(CliError::failed(format!(
            "{longest} positions are needed, but the model's context is {context}: choose smaller \
             --depth, --prompt or --gen"
        )));
    }
    let shard = args.engine.shard_options();
    let threads = shard.threads;
    // It fits the context, which is a u32.
    let options = ChainOptions { shard, cuts: Vec::new(), positions: longest as u32 };
    let mut chain = engine::load(&model, &options, args.batch)?;
    let load_s = began.elapsed().as_secs_f64();
    let mut bench = Bench { chain: &mut chain, vocab: model.config().vocab, args };
    bench.fill()?;
    bench.prefill()?;
    bench.decode()?;
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..args.repeat {
        prefill.push(bench.prefill()?);
        decode.push(bench.decode()?);
    }
    let (prefill, decode) = (Figures::of(prefill), Figures::of(decode));
    let weight_bytes = weight_bytes_per_token(&model);
    let steps_per_s = decode.median / f64::from(args.batch);
    Ok(json!({
        "prefill_tok_s": prefill.median,
        "decode_tok_s": decode.median,
        "spread": {
            "prefill_tok_s": [prefill.least, prefill.most],
            "decode_tok_s": [decode.least, decode.most],
        },
        "load_s": load_s,
        "peak_rss_mib": peak_rss_mib(),
        "weight_bytes_per_token": weight_bytes,
        "read_gb_s": weight_bytes as f64 * steps_per_s / 1e9,
        "device": args.engine.device.to_string(),
        "threads": threads,
        "prompt": args.prompt,
        "gen": args.generate,
        "depth": args.depth,
        "batch": args.batch,
        "repeat": args.repeat,
    }))
}

/// Median and bounds of several runs.
struct Figures {
    median: f64,
    least: f64,
    most: f64,
}

impl Figures {
    fn of(mut runs: Vec<f64>) -> Figures {
        runs.sort_by(f64::total_cmp);
        let at = |index: usize| runs.get(index).copied().unwrap_or_default();
        let middle = runs.len() / 2;
        let median = match runs.len() % 2 {
            1 => at(middle),
            _ => (at(middle.saturating_sub(1)) + at(middle)) / 2.0,
        };
        Figures { median, least: at(0), most: at(runs.len().saturating_sub(1)) }
    }
}

struct Bench<'b> {
    chain: &'b mut Chain,
    vocab: u32,
    args: &'b BenchArgs,
}

impl Bench<'_> {
    /// Puts the tokens of the depth into the cache of every sequence.
    fn fill(&mut self) -> Result<(), CliError> {
        (0..self.args.batch).try_for_each(|sequence| self.read(sequence, 0, self.args.depth))
    }

    /// Prompt tokens per second.
    fn prefill(&mut self) -> Result<f64, CliError> {
        let began = Instant::now();
        self.read(0, self.args.depth, self.args.prompt)?;
        Ok(local::rate(f64::from(self.args.prompt), began.elapsed()))
    }

    /// New tokens per second over all sequences.
    fn decode(&mut self) -> Result<f64, CliError> {
        let mut tokens: Vec<u32> = (0..self.args.batch).map(|s| self.token(s)).collect();
        let began = Instant::now();
        for step in 0..self.args.generate {
            let position = self.args.depth + step;
            let sequences = 0..self.args.batch;
            let rows = sequences.map(|s| self.chain.rows(s, position, 1, LogitsWanted::Last));
            let rows: Vec<_> = rows.collect();
            let logits = self.chain.run(&rows, &tokens)?;
            let each = logits.values.chunks(self.vocab as usize);
            let greedy = SamplingParams::default();
            tokens = each.map(|row| sampler::sample(row, position + 1, &greedy)).collect();
        }
        let count = f64::from(self.args.generate) * f64::from(self.args.batch);
        Ok(local::rate(count, began.elapsed()))
    }

    fn read(&mut self, sequence: u32, first: u32, count: u32) -> Result<(), CliError> {
        let mut done = 0;
        while done < count {
            let n_rows = (count - done).min(local::DEFAULT_CHUNK);
            let wanted = match done + n_rows == count {
                true => LogitsWanted::Last,
                false => LogitsWanted::None,
            };
            let tokens: Vec<u32> = (0..n_rows).map(|row| self.token(first + done + row)).collect();
            let rows = self.chain.rows(sequence, first + done, n_rows, wanted);
            self.chain.run(&[rows], &tokens)?;
            done += n_rows;
        }
        Ok(())
    }

    /// A token for a position: scattered over the vocabulary, the same in every run.
    fn token(&self, position: u32) -> u32 {
        position.wrapping_add(1).wrapping_mul(2_654_435_761) % self.vocab.max(1)
    }
}

/// All weights but an embedding table that is not the head as well.
fn weight_bytes_per_token(model: &Model) -> u64 {
    let all = model.weight_bytes(0..model.config().n_layers);
    let table = model.gguf().tensor("token_embd.weight").map_or(0, |tensor| tensor.n_bytes as u64);
    let own_head = model.gguf().tensor("output.weight").is_some();
    if own_head { all.saturating_sub(table) } else { all }
}

/// The most memory this process held so far, as Linux counts it; absent elsewhere.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn the_median_stands_between_the_bounds() {
        let odd = Figures::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.least, odd.median, odd.most), (1.0, 2.0, 3.0));
        assert_eq!(Figures::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }
}
