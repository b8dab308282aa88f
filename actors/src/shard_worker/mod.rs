//! One loaded layer range, computing on a thread of its own.
//!
//! `batch_scheduler` sends it one batch at a time; the answer comes back through a future, so no
//! Arbiter ever waits for arithmetic. A panic in the engine is caught, answered as an error, and
//! the shard refuses further work until the supervisor has restarted the tree.

pub mod embedding;
pub mod guide;
mod messages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, ResponseFuture};
use swarmllm_models::sampler::{log_probabilities, sample};
use swarmllm_models::{Logits, LogitsWanted, SequenceRows, Shard, ShardOutput};
use tokio::sync::oneshot;

pub use messages::{BatchRun, RowsGiven, RowsWanted, RunBatch, RunBatchError, SampleAt, Sampled};

use crate::mailbox;

/// Batches that may wait for the thread: one computes, one is ready behind it.
const BATCHES_WAITING: usize = 4;

type Answer = Result<BatchRun, RunBatchError>;
type Job = (RunBatch, oneshot::Sender<Answer>);

/// The actor; dropping it ends the thread.
pub struct ShardWorker {
    jobs: SyncSender<Job>,
}

impl ShardWorker {
    /// Gives the shard to a new thread.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn new(shard: Shard) -> std::io::Result<ShardWorker> {
        let layers = shard.layers();
        let (jobs, waiting) = sync_channel(BATCHES_WAITING);
        std::thread::Builder::new()
            .name(format!("shard-{}-{}", layers.start, layers.end))
            .spawn(move || compute(shard, &waiting))?;
        Ok(ShardWorker { jobs })
    }
}

fn compute(mut shard: Shard, waiting: &Receiver<Job>) {
    while let Ok((batch, answer)) = waiting.recv() {
        let run = catch_unwind(AssertUnwindSafe(|| run_batch(&mut shard, batch)));
        let is_dead = run.is_err();
        let outcome = run.unwrap_or(Err(RunBatchError::Panicked));
        // A requester that went away meanwhile is no error.
        let _ = answer.send(outcome);
        if is_dead {
            return;
        }
    }
}

fn run_batch(shard: &mut Shard, batch: RunBatch) -> Answer {
    let started = Instant::now();
    for copy in &batch.copies {
        shard.copy_page(copy.from, copy.to)?;
    }
    let output = shard.forward(&batch.sequences, batch.input)?;
    let (hidden, given) = match output {
        ShardOutput::Hidden(rows) => {
            (Some(rows), batch.wanted.iter().map(|_| RowsGiven::Nothing).collect())
        }
        ShardOutput::Logits(logits) => (None, give(logits, batch.wanted, &batch.sequences)?),
    };
    Ok(BatchRun { hidden, given, compute_us: crate::clock::micros(started.elapsed()) })
}

/// What each sequence wants: a token by its logits row, or its normed rows added up.
fn give(
    mut logits: Logits,
    wanted: Vec<RowsWanted>,
    sequences: &[SequenceRows],
) -> Result<Vec<RowsGiven>, RunBatchError> {
    let mut rows = logits.values.chunks_exact(logits.vocab as usize);
    let n_normed = |sequence: &SequenceRows| match sequence.logits {
        LogitsWanted::Normed => sequence.n_rows as usize,
        _ => 0,
    };
    let hidden = logits.normed.len().checked_div(sequences.iter().map(n_normed).sum());
    let mut normed = &logits.normed[..];
    let mut scores = std::mem::take(&mut logits.scores).into_iter();
    let mut given = Vec::with_capacity(wanted.len());
    for (wanted, sequence) in wanted.into_iter().zip(sequences) {
        given.push(match wanted {
            RowsWanted::Nothing => RowsGiven::Nothing,
            RowsWanted::Token(at) => {
                let row = rows.next().ok_or(RunBatchError::LogitsMissing)?;
                RowsGiven::Token(sample_row(row, at))
            }
            RowsWanted::Sum(mut sum) => {
                let hidden = hidden.filter(|hidden| *hidden > 0);
                let hidden = hidden.ok_or(RunBatchError::LogitsMissing)?;
                let (own, rest) = normed.split_at(n_normed(sequence) * hidden);
                normed = rest;
                sum.add(own, hidden);
                RowsGiven::Sum(sum)
            }
            RowsWanted::Scores => {
                let n_scores = match &sequence.logits {
                    LogitsWanted::Scores(of) => of.tokens.len(),
                    _ => 0,
                };
                RowsGiven::Scores(scores.by_ref().take(n_scores).collect())
            }
        });
    }
    Ok(given)
}

fn sample_row(row: &[f32], at: SampleAt) -> Sampled {
    let SampleAt { position, params, mut guide, log_probabilities: n_top } = at;
    let token = match &mut guide {
        None => Ok(sample(row, position, &params)),
        Some(guide) => guide.choose(row, position, &params),
    };
    let likely = |(n_top, token): (u8, u32)| log_probabilities(row, token, n_top.into());
    let log_probabilities = n_top.zip(token.clone().ok()).map(likely);
    Sampled { token, log_probabilities, guide }
}

impl Actor for ShardWorker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::SHARD_WORKER);
    }
}

impl Handler<RunBatch> for ShardWorker {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, batch: RunBatch, ctx: &mut Self::Context) -> Self::Result {
        let (answer, outcome) = oneshot::channel();
        let queued = self.jobs.try_send((batch, answer));
        if matches!(queued, Err(TrySendError::Disconnected(_))) {
            ctx.stop();
        }
        Box::pin(async move {
            match queued {
                Ok(()) => outcome.await.unwrap_or(Err(RunBatchError::Panicked)),
                Err(TrySendError::Full(_)) => Err(RunBatchError::Busy),
                Err(TrySendError::Disconnected(_)) => Err(RunBatchError::Panicked),
            }
        })
    }
}
