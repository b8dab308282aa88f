//! One loaded layer range, computing on a thread of its own.
//!
//! `batch_scheduler` sends it one batch at a time; the answer comes back through a future, so no
//! Arbiter ever waits for arithmetic. A panic in the engine is caught, answered as an error, and
//! the shard refuses further work until the supervisor has restarted the tree.

pub mod guide;
mod messages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, ResponseFuture};
use swarmllm_models::sampler::{log_probabilities, sample};
use swarmllm_models::{Logits, Shard, ShardOutput};
use tokio::sync::oneshot;

pub use messages::{BatchRun, RunBatch, RunBatchError, SampleAt, Sampled};

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
    let (hidden, tokens) = match output {
        ShardOutput::Hidden(rows) => (Some(rows), batch.samples.iter().map(|_| None).collect()),
        ShardOutput::Logits(logits) => (None, sample_rows(&logits, batch.samples)?),
    };
    Ok(BatchRun { hidden, tokens, compute_us: crate::clock::micros(started.elapsed()) })
}

/// One token for each sequence that wants one: its last logits row.
fn sample_rows(
    logits: &Logits,
    samples: Vec<Option<SampleAt>>,
) -> Result<Vec<Option<Sampled>>, RunBatchError> {
    let vocab = logits.vocab as usize;
    let mut rows = logits.values.chunks_exact(vocab);
    let mut tokens = Vec::with_capacity(samples.len());
    for wanted in samples {
        let token = match wanted {
            None => None,
            Some(at) => {
                let row = rows.next().ok_or(RunBatchError::LogitsMissing)?;
                Some(sample_row(row, at))
            }
        };
        tokens.push(token);
    }
    Ok(tokens)
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
