//! A shard: layers a..b of a model and nothing else, ready to compute.
//!
//! Called by the shard worker actor and by the doors that run without a swarm. The first shard
//! eats tokens, the last gives logits, others take and give rows of the residual stream.
//!
//! Shapes: rows of all sequences follow each other in batch order; hidden rows are little-endian
//! f32 or f16. Positions of a sequence are consecutive and lie in its pages.
//!
//! Errors: [`ShardError`]; every input is checked against the model and the pages before anything
//! is computed or written. A failed call changes nothing.

use std::{ops::Range, sync::Arc};

use burn::tensor::Tensor;

use crate::{
    arch::{self, Decoder, UnknownArchitecture},
    backend::{BlockError, DeviceChoice, DeviceError, Engine, parts::CacheParts},
    config::ModelConfig,
    kernel::cpu::{
        Level, Pool,
        attention::{BatchPlan, SequencePlan},
        level::{LevelUnavailable, SimdLevel},
        linear::Repack,
        network::{CpuContext, LoadProgress},
    },
    kv::{KvArena, KvType, PAGE_TOKENS},
    layer::{LoadError, Loader, Pass, Rope},
    model::Model,
    sampler::{LogProbabilities, log_probabilities},
    scripted::{self, ScriptedLoadError, ScriptedNetwork},
};

mod rows;

pub use rows::{
    BorderType, HiddenRows, Logits, LogitsWanted, ScoredTokens, SequenceRows, ShardInput,
    ShardOutput,
};
pub(crate) use rows::{border_bytes, floats};

/// Rows whose logits are there at once while tokens are scored.
const SCORED_ROWS: usize = 16;

/// Whether the residual stream is rounded at layer borders (NUMERICS.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunProfile {
    /// Not rounded; 4 bytes per value between stages.
    F32,
    /// Rounded to f16 at every border between two layers, cut or not; 2 bytes per value.
    #[default]
    F16,
}

/// How to load and run a shard.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Where to compute.
    pub device: DeviceChoice,
    /// Threads of the CPU kernels.
    pub threads: usize,
    /// Rounding at layer borders.
    pub profile: RunProfile,
    /// Type of the cache.
    pub kv: KvType,
    /// Instruction set of the CPU kernels.
    pub simd: SimdLevel,
    /// Whether weights are laid out anew in memory, or used as they lie in the file.
    pub repack: Repack,
    /// Where loaded weights are counted, for whoever waits.
    pub progress: LoadProgress,
    /// Longest context that is served, where that chooses between rotations (Phi-3); absent, the
    /// one that the model was trained for.
    pub context: Option<u32>,
    /// Pages of the cache, of [`PAGE_TOKENS`] positions each; memory is taken when used.
    pub kv_pages: u32,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            device: DeviceChoice::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            profile: RunProfile::default(),
            kv: KvType::default(),
            simd: SimdLevel::default(),
            repack: Repack::default(),
            progress: LoadProgress::default(),
            context: None,
            kv_pages: 256,
        }
    }
}

/// Why a shard cannot be loaded, or a batch cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// The range is empty or goes beyond the model.
    #[error("layers {start}..{end} are no part of the model's 0..{n_layers}")]
    Layers {
        /// First layer.
        start: u32,
        /// Behind the last layer.
        end: u32,
        /// Layers of the model.
        n_layers: u32,
    },
    /// Not an architecture of ours.
    #[error(transparent)]
    Architecture(#[from] UnknownArchitecture),
    /// Tensors are missing or unusable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A script cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptedLoadError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The processor lacks the instruction set.
    #[error(transparent)]
    Level(#[from] LevelUnavailable),
    /// The system gave no threads.
    #[error("cannot start the kernels' threads: {0}")]
    Threads(std::io::Error),
    /// The batch or its input is wrong.
    #[error("bad batch: {0}")]
    Batch(String),
    /// A page is beyond the cache.
    #[error("page {page} does not exist, there are {n_pages}")]
    Page {
        /// The page.
        page: u32,
        /// How many there are.
        n_pages: u32,
    },
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Compute(String),
}

/// Layers a..b of a model.
pub struct Shard {
    config: Arc<ModelConfig>,
    layers: Range<u32>,
    options: ShardOptions,
    weight_bytes: u64,
    engine: Engine,
    network: Network,
    arena: Arc<KvArena>,
}

/// What its layers are.
enum Network {
    Decoder(Decoder, Rope),
    Scripted(ScriptedNetwork),
}

impl Network {
    fn load(
        model: &Model,
        layers: Range<u32>,
        engine: &Engine,
        options: &ShardOptions,
        arena: &Arc<KvArena>,
    ) -> Result<Self, ShardError> {
        let config = model.config();
        if config.architecture == scripted::ARCHITECTURE {
            let network = ScriptedNetwork::load(model, &layers, arena, options.kv)?;
            return Ok(Self::Scripted(network));
        }
        let architecture = arch::find(&config.architecture)?;
        let loader = Loader {
            gguf: model.gguf(),
            config,
            engine,
            style: architecture.style,
            cache: CacheParts { kind: options.kv, arena: arena.clone() },
            context: options.context.unwrap_or(config.context_length),
        };
        let rope = Rope::load(&loader)?;
        Ok(Self::Decoder((architecture.load)(&loader, layers)?, rope))
    }

    /// Whether its pages are those of the arena.
    fn uses_arena(&self, engine: &Engine) -> bool {
        matches!(self, Self::Scripted(_)) || engine.uses_arena()
    }

    fn decoder(&self) -> Option<&Decoder> {
        match self {
            Self::Decoder(decoder, _) => Some(decoder),
            Self::Scripted(_) => None,
        }
    }
}

impl Shard {
    /// Loads the tensors of these layers, and of no others.
    pub fn load(
        model: &Model,
        layers: Range<u32>,
        options: &ShardOptions,
    ) -> Result<Self, ShardError> {
        let level = Level::resolve(options.simd)?;
        let pool = Pool::new(options.threads).map_err(ShardError::Threads)?;
        let engine = match options.device {
            DeviceChoice::Cpu => {
                let context = CpuContext::new(level, pool, options.repack);
                Engine::cpu(context.with_progress(options.progress.clone()))
            }
            device => Engine::plain(device)?,
        };
        Self::load_on(model, layers, options, engine)
    }

    /// As [`Shard::load`] with an engine made before; tests compare engines this way.
    pub fn load_on(
        model: &Model,
        layers: Range<u32>,
        options: &ShardOptions,
        engine: Engine,
    ) -> Result<Self, ShardError> {
        let config = model.config();
        let n_layers = config.n_layers;
        if layers.is_empty() || layers.end > n_layers {
            let Range { start, end } = layers;
            return Err(ShardError::Layers { start, end, n_layers });
        }
        let arena = Arc::new(KvArena::new(options.kv_pages));
        let network = Network::load(model, layers.clone(), &engine, options, &arena)?;
        if network.uses_arena(&engine) {
            let failed = |source| BlockError::Cache { pages: options.kv_pages, source };
            arena.map().map_err(|error| LoadError::from(failed(error)))?;
        }
        Ok(Self {
            config: model.config_arc(),
            weight_bytes: model.weight_bytes(layers.clone()),
            layers,
            options: options.clone(),
            engine,
            network,
            arena,
        })
    }

    /// The layers it has.
    pub fn layers(&self) -> Range<u32> {
        self.layers.clone()
    }

    /// Bytes of its weights in the file.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// How it was loaded.
    pub fn options(&self) -> &ShardOptions {
        &self.options
    }

    /// Bytes of one page of its cache, all layers together.
    pub fn page_bytes(&self) -> u64 {
        self.arena.page_bytes() as u64
    }

    /// Copies a page over another in every layer: keys, values and states. So two sequences that
    /// share a prompt go on from it, each in a page of its own.
    pub fn copy_page(&mut self, from: u32, to: u32) -> Result<(), ShardError> {
        let n_pages = self.options.kv_pages;
        if let Some(page) = [from, to].into_iter().find(|page| *page >= n_pages) {
            return Err(ShardError::Page { page, n_pages });
        }
        match self.network.decoder() {
            Some(decoder) if !self.network.uses_arena(&self.engine) => decoder.copy_page(from, to),
            // SAFETY: whoever computes borrows the shard mutably, as is done here.
            _ => unsafe { self.arena.copy_page(from, to) },
        }
        Ok(())
    }

    /// Whether it has recurrent layers: a sequence can then only go on at the end of a page.
    pub fn keeps_states(&self) -> bool {
        self.network.decoder().is_some_and(Decoder::keeps_states)
    }

    fn is_first(&self) -> bool {
        self.layers.start == 0
    }

    fn is_last(&self) -> bool {
        self.layers.end == self.config.n_layers
    }

    fn border(&self) -> BorderType {
        match self.options.profile {
            RunProfile::F32 => BorderType::F32,
            RunProfile::F16 => BorderType::F16,
        }
    }

    /// Runs a batch through the layers. Rows of all sequences are concatenated in batch order.
    pub fn forward(
        &mut self,
        batch: &[SequenceRows],
        input: ShardInput,
    ) -> Result<ShardOutput, ShardError> {
        let plan = self.plan(batch)?;
        let n_rows = plan.n_rows;
        self.check_input(&input, n_rows)?;
        let border = self.border();
        let decoder = match &mut self.network {
            Network::Scripted(network) => {
                return Ok(network.forward(&plan, batch, input, border));
            }
            Network::Decoder(decoder, _) => decoder,
        };
        let mut x = match input {
            ShardInput::Tokens(tokens) => decoder.embed(&tokens),
            ShardInput::Hidden(rows) => Some(self.engine.rows(floats(&rows), rows.hidden as usize)),
        }
        .ok_or_else(|| ShardError::Batch("this shard has no embedding".into()))?;
        let pass = Pass { plan: Arc::new(plan) };
        for index in self.layers.clone() {
            let is_border = index + 1 < self.config.n_layers;
            let round = is_border && self.options.profile == RunProfile::F16;
            x = decoder.layer(index, x, &pass, round);
        }
        if self.is_last() { self.logits(batch, x) } else { self.leave(x, n_rows) }
    }

    /// Checks the batch against the pages and lays it out.
    fn plan(&self, batch: &[SequenceRows]) -> Result<BatchPlan, ShardError> {
        let mut plan = BatchPlan::default();
        let mut positions = Vec::new();
        // (page, whether it is written): a page written for one sequence belongs to no other.
        let mut used = Vec::new();
        for (i, rows) in batch.iter().enumerate() {
            let bad = |why: String| ShardError::Batch(format!("sequence {i}: {why}"));
            if rows.n_rows == 0 {
                return Err(bad("it has no rows".into()));
            }
            if let LogitsWanted::Scores(of) = &rows.logits
                && of.tokens.len() > rows.n_rows as usize
            {
                return Err(bad(format!("{} tokens are behind its rows", of.tokens.len())));
            }
            let end = u64::from(rows.first_position) + u64::from(rows.n_rows);
            let room = rows.pages.len() as u64 * u64::from(PAGE_TOKENS);
            if end > room {
                return Err(bad(format!(
                    "positions up to {end} do not fit its {} pages, {room} positions",
                    rows.pages.len()
                )));
            }
            let n_pages = self.options.kv_pages;
            if let Some(page) = rows.pages.iter().copied().find(|page| *page >= n_pages) {
                return Err(bad(ShardError::Page { page, n_pages }.to_string()));
            }
            let end = end as u32;
            let first_written = (rows.first_position / PAGE_TOKENS) as usize;
            let pages = &rows.pages[..end.div_ceil(PAGE_TOKENS) as usize];
            used.extend(pages.iter().enumerate().map(|(n, page)| (*page, n >= first_written)));
            if let Some(decoder) = self.network.decoder() {
                decoder.continues(pages, rows.first_position).map_err(bad)?;
            }
            positions.extend(rows.first_position..end);
            plan.sequences.push(SequencePlan {
                pages: rows.pages.clone(),
                first_position: rows.first_position,
                first_row: plan.n_rows,
                n_rows: rows.n_rows as usize,
            });
            plan.n_rows += rows.n_rows as usize;
        }
        if plan.n_rows == 0 {
            return Err(ShardError::Batch("it has no sequences".into()));
        }
        used.sort_unstable();
        for pair in used.windows(2) {
            if pair[0].0 == pair[1].0 && pair[1].1 {
                let page = pair[0].0;
                return Err(ShardError::Batch(format!("page {page} is written and used twice")));
            }
        }
        if let Network::Decoder(_, rope) = &self.network {
            plan.rotations = rope.tables(&positions);
        }
        Ok(plan)
    }

    fn check_input(&self, input: &ShardInput, n_rows: usize) -> Result<(), ShardError> {
        let bad = |why: String| Err(ShardError::Batch(why));
        match input {
            ShardInput::Tokens(tokens) => {
                if !self.is_first() {
                    let start = self.layers.start;
                    return bad(format!("layer {start} wants hidden rows, not tokens"));
                }
                if tokens.len() != n_rows {
                    return bad(format!("{} tokens for {n_rows} rows", tokens.len()));
                }
                let vocab = self.config.vocab;
                match tokens.iter().find(|token| **token >= vocab) {
                    Some(token) => bad(format!("token {token} does not exist, there are {vocab}")),
                    None => Ok(()),
                }
            }
            ShardInput::Hidden(_) if self.is_first() => {
                bad("layer 0 wants tokens, not rows".into())
            }
            ShardInput::Hidden(rows) => self.check_rows(rows, n_rows),
        }
    }

    fn check_rows(&self, rows: &HiddenRows, n_rows: usize) -> Result<(), ShardError> {
        let bad = |why: String| Err(ShardError::Batch(why));
        let hidden = self.config.hidden as usize;
        if rows.dtype != self.border() {
            let (profile, dtype) = (self.options.profile, rows.dtype);
            return bad(format!("rows are {dtype:?}, the run profile is {profile:?}"));
        }
        if rows.n_rows as usize != n_rows || rows.hidden as usize != hidden {
            return bad(format!(
                "input is {} rows of {} values, expected {n_rows} of {hidden}",
                rows.n_rows, rows.hidden
            ));
        }
        if rows.bytes.len() != n_rows * hidden * rows.dtype.bytes() {
            return bad(format!("{} bytes for {n_rows} rows of {hidden}", rows.bytes.len()));
        }
        Ok(())
    }

    fn leave(&self, x: Tensor<2>, n_rows: usize) -> Result<ShardOutput, ShardError> {
        let dtype = self.border();
        let bytes = border_bytes(&host(x)?, dtype);
        Ok(ShardOutput::Hidden(HiddenRows {
            dtype,
            n_rows: n_rows as u32,
            hidden: self.config.hidden,
            bytes: bytes.into(),
        }))
    }

    fn logits(&self, batch: &[SequenceRows], x: Tensor<2>) -> Result<ShardOutput, ShardError> {
        let vocab = self.config.vocab;
        let mut wanted: Vec<Range<usize>> = Vec::new();
        let mut to_norm: Vec<Range<usize>> = Vec::new();
        let mut to_score: Vec<(usize, &ScoredTokens)> = Vec::new();
        let mut first = 0;
        for rows in batch {
            let end = first + rows.n_rows as usize;
            match &rows.logits {
                LogitsWanted::None => {}
                LogitsWanted::Last => wanted.push(end - 1..end),
                LogitsWanted::All => wanted.push(first..end),
                LogitsWanted::Normed => to_norm.push(first..end),
                LogitsWanted::Scores(of) => to_score.push((first, of)),
            }
            first = end;
        }
        let n_rows: usize = wanted.iter().map(Range::len).sum();
        let mut normed = Vec::new();
        for rows in to_norm {
            let rows = host(x.clone().slice([rows]))?;
            let decoder = self.network.decoder();
            normed.extend(decoder.and_then(|decoder| decoder.norm(&rows)).unwrap_or_default());
        }
        let mut scores = Vec::new();
        for (first, of) in to_score {
            self.score(&x, first, of, &mut scores)?;
        }
        if n_rows == 0 {
            return Ok(ShardOutput::Logits(Logits { vocab, normed, scores, ..Logits::default() }));
        }
        let x = if n_rows == first {
            x
        } else {
            Tensor::cat(wanted.into_iter().map(|rows| x.clone().slice([rows])).collect(), 0)
        };
        let values = self.head(x)?;
        Ok(ShardOutput::Logits(Logits { n_rows: n_rows as u32, vocab, values, normed, scores }))
    }

    fn head(&self, x: Tensor<2>) -> Result<Vec<f32>, ShardError> {
        let decoder = self.network.decoder();
        let logits = decoder
            .and_then(|decoder| decoder.head(x))
            .ok_or_else(|| ShardError::Batch("this shard has no output head".into()))?;
        host(logits)
    }

    /// A few rows at a time: logits are many times as large as what is told of them.
    fn score(
        &self,
        x: &Tensor<2>,
        first: usize,
        ScoredTokens { tokens, n_top }: &ScoredTokens,
        scores: &mut Vec<LogProbabilities>,
    ) -> Result<(), ShardError> {
        let mut from = first;
        for tokens in tokens.chunks(SCORED_ROWS) {
            let to = from + tokens.len();
            let logits = self.head(x.clone().slice(from..to))?;
            let rows = logits.chunks_exact(self.config.vocab as usize);
            scores.extend(
                rows.zip(tokens)
                    .map(|(row, token)| log_probabilities(row, *token, (*n_top).into())),
            );
            from = to;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Range { start, end } = self.layers;
        write!(f, "Shard({} {start}..{end})", self.config.architecture)
    }
}

/// Brings a tensor's values to the host; a device's failure shows here.
fn host(x: Tensor<2>) -> Result<Vec<f32>, ShardError> {
    let data = x.try_into_data().map_err(|error| ShardError::Compute(error.to_string()))?;
    data.try_into_vec().map_err(|error| ShardError::Compute(format!("{error:?}")))
}

#[cfg(test)]
mod tests;
