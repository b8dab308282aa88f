//! The layers of a scripted model: they keep the tokens of every position in the pages, and the
//! last one looks up what is said next.
//!
//! Made and run by `shard`, which has checked batch and input. A row of the residual stream is its
//! token in two digits of base 2048, exact in f16 and f32. A page begins with its tokens, u32, in
//! the order of positions; the room is that of the keys and values a model of such sizes has.
//! Logits: [`SAID`] for the scripted token, [`ENDED`] for the end, so that an answer that may not
//! say it ends as soon as it can, 0 for all others. Waiting, where the script asks for it, is done
//! by the shard with the last layer.

use std::{ops::Range, sync::Arc, thread, time::Duration};

use bytes::Bytes;

use super::{HIDDEN, Script, ScriptError, reply::Player};
use crate::{
    kernel::cpu::attention::BatchPlan,
    kv::{KvArena, KvShape, KvType, PAGE_TOKENS, PagePart},
    model::Model,
    sampler::log_probabilities,
    shard::{
        BorderType, HiddenRows, Logits, LogitsWanted, ScoredTokens, SequenceRows, ShardInput,
        ShardOutput, border_bytes, floats,
    },
    tokenizer::TokenizerError,
};

const SAID: f32 = 60.0;
const ENDED: f32 = 30.0;
const BASE: u32 = 2048;
const TOKEN_BYTES: usize = size_of::<u32>();

/// Why the layers cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptedLoadError {
    /// The script.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The vocabulary.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// Layers a..b.
#[derive(Debug)]
pub(crate) struct ScriptedNetwork {
    vocab: u32,
    pages: PagePart,
    /// Where the last layer is.
    player: Option<Player>,
    prefill_tokens_per_s: Option<f64>,
    decode_tokens_per_s: Option<f64>,
}

impl ScriptedNetwork {
    /// Reserves room in the pages and, for the last layer, reads the script.
    pub(crate) fn load(
        model: &Model,
        layers: &Range<u32>,
        arena: &Arc<KvArena>,
        kind: KvType,
    ) -> Result<Self, ScriptedLoadError> {
        let config = model.config();
        let layer = KvShape::of(config).page_bytes(kind).max(PAGE_TOKENS as usize * TOKEN_BYTES);
        let pages = arena.reserve(layer * layers.len());
        let script = Script::of_gguf(model.gguf())?;
        let is_last = layers.end == config.n_layers;
        let tokenizer = is_last.then(|| model.tokenizer()).transpose()?;
        let player = tokenizer.map(|tokenizer| Player::new(&script, tokenizer)).transpose()?;
        Ok(Self {
            vocab: config.vocab,
            pages,
            player,
            prefill_tokens_per_s: script.prefill_tokens_per_s,
            decode_tokens_per_s: script.decode_tokens_per_s,
        })
    }

    /// Runs a batch.
    pub(crate) fn forward(
        &mut self,
        plan: &BatchPlan,
        batch: &[SequenceRows],
        input: ShardInput,
        border: BorderType,
    ) -> ShardOutput {
        let tokens = match input {
            ShardInput::Tokens(tokens) => tokens,
            ShardInput::Hidden(rows) => read(&rows),
        };
        for sequence in &plan.sequences {
            let rows = &tokens[sequence.first_row..sequence.first_row + sequence.n_rows];
            for (position, token) in (sequence.first_position..).zip(rows) {
                let slot = self.slot(&sequence.pages, position);
                // SAFETY: four bytes of a page; whoever computes borrows the shard mutably.
                unsafe { slot.cast::<u32>().write_unaligned(*token) };
            }
        }
        if self.player.is_none() {
            return ShardOutput::Hidden(write(&tokens, border));
        }
        self.wait(batch);
        ShardOutput::Logits(self.logits(batch))
    }

    fn slot(&self, pages: &[u32], position: u32) -> *mut u8 {
        let at = (position % PAGE_TOKENS) as usize * TOKEN_BYTES;
        self.pages.at(pages[(position / PAGE_TOKENS) as usize], at..at + TOKEN_BYTES)
    }

    /// The tokens of positions 0..end.
    fn tokens(&self, pages: &[u32], end: u32) -> Vec<u32> {
        // SAFETY: as where they are written; any bits are a token, and none that was not written
        // is looked at, for all earlier positions were computed before.
        let read = |position| unsafe { self.slot(pages, position).cast::<u32>().read_unaligned() };
        (0..end).map(read).collect()
    }

    fn wait(&self, batch: &[SequenceRows]) {
        let seconds = batch.iter().map(|rows| {
            let rate = match rows.n_rows {
                1 => self.decode_tokens_per_s,
                _ => self.prefill_tokens_per_s,
            };
            rate.map_or(0.0, |rate| f64::from(rows.n_rows) / rate)
        });
        let seconds: f64 = seconds.sum();
        if seconds > 0.0 {
            thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        }
    }

    fn logits(&mut self, batch: &[SequenceRows]) -> Logits {
        let vocab = self.vocab;
        let mut logits = Logits { vocab, ..Logits::default() };
        for rows in batch {
            let end = rows.first_position + rows.n_rows;
            let (first, scored) = match &rows.logits {
                // It has no rows to make an embedding of.
                LogitsWanted::None | LogitsWanted::Normed => continue,
                LogitsWanted::Last => (end, None),
                LogitsWanted::All => (rows.first_position + 1, None),
                LogitsWanted::Scores(of) => (rows.first_position + 1, Some(of)),
            };
            let tokens = self.tokens(&rows.pages, end);
            let Some(player) = &mut self.player else { continue };
            for known in first..=end {
                let mut row = vec![0.0; vocab as usize];
                row[player.end() as usize] = ENDED;
                row[player.next(&tokens[..known as usize]) as usize] = SAID;
                let Some(ScoredTokens { tokens, n_top }) = scored else {
                    logits.values.append(&mut row);
                    logits.n_rows += 1;
                    continue;
                };
                if let Some(token) = tokens.get((known - first) as usize) {
                    logits.scores.push(log_probabilities(&row, *token, (*n_top).into()));
                }
            }
        }
        logits
    }
}

/// Tokens as rows for the next shard.
fn write(tokens: &[u32], dtype: BorderType) -> HiddenRows {
    let digits = tokens.iter().flat_map(|token| [token / BASE, token % BASE].map(|d| d as f32));
    let bytes = border_bytes(&digits.collect::<Vec<f32>>(), dtype);
    HiddenRows { dtype, n_rows: tokens.len() as u32, hidden: HIDDEN, bytes: Bytes::from(bytes) }
}

/// Rows of the shard before as tokens. Rows that are none, which only a foreign stage sends, become
/// some token or other.
fn read(rows: &HiddenRows) -> Vec<u32> {
    let token =
        |[high, low]: &[f32; 2]| (*high as u32).saturating_mul(BASE).saturating_add(*low as u32);
    floats(rows).as_chunks().0.iter().map(token).collect()
}
