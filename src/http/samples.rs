//! The answers to one request with `n` of them, or to several, as one stream of events.
//!
//! Called by the dialects. All samples are asked for at once; every stage computes the prompt once
//! and the samples share its pages. Sample i draws with the seed of the request plus i, so sample 0
//! is the answer that `n = 1` gives. Dropping this cancels all of them.

use std::task::Poll;

use tokio::time::{Instant, timeout_at};

use super::sse::SETTLE;
use crate::{
    generate::{ErrorKind, GenerateError, GenerateRequest, GenerationStream, TokenEvent},
    node::NodeHandle,
};

/// Most samples of one request.
pub(super) const SAMPLES_MAX: u32 = 16;

/// Samples under way.
#[derive(Debug)]
pub(super) struct Samples {
    /// None once a sample has ended.
    streams: Vec<Option<GenerationStream>>,
    /// Who is looked at first: nobody waits for a talkative neighbour.
    turn: usize,
}

impl Samples {
    /// Starts `n` answers to each request; those to the first come first.
    ///
    /// # Errors
    /// When a request can't be served.
    pub(super) async fn start(
        node: &NodeHandle,
        requests: Vec<GenerateRequest>,
        n: u32,
    ) -> Result<Samples, GenerateError> {
        let mut streams = Vec::new();
        for request in requests {
            let first = node.generate(request.clone()).await?;
            let sample_of = Some(first.request);
            streams.push(Some(first));
            for index in 1..n {
                let mut request = GenerateRequest { sample_of, ..request.clone() };
                request.sampling.seed = request.sampling.seed.wrapping_add(u64::from(index));
                streams.push(Some(node.generate(request).await?));
            }
        }
        Ok(Samples { streams, turn: 0 })
    }

    /// Answers that are there already.
    #[cfg(test)]
    pub(super) fn of(streams: Vec<GenerationStream>) -> Samples {
        Samples { streams: streams.into_iter().map(Some).collect(), turn: 0 }
    }

    /// Waits a moment for a refusal; gives the first event that says there is none, if it came.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn settle(&mut self) -> Result<Option<(usize, TokenEvent)>, GenerateError> {
        let deadline = Instant::now() + SETTLE;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Some((_, Ok(TokenEvent::Started { .. })))) => {}
                Ok(Some((index, event))) => return Ok(Some((index, event?))),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// The next event of any sample, with its number; `None` when all have finished. A sample that
    /// just ends is an error.
    pub(super) async fn next(&mut self) -> Option<(usize, Result<TokenEvent, GenerateError>)> {
        std::future::poll_fn(|context| {
            let n = self.streams.len();
            for step in 0..n {
                let index = (self.turn + step) % n;
                let Some(stream) = &mut self.streams[index] else { continue };
                let Poll::Ready(event) = stream.events.poll_recv(context) else { continue };
                self.turn = (index + 1) % n;
                let event = event.unwrap_or_else(|| Err(cut_short()));
                if matches!(event, Ok(TokenEvent::Finished(_)) | Err(_)) {
                    self.streams[index] = None;
                }
                return Poll::Ready(Some((index, event)));
            }
            match self.streams.iter().all(Option::is_none) {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }
}

fn cut_short() -> GenerateError {
    let message = "the answer ended before its end; see the node's log and try again";
    GenerateError::new(ErrorKind::Internal, message)
}
