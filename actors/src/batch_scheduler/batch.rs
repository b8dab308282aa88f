//! A step as the shard worker takes it, and its result as messages.
//!
//! Rows of all sequences are concatenated in the order of the step; a batch of one sequence is a
//! view of what arrived, without a copy.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use swarmllm_models::kv::PageCopy;
use swarmllm_models::sampler;
use swarmllm_models::{BorderType, HiddenRows, LogitsWanted, SequenceRows, ShardInput};
use swarmllm_protocol::schedule::{SequenceId, Share};
use swarmllm_protocol::wire::{
    LogProbabilities, Message, Profile, RowEncoding, Rows, StageTrace, TokenSampled,
};
use tokio::time::Instant;

use super::policy::ShardFacts;
use super::rows::TakenRows;
use super::sequence::Sequence;
use crate::clock::micros;
use crate::peer_session::SessionHandle;
use crate::shard_worker::{BatchRun, RowsGiven, RowsWanted, RunBatch, SampleAt, Sampled};

/// What is left of a sequence's rows until the step ends.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) share: Share,
    sample: bool,
    trace: Vec<StageTrace>,
    received_at: Instant,
}

/// A step being put together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    sequences: Vec<SequenceRows>,
    wanted: Vec<RowsWanted>,
    payloads: Vec<Bytes>,
}

impl Batch {
    /// Adds the rows of a sequence.
    pub(super) fn add(
        &mut self,
        sequence: &mut Sequence,
        share: Share,
        taken: TakenRows,
        table: Arc<[u32]>,
    ) {
        let TakenRows { payloads, sample, trace, received_at } = taken;
        let Share { first_position, rows, .. } = share;
        let position = first_position + rows;
        let scored = sequence.scoring.as_ref();
        let scored = scored.map(|scoring| scoring.of_rows(first_position, rows));
        let (wanted, logits) = match (sequence.sampling, sequence.embedding.take(), scored) {
            (_, Some(sum), _) => (RowsWanted::Sum(sum), LogitsWanted::Normed),
            (_, None, Some(of)) => (RowsWanted::Scores, LogitsWanted::Scores(of)),
            (Some(params), None, None) if sample => {
                let guide = sequence.guide.take();
                let log_probabilities = sequence.log_probabilities;
                let at = SampleAt { position, params, guide, log_probabilities };
                (RowsWanted::Token(at), LogitsWanted::Last)
            }
            _ => (RowsWanted::Nothing, LogitsWanted::None),
        };
        self.sequences.push(SequenceRows { pages: table, first_position, n_rows: rows, logits });
        self.wanted.push(wanted);
        self.payloads.extend(payloads);
        self.entries.push(Entry { share, sample, trace, received_at });
    }

    /// The worker's message, and what is kept until it answers.
    pub(super) fn into_run(
        mut self,
        facts: &ShardFacts,
        copies: Vec<PageCopy>,
    ) -> (RunBatch, Vec<Entry>) {
        let payload = match self.payloads.len() {
            1 => self.payloads.remove(0),
            _ => {
                let bytes = self.payloads.iter().map(Bytes::len).sum();
                let mut whole = BytesMut::with_capacity(bytes);
                self.payloads.iter().for_each(|payload| whole.extend_from_slice(payload));
                whole.freeze()
            }
        };
        let input = match facts.layers.start {
            0 => {
                let tokens = payload.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
                ShardInput::Tokens(tokens.collect())
            }
            _ => ShardInput::Hidden(HiddenRows {
                dtype: match facts.profile {
                    Profile::F16 => BorderType::F16,
                    Profile::F32 => BorderType::F32,
                },
                n_rows: self.sequences.iter().map(|rows| rows.n_rows).sum(),
                hidden: facts.hidden,
                bytes: payload,
            }),
        };
        let run = RunBatch { copies, sequences: self.sequences, input, wanted: self.wanted };
        (run, self.entries)
    }
}

/// What a finished step sends on.
pub(super) enum Outcome {
    /// Rows to the next stage.
    Frame(Message),
    /// A token to the requester.
    Token(TokenSampled),
    /// An embedding to the requester.
    Embedding { values: Vec<f32>, trace: Vec<StageTrace> },
    /// How likely the prompt's tokens were, to the requester.
    Scores { scores: Vec<LogProbabilities>, trace: Vec<StageTrace> },
    /// There is no token, for this reason.
    Failed(String),
}

/// The result of a step, taken apart sequence by sequence in its order.
pub(super) struct Results {
    hidden: Option<HiddenRows>,
    given: std::vec::IntoIter<RowsGiven>,
    n_rows: u32,
    compute_us: u32,
}

impl Results {
    /// The result of a batch with so many rows.
    pub(super) fn new(run: BatchRun, n_rows: u32) -> Results {
        let BatchRun { hidden, given, compute_us } = run;
        Results { hidden, given: given.into_iter(), n_rows, compute_us }
    }

    /// What the next sequence's rows send on, if anything; must be called for every entry. Compute
    /// time is shared by rows.
    pub(super) fn next(&mut self, entry: Entry, of: Option<&mut Sequence>) -> Option<Outcome> {
        let Entry { share: Share { first_position, rows, .. }, sample, mut trace, received_at } =
            entry;
        let given = self.given.next()?;
        let hidden = self.hidden.as_mut().map(|hidden| {
            let row_bytes = hidden.hidden as usize * hidden.dtype.bytes();
            (hidden.dtype, hidden.hidden, hidden.bytes.split_to(rows as usize * row_bytes))
        });
        let sequence = of?;
        let bytes_out = hidden.as_ref().map_or(4, |(.., bytes)| bytes.len());
        let part = u64::from(self.compute_us) * u64::from(rows) / u64::from(self.n_rows.max(1));
        let bytes_out = u32::try_from(bytes_out).unwrap_or(u32::MAX);
        sequence.unreported.add(part as u32, bytes_out);
        if sample {
            let rtt_us = sequence.next.as_ref().map_or(0, SessionHandle::rtt_us);
            let held_us = micros(received_at.elapsed());
            trace.push(sequence.unreported.report(sequence.stage, held_us, rtt_us));
        }
        let request = sequence.request;
        if let Some((dtype, hidden, bytes)) = hidden {
            let encoding = match dtype {
                BorderType::F16 => RowEncoding::F16,
                BorderType::F32 => RowEncoding::F32,
            };
            let n_rows = rows;
            let rows = Rows { request, first_position, n_rows, hidden, encoding, sample, trace };
            return Some(Outcome::Frame(Message::rows(rows, bytes)));
        }
        let position = first_position + rows;
        let Sampled { token, log_probabilities, guide } = match given {
            RowsGiven::Nothing => return None,
            RowsGiven::Token(sampled) => sampled,
            RowsGiven::Sum(sum) => {
                let embedding = sample.then(|| sum.mean());
                sequence.embedding = Some(sum);
                return embedding.map(|values| Outcome::Embedding { values, trace });
            }
            RowsGiven::Scores(scores) => {
                let scoring = sequence.scoring.as_mut()?;
                scoring.scores.extend(scores.into_iter().map(wire_log_probabilities));
                let scores = sample.then(|| std::mem::take(&mut scoring.scores));
                return scores.map(|scores| Outcome::Scores { scores, trace });
            }
        };
        sequence.guide = guide;
        let log_probabilities = log_probabilities.map(wire_log_probabilities);
        Some(match token {
            Ok(token) => {
                Outcome::Token(TokenSampled { request, position, token, trace, log_probabilities })
            }
            Err(detail) => Outcome::Failed(detail),
        })
    }
}

fn wire_log_probabilities(of: sampler::LogProbabilities) -> LogProbabilities {
    let pair = |one: &sampler::TokenLogProbability| (one.token, one.log_probability as f32);
    LogProbabilities { chosen: pair(&of.chosen).1, top: of.top.iter().map(pair).collect() }
}

/// Sequences of a step that reached the end of a page or of their prompt, and how far.
pub(super) fn milestones<'a>(
    entries: &[Entry],
    sequence: impl Fn(SequenceId) -> Option<&'a Sequence>,
    page: u32,
) -> Vec<(u64, u32)> {
    let reached = entries.iter().filter_map(|Entry { share, .. }| {
        let end = share.first_position + share.rows;
        let crosses = end / page != share.first_position / page;
        let prompt = sequence(share.sequence)?.prompt;
        (share.first_position < prompt && (crosses || end >= prompt))
            .then_some((share.sequence, end))
    });
    reached.collect()
}
