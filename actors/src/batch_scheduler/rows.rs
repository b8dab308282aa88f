//! Rows of one sequence that wait for a step, in pieces as they arrived.
//!
//! A step takes as many as it planned, across pieces or out of the middle of one; payloads are
//! views, never copies. Only the last row of a piece may ask for a token.

use std::collections::VecDeque;

use bytes::Bytes;
use swarmllm_protocol::wire::StageTrace;
use tokio::time::Instant;

use super::messages::SubmitRows;
use crate::peer_session::HeldCredit;

#[derive(Debug)]
struct Piece {
    payload: Bytes,
    row_bytes: usize,
    sample: bool,
    trace: Vec<StageTrace>,
    received_at: Instant,
    /// Given back with the last of its rows.
    credit: Option<HeldCredit>,
}

/// Rows taken for a step.
#[derive(Debug)]
pub(super) struct TakenRows {
    pub(super) payloads: Vec<Bytes>,
    /// Whether a token is wanted behind the last.
    pub(super) sample: bool,
    /// What earlier stages spent on them.
    pub(super) trace: Vec<StageTrace>,
    /// When the first of them arrived.
    pub(super) received_at: Instant,
}

/// The pieces.
#[derive(Debug, Default)]
pub(super) struct PendingRows {
    pieces: VecDeque<Piece>,
}

impl PendingRows {
    /// Adds what arrived.
    pub(super) fn push(&mut self, submit: SubmitRows) {
        let SubmitRows { rows, payload, received_at, credit } = submit;
        let row_bytes = rows.row_bytes();
        let (sample, trace) = (rows.sample, rows.trace);
        self.pieces.push_back(Piece { payload, row_bytes, sample, trace, received_at, credit });
    }

    /// Whether none wait.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Gives back the room that the rows take, though they are still here.
    pub(super) fn release_credit(&mut self) {
        self.pieces.iter_mut().for_each(|piece| piece.credit = None);
    }

    /// Bytes of rows that take no room in any window.
    pub(super) fn uncounted_bytes(&self) -> usize {
        let uncounted = self.pieces.iter().filter(|piece| piece.credit.is_none());
        uncounted.map(|piece| piece.payload.len()).sum()
    }

    /// Takes so many rows, at most up to one that asks for a token; the count that was taken.
    pub(super) fn take(&mut self, n_rows: u32) -> (u32, TakenRows) {
        let received_at = self.pieces.front().map_or_else(Instant::now, |piece| piece.received_at);
        let mut taken =
            TakenRows { payloads: Vec::new(), sample: false, trace: Vec::new(), received_at };
        let mut left = n_rows as usize;
        while left > 0 && !taken.sample {
            let Some(piece) = self.pieces.front_mut() else { break };
            let there = piece.payload.len() / piece.row_bytes;
            let rows = there.min(left);
            taken.payloads.push(piece.payload.split_to(rows * piece.row_bytes));
            left -= rows;
            if rows == there {
                let piece = self.pieces.pop_front();
                if let Some(piece) = piece {
                    taken.sample = piece.sample;
                    taken.trace.extend(piece.trace);
                }
            }
        }
        (n_rows - left as u32, taken)
    }
}

#[cfg(test)]
mod tests {
    use swarmllm_protocol::ids::RequestId;
    use swarmllm_protocol::wire::{RowEncoding, Rows};

    use super::*;

    fn submit(tokens: &[u32], sample: bool) -> SubmitRows {
        let trace = match sample {
            true => vec![StageTrace { stage: 1, ..StageTrace::default() }],
            false => Vec::new(),
        };
        let rows = Rows {
            request: RequestId([1; 16]),
            first_position: 0,
            n_rows: tokens.len() as u32,
            hidden: 0,
            encoding: RowEncoding::Tokens,
            sample,
            trace,
        };
        SubmitRows {
            rows,
            payload: Rows::token_payload(tokens),
            received_at: Instant::now(),
            credit: None,
        }
    }

    #[test]
    fn rows_come_out_in_order_whatever_the_pieces() {
        let mut pending = PendingRows::default();
        pending.push(submit(&[1, 2, 3], false));
        pending.push(submit(&[4, 5], true));
        pending.push(submit(&[6], true));
        let mut tokens = Vec::new();
        let mut samples = Vec::new();
        for wanted in [2, 2, 9, 9, 1] {
            let (rows, taken) = pending.take(wanted);
            let bytes: Vec<u8> = taken.payloads.concat();
            assert_eq!(bytes.len(), rows as usize * 4);
            tokens.extend(bytes.chunks(4).map(|b| b[0]));
            samples.push((rows, taken.sample, taken.trace.len()));
        }
        assert_eq!(tokens, [1, 2, 3, 4, 5, 6]);
        let expected = [(2, false, 0), (2, false, 0), (1, true, 1), (1, true, 1), (0, false, 0)];
        assert_eq!(samples, expected);
    }
}
