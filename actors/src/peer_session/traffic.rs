//! Rows that went to other nodes and came from them, counted by direction and encoding.
//!
//! One per node, shared by its sessions; read by whoever reports it. Units: bytes of payload,
//! since the node's start. Errors: none.

use std::sync::atomic::{AtomicU64, Ordering};

use swarmllm_protocol::tensor_frame::RowEncoding;
use swarmllm_protocol::wire::{Body, Message};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From another node.
    In,
    /// To another node.
    Out,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::In, Direction::Out];
}

/// Every encoding.
const ENCODINGS: [RowEncoding; 3] = [RowEncoding::Tokens, RowEncoding::F32, RowEncoding::F16];

/// Where an encoding is counted.
fn place(encoding: RowEncoding) -> usize {
    match encoding {
        RowEncoding::Tokens => 0,
        RowEncoding::F32 => 1,
        RowEncoding::F16 => 2,
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct RowTraffic {
    bytes: [[AtomicU64; ENCODINGS.len()]; Direction::ALL.len()],
}

impl RowTraffic {
    /// Counts a message, if it is one of rows.
    pub(super) fn note(&self, direction: Direction, message: &Message) {
        if let Body::Rows(rows) = &message.body {
            let counter = &self.bytes[direction as usize][place(rows.encoding)];
            counter.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
        }
    }

    /// Everything counted so far.
    pub fn read(&self) -> impl Iterator<Item = (Direction, RowEncoding, u64)> {
        let bytes = |direction, encoding| {
            self.bytes[direction as usize][place(encoding)].load(Ordering::Relaxed)
        };
        Direction::ALL.into_iter().flat_map(move |direction| {
            ENCODINGS.map(|encoding| (direction, encoding, bytes(direction, encoding)))
        })
    }
}
