//! `swarmllm run MODEL [PROMPT]`: one generation without a service, or a chat on the terminal.
//!
//! Called by `cli/mod.rs`. A PROMPT goes through the model's chat template if it has one;
//! `--tokens` are fed exactly so; without either, each line of stdin is a turn of a chat. Stdout
//! carries the answer and nothing else, stderr the rest. In a chat Ctrl-C stops the answer and
//! Ctrl-D ends. `--json` prints `ids`, `text`, `prefill_tok_s`, `decode_tok_s`, `finish_reason`.
//! Exit code 1 when the model or the prompt cannot be used.

use std::{
    io::{BufRead, IsTerminal, Write},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use swarmllm_models::{ChatTemplate, Model, SamplingParams, Tokenizer};

use super::{
    CliError,
    engine::{self, EngineArgs, check_tokens, parse_tokens},
    print_json,
};
use crate::{
    generate::{Chat, Prompt},
    local::{self, Chain, ChainOptions, LocalAnswer, LocalRequest},
    prompt,
};

/// Temperature when nobody says otherwise: lively, and still sensible for small models.
const TEMPERATURE: f32 = 0.7;
/// Tokens below this share of the best one's probability are never drawn by default.
const MIN_P: f32 = 0.05;

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// A .gguf file, `demo` or `demo-draft`.
    model: String,
    /// What to ask; without it a chat begins.
    #[arg(conflicts_with = "tokens")]
    prompt: Option<String>,
    /// At most N new tokens for an answer.
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    n: Option<u32>,
    /// Always take the likeliest token.
    #[arg(long, conflicts_with = "temperature")]
    greedy: bool,
    /// Names the random numbers: the same seed gives the same answer.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How freely to choose: 0 takes the likeliest token, up to 2.
    #[arg(long, value_name = "T", value_parser = parse_temperature)]
    temperature: Option<f32>,
    /// Token ids as the prompt, fed exactly so.
    #[arg(long, value_name = "1,2,3", value_parser = parse_prompt)]
    tokens: Option<Prompt>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    json: bool,
}

fn parse_prompt(text: &str) -> Result<Prompt, String> {
    parse_tokens(text).map(Prompt::Tokens)
}

fn parse_temperature(text: &str) -> Result<f32, String> {
    let temperature: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=2.0).contains(&temperature) {
        true => Ok(temperature),
        false => Err("must be from 0 to 2".into()),
    }
}

impl RunArgs {
    fn sampling(&self) -> Result<SamplingParams, CliError> {
        let temperature = if self.greedy { 0.0 } else { self.temperature.unwrap_or(TEMPERATURE) };
        let seed = match self.seed {
            Some(seed) => seed,
            None if temperature > 0.0 => getrandom::u64().map_err(CliError::failed)?,
            None => 0,
        };
        let min_p = if self.temperature.is_some() { 0.0 } else { MIN_P };
        Ok(SamplingParams { temperature, min_p, seed, ..SamplingParams::default() })
    }
}

/// Everything an answer needs.
struct Talk {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    chain: Chain,
    sampling: SamplingParams,
    max_new: Option<u32>,
}

/// Runs the command.
pub fn run(args: RunArgs) -> Result<(), CliError> {
    let sampling = args.sampling()?;
    if args.json && args.prompt.is_none() && args.tokens.is_none() {
        return Err(CliError::usage("--json needs a PROMPT or --tokens: a chat has no one answer"));
    }
    let (_, model) = local::open_model(&args.model)?;
    let tokenizer = model.tokenizer().map_err(CliError::failed)?;
    let template = local::chat_template(&model).map_err(CliError::failed)?;
    let prompt = match (args.tokens, args.prompt) {
        (Some(tokens), _) => Some(tokens),
        (None, Some(text)) if template.is_some() => {
            let messages = json!([{"role": "user", "content": text}]);
            Some(Prompt::Chat(Chat::of_messages(messages)))
        }
        (None, text) => text.map(Prompt::Text),
    };
    let ids = prompt.map(|prompt| prompt::prepare(&tokenizer, template.as_ref(), &prompt));
    let ids = ids.transpose().map_err(CliError::failed)?.map(|prepared| prepared.tokens);
    let positions = positions(&model, ids.as_deref(), args.n)?;
    let options = ChainOptions { shard: args.engine.shard_options(), cuts: Vec::new(), positions };
    let chain = engine::load(&model, &options, 1)?;
    let mut talk = Talk { tokenizer, template, chain, sampling, max_new: args.n };
    match ids {
        Some(ids) => one_answer(&mut talk, ids, args.json),
        None => chat_on_terminal(&mut talk, &args.model),
    }
}

/// Positions to keep room for; refuses a prompt that leaves no place for an answer.
fn positions(model: &Model, ids: Option<&[u32]>, n: Option<u32>) -> Result<u32, CliError> {
    let config = model.config();
    let Some(ids) = ids else { return Ok(config.context_length.min(local::DEFAULT_POSITIONS)) };
    check_tokens(ids, config.vocab)?;
    let context = config.context_length;
    if ids.len() >= context as usize {
        return Err(CliError::failed(format!(
            "the prompt has {} tokens and the model's context {context}: at least one position \
             must be left for the answer; shorten the prompt",
            ids.len()
        )));
    }
    let prompt = ids.len() as u32;
    Ok(prompt.saturating_add(n.unwrap_or(local::DEFAULT_POSITIONS)).min(context))
}

fn one_answer(talk: &mut Talk, ids: Vec<u32>, json: bool) -> Result<(), CliError> {
    let never = AtomicBool::new(false);
    let answer = talk.answer(ids, !json, &never)?;
    if json {
        return print_json(&json!({
            "ids": answer.token_ids,
            "text": answer.text,
            "prefill_tok_s": answer.prefill_tok_s(),
            "decode_tok_s": answer.decode_tok_s(),
            "finish_reason": answer.finish_text(),
            "prompt_tokens": answer.prompt_tokens,
            "seed": talk.sampling.seed,
        }));
    }
    writeln!(std::io::stdout())?;
    talk.report(&answer);
    Ok(())
}

impl Talk {
    /// Generates, streaming the text to stdout unless it is printed later.
    fn answer(
        &mut self,
        prompt: Vec<u32>,
        stream: bool,
        stop: &AtomicBool,
    ) -> Result<LocalAnswer, CliError> {
        let request = LocalRequest {
            prompt,
            max_new: self.max_new,
            sampling: self.sampling,
            chunk: local::DEFAULT_CHUNK,
        };
        let mut broken = None;
        let answer = local::generate(&mut self.chain, &self.tokenizer, &request, |text| {
            if stream && !text.is_empty() {
                let mut out = std::io::stdout().lock();
                if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                    broken = Some(error);
                    return ControlFlow::Break(());
                }
            }
            match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        match broken {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    fn report(&self, answer: &LocalAnswer) {
        let seed = match self.sampling.temperature > 0.0 {
            true => format!(", seed {}", self.sampling.seed),
            false => String::new(),
        };
        eprintln!(
            "[{} prompt tokens, {} computed at {:.1}/s, {} new at {:.1}/s, {}{seed}]",
            answer.prompt_tokens,
            answer.computed_tokens,
            answer.prefill_tok_s(),
            answer.token_ids.len(),
            answer.decode_tok_s(),
            answer.finish_text(),
        );
    }
}

fn chat_on_terminal(talk: &mut Talk, name: &str) -> Result<(), CliError> {
    if talk.template.is_none() {
        return Err(CliError::failed(
            "the model has no chat template, so it cannot chat; give a PROMPT to continue",
        ));
    }
    let stdin = std::io::stdin();
    let on_terminal = stdin.is_terminal();
    let stop = Arc::new(AtomicBool::new(false));
    let answering = Arc::new(AtomicBool::new(false));
    if on_terminal {
        watch_interrupts(Arc::clone(&stop), Arc::clone(&answering))?;
        eprintln!("Chat with {name}. Ctrl-C stops an answer, Ctrl-D ends.");
    }
    let mut messages: Vec<Value> = Vec::new();
    let mut line = String::new();
    loop {
        if on_terminal {
            eprint!("> ");
        }
        line.clear();
        if stdin.lock().read_line(&mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        messages.push(json!({"role": "user", "content": text}));
        stop.store(false, Ordering::Relaxed);
        answering.store(true, Ordering::Relaxed);
        let turn = talk.turn(&messages, &stop);
        answering.store(false, Ordering::Relaxed);
        match turn {
            Ok(text) => messages.push(json!({"role": "assistant", "content": text})),
            Err(error) if on_terminal => {
                eprintln!("error: {error}\nThe conversation begins anew.");
                messages.clear();
            }
            Err(error) => return Err(error),
        }
    }
}

impl Talk {
    /// One turn: what is known of the conversation stays in the cache.
    fn turn(&mut self, messages: &[Value], stop: &AtomicBool) -> Result<String, CliError> {
        let prompt = Prompt::Chat(Chat::of_messages(messages.into()));
        let prepared = prompt::prepare(&self.tokenizer, self.template.as_ref(), &prompt)
            .map_err(CliError::failed)?;
        let answer = self.answer(prepared.tokens, true, stop)?;
        writeln!(std::io::stdout())?;
        self.report(&answer);
        Ok(answer.text)
    }
}

/// Ctrl-C stops the answer under way; where there is none it ends the program, as usual.
fn watch_interrupts(stop: Arc<AtomicBool>, answering: Arc<AtomicBool>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("interrupts".into()).spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if !answering.load(Ordering::Relaxed) {
                    eprintln!();
                    std::process::exit(130);
                }
                stop.store(true, Ordering::Relaxed);
            }
        });
    })?;
    Ok(())
}
