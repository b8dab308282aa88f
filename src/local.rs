//! A generation in this process, without a node: one model over one or several shards in a row.
//!
//! Called by `cli/{run,logits,bench,show,tokenize}.rs`, by `serve` to open models, and by the demo
//! to compare a swarm with a single node. The generation itself is the same state machine that a
//! swarm runs (`protocol::session`), over the same shards, prompts and sampler.
//! Units: positions and tokens; rates in tokens per second. Errors: [`LocalError`].
//! Absent on purpose: peers, concurrency; one sequence at a time.

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    path::Path,
    time::{Duration, Instant},
};

use swarmllm_models::{
    ChatTemplate, Logits, LogitsWanted, Model, ModelError, SamplingParams, SequenceRows, Shard,
    ShardError, ShardInput, ShardOptions, ShardOutput, TemplateError, Tokenizer, TokenizerError,
    gguf::{Gguf, GgufError},
    kv::PAGE_TOKENS,
    sampler,
};
use swarmllm_protocol::session::{
    Action, FinishReason, Generation, GenerationPlan, PlanError, SessionError,
};

/// Positions a chat may take when nobody says otherwise; their pages cost memory only when used.
pub const DEFAULT_POSITIONS: u32 = 16_384;
/// Rows of a prompt that are computed at once.
pub const DEFAULT_CHUNK: u32 = 512;

/// Why something could not be done here.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The reference names nothing.
    #[error("there is no model `{reference}`: {why}")]
    NoModel {
        /// What was asked for.
        reference: String,
        /// What it might have been.
        why: String,
    },
    /// The file is no model that can run.
    #[error("`{reference}` cannot be opened: {source}")]
    Open {
        /// What was asked for.
        reference: String,
        /// What is wrong with it.
        source: ModelError,
    },
    /// The vocabulary cannot be used.
    #[error("the tokenizer of `{reference}` cannot be used: {source}")]
    Tokenizer {
        /// What was asked for.
        reference: String,
        /// What is wrong with it.
        source: TokenizerError,
    },
    /// The cuts do not fall between layers.
    #[error("cannot cut before layer {cut}: cuts ascend and lie between 1 and {last}")]
    BadCut {
        /// The offending cut.
        cut: u32,
        /// The last layer before which a cut is possible.
        last: u32,
    },
    /// Rows would not follow what is in the cache.
    #[error("rows from position {first} cannot follow {known} known positions")]
    Gap {
        /// First position of the rows.
        first: u32,
        /// Positions in the cache.
        known: u32,
    },
    /// More positions than the model or the cache has.
    #[error(
        "{wanted} positions are needed, but {available} are available: shorten the prompt or the \
         answer"
    )]
    TooLong {
        /// Positions needed.
        wanted: usize,
        /// Positions there are.
        available: u32,
    },
    /// A shard failed.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The prompt does not fit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The state machine refused a step; a programming error.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// What begins a reference to a script, which is a JSON file.
const SCRIPT_PREFIX: &str = "script:";

/// Opens a model by reference: the name of an embedded model, `script:FILE` (see
/// [`swarmllm_models::scripted`]), or a file. Answers the name it is served under, too.
pub fn open_model(reference: &str) -> Result<(String, Model), LocalError> {
    let failed = |source| LocalError::Open { reference: reference.into(), source };
    if let Some(model) = Model::embedded(reference) {
        return Ok((reference.to_owned(), model.map_err(failed)?));
    }
    let file = reference.strip_prefix(SCRIPT_PREFIX);
    let path = existing_file(file.unwrap_or(reference))?;
    let name = path.file_stem().map_or(reference.into(), |stem| stem.to_string_lossy());
    let model = match file {
        None => Model::open(path),
        Some(_) => match std::fs::read_to_string(path) {
            Ok(script) => Model::scripted(&script),
            Err(error) => Err(GgufError::from(error).into()),
        },
    };
    Ok((name.into_owned(), model.map_err(failed)?))
}

/// Whether what a reference names is not opened as a file of its own.
fn is_made_here(reference: &str) -> bool {
    reference.starts_with(SCRIPT_PREFIX) || Model::embedded(reference).is_some()
}

/// Opens what a model's metadata says; works for files that end before their weights as well.
pub fn open_header(reference: &str) -> Result<Model, LocalError> {
    if is_made_here(reference) {
        return Ok(open_model(reference)?.1);
    }
    Model::open_header(existing_file(reference)?)
        .map_err(|source| LocalError::Open { reference: reference.into(), source })
}

/// Opens the tokenizer alone; works for files that hold a vocabulary and no weights as well.
pub fn open_tokenizer(reference: &str) -> Result<Tokenizer, LocalError> {
    let tokenizer = match is_made_here(reference) {
        true => open_model(reference)?.1.tokenizer(),
        false => {
            let gguf = Gguf::open(existing_file(reference)?).map_err(|source| {
                LocalError::Open { reference: reference.into(), source: source.into() }
            })?;
            Tokenizer::from_gguf(&gguf)
        }
    };
    tokenizer.map_err(|source| LocalError::Tokenizer { reference: reference.into(), source })
}

fn existing_file(reference: &str) -> Result<&Path, LocalError> {
    let path = Path::new(reference);
    if path.is_file() {
        return Ok(path);
    }
    let no_model = |why: String| LocalError::NoModel { reference: reference.into(), why };
    if path.is_dir() {
        return Err(no_model("it is a folder; name the .gguf file in it".into()));
    }
    if reference.starts_with("hf:") || reference.starts_with("swarm:") {
        let why = "fetching models is not part of this version; give a local .gguf file";
        return Err(no_model(why.into()));
    }
    let names = Model::embedded_names().join("`, `");
    Err(no_model(format!("no such file, and the built-in models are `{names}`")))
}

/// The template of a model; `None` where it has none.
pub fn chat_template(model: &Model) -> Result<Option<ChatTemplate>, TemplateError> {
    match model.chat_template() {
        Ok(template) => Ok(Some(template)),
        Err(TemplateError::Missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How to lay a model out over shards.
#[derive(Debug, Clone, Default)]
pub struct ChainOptions {
    /// How each shard computes; its pages are counted here, not there.
    pub shard: ShardOptions,
    /// Layers before which the model is cut, ascending; none keeps it whole.
    pub cuts: Vec<u32>,
    /// Positions of the cache, at most the model's context.
    pub positions: u32,
}

/// A whole model as shards in a row, with the cache of one sequence (or of a few, by number).
pub struct Chain {
    shards: Vec<Shard>,
    positions: u32,
    pages_per_sequence: u32,
    fed: Vec<u32>,
    /// Rows computed by `feed` so far; rows found in the cache are not among them.
    computed: u64,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers: Vec<Range<u32>> = self.shards.iter().map(Shard::layers).collect();
        f.debug_struct("Chain").field("layers", &layers).field("fed", &self.fed.len()).finish()
    }
}

impl Chain {
    /// Loads every layer of `model`, with room for one sequence.
    pub fn load(model: &Model, options: &ChainOptions) -> Result<Chain, LocalError> {
        Chain::load_for(model, options, 1)
    }

    /// Loads every layer of `model`, with room for `sequences`.
    pub fn load_for(
        model: &Model,
        options: &ChainOptions,
        sequences: u32,
    ) -> Result<Chain, LocalError> {
        let n_layers = model.config().n_layers;
        let positions = options.positions.min(model.config().context_length).max(1);
        let pages_per_sequence = positions.div_ceil(PAGE_TOKENS);
        let shard_options = ShardOptions {
            kv_pages: pages_per_sequence.saturating_mul(sequences),
            ..options.shard.clone()
        };
        let ranges = cut_layers(n_layers, &options.cuts)?;
        let shards = ranges.into_iter().map(|range| Shard::load(model, range, &shard_options));
        let shards = shards.collect::<Result<_, _>>()?;
        Ok(Chain { shards, positions, pages_per_sequence, fed: Vec::new(), computed: 0 })
    }

    /// Positions there are for a sequence.
    pub fn positions(&self) -> u32 {
        self.positions
    }

    /// Forgets the sequence.
    pub fn forget(&mut self) {
        self.fed.clear();
    }

    /// Computes the rows of `tokens`, the first of which is at `first`; rows that the cache holds
    /// already and nobody wants logits of are not computed again.
    pub fn feed(
        &mut self,
        first: u32,
        tokens: &[u32],
        wanted: LogitsWanted,
    ) -> Result<Logits, LocalError> {
        let known = self.fed.len();
        if first as usize > known {
            return Err(LocalError::Gap { first, known: known as u32 });
        }
        let end = first as usize + tokens.len();
        if end > self.positions as usize {
            return Err(LocalError::TooLong { wanted: end, available: self.positions });
        }
        let same = self.fed[first as usize..].iter().zip(tokens).take_while(|(a, b)| a == b);
        let skipped = match wanted {
            LogitsWanted::None => same.count(),
            LogitsWanted::Last => same.count().min(tokens.len().saturating_sub(1)),
            LogitsWanted::All | LogitsWanted::Normed | LogitsWanted::Scores(_) => 0,
        };
        let (first, tokens) = (first + skipped as u32, &tokens[skipped..]);
        if tokens.is_empty() {
            return Ok(Logits::default());
        }
        let logits = self.run(&[self.rows(0, first, tokens.len() as u32, wanted)], tokens)?;
        // Only now: rows that failed are not in the cache.
        self.fed.truncate(first as usize);
        self.fed.extend_from_slice(tokens);
        self.computed += tokens.len() as u64;
        Ok(logits)
    }

    /// The rows of sequence number `sequence` as a part of a batch.
    pub fn rows(
        &self,
        sequence: u32,
        first: u32,
        n_rows: u32,
        logits: LogitsWanted,
    ) -> SequenceRows {
        let first_page = sequence * self.pages_per_sequence;
        let pages = (first_page..first_page + self.pages_per_sequence).collect();
        SequenceRows { pages, first_position: first, n_rows, logits }
    }

    /// Runs one batch through all shards; `tokens` are those of all its sequences, in order.
    pub fn run(&mut self, batch: &[SequenceRows], tokens: &[u32]) -> Result<Logits, LocalError> {
        let mut input = ShardInput::Tokens(tokens.to_vec());
        for shard in &mut self.shards {
            match shard.forward(batch, input)? {
                ShardOutput::Hidden(rows) => input = ShardInput::Hidden(rows),
                ShardOutput::Logits(logits) => return Ok(logits),
            }
        }
        // The last range ends with the last layer, so a chain always ends with logits.
        Err(ShardError::Batch("the last shard gave no logits".into()).into())
    }
}

fn cut_layers(n_layers: u32, cuts: &[u32]) -> Result<Vec<Range<u32>>, LocalError> {
    let mut ranges = Vec::with_capacity(cuts.len() + 1);
    let mut start = 0;
    for cut in cuts {
        if *cut <= start || *cut >= n_layers {
            return Err(LocalError::BadCut { cut: *cut, last: n_layers.saturating_sub(1) });
        }
        ranges.push(start..*cut);
        start = *cut;
    }
    ranges.push(start..n_layers);
    Ok(ranges)
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct LocalRequest {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Most new tokens; as many as fit when absent.
    pub max_new: Option<u32>,
    /// How a token is chosen.
    pub sampling: SamplingParams,
    /// Rows of the prompt that are computed at once.
    pub chunk: u32,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalAnswer {
    /// Every sampled token, an ending one included.
    pub token_ids: Vec<u32>,
    /// The text, whole characters.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of those, the ones that had to be computed; the rest was in the cache.
    pub computed_tokens: u32,
    /// From the beginning to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

impl LocalAnswer {
    /// Prompt tokens computed per second.
    pub fn prefill_tok_s(&self) -> f64 {
        rate(f64::from(self.computed_tokens), self.prefill)
    }

    /// New tokens per second after the first.
    pub fn decode_tok_s(&self) -> f64 {
        rate(self.token_ids.len().saturating_sub(1) as f64, self.decode)
    }

    /// The reason in the words of the interfaces.
    pub fn finish_text(&self) -> &'static str {
        match self.finish_reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
        }
    }
}

/// `count` per second; 0 where no time passed.
pub fn rate(count: f64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

/// Generates. `on_text` gets the text as it comes, whole characters, and an empty text now and
/// then while the prompt is read; when it answers `Break`, the answer ends there.
pub fn generate(
    chain: &mut Chain,
    tokenizer: &Tokenizer,
    request: &LocalRequest,
    mut on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<LocalAnswer, LocalError> {
    let mut generation = Generation::new(GenerationPlan {
        prompt: request.prompt.clone(),
        chunk: request.chunk,
        max_new: request.max_new.unwrap_or(u32::MAX),
        end_tokens: tokenizer.end_tokens(),
        context: chain.positions(),
    })?;
    let mut stream = tokenizer.stream();
    let mut text = String::new();
    let began = Instant::now();
    let computed_before = chain.computed;
    let mut computed_tokens = 0;
    let (mut first_token, mut last_token) = (None, None);
    let mut finish_reason = FinishReason::Length;
    let mut actions = VecDeque::from(generation.start(0));
    while let Some(action) = actions.pop_front() {
        match action {
            Action::SendRows { first_position, tokens, sample: false } => {
                chain.feed(first_position, &tokens, LogitsWanted::None)?;
                if on_text("").is_break() {
                    actions = generation.cancel().into();
                }
            }
            Action::SendRows { first_position, tokens, sample: true } => {
                let logits = chain.feed(first_position, &tokens, LogitsWanted::Last)?;
                let position = generation.next_position();
                let token = sampler::sample(&logits.values, position, &request.sampling);
                let now = Instant::now();
                if first_token.is_none() {
                    // At most the prompt's length, which is a u32.
                    computed_tokens = (chain.computed - computed_before) as u32;
                    first_token = Some(now);
                }
                last_token = Some(now);
                actions.extend(generation.token_sampled(position, token)?);
            }
            Action::Emit { token } => {
                let piece = stream.push(token);
                text.push_str(&piece);
                if !piece.is_empty() && on_text(&piece).is_break() {
                    actions = generation.cancel().into();
                }
            }
            Action::Finish(reason) => finish_reason = reason,
        }
    }
    let rest = stream.finish();
    if !rest.is_empty() {
        text.push_str(&rest);
        // The answer is over; a wish to stop changes nothing any more.
        let _ = on_text(&rest);
    }
    Ok(LocalAnswer {
        token_ids: generation.generated().to_vec(),
        text,
        finish_reason,
        prompt_tokens: generation.prompt_tokens(),
        computed_tokens,
        prefill: first_token.map_or(began.elapsed(), |at| at - began),
        decode: first_token.zip(last_token).map_or(Duration::ZERO, |(first, last)| last - first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_between_layers() {
        assert_eq!(cut_layers(6, &[]).unwrap().len(), 1);
        assert_eq!(cut_layers(6, &[2, 5]).unwrap(), [0..2, 2..5, 5..6]);
        for bad in [&[0][..], &[6], &[3, 3], &[4, 2]] {
            assert!(matches!(cut_layers(6, bad), Err(LocalError::BadCut { .. })), "{bad:?}");
        }
    }

    #[test]
    fn unknown_references_say_what_there_is() {
        let said = |reference| open_model(reference).unwrap_err().to_string();
        assert!(said("no-such-model").contains("`demo`, `demo-draft`"));
        assert!(said("hf:owner/name:Q4_K_M").contains("not part of this version"));
        assert!(said("/").contains("folder"));
    }
}
